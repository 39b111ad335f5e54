//! The process is lost: what becomes of the calls that it was given.

use std::collections::BTreeSet;

use super::callers::{Caller, Rests};
use super::event::Reached;
use super::log::poisoned;
use super::rest::Next;
use super::runs::ungather;
use super::{Effect, Host, Phase, Record, RunNo};
use crate::actor::Delivery;
use crate::actor::call::{CallCode, CallFailure, Outcome};
use crate::actor::place::EndKind;
use crate::actor::wire::OnUnknown;
use crate::error::TaskError;
use crate::time::{Span, Time};

/// How a process was lost.
pub(super) struct Lost<'a> {
    /// How far it had come, where that is known.
    pub(super) reached: Option<Reached>,
    /// It died by itself: what it ran may be to blame.
    pub(super) blames: bool,
    pub(super) error: &'a TaskError,
}

/// How far a call had come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// It had ended, and how is lost.
    Ended,
    /// It was running, or may have been.
    Running,
    /// It had not begun.
    Unbegun,
}

impl Fate {
    fn of(run: RunNo, reached: Option<Reached>) -> Self {
        match reached {
            Some(reached) if run > reached.started => Self::Unbegun,
            Some(reached) if run < reached.started || !reached.runs => Self::Ended,
            Some(_) | None => Self::Running,
        }
    }
}

impl Host {
    /// What becomes of the call is settled with the process, which would drop it if it were given again.
    pub(super) fn on_not_begun(&mut self, run: RunNo) {
        if self.given.contains(run.0) {
            self.not_begun.insert(run);
        }
    }

    pub(super) fn on_process_lost(
        &mut self,
        now: Time,
        reached: Option<Reached>,
        error: Box<TaskError>,
        effects: &mut Vec<Effect>,
    ) {
        let blames = !self.is_over();
        self.settle_given(now, Lost { reached, blames, error: &error }, effects);
        if !blames {
            return self.conclude(now, effects);
        }
        match self.ending.take() {
            Some(ending) => self.end_as_asked(now, ending, effects),
            None => self.over(now, EndKind::Crashed, Some(error), Next::Unknown, effects),
        }
    }

    /// Nothing more can be promised, though the process may live.
    pub(super) fn end_crashed(
        &mut self,
        now: Time,
        error: Box<TaskError>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.is_over() {
            self.over(now, EndKind::Crashed, Some(error), Next::Unknown, effects);
        }
    }

    pub(super) fn on_refused(
        &mut self,
        now: Time,
        error: Box<TaskError>,
        effects: &mut Vec<Effect>,
    ) {
        if matches!(self.phase, Phase::Starting) {
            self.over(now, EndKind::Failed, Some(error), Next::Unknown, effects);
        }
    }

    /// Decides about every call that was given and has not ended. A mark says nothing where calls run beside each other.
    pub(super) fn settle_given(&mut self, now: Time, lost: Lost<'_>, effects: &mut Vec<Effect>) {
        let Lost { reached, blames, error } = lost;
        let reached = reached.filter(|_| self.mailbox.gives_ahead() && !self.spec.reentrant);
        let not_begun = std::mem::take(&mut self.not_begun);
        let for_good = self.ends_for_good();
        let (mut crashed, mut stopped) = (Vec::new(), BTreeSet::new());
        for (run, ticket) in std::mem::take(&mut self.given) {
            let Some(live) = self.mailbox.get_mut(ticket) else { continue };
            self.counted.given_no_more(&live.call.method);
            let run = RunNo(run);
            let is_begun = !not_begun.contains(&run);
            let fate = if is_begun { Fate::of(run, reached) } else { Fate::Unbegun };
            // Its record goes with the actor.
            let goes = for_good && fate == Fate::Unbegun && live.replay.is_none();
            live.logged &= !goes;
            let (lsn, caller) = (live.lsn(), live.id.caller);
            let is_blamed = blames && fate == Fate::Running;
            if is_blamed {
                self.mailbox.blame(ticket);
            }
            if lsn > 0 && !goes {
                // It is in the log, from which the next incarnation takes it.
                self.mailbox.set_aside(ticket);
                if is_blamed {
                    crashed.push(lsn);
                }
            } else if self.settle(now, ticket, fate, error, effects) {
                stopped.insert(caller);
            }
        }
        for caller in stopped {
            let stops = |caller: &Caller| caller.on_unknown == OnUnknown::Stop;
            if self.callers.get(caller).is_some_and(stops) {
                self.stop_later(now, caller, effects);
            }
        }
        if !crashed.is_empty() && !self.log.failed {
            self.append(Record::Crash { running: crashed }, effects);
        }
    }

    /// Whether the call ended as unknown.
    fn settle(
        &mut self,
        now: Time,
        ticket: u64,
        fate: Fate,
        error: &TaskError,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let Some(live) = self.mailbox.get(ticket) else { return false };
        let is_poison = live.crashes >= self.spec.restart.poison_after.max(1);
        match (fate, live.delivery) {
            (Fate::Unbegun, _) => self.mailbox.give_back(ticket),
            (Fate::Running | Fate::Ended, Delivery::AtMostOnce) => {
                self.end_unknown(now, ticket, error, effects);
                return true;
            }
            (Fate::Running, _) if is_poison => {
                let Some(live) = self.mailbox.take(ticket) else { return false };
                ungather(ticket, &live, effects);
                let outcome = poisoned(live.crashes);
                self.finish(now, ticket, live, outcome, Span::ZERO, Rests::Nothing, effects);
            }
            (Fate::Running | Fate::Ended, _) => {
                self.mailbox.give_back(ticket);
                self.mailbox.get_mut(ticket).into_iter().for_each(|live| live.begun = true);
            }
        }
        false
    }

    /// A call that may have run, and will not run again.
    pub(super) fn end_unknown(
        &mut self,
        now: Time,
        ticket: u64,
        error: &TaskError,
        effects: &mut Vec<Effect>,
    ) {
        let Some(live) = self.mailbox.take(ticket) else { return };
        ungather(ticket, &live, effects);
        let why = format!("the incarnation that had the call is lost: {}", error.message);
        let failure = CallFailure::new(CallCode::Unknown, why);
        let outcome = Outcome::Failure(Box::new(failure.caused_by(Some(Box::new(error.clone())))));
        self.finish(now, ticket, live, outcome, Span::ZERO, Rests::Nothing, effects);
    }
}
