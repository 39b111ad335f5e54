//! How attempts are ended from outside, and how those are taken back that would wait too long.

use std::sync::{Arc, Weak};

use bireme_core::{AttemptId, ErrorClass, Span, limits};
use rustix::process::Signal;
use tokio::time::sleep;

use super::seat::Seat;
use super::{Crew, Shared};
use crate::executor::Kill;
use crate::sync::lock;

impl Shared {
    /// Ends an attempt; nothing happens if it is not here.
    pub(super) fn kill(self: &Arc<Self>, attempt: AttemptId, kill: Kill) {
        let mut crew = lock(&self.crew);
        let Crew { seats, waiting, .. } = &mut *crew;
        if let Some(at) = waiting.iter().position(|job| job.attempt() == attempt)
            && let Some(job) = waiting.remove(at)
        {
            return self.setup.relay.refuse(&job, kill.error());
        }
        let mut seats = seats.iter_mut();
        let found = seats.find_map(|(number, seat)| Some((*number, seat.find(attempt)?, seat)));
        let Some((number, at, seat)) = found else { return };
        let Some(orders) = &seat.orders else {
            if let Some(sent) = seat.jobs.remove(at) {
                self.setup.relay.refuse(&sent.job, kill.error());
            }
            return;
        };
        let reason = if kill.timed_out { ErrorClass::Timeout } else { ErrorClass::Cancelled };
        orders.cancel(attempt, kill.grace, reason);
        if let Some(sent) = seat.jobs.get_mut(at) {
            sent.killed = Some(kill);
            // Its code is not to wait for cpus in order to end.
            if let Some(request) = sent.rejoins.take() {
                orders.refuse(request, &kill.error());
            }
        }
        if at == 0 {
            // A signal ends whatever the process runs.
            take_back(seat);
        }
        let me = Arc::downgrade(self);
        self.here.spawn(enforce(me, number, attempt, kill.grace));
    }

    /// Has somebody look after those that wait in a process, if there are any.
    pub(super) fn watch(self: &Arc<Self>, number: u64, seat: &mut Seat) {
        if seat.jobs.len() > 1 && !seat.watched {
            seat.watched = true;
            self.here.spawn(watch(Arc::downgrade(self), number));
        }
    }

    /// Looks at those that wait in a process. `before` is what was seen when it was last looked at. Returns what is seen now,
    /// if it is to be looked at again.
    fn look(&self, number: u64, before: Seen) -> Option<Seen> {
        let mut crew = lock(&self.crew);
        let seat = crew.seats.get_mut(&number)?;
        let head = seat.jobs.front().map(|head| head.number);
        let waits = seat.jobs.len() > 1;
        let looks = if head == before.head { before.looks + 1 } else { 0 };
        if waits && looks < Seen::ENOUGH {
            return Some(Seen { head, looks });
        }
        seat.watched = false;
        if waits {
            take_back(seat);
        }
        None
    }

    /// Sends a signal to a process that still runs an attempt which was killed. Returns whether to look again.
    fn insist(&self, number: u64, attempt: AttemptId, signal: Signal) -> bool {
        let mut crew = lock(&self.crew);
        let Some(seat) = crew.seats.get_mut(&number) else { return false };
        match seat.find(attempt) {
            Some(0) => seat.end(signal),
            // It is about to be told that it never ran, or begins to run.
            Some(_) => {}
            None => return false,
        }
        true
    }
}

/// Asks a process for those that wait in it, and gives it no more while what runs is long.
pub(super) fn take_back(seat: &mut Seat) {
    seat.pace.stall();
    let Some(orders) = &seat.orders else { return };
    for sent in seat.jobs.iter_mut().skip(1).filter(|sent| !sent.asked_back) {
        sent.asked_back = true;
        orders.cancel(sent.attempt(), Span::ZERO, ErrorClass::Reschedule);
    }
}

/// What runs in a process, and how often it was seen since.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    head: Option<u64>,
    looks: u32,
}

impl Seen {
    /// More than one: where this thread was held up, its end may be on the way, and is heard by the next look.
    const ENOUGH: u32 = 2;
}

/// Takes those back that wait behind an attempt which takes long.
async fn watch(shared: Weak<Shared>, number: u64) {
    let mut seen = Some(Seen::default());
    while let Some(before) = seen {
        sleep(limits::EXECUTOR_PATIENCE.to_std() / Seen::ENOUGH).await;
        let Some(shared) = shared.upgrade() else { return };
        seen = shared.look(number, before);
    }
}

/// Ends the process of an attempt that does not return within its grace.
async fn enforce(shared: Weak<Shared>, number: u64, attempt: AttemptId, grace: Span) {
    sleep(grace.to_std()).await;
    let mut signal = Signal::INT;
    loop {
        let Some(shared) = shared.upgrade() else { return };
        if !shared.insist(number, attempt, signal) {
            return;
        }
        drop(shared);
        sleep(limits::EXECUTOR_SIGNALS.to_std()).await;
        signal = Signal::KILL;
    }
}
