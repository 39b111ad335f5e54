//! Attempts that wait for blobs which their payloads name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Mutex;

use bireme_core::AttemptId;
use bireme_core::id::Digest;
use smallvec::SmallVec;

use super::Job;
use crate::store::{Store, Stored};
use crate::sync::lock;

/// Attempts by the blob that they wait for next. The machine bounds how many there are.
#[derive(Debug, Default)]
pub(crate) struct Awaiting(Mutex<BTreeMap<Digest, Vec<Waiting>>>);

/// An attempt that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: Job,
    /// The blobs that its payload names and that have not been looked for.
    left: SmallVec<[Digest; 1]>,
    /// It has its resources.
    pub(super) granted: bool,
}

/// Whether an attempt has its blobs.
#[derive(Debug)]
pub(super) enum Found {
    /// All of them.
    All(Box<Waiting>),
    /// It waits; its blob has to be fetched.
    Fetch(Digest),
    /// It waits for a blob that is being fetched.
    Coming,
}

impl Waiting {
    pub(super) fn new(job: Job, needs: SmallVec<[Digest; 1]>, granted: bool) -> Self {
        Self { job, left: needs, granted }
    }
}

impl Awaiting {
    /// Gives an attempt those of its blobs that are here, and has it wait for the first that is not.
    pub(super) fn find(&self, mut waiting: Waiting, store: &Store) -> Found {
        while let Some(digest) = waiting.left.pop() {
            let Some(blob) = store.blob(digest) else {
                waiting.left.push(digest);
                return match lock(&self.0).entry(digest) {
                    Entry::Vacant(place) => {
                        place.insert(vec![waiting]);
                        Found::Fetch(digest)
                    }
                    Entry::Occupied(mut others) => {
                        others.get_mut().push(waiting);
                        Found::Coming
                    }
                };
            };
            waiting.job.blobs.push((digest, blob));
        }
        Found::All(Box::new(waiting))
    }

    /// Those that wait for a blob. Where it is here, they have it.
    pub(super) fn take(&self, digest: Digest, came: Option<&Stored>) -> Vec<Waiting> {
        let mut all = lock(&self.0).remove(&digest).unwrap_or_default();
        if let Some(blob) = came {
            for waiting in &mut all {
                waiting.left.retain(|left| *left != digest);
                waiting.job.blobs.push((digest, blob.clone()));
            }
        }
        all
    }

    /// An attempt has its resources now.
    pub(super) fn promote(&self, attempt: AttemptId) {
        let mut all = lock(&self.0);
        let mut all = all.values_mut().flatten();
        if let Some(waiting) = all.find(|waiting| waiting.job.attempt() == attempt) {
            waiting.granted = true;
        }
    }

    /// Takes an attempt away that waits for its resources, too.
    pub(super) fn remove_follower(&self, attempt: AttemptId) -> Option<Waiting> {
        self.remove_if(|waiting| waiting.job.attempt() == attempt && !waiting.granted)
    }

    /// Takes an attempt away. What it waits for comes all the same.
    pub(super) fn remove(&self, attempt: AttemptId) -> Option<Waiting> {
        self.remove_if(|waiting| waiting.job.attempt() == attempt)
    }

    fn remove_if(&self, is_it: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let mut all = lock(&self.0);
        all.values_mut().find_map(|others| {
            let at = others.iter().position(&is_it)?;
            Some(others.swap_remove(at))
        })
    }
}
