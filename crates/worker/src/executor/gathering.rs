//! Has attempts wait for the blobs that their payloads name, and fetches those.

use std::sync::Arc;

use bireme_core::AttemptId;
use bireme_core::id::Digest;

use super::awaiting::{Awaiting, Found, Waiting};
use crate::store::{Store, Stored};
use crate::transfer::courier::Courier;

/// Where attempts wait for blobs.
#[derive(Debug)]
pub(crate) struct Gathering {
    store: Arc<Store>,
    courier: Courier,
    awaiting: Awaiting,
}

impl Gathering {
    pub(crate) fn new(store: Arc<Store>, courier: Courier) -> Self {
        Self { store, courier, awaiting: Awaiting::default() }
    }

    /// The attempt with its blobs, if all of them are here; it waits for the others otherwise.
    pub(super) fn gather(&self, waiting: Waiting) -> Option<Box<Waiting>> {
        match self.awaiting.find(waiting, &self.store) {
            Found::All(waiting) => return Some(waiting),
            Found::Fetch(digest) => self.courier.fetch(digest),
            Found::Coming => {}
        }
        None
    }

    /// Those that waited for a blob. Where it is here, they have it.
    pub(super) fn take(&self, digest: Digest, came: Option<&Stored>) -> Vec<Waiting> {
        self.awaiting.take(digest, came)
    }

    /// An attempt, if it waits here, has its resources now.
    pub(super) fn promote(&self, attempt: AttemptId) {
        self.awaiting.promote(attempt);
    }

    /// Takes an attempt away that waits for its resources, too.
    pub(super) fn remove_follower(&self, attempt: AttemptId) -> Option<Waiting> {
        self.awaiting.remove_follower(attempt)
    }

    /// Takes an attempt away.
    pub(super) fn remove(&self, attempt: AttemptId) -> Option<Waiting> {
        self.awaiting.remove(attempt)
    }
}
