//! Has attempts wait for what they need before they start, and fetches those things that are blobs.

use std::sync::Arc;

use bireme_core::AttemptId;
use bireme_core::graph::Runtime;

use super::awaiting::{Awaiting, Found, Need, Waiting};
use crate::store::{Store, Stored};
use crate::transfer::courier::Courier;

/// Where attempts wait for blobs.
#[derive(Debug)]
pub(crate) struct Gathering {
    store: Arc<Store>,
    courier: Courier,
    awaiting: Awaiting,
}

/// What became of an attempt that was to get what it needs.
pub(super) enum Gathered {
    /// It has all of it.
    All(Box<Waiting>),
    /// It waits, the first one to need the environment of this runtime.
    Lacks(Runtime),
    /// It waits.
    Waits,
}

impl Gathering {
    pub(crate) fn new(store: Arc<Store>, courier: Courier) -> Self {
        Self { store, courier, awaiting: Awaiting::default() }
    }

    /// The attempt with all that it needs, if that is here; it waits otherwise. An environment that nobody has waited for is
    /// to be built by whoever calls.
    pub(super) fn gather(&self, waiting: Waiting) -> Gathered {
        match self.awaiting.find(waiting, &self.store) {
            Found::All(waiting) => return Gathered::All(waiting),
            Found::Get(Need::Blob(digest)) => self.courier.fetch(digest),
            Found::Get(Need::Environment(runtime)) => return Gathered::Lacks(*runtime),
            Found::Coming => {}
        }
        Gathered::Waits
    }

    /// Those that waited for something, which is here, or will not come. Where it is a blob, they have it.
    pub(super) fn take(&self, need: &Need, blob: Option<&Stored>) -> Vec<Waiting> {
        self.awaiting.take(need, blob)
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
