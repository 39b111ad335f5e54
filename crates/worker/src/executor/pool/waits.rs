//! Attempts of the in-process pool that wait for others, and their cpus meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bireme_core::{AttemptId, ErrorClass, Reason, TaskError, limits};
use bireme_executor::Services;
use tokio::sync::oneshot;

use crate::executor::crew::Seat;
use crate::executor::relay::Relay;
use crate::failure::failure;
use crate::machine::Event;
use crate::registry::{Runner, Stop};
use crate::sync::lock;
use crate::target::Scheduler;

/// Attempts that have given their cpus back.
#[derive(Debug)]
pub(super) struct Waits {
    relay: Arc<Relay>,
    away: Mutex<BTreeMap<AttemptId, Away>>,
}

#[derive(Debug, Default)]
struct Away {
    /// How many threads of the attempt's code wait.
    waits: usize,
    /// Told when the attempt has its cpus again, once it wants them; dropped where it is to end instead.
    back: Option<oneshot::Sender<()>>,
}

impl Waits {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        Self { relay, away: Mutex::default() }
    }

    /// Code of an attempt waits: its cpus are for others, unless too many wait already.
    fn begin(&self, attempt: AttemptId) -> Result<(), Box<TaskError>> {
        let mut away = lock(&self.away);
        if away.len() >= limits::WAITING_THREADS && !away.contains_key(&attempt) {
            let message = format!(
                "{} tasks wait for others on this worker, the limit for functions within it: nest tasks less deeply, wait for fewer at once, or add workers",
                away.len()
            );
            return Err(failure(ErrorClass::WouldDeadlock, Reason::WouldDeadlock, message));
        }
        let one = away.entry(attempt).or_default();
        one.waits += 1;
        if one.waits == 1 {
            self.relay.tell(Event::Seceded(attempt));
        }
        Ok(())
    }

    /// Code of an attempt has waited. Returns what tells that the attempt has its cpus again; `None` where it need not wait for
    /// that, or other threads of it still wait.
    fn end(&self, attempt: AttemptId) -> Option<oneshot::Receiver<()>> {
        let mut away = lock(&self.away);
        let one = away.get_mut(&attempt)?;
        one.waits = one.waits.saturating_sub(1);
        if one.waits > 0 {
            return None;
        }
        let (back, told) = oneshot::channel();
        one.back = Some(back);
        self.relay.tell(Event::Rejoining(attempt));
        Some(told)
    }

    /// An attempt has its cpus again; nothing happens if it is not here.
    pub(super) fn rejoined(&self, attempt: AttemptId) {
        let mut away = lock(&self.away);
        let wants = away.get_mut(&attempt).and_then(|one| one.back.take());
        if let Some(back) = wants {
            away.remove(&attempt);
            // Whoever wanted to know may have ended.
            let _ = back.send(());
        }
    }

    /// An attempt is to end, or has: it wants nothing back.
    pub(super) fn give_up(&self, attempt: AttemptId) {
        lock(&self.away).remove(&attempt);
    }

    /// Every attempt is to end.
    pub(super) fn close(&self) {
        lock(&self.away).clear();
    }
}

/// Where an attempt runs: a thread of the pool.
pub(super) struct Place<'a> {
    waits: &'a Waits,
    scheduler: &'a Scheduler,
    seat: &'a Seat<Stop>,
    attempt: AttemptId,
    has_waited: AtomicBool,
}

impl<'a> Place<'a> {
    pub(super) fn new(
        waits: &'a Waits,
        scheduler: &'a Scheduler,
        seat: &'a Seat<Stop>,
        attempt: AttemptId,
    ) -> Self {
        Self { waits, scheduler, seat, attempt, has_waited: AtomicBool::new(false) }
    }

    /// Fails where the attempt is to end.
    fn lives(&self) -> Result<(), Box<TaskError>> {
        self.seat.killed().map_or(Ok(()), |kill| Err(kill.error()))
    }
}

impl Runner for Place<'_> {
    fn services(&self) -> Option<Arc<Services>> {
        self.scheduler.services().map(Arc::new)
    }

    fn secede(&self) -> Result<(), Box<TaskError>> {
        self.has_waited.store(true, Ordering::Relaxed);
        self.waits.begin(self.attempt)
    }

    fn rejoin(&self) -> Result<(), Box<TaskError>> {
        let told = self.waits.end(self.attempt);
        // Looked at when it can be given up: whoever ends it from here on does that.
        self.lives()?;
        match told.map(oneshot::Receiver::blocking_recv) {
            Some(Err(_)) => self.lives(),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if *self.has_waited.get_mut() {
            self.waits.give_up(self.attempt);
        }
    }
}
