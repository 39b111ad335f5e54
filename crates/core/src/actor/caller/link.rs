//! Finding the actor: where it is, a stream to there, a conversation with its host; and again when that is lost.

use super::flow::Terms;
use super::queue::Stage;
use super::{Caller, Effect};
use crate::actor::Delivery;
use crate::actor::call::{CallCode, CallFailure};
use crate::actor::place::{ActorPlace, ActorState};
use crate::actor::wire::{Open, Opened, ToHost};
use crate::id::{Incarnation, WorkerId};
use crate::limits;
use crate::time::{Span, Time};

/// How far a caller is with finding its actor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Link {
    /// Nothing is done: there is no call.
    Idle,
    /// The host has answered: calls may be said.
    Open {
        /// Over the stream to this worker.
        worker: WorkerId,
    },
    /// The host was asked to begin.
    Opening {
        /// Over the stream to this worker.
        worker: WorkerId,
        /// What comes behind that.
        ahead: Ahead,
    },
    /// It begins again at this time: neither host nor scheduler can be reached.
    Pausing {
        /// When.
        until: Time,
    },
    /// A stream to this worker is wanted.
    Reaching {
        /// The worker.
        worker: WorkerId,
    },
    /// The scheduler was asked.
    Resolving,
}

/// Whether a call is said behind `Open`, before the host has answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ahead {
    /// One may be: there was no conversation before, so that every call is new to any host.
    May,
    /// None is.
    None,
    /// One was.
    Said,
}

impl Link {
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Whether the host can be told of calls.
    pub(super) fn takes_calls(self) -> bool {
        matches!(self, Self::Open { .. } | Self::Opening { ahead: Ahead::May, .. })
    }

    /// The worker whose stream is in use or wanted.
    fn worker(self) -> Option<WorkerId> {
        match self {
            Self::Open { worker } | Self::Opening { worker, .. } | Self::Reaching { worker } => {
                Some(worker)
            }
            Self::Idle | Self::Pausing { .. } | Self::Resolving => None,
        }
    }

    /// Whether the host has been spoken to.
    pub(super) fn is_conversation(self) -> bool {
        matches!(self, Self::Open { .. } | Self::Opening { .. })
    }
}

impl Caller {
    /// Tries where the actor was last, or asks where it is.
    pub(super) fn begin(&mut self, effects: &mut Vec<Effect>) {
        if let Some(place) = self.place.clone() {
            return self.reach(place, effects);
        }
        let after = Incarnation(self.newest.0.saturating_sub(1));
        self.link = Link::Resolving;
        effects.push(Effect::Resolve { after, wait: limits::MAX_WAIT });
    }

    fn reach(&mut self, place: Box<ActorPlace>, effects: &mut Vec<Effect>) {
        let Some(worker) = place.worker else { return self.look_again(effects) };
        self.newest = self.newest.max(place.incarnation);
        self.place = Some(place.clone());
        self.link = Link::Reaching { worker };
        effects.push(Effect::Reach(place));
    }

    /// The last known place is of no use now. The scheduler answers as soon as it knows a later one; if it knows none for a
    /// while that grows, the old one is tried again.
    fn look_again(&mut self, effects: &mut Vec<Effect>) {
        self.lengthen_pause();
        self.link = Link::Resolving;
        effects.push(Effect::Resolve { after: self.newest, wait: self.pause });
    }

    fn lengthen_pause(&mut self) {
        self.pause =
            self.pause.doubled(limits::ACTOR_REACH_PAUSE_MAX).max(limits::ACTOR_REACH_PAUSE);
    }

    fn rest(&mut self, now: Time) {
        self.lengthen_pause();
        self.link = Link::Pausing { until: now + self.pause };
    }

    /// The scheduler has answered.
    pub(super) fn on_resolved(
        &mut self,
        now: Time,
        found: Result<Box<ActorPlace>, Box<CallFailure>>,
        effects: &mut Vec<Effect>,
    ) {
        if self.link != Link::Resolving {
            return;
        }
        match found {
            Err(failure) if failure.code == CallCode::Gone => self.on_gone(*failure, effects),
            Err(failure) => {
                self.link = Link::Idle;
                self.refuse_all(&failure, effects);
            }
            Ok(place) if place.actor != self.config.actor => self.rest(now),
            Ok(place) if place.state == ActorState::Dead => {
                let why = match &place.cause {
                    Some(cause) => format!("the actor has ended: {}", cause.message),
                    None => "the actor has ended".to_owned(),
                };
                let failure = CallFailure::new(CallCode::Gone, why).caused_by(place.cause);
                self.on_gone(failure, effects);
            }
            Ok(place) if place.incarnation < self.newest => self.rest(now),
            Ok(place) if place.state == ActorState::Alive && place.worker.is_some() => {
                self.reach(place, effects);
            }
            Ok(_) => {
                effects.push(Effect::Resolve { after: self.newest, wait: limits::MAX_WAIT });
            }
        }
    }

