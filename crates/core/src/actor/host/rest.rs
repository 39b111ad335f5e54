//! Incarnations come to rest and end: asked to, by themselves, to move, or because their lease is over.

use super::callers::Rests;
use super::crash::Lost;
use super::keep::{no_checkpoints, not_made};
use super::open::fenced;
use super::runs::ungather;
use super::{Effect, Host, Phase, RunNo};
use crate::actor::call::{CallCode, CallFailure, Outcome};
use crate::actor::place::{ActorState, EndKind};
use crate::error::{ErrorClass, TaskError};
use crate::time::{Span, Time};

/// What follows an incarnation that is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// The next one lives elsewhere.
    Elsewhere,
    /// Nothing.
    Gone,
    /// It is not known yet: calls wait.
    Unknown,
}

/// How an incarnation ended.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) next: Next,
    reason: String,
    cause: Option<Box<TaskError>>,
}

impl Over {
    /// Said of calls to an actor that has ended for good.
    pub(super) fn gone(&self) -> CallFailure {
        let failure =
            CallFailure::new(CallCode::Gone, format!("the actor has ended: {}", self.reason));
        failure.caused_by(self.cause.clone())
    }

    pub(super) fn state(&self) -> ActorState {
        match self.next {
            Next::Elsewhere => ActorState::Moving,
            Next::Gone => ActorState::Dead,
            Next::Unknown => ActorState::Restarting,
        }
    }

    fn error(&self) -> TaskError {
        let ended = || TaskError::new(ErrorClass::ProcessDied, "ACTOR_ENDED", self.reason.clone());
        self.cause.as_deref().cloned().unwrap_or_else(ended)
    }
}

/// The wish that the incarnation ends.
#[derive(Debug)]
pub(super) struct Ending {
    end: EndKind,
    /// When it ends in any case.
    pub(super) until: Option<Time>,
    next: Next,
    reason: String,
}

/// The wish that the actor begins again elsewhere.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) request: u64,
    /// When it is given up, as long as calls run.
    pub(super) until: Option<Time>,
    pub(super) lose_state: bool,
}

impl Moving {
    pub(super) fn new(now: Time, request: u64, quiesce: Option<Span>, lose_state: bool) -> Self {
        Self { request, until: quiesce.map(|span| now + span), lose_state }
    }
}

impl Host {
    pub(super) fn on_end_asked(
        &mut self,
        now: Time,
        grace: Span,
        forget: bool,
        reason: String,
        effects: &mut Vec<Effect>,
    ) {
        if let Phase::Over(over) = &mut self.phase {
            let next = if forget { Next::Gone } else { Next::Elsewhere };
            if over.next == Next::Gone || over.next == next {
                return;
            }
            over.next = next;
            if over.cause.is_none() {
                over.reason = reason;
            }
            if forget {
                self.doubt_what_was_not_kept();
            }
            return self.conclude(now, effects);
        }
        let next = if forget { Next::Gone } else { Next::Unknown };
        let until = Some(now + grace);
        let ending = Ending { end: EndKind::Killed, until, next, reason };
        match self.phase {
            Phase::Starting => self.end_as_asked(now, ending, effects),
            _ => self.ending = Some(ending),
        }
    }

