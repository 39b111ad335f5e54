//! Which workers cannot be reached from here, so that the scheduler is asked to pass on what is meant for them.
//!
//! Whoever found a worker's address silent spares the next one the wait: for [`limits::RELAY_FOR`] that address is not tried
//! again. Where the scheduler does not reach the worker either, it is the worker that is away, and nothing is remembered: it
//! may be back at any moment.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::protocol::Address;
use tokio::time::Instant;

use crate::session::lock;

/// The addresses of workers that were silent when they were tried last.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<BTreeMap<(WorkerId, Address), Silence>>);

#[derive(Debug)]
struct Silence {
    why: String,
    until: Instant,
    /// The log has it.
    told: bool,
}

impl Reach {
    /// Why an address is not to be tried for the time being, if it is not.
    pub(crate) fn silence(
        &self,
        now: Instant,
        worker: WorkerId,
        address: &Address,
    ) -> Option<String> {
        let silent = lock(&self.0);
        let silence = silent.get(&(worker, address.clone()))?;
        (now < silence.until).then(|| format!("not reached of late: {}", silence.why))
    }

    /// An address was tried in vain.
    pub(crate) fn failed(&self, now: Instant, worker: WorkerId, address: &Address, why: &str) {
        let mut silent = lock(&self.0);
        if silent.len() >= limits::WORKERS {
            silent.clear();
        }
        let key = (worker, address.clone());
        let told = silent.get(&key).is_some_and(|silence| silence.told);
        let until = now + limits::RELAY_FOR.to_std();
        silent.insert(key, Silence { why: why.to_owned(), until, told });
    }

    /// An address has answered.
    pub(crate) fn answered(&self, worker: WorkerId, address: &Address) {
        let silence = lock(&self.0).remove(&(worker, address.clone()));
        if silence.is_some_and(|silence| silence.told) {
            tracing::info!(%worker, %address, "the worker is reached without the scheduler again");
        }
    }

    /// The scheduler has passed something on to a worker that may have been silent. The log has it once.
    pub(crate) fn relayed(&self, worker: WorkerId) {
        for ((of, address), silence) in &mut *lock(&self.0) {
            if *of == worker && !std::mem::replace(&mut silence.told, true) {
                let why = &silence.why;
                tracing::warn!(%worker, %address, why, "the worker cannot be reached; the scheduler relays");
            }
        }
    }

    /// The scheduler did not reach the worker either.
    pub(crate) fn lost(&self, worker: WorkerId) {
        lock(&self.0).retain(|(of, _), _| *of != worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: WorkerId = WorkerId(1);

    fn address(port: u16) -> Address {
        let (scheme, host) = ("http".to_owned(), "w1.example".to_owned());
        Address { scheme, host, port, network: String::new() }
    }

    #[test]
    fn a_silent_address_is_spared_for_a_while() {
        let (reach, at, now) = (Reach::default(), address(1), Instant::now());
        assert_eq!(reach.silence(now, WORKER, &at), None);
        reach.failed(now, WORKER, &at, "refused");
        reach.relayed(WORKER);
        assert_eq!(reach.silence(now, WORKER, &at).unwrap(), "not reached of late: refused");
        assert_eq!(reach.silence(now, WORKER, &address(2)), None, "it has moved");
        assert_eq!(reach.silence(now, WorkerId(2), &at), None, "another may be reached");
        let now = now + limits::RELAY_FOR.to_std();
        assert_eq!(reach.silence(now, WORKER, &at), None, "it is tried again");
        reach.failed(now, WORKER, &at, "refused");
        assert!(reach.silence(now, WORKER, &at).is_some(), "and spared again");
        reach.answered(WORKER, &at);
        assert_eq!(reach.silence(now, WORKER, &at), None);
    }

    #[test]
    fn a_worker_that_is_away_is_tried_at_once_when_it_may_be_back() {
        let (reach, at, now) = (Reach::default(), address(1), Instant::now());
        reach.failed(now, WORKER, &at, "refused");
        reach.failed(now, WorkerId(2), &at, "refused");
        reach.lost(WORKER);
        assert_eq!(reach.silence(now, WORKER, &at), None);
        assert!(reach.silence(now, WorkerId(2), &at).is_some());
    }
}