    /// The scheduler could not be asked: a known place is tried again after a pause.
    pub(super) fn on_unresolved(&mut self, now: Time) {
        if self.link == Link::Resolving {
            self.rest(now);
        }
    }

    /// There is a stream.
    pub(super) fn on_stream_up(&mut self, worker: WorkerId, effects: &mut Vec<Effect>) {
        if self.link != (Link::Reaching { worker }) {
            return;
        }
        let ahead = if std::mem::take(&mut self.is_new) { Ahead::May } else { Ahead::None };
        self.link = Link::Opening { worker, ahead };
        self.acked = self.needless_up_to();
        self.owed.free(self.acked);
        effects.push(Effect::Say(ToHost::Open(Open {
            caller: self.config.caller,
            actor: self.config.actor,
            incarnation: self.newest,
            processed_up_to: self.acked,
            on_unknown: self.config.on_unknown,
            credit: limits::CALL_ITEMS,
        })));
    }

    /// A stream is lost, or cannot be had. A conversation that went well is taken up again at once.
    pub(super) fn on_stream_down(&mut self, worker: WorkerId, effects: &mut Vec<Effect>) {
        if self.link.worker() != Some(worker) {
            return;
        }
        let went_well = self.link.is_open() && self.pause == Span::ZERO;
        self.end_conversation(effects);
        if self.queue.pending() == 0 {
            self.link = Link::Idle;
        } else if went_well {
            self.lengthen_pause();
            self.link = Link::Idle;
        } else {
            self.look_again(effects);
        }
    }

    /// The host has begun, or a further incarnation begins where the last one was.
    pub(super) fn on_opened(&mut self, opened: Opened, effects: &mut Vec<Effect>) {
        let (worker, ahead) = match self.link {
            Link::Opening { worker, ahead } => (worker, ahead),
            Link::Open { worker } => (worker, Ahead::None),
            Link::Idle | Link::Pausing { .. } | Link::Reaching { .. } | Link::Resolving => return,
        };
        if opened.incarnation < self.newest {
            return self.leave(effects); // A life that is over and does not know it.
        }
        self.newest = opened.incarnation;
        if let Some(place) = &mut self.place {
            place.incarnation = opened.incarnation;
        }
        self.terms = Terms::of(&opened);
        self.doubted |= self.config.keeps && opened.forgotten;
        self.link = Link::Open { worker };
        match ahead {
            Ahead::Said => self.queue.said_behind_open(Some(opened.incarnation)),
            Ahead::May | Ahead::None => self.compare(&opened, effects),
        }
    }

    /// Goes through all calls with what the host has seen of them.
    fn compare(&mut self, opened: &Opened, effects: &mut Vec<Effect>) {
        let mut lost = Vec::new();
        for seq in self.queue.numbers() {
            let seen = seq < opened.next_seq;
            match self.queue.stage(seq) {
                // A host that has it may still run it for nobody.
                Some(Stage::Ended { .. }) => {
                    self.queue.set_stage(seq, Stage::Ended { known: false });
                }
                // An earlier life of this process may have said that the number is skipped: only who says the call is told.
                Some(Stage::Held | Stage::Ready) if seen && self.config.keeps => {
                    self.queue.set_stage(seq, Stage::Ready);
                }
                Some(Stage::Preparing) if self.config.keeps => {}
                Some(Stage::Held | Stage::Preparing | Stage::Ready) if seen => {
                    self.queue.set_stage(seq, Stage::Held);
                    self.repeat_items(seq, effects);
                }
                Some(Stage::Held | Stage::Ready) if self.is_lost(seq, opened) => lost.push(seq),
                Some(Stage::Held | Stage::Ready) => {
                    self.forget_said(seq, opened);
                    self.queue.set_stage(seq, Stage::Ready);
                }
                Some(Stage::Preparing) | None => {}
            }
        }
        self.queue.rewind();
        for seq in &lost {
            let why = "the incarnation that had the call is lost";
            self.end_failed(*seq, CallFailure::new(CallCode::Unknown, why), effects);
        }
        if let Some(first) = lost.first() {
            self.stop_after(*first, effects);
        }
    }

