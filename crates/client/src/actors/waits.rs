//! Calls of this process that do nothing but wait for calls of other actors: what has to be known to find calls that wait for
//! each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bireme_core::actor::probe::Probe;

use super::call::Canceller;
use crate::session::lock;

/// The waits of the calls of one actor that run in this process.
///
/// What is noted here must be so: a call that waits for nothing else, on the one thread that can end it, and without a limit of
/// time. Of all others nothing is said, and no deadlock is found that they are part of.
#[derive(Debug, Default)]
pub struct Waits(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The number of the last wait.
    last: u64,
    /// By the number of the call that waits.
    waiting: BTreeMap<u64, Wait>,
}

#[derive(Debug)]
struct Wait {
    number: u64,
    on: Canceller,
}

/// A wait, for as long as this lives.
#[derive(Debug)]
#[must_use = "the wait is over when this is dropped"]
pub struct Waiting {
    waits: Arc<Waits>,
    call: u64,
}

impl Waits {
    /// From here on the call of this number, which runs, waits for another.
    pub fn begin(self: &Arc<Self>, call: u64, on: &Canceller) -> Waiting {
        let mut inner = lock(&self.0);
        inner.last += 1;
        let wait = Wait { number: inner.last, on: on.clone() };
        inner.waiting.insert(call, wait);
        Waiting { waits: Arc::clone(self), call }
    }

    /// Somebody waits for the call of this number: passes the probe on to the host of the call that it waits for, if it does.
    pub fn probe(&self, call: u64, probe: Probe) {
        let wait = lock(&self.0).waiting.get(&call).map(|wait| (wait.number, wait.on.clone()));
        if let Some((number, on)) = wait {
            on.probe(probe.in_wait(number));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.waits.0).waiting.remove(&self.call);
    }
}
