//! Where the event loop spends its time, by kind of event, and what time it is for the machine.

use bireme_core::{Span, Time};
use bireme_daemon::account;

use crate::clock::Clock;
use crate::machine::Event;

/// The kinds of work of the loop: one for each [`Event`], and what the driver does besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// [`Event::ActorTold`].
    ActorTold,
    /// [`Event::AnnounceReplied`].
    AnnounceReplied,
    /// [`Event::Connected`].
    Connected,
    /// [`Event::Disconnected`].
    Disconnected,
    /// [`Event::DrainAsked`].
    DrainAsked,
    /// [`Event::Ended`].
    Ended,
    /// [`Event::FetchFailed`].
    FetchFailed,
    /// [`Event::Fetched`].
    Fetched,
    /// [`Event::Gather`] and [`Event::Ungather`].
    Gather,
    /// [`Event::Lost`].
    Lost,
    /// [`Event::Ordered`].
    Ordered,
    /// [`Event::Paused`].
    Paused,
    /// [`Event::Prepared`] and [`Event::Prepares`].
    Prepared,
    /// [`Event::Recalled`].
    Recalled,
    /// [`Event::Rejoining`].
    Rejoining,
    /// [`Event::Seceded`].
    Seceded,
    /// [`Event::Stored`].
    Stored,
    /// [`Event::TimerDue`].
    TimerDue,
    /// The machine's effects were carried out: attempts handed to executors, values dropped and fetched.
    CarryOut,
    /// Messages were encoded and handed to the stream.
    Flush,
    /// The driver saw how the worker is.
    Pulse,
}

/// The accounts of the loop.
pub(crate) type Accounts = account::Accounts<Step>;

impl account::Step for Step {
    const NAMES: &'static [&'static str] = &[
        "actor_told",
        "announce_replied",
        "connected",
        "disconnected",
        "drain_asked",
        "ended",
        "fetch_failed",
        "fetched",
        "gather",
        "lost",
        "ordered",
        "paused",
        "prepared",
        "recalled",
        "rejoining",
        "seceded",
        "stored",
        "timer_due",
        "carry_out",
        "flush",
        "pulse",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

impl From<&Event> for Step {
    fn from(event: &Event) -> Self {
        match event {
            Event::ActorTold(_) => Self::ActorTold,
            Event::AnnounceReplied { .. } => Self::AnnounceReplied,
            Event::Connected => Self::Connected,
            Event::Disconnected => Self::Disconnected,
            Event::DrainAsked { .. } => Self::DrainAsked,
            Event::Ended { .. } => Self::Ended,
            Event::FetchFailed { .. } => Self::FetchFailed,
            Event::Fetched { .. } => Self::Fetched,
            Event::Gather { .. } | Event::Ungather(_) => Self::Gather,
            Event::Lost(_) => Self::Lost,
            Event::Ordered(_) => Self::Ordered,
            Event::Paused(_) => Self::Paused,
            Event::Prepared(_) | Event::Prepares(_) => Self::Prepared,
            Event::Recalled { .. } => Self::Recalled,
            Event::Rejoining(_) => Self::Rejoining,
            Event::Seceded(_) => Self::Seceded,
            Event::Stored { .. } => Self::Stored,
            Event::TimerDue => Self::TimerDue,
        }
    }
}

/// Enters what the loop does. One look at the clock ends a step and begins the next.
#[derive(Debug)]
pub(super) struct Stopwatch {
    clock: Clock,
    /// When the last step ended, in nanoseconds.
    step_ns: u64,
    events: u64,
    pub(super) accounts: Accounts,
}

impl Stopwatch {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, step_ns: clock.nanos(), events: 0, accounts: Accounts::default() }
    }

    /// The moment of the last step's end: precise enough, and free.
    pub(super) fn now(&self) -> Time {
        Time(self.step_ns / 1_000)
    }

    /// A turn begins: what has passed since the last was spent waiting.
    pub(super) fn begin(&mut self) {
        let now = self.clock.nanos();
        let idle = Span(now.saturating_sub(self.step_ns) / 1_000);
        self.step_ns = now;
        self.accounts.turn(std::mem::take(&mut self.events), idle);
    }

    /// The machine has handled an event.
    pub(super) fn handled(&mut self, step: Step) {
        self.events += 1;
        self.done(step);
    }

    /// A step is done.
    pub(super) fn done(&mut self, step: Step) {
        let now = self.clock.nanos();
        self.accounts.enter(step, 1, now.saturating_sub(self.step_ns));
        self.step_ns = now;
    }
}

#[cfg(test)]
mod tests {
    use bireme_daemon::account::Step as _;

    use super::*;

    #[test]
    fn every_step_has_its_name() {
        assert_eq!(Step::NAMES[Step::from(&Event::TimerDue).index()], "timer_due");
        assert_eq!(Step::NAMES.len(), Step::Pulse.index() + 1);
    }

    #[test]
    fn a_turn_has_the_events_that_were_handled() {
        let mut watch = Stopwatch::new(Clock::start());
        watch.begin();
        watch.handled(Step::Ended);
        watch.handled(Step::Ended);
        watch.done(Step::Flush);
        watch.begin();
        let Accounts { turns, events, batch_max, .. } = watch.accounts;
        assert_eq!((turns, events, batch_max), (2, 2, 2));
    }
}
