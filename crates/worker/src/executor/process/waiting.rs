//! Attempts that wait for tasks of their own. Their processes stay, and others may be started for what they wait for.

use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};

use super::kill::take_back;
use super::seat::{Seat, Sent};
use super::{Crew, Shared};
use crate::failure::failure;
use crate::machine::Event;
use crate::sync::lock;

/// Keys of attempts that wait, named where one more would: enough to see what they are.
const NAMED: usize = 16;

impl Crew {
    /// Processes that run something, or could.
    pub(super) fn busy(&self) -> usize {
        self.seats.values().filter(|seat| !seat.waits()).count()
    }

    /// Why one more may not wait for others, if so many do.
    fn would_deadlock(&self, limit: usize) -> Option<Box<TaskError>> {
        let waiting = || self.seats.values().filter(|seat| seat.waits());
        let count = waiting().count();
        if count < limit {
            return None;
        }
        let heads = waiting().filter_map(|seat| seat.jobs.front());
        let mut keys: Vec<String> =
            heads.map(|head| format!("{:?}", head.job.execution.key)).take(NAMED).collect();
        if count > keys.len() {
            keys.push(format!("and {} more", count - keys.len()));
        }
        let message = format!(
            "{count} tasks wait for others on this worker, the limit of `--waiting-executors`, and none would make room for what this one waits for: {}; nest tasks less deeply, wait for fewer at once, add workers, or raise the limit",
            keys.join(", ")
        );
        Some(failure(ErrorClass::WouldDeadlock, Reason::WouldDeadlock, message))
    }
}

impl Seat {
    /// Whether what it runs waits for others.
    pub(super) fn waits(&self) -> bool {
        self.jobs.front().is_some_and(|head| head.seceded)
    }

    fn sent(&mut self, attempt: AttemptId) -> Option<&mut Sent> {
        self.jobs.iter_mut().find(|sent| sent.attempt() == attempt)
    }
}

impl Shared {
    /// Code of an attempt waits for others: its cpus are for these, unless too many wait already.
    pub(crate) fn seceded(&self, number: u64, attempt: AttemptId, request: u64) {
        let mut crew = lock(&self.crew);
        let refused = crew.would_deadlock(self.setup.waiting);
        let Some(seat) = crew.seats.get_mut(&number) else { return };
        let outcome = match (seat.sent(attempt), refused) {
            (Some(sent), _) if sent.seceded => Ok(()),
            (Some(_), Some(error)) => Err(error),
            (Some(sent), None) => {
                sent.seceded = true;
                self.setup.relay.tell(Event::Seceded(attempt));
                // Nothing can begin there for as long as it waits.
                take_back(seat);
                Ok(())
            }
            (None, _) => Err(gone(attempt)),
        };
        if let Some(orders) = seat.orders.as_ref().filter(|_| request > 0) {
            match outcome {
                Ok(()) => orders.done(request),
                Err(error) => orders.refuse(request, &error),
            }
        }
    }

    /// Code of an attempt wants the cpus again that it gave back: it is answered when it has them.
    pub(crate) fn rejoining(&self, number: u64, attempt: AttemptId, request: u64) {
        let mut crew = lock(&self.crew);
        let Some(seat) = crew.seats.get_mut(&number) else { return };
        let refused = match seat.sent(attempt) {
            Some(Sent { killed: Some(kill), .. }) => Some(kill.error()),
            Some(sent) => {
                sent.rejoins = Some(request);
                self.setup.relay.tell(Event::Rejoining(attempt));
                None
            }
            None => Some(gone(attempt)),
        };
        if let Some((orders, error)) = seat.orders.as_ref().zip(refused) {
            orders.refuse(request, &error);
        }
    }

    /// An attempt has its cpus again; nothing happens if it is not here.
    pub(super) fn rejoined(&self, attempt: AttemptId) {
        let mut crew = lock(&self.crew);
        let mut seats = crew.seats.values_mut();
        let Some(seat) = seats.find(|seat| seat.find(attempt).is_some()) else { return };
        let Some(sent) = seat.sent(attempt) else { return };
        sent.seceded = false;
        if let Some((request, orders)) = sent.rejoins.take().zip(seat.orders.as_ref()) {
            orders.done(request);
        }
    }

    /// Takes an attempt back that waits in a process and has not begun there. Returns whether there is one: then the answer
    /// comes when the process has given it back or begun it.
    pub(super) fn recall(&self, attempt: AttemptId) -> bool {
        let mut crew = lock(&self.crew);
        let mut seats = crew.seats.values_mut();
        let found = seats.find_map(|seat| Some((seat.find(attempt).filter(|at| *at > 0)?, seat)));
        let Some((at, seat)) = found else { return false };
        let (Some(orders), Some(sent)) = (&seat.orders, seat.jobs.get_mut(at)) else {
            return false;
        };
        sent.recalled = true;
        if !std::mem::replace(&mut sent.asked_back, true) {
            orders.cancel(attempt, bireme_core::Span::ZERO, ErrorClass::Reschedule);
        }
        true
    }

    /// Puts an attempt back among those that follow others, or away if that was asked for.
    pub(super) fn put_back(&self, sent: Sent) {
        if sent.recalled {
            let attempt = sent.attempt();
            self.setup.relay.tell(Event::Recalled { attempt, taken_back: true });
        } else {
            self.setup.relay.give_back(sent.job);
        }
    }
}

fn gone(attempt: AttemptId) -> Box<TaskError> {
    let message = format!("attempt {attempt} does not run in this process");
    failure(ErrorClass::Cancelled, Reason::Cancelled, message)
}
