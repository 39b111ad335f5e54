//! Where the event loop spends its time, by kind of event.

use bireme_core::time::{Span, Time};

use crate::machine::Event;

/// The kinds of work of the loop: one for each [`Event`], and what the driver does besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// [`Event::Commanded`].
    Commanded,
    /// [`Event::Disconnected`].
    Disconnected,
    /// [`Event::SessionOpened`].
    SessionOpened,
    /// [`Event::TimerDue`].
    TimerDue,
    /// [`Event::WorkerAnnounced`].
    WorkerAnnounced,
    /// [`Event::WorkerBeat`].
    WorkerBeat,
    /// [`Event::WorkerJoined`].
    WorkerJoined,
    /// [`Event::WorkerReported`].
    WorkerReported,
    /// Messages were encoded and handed to streams.
    Flush,
    /// Somebody looked at the machine, or waits for it.
    Look,
}

/// Names of the steps, in their order.
const NAMES: [&str; 10] = [
    "commanded",
    "disconnected",
    "session_opened",
    "timer_due",
    "worker_announced",
    "worker_beat",
    "worker_joined",
    "worker_reported",
    "flush",
    "look",
];

/// The time one kind of step took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// How often.
    pub(crate) count: u64,
    /// All together, in nanoseconds.
    pub(crate) total_ns: u64,
    /// The longest, in nanoseconds, where several together count as one.
    pub(crate) max_ns: u64,
}

/// The accounts of one event loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    steps: [Account; NAMES.len()],
    /// Turns of the loop.
    pub(crate) turns: u64,
    /// Most events handled in one turn.
    pub(crate) batch_max: u64,
    /// Events handled.
    pub(crate) events: u64,
    /// Time spent waiting for something to do.
    pub(crate) idle: Span,
    /// The most that a timer came late.
    pub(crate) lag_max: Span,
    /// Parts of reports that this version does not know.
    pub(crate) ignored: u64,
}

impl Accounts {
    /// Enters steps of one kind that were done together.
    pub(crate) fn enter(&mut self, step: Step, count: u64, took_ns: u64) {
        if let Some(account) = self.steps.get_mut(step as usize) {
            account.count += count;
            account.total_ns += took_ns;
            account.max_ns = account.max_ns.max(took_ns);
        }
    }

    /// Enters one turn of the loop.
    pub(crate) fn turn(&mut self, events: u64, idle: Span) {
        self.turns += 1;
        self.events += events;
        self.batch_max = self.batch_max.max(events);
        self.idle = Span(self.idle.0 + idle.0);
    }

    /// Enters how late a timer came.
    pub(crate) fn lag(&mut self, due: Time, now: Time) {
        self.lag_max = self.lag_max.max(now.since(due));
    }

    /// All accounts with their names.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&'static str, Account)> {
        NAMES.into_iter().zip(self.steps)
    }

    /// Time with something to do, in nanoseconds.
    pub(crate) fn busy_ns(&self) -> u64 {
        self.steps.iter().map(|account| account.total_ns).sum()
    }
}

impl From<&Event> for Step {
    fn from(event: &Event) -> Self {
        match event {
            Event::ChunkUnreadable { .. } | Event::Commanded { .. } => Self::Commanded,
            Event::Disconnected { .. } => Self::Disconnected,
            Event::SessionOpened { .. } => Self::SessionOpened,
            Event::TimerDue => Self::TimerDue,
            Event::WorkerAnnounced { .. } => Self::WorkerAnnounced,
            Event::WorkerBeat { .. } => Self::WorkerBeat,
            Event::WorkerJoined { .. } => Self::WorkerJoined,
            Event::WorkerReported { .. } => Self::WorkerReported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_entered_under_their_names() {
        let mut accounts = Accounts::default();
        accounts.enter(Step::from(&Event::TimerDue), 1, 5);
        accounts.enter(Step::TimerDue, 3, 7);
        accounts.enter(Step::Look, 1, 1);
        let of = |name| accounts.steps().find(|(other, _)| *other == name).unwrap().1;
        let timers = of("timer_due");
        assert_eq!((timers.count, timers.total_ns, timers.max_ns), (4, 12, 7));
        assert_eq!((of("look").count, accounts.busy_ns()), (1, 13));
    }
}
