//! Pausing and leaving.

use bireme_core::{Span, Time, limits};

use super::attempts::{Fate, Slot, State};
use super::reports::Mark;
use super::{Effect, Machine};

/// Whether the worker was asked to leave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Leaving {
    /// When its attempts have ended, or at the deadline.
    Asked {
        deadline: Option<Time>,
        /// Not before the scheduler says so either: it has what only this worker holds copied to others.
        waits: bool,
    },
    /// The driver was told to.
    Gone,
    /// Nobody asked.
    No,
}

impl Leaving {
    pub(super) fn is_asked(self) -> bool {
        self != Self::No
    }

    pub(super) fn is_gone(self) -> bool {
        self == Self::Gone
    }

    /// Whether it stays until the scheduler sends it away.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Asked { waits: true, .. })
    }

    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Self::Asked { deadline, .. } => deadline,
            Self::Gone | Self::No => None,
        }
    }
}

impl Machine {
    /// The scheduler sends it away: others have its values, or never will.
    pub(super) fn on_drain(
        &mut self,
        now: Time,
        deadline: Option<Span>,
        effects: &mut Vec<Effect>,
    ) {
        self.begin_to_leave(deadline.map(|span| now + span), false, effects);
        self.wait_no_more();
    }

    /// Somebody here sends it away. Without a scheduler there is nobody who could have its values copied.
    pub(super) fn on_drain_asked(
        &mut self,
        now: Time,
        deadline: Option<Span>,
        effects: &mut Vec<Effect>,
    ) {
        let waits = self.outbox.is_up();
        self.begin_to_leave(deadline.map(|span| now + span), waits, effects);
    }

    /// Gives back what has not started, to leave when the rest has ended; at the deadline, all the same. A later one replaces
    /// the deadline, unless it names none.
    fn begin_to_leave(&mut self, deadline: Option<Time>, waits: bool, effects: &mut Vec<Effect>) {
        match &mut self.leaving {
            Leaving::Asked { deadline: known, .. } => *known = deadline.or(*known),
            Leaving::Gone => {}
            Leaving::No => {
                self.leaving = Leaving::Asked { deadline, waits };
                self.mark(Mark::Draining, effects);
                self.give_back_all(effects);
            }
        }
    }

    /// The stream is lost: nobody will say when the values have been copied.
    pub(super) fn on_disconnected(&mut self) {
        self.outbox.close();
        self.wait_no_more();
    }

    fn wait_no_more(&mut self) {
        if let Leaving::Asked { waits, .. } = &mut self.leaving {
            *waits = false;
        }
    }

    /// Leaves at once.
    pub(super) fn on_stop(&mut self, effects: &mut Vec<Effect>) {
        if self.leaving == Leaving::Gone {
            return;
        }
        self.leaving = Leaving::Gone;
        self.give_back_all(effects);
        let handed_over = |state: &State| match state {
            State::Following(_) | State::Running { .. } => true,
            State::Ready | State::Waiting { .. } => false,
        };
        let attempts = self.attempts.iter().filter(|(_, attempt)| handed_over(&attempt.state));
        let slots: Vec<_> = attempts.map(|(slot, _)| slot).collect();
        for slot in slots {
            self.doom(slot, Fate::Stop, effects);
        }
        effects.push(Effect::Leave);
    }

    /// Leaves if there was a reason to and nothing is left to wait for. From then on its values are not waited for without end.
    pub(super) fn leave_if_idle(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Leaving::Asked { deadline, waits } = &mut self.leaving else { return };
        if !self.attempts.is_empty() {
            return;
        }
        if *waits && !(self.objects.stored.is_empty() && self.actors.is_empty()) {
            deadline.get_or_insert(now + limits::DRAIN_WAIT);
            return;
        }
        self.leaving = Leaving::Gone;
        effects.push(Effect::Leave);
    }

    /// Starts nothing for as long as memory is short. Followers would start without asking: they are given back.
    pub(super) fn on_paused(&mut self, paused: bool, effects: &mut Vec<Effect>) {
        self.paused = paused;
        if paused {
            self.give_back_followers(effects);
        }
    }

    /// Gives back what would start without asking.
    pub(super) fn give_back_followers(&mut self, effects: &mut Vec<Effect>) {
        let followers = self.queues.iter().flat_map(|(_, queue)| queue.followers.iter().copied());
        self.give_back_each(followers.collect(), effects);
    }

    fn give_back_all(&mut self, effects: &mut Vec<Effect>) {
        let current = |(slot, attempt): &(Slot, &super::attempts::Attempt)| {
            self.attempts.current(attempt.id.task) == Some(*slot)
        };
        let slots = self.attempts.iter().filter(current).map(|(slot, _)| slot);
        self.give_back_each(slots.collect(), effects);
    }

    pub(super) fn give_back_each(&mut self, slots: Vec<Slot>, effects: &mut Vec<Effect>) {
        for slot in slots {
            self.give_back(slot, effects);
        }
    }
}