    /// Whether a call that the host has not seen may have run where nobody can tell, and must not run twice.
    fn is_lost(&self, seq: u64, opened: &Opened) -> bool {
        let Some(entry) = self.queue.get(seq) else { return false };
        let (Some(said_to), Some(call)) = (entry.said_to, &entry.call) else { return false };
        match self.terms.delivery_of(call) {
            Delivery::AtLeastOnce => false,
            Delivery::AtMostOnce => opened.forgotten || said_to < opened.remembers_from,
            Delivery::EffectivelyOnce => opened.forgotten,
        }
    }

    /// A call that a host with the memory of all that it was said to has not seen has reached none of them.
    fn forget_said(&mut self, seq: u64, opened: &Opened) {
        if let Some(entry) = self.queue.get_mut(seq)
            && entry.said_to.is_some_and(|said_to| said_to >= opened.remembers_from)
            && !opened.forgotten
        {
            entry.said_to = None;
        }
    }

    /// A host that answers `Open` with anything else than that it begins has heard nothing of what came behind it.
    fn forget_said_behind_open(&mut self) {
        if matches!(self.link, Link::Opening { ahead: Ahead::Said, .. }) {
            self.queue.said_behind_open(None);
        }
    }

    /// Tells the host which items of a streaming call need not be sent again.
    pub(super) fn repeat_items(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        let Some(entry) = self.queue.get_mut(seq) else { return };
        entry.credited = entry.taken;
        if entry.taken > 0 {
            effects.push(Effect::Say(ToHost::AckItems { seq, up_to: entry.taken }));
        }
    }

    /// The host does not begin.
    pub(super) fn on_open_refused(&mut self, failure: CallFailure, effects: &mut Vec<Effect>) {
        if !self.link.is_conversation() {
            return;
        }
        self.forget_said_behind_open();
        match failure.code {
            CallCode::Gone => self.on_gone(failure, effects),
            CallCode::Fenced | CallCode::NotRun => self.leave(effects),
            _ => {
                effects.push(Effect::Say(ToHost::Close { forget: false }));
                self.end_conversation(effects);
                self.link = Link::Idle;
                self.refuse_all(&failure, effects);
            }
        }
    }

    /// The actor lives elsewhere. A host that names nothing new is not believed at once again.
    pub(super) fn on_redirect(
        &mut self,
        now: Time,
        incarnation: Incarnation,
        place: Option<Box<ActorPlace>>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.link.is_conversation() {
            return;
        }
        self.forget_said_behind_open();
        effects.push(Effect::Say(ToHost::Close { forget: false }));
        self.end_conversation(effects);
        self.place = None;
        if incarnation <= self.newest {
            return self.rest(now);
        }
        self.newest = incarnation;
        self.link = Link::Idle;
        let alive = |place: &ActorPlace| place.actor == self.config.actor && place.worker.is_some();
        self.place = place.filter(|place| alive(place) && place.incarnation >= incarnation);
    }

    /// The host's time is over and the call did not run: it is for the next incarnation.
    pub(super) fn on_fenced(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        if let Some(entry) = self.queue.get_mut(seq) {
            entry.said_to = None;
        }
        self.leave(effects);
    }

    /// Says nothing more to this host, and looks for another.
    fn leave(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Say(ToHost::Close { forget: false }));
        self.end_conversation(effects);
        match self.queue.pending() {
            0 => self.link = Link::Idle,
            _ => self.look_again(effects),
        }
    }

    /// Nobody holds a call any more, as far as is known; what was cancelled need not wait to hear so.
    fn end_conversation(&mut self, effects: &mut Vec<Effect>) {
        self.link = Link::Idle;
        for seq in self.queue.numbers() {
            if self.queue.stage(seq) != Some(Stage::Held) {
                continue;
            }
            self.queue.take_back(seq);
            if self.queue.get(seq).is_some_and(|entry| entry.cancelled) {
                self.end_cancelled(seq, effects);
            }
        }
        self.queue.rewind();
    }
}
