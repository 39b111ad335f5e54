//! Where the event loop spends its time, by kind of event.

use bireme_daemon::account;

use crate::machine::Event;

/// The kinds of work of the loop: one for each [`Event`], and what the driver does besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// [`Event::ActorAsked`].
    ActorAsked,
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
    /// [`Event::WorkerDrainAsked`] and [`Event::WorkerStopAsked`].
    WorkerDismissed,
    /// [`Event::WorkerJoined`].
    WorkerJoined,
    /// [`Event::WorkerReported`].
    WorkerReported,
    /// Messages were encoded and handed to streams.
    Flush,
    /// Somebody looked at the machine, or waits for it.
    Look,
}

/// The accounts of the loop.
pub(crate) type Accounts = account::Accounts<Step>;

impl account::Step for Step {
    const NAMES: &'static [&'static str] = &[
        "actor_asked",
        "commanded",
        "disconnected",
        "session_opened",
        "timer_due",
        "worker_announced",
        "worker_beat",
        "worker_dismissed",
        "worker_joined",
        "worker_reported",
        "flush",
        "look",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

impl From<&Event> for Step {
    fn from(event: &Event) -> Self {
        match event {
            Event::ActorAsked { .. } => Self::ActorAsked,
            Event::ChunkUnreadable { .. } | Event::Commanded { .. } => Self::Commanded,
            Event::Disconnected { .. } => Self::Disconnected,
            Event::SessionOpened { .. } => Self::SessionOpened,
            Event::TimerDue => Self::TimerDue,
            Event::WorkerAnnounced { .. } => Self::WorkerAnnounced,
            Event::WorkerBeat { .. } => Self::WorkerBeat,
            Event::WorkerDrainAsked { .. } | Event::WorkerStopAsked { .. } => Self::WorkerDismissed,
            Event::WorkerJoined { .. } => Self::WorkerJoined,
            Event::WorkerReported { .. } => Self::WorkerReported,
        }
    }
}

#[cfg(test)]
mod tests {
    use bireme_daemon::account::Step as _;

    use super::*;

    #[test]
    fn every_step_has_its_name() {
        assert_eq!(Step::NAMES[Step::from(&Event::TimerDue).index()], "timer_due");
        assert_eq!(Step::NAMES.get(Step::Look.index()), Step::NAMES.last());
    }
}
