//! Files of the pool that processes on this machine read and write by themselves, for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::PoolFile;
use bireme_core::{Span, limits};
use tokio::task::AbortHandle;

use crate::store::{Draft, Stored};
use crate::sync::lock;

/// The leases that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_number: Mutex<BTreeMap<u64, Lease>>,
}

#[derive(Debug)]
struct Lease {
    held: Held,
    /// The command that asked for it; empty where it had no number.
    submission: Vec<u8>,
    /// Ends it in time.
    timer: AbortHandle,
}

/// What a lease keeps in place.
#[derive(Debug)]
pub(super) enum Held {
    /// Files to be written.
    Draft(Draft),
    /// Values to be read; pins, that is.
    Values { _pins: Vec<Stored> },
}

/// A lease that was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Given {
    /// Its number, which nobody guesses.
    pub(super) number: u64,
    /// For how long it was given.
    pub(super) span: Span,
}

/// For how long a lease is given to one who asks for so much; 0 asks for as much as there is.
pub(super) fn span(asked_us: u64) -> Span {
    if asked_us == 0 { limits::POOL_LEASE } else { Span(asked_us).min(limits::POOL_LEASE) }
}

impl Leases {
    /// Gives a lease that ends by itself.
    pub(super) fn give(
        self: &Arc<Self>,
        held: Held,
        submission: Vec<u8>,
        span: Span,
    ) -> Result<Given, Refusal> {
        let random = |error| Refusal::new(Reason::Busy, format!("no randomness: {error}"));
        let number = getrandom::u64().map_err(random)?;
        let mut leases = lock(&self.by_number);
        if leases.len() >= limits::POOL_LEASES {
            let message = format!("{} leases are given; release some", limits::POOL_LEASES);
            return Err(Refusal::new(Reason::Busy, message));
        }
        let timer = tokio::spawn(end_in_time(Arc::downgrade(self), number, span)).abort_handle();
        leases.insert(number, Lease { held, submission, timer });
        Ok(Given { number, span })
    }

    /// The lease that a command was given before, with the files to be written.
    pub(super) fn repeated(&self, submission: &[u8]) -> Option<(u64, Vec<PoolFile>)> {
        let leases = lock(&self.by_number);
        let mut same = leases.iter().filter(|(_, lease)| lease.submission == submission);
        same.find_map(|(number, lease)| match &lease.held {
            Held::Draft(draft) if !submission.is_empty() => Some((*number, draft.runs().to_vec())),
            Held::Draft(_) | Held::Values { .. } => None,
        })
    }

    /// Lends the drafts that are leased to `put`, which makes a value of `runs`. If it can, those belong to the value, and
    /// leases with no others end.
    pub(super) fn with_drafts<T, E>(
        &self,
        runs: &[PoolFile],
        put: impl FnOnce(Drafts<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut leases = lock(&self.by_number);
        let done = put(Drafts(leases.values()))?;
        leases.retain(|_, lease| match &mut lease.held {
            Held::Draft(draft) => {
                let left = draft.give_up(runs);
                if !left {
                    lease.timer.abort();
                }
                left
            }
            Held::Values { .. } => true,
        });
        Ok(done)
    }

    /// Ends leases; those that are not known are passed over.
    pub(super) fn release(&self, numbers: &[u64]) {
        let mut leases = lock(&self.by_number);
        let gone: Vec<_> = numbers.iter().filter_map(|number| leases.remove(number)).collect();
        drop(leases); // Before those that are gone, whose files are given back without the lock.
        for lease in &gone {
            lease.timer.abort();
        }
    }
}

/// All drafts that are leased.
#[derive(Clone)]
pub(super) struct Drafts<'a>(std::collections::btree_map::Values<'a, u64, Lease>);

impl<'a> Iterator for Drafts<'a> {
    type Item = &'a Draft;

    fn next(&mut self) -> Option<&'a Draft> {
        self.0.find_map(|lease| match &lease.held {
            Held::Draft(draft) => Some(draft),
            Held::Values { .. } => None,
        })
    }
}

async fn end_in_time(leases: Weak<Leases>, number: u64, span: Span) {
    tokio::time::sleep(span.to_std()).await;
    if let Some(leases) = leases.upgrade() {
        let over = lock(&leases.by_number).remove(&number);
        drop(over);
    }
}