    pub(super) fn on_exited(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Replaying | Phase::Serving) {
            return;
        }
        let reason = "it ended itself".to_owned();
        let ahead = self.mailbox.gives_ahead();
        let not_begun = std::mem::take(&mut self.not_begun);
        for (run, ticket) in std::mem::take(&mut self.given) {
            let Some(live) = self.mailbox.take(ticket) else { continue };
            self.counted.given_no_more(&live.call.method);
            ungather(ticket, &live, effects);
            let has_not_run = ahead || not_begun.contains(&RunNo(run));
            let code = if has_not_run { CallCode::Gone } else { CallCode::Unknown };
            let outcome = Outcome::failure(code, "the actor ended itself");
            self.finish(now, ticket, live, outcome, Span::ZERO, Rests::Nothing, effects);
        }
        self.ending = Some(Ending { end: EndKind::Exited, until: None, next: Next::Gone, reason });
    }

    pub(super) fn on_move_asked(&mut self, wish: Moving, effects: &mut Vec<Effect>) {
        if self.moving.as_ref().is_some_and(|moving| moving.request == wish.request) {
            return;
        }
        let lives = matches!(self.phase, Phase::Replaying | Phase::Serving);
        let error = if self.is_over() || self.ending.is_some() {
            not_made("the actor has ended, or is about to".to_owned())
        } else if self.moving.is_some() {
            not_made("the actor is on its way already".to_owned())
        } else if lives && !self.keeper.can && !wish.lose_state {
            no_checkpoints()
        } else {
            self.moving = Some(wish);
            return;
        };
        let made = Err(Box::new(error));
        effects.push(Effect::Checkpointed { request: wish.request, made });
    }

    /// Gives a move up whose time is over while calls still run.
    pub(super) fn give_up_move(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let is_over = |moving: &mut Moving| moving.until.is_some_and(|until| until <= now);
        if let Some(moving) = self.moving.take_if(is_over) {
            let running = self.given.len();
            let error =
                not_made(format!("{running} calls still run: give them longer, or cancel them"));
            let made = Err(Box::new(error));
            effects.push(Effect::Checkpointed { request: moving.request, made });
        }
    }

    /// Ends the incarnation if that was asked for and nothing is in the way any more.
    pub(super) fn end_if_ready(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let waits = !self.given.is_empty() || self.log.withholds_replies();
        let is_due = |ending: &mut Ending| !waits || ending.until.is_some_and(|until| until <= now);
        if let Some(ending) = self.ending.take_if(is_due) {
            self.end_as_asked(now, ending, effects);
        }
    }

    pub(super) fn end_as_asked(&mut self, now: Time, ending: Ending, effects: &mut Vec<Effect>) {
        let Ending { end, until: _, next, reason } = ending;
        self.finish_incarnation(now, end, Over { next, reason, cause: None }, effects);
    }

    pub(super) fn over(
        &mut self,
        now: Time,
        end: EndKind,
        cause: Option<Box<TaskError>>,
        next: Next,
        effects: &mut Vec<Effect>,
    ) {
        let reason = match &cause {
            Some(error) => error.message.clone(),
            None => "it came to rest".to_owned(),
        };
        self.finish_incarnation(now, end, Over { next, reason, cause }, effects);
    }

    fn finish_incarnation(
        &mut self,
        now: Time,
        end: EndKind,
        over: Over,
        effects: &mut Vec<Effect>,
    ) {
        let error = not_made(over.error().message);
        self.answer_askers(&Err(error.clone()), effects);
        if let Some(moving) = self.moving.take().filter(|_| end != EndKind::Moved) {
            let made = Err(Box::new(error));
            effects.push(Effect::Checkpointed { request: moving.request, made });
        }
        self.ending = None;
        let (cause, forget) = (over.cause.clone(), over.next == Next::Gone);
        self.phase = Phase::Over(over);
        effects.push(Effect::Over { end, cause, forget });
        self.conclude(now, effects);
    }

    /// Whether no other incarnation follows this one, as far as is known.
    pub(super) fn ends_for_good(&self) -> bool {
        let next = match &self.phase {
            Phase::Over(over) => Some(over.next),
            Phase::Starting | Phase::Replaying | Phase::Serving => {
                self.ending.as_ref().map(|ending| ending.next)
            }
        };
        next == Some(Next::Gone)
    }

    /// Tells callers what follows, once that is known. Calls that the process has are settled when that is gone: which of them
    /// it had begun is known then.
    pub(super) fn conclude(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Phase::Over(over) = &self.phase else { return };
        let (next, error, gone) = (over.next, over.error(), over.gone());
        if next == Next::Unknown {
            return;
        }
        self.fenced = false;
        if next == Next::Elsewhere {
            self.settle_given(now, Lost { reached: None, blames: false, error: &error }, effects);
        }
        let tickets: Vec<u64> = self.mailbox.iter().map(|(ticket, _)| ticket).collect();
        for ticket in tickets {
            let Some(live) = self.mailbox.get(ticket) else { continue };
            if live.given.is_some() {
                continue;
            }
            let (id, has_begun) = (live.id, live.lsn() > 0 || live.logged || live.begun);
            if next == Next::Gone && has_begun {
                self.end_unknown(now, ticket, &error, effects);
            } else if next == Next::Gone {
                self.end_unrun(now, ticket, gone.clone(), effects);
            } else if let Some(live) = self.mailbox.take(ticket) {
                ungather(ticket, &live, effects);
                self.callers.vacate_live(id, ticket);
            }
        }
        match next {
            Next::Gone => self.release_all(effects),
            Next::Elsewhere => {
                let word = self.redirect();
                self.turn_away(now, &word, effects);
            }
            Next::Unknown => {}
        }
    }

    pub(super) fn on_lease_ended(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let may_follow = match &self.phase {
            Phase::Over(over) => over.next == Next::Unknown,
            Phase::Starting | Phase::Replaying | Phase::Serving => true,
        };
        if self.stops() && may_follow && !self.fenced {
            self.fenced = true;
            self.turn_away(now, &fenced(), effects);
        }
    }
}
