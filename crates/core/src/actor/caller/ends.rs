//! How calls end without a reply.

use super::link::Link;
use super::queue::Stage;
use super::{Caller, Effect};
use crate::actor::call::{CallCode, CallFailure, Ending, Outcome};
use crate::actor::wire::ToHost;
use crate::time::Span;

impl Caller {
    /// Ends a call, once. `known` says that the host knows its number.
    pub(super) fn end(
        &mut self,
        seq: u64,
        known: bool,
        ending: Box<Ending>,
        effects: &mut Vec<Effect>,
    ) {
        if self.queue.end(seq, known) {
            effects.push(Effect::Ended { seq, ending });
        }
    }

    /// Ends a call that no host has in this conversation.
    pub(super) fn end_failed(&mut self, seq: u64, failure: CallFailure, effects: &mut Vec<Effect>) {
        let known = self.queue.stage(seq) == Some(Stage::Held);
        let ending = Ending {
            outcome: Outcome::Failure(Box::new(failure)),
            queue: Span::ZERO,
            run: Span::ZERO,
            lsn: 0,
            incarnation: self.newest,
        };
        self.end(seq, known, Box::new(ending), effects);
    }

    /// The user wants a call no more. A host that has it says how it ended; else that is decided here.
    pub(super) fn on_cancelled(
        &mut self,
        seq: u64,
        grace: Option<Span>,
        effects: &mut Vec<Effect>,
    ) {
        match self.queue.stage(seq) {
            Some(Stage::Held) => {
                effects.push(Effect::Say(ToHost::Cancel { seq, grace }));
                if let Some(entry) = self.queue.get_mut(seq) {
                    entry.cancelled = true;
                }
            }
            Some(Stage::Preparing | Stage::Ready) => self.end_cancelled(seq, effects),
            Some(Stage::Ended { .. }) | None => {}
        }
    }

    pub(super) fn end_cancelled(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        let why = format!("the call was cancelled{}", self.whether_it_ran(seq));
        self.end_failed(seq, CallFailure::new(CallCode::Cancelled, why), effects);
    }

    /// A call's time is up.
    pub(super) fn on_deadline(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        if self.queue.stage(seq) == Some(Stage::Held) {
            effects.push(Effect::Say(ToHost::Cancel { seq, grace: None }));
        }
        let why = format!("the call's time is up{}", self.whether_it_ran(seq));
        self.end_failed(seq, CallFailure::new(CallCode::Deadline, why), effects);
    }

    /// The actor has ended for good.
    pub(super) fn on_gone(&mut self, failure: CallFailure, effects: &mut Vec<Effect>) {
        self.finish(failure, effects, |failure, ran| CallFailure {
            message: format!("{}{ran}", failure.message),
            ..failure.clone()
        });
    }

    /// Nobody will call any more, nor wait.
    pub(super) fn on_closed(&mut self, effects: &mut Vec<Effect>) {
        if self.over.is_some() {
            return;
        }
        let failure = CallFailure::new(CallCode::NotRun, "the caller was closed");
        self.finish(failure, effects, |failure, ran| match ran {
            MAY_HAVE_RUN => CallFailure { code: CallCode::Unknown, ..failure.clone() },
            _ => failure.clone(),
        });
    }

    /// Ends everything, and every call that will still be made.
    fn finish(
        &mut self,
        failure: CallFailure,
        effects: &mut Vec<Effect>,
        with: impl Fn(&CallFailure, &'static str) -> CallFailure,
    ) {
        if matches!(self.link, Link::Opening { .. } | Link::Open { .. }) {
            effects.push(Effect::Say(ToHost::Close { forget: !self.config.keeps }));
        }
        for seq in self.queue.numbers() {
            if !matches!(self.queue.stage(seq), Some(Stage::Ended { .. }) | None) {
                let own = with(&failure, self.whether_it_ran(seq));
                self.end_failed(seq, own, effects);
            }
        }
        self.link = Link::Idle;
        self.place = None;
        self.over = Some(Box::new(failure));
    }

    /// Ends all calls: nobody takes them, though the actor may live.
    pub(super) fn refuse_all(&mut self, failure: &CallFailure, effects: &mut Vec<Effect>) {
        for seq in self.queue.numbers() {
            let code = if self.may_have_run(seq) { CallCode::Unknown } else { failure.code };
            self.end_failed(seq, CallFailure { code, ..failure.clone() }, effects);
        }
    }

    fn whether_it_ran(&self, seq: u64) -> &'static str {
        if self.may_have_run(seq) { MAY_HAVE_RUN } else { "; it did not run" }
    }

    /// Whether somebody may have run a call: of a caller that keeps, also one that an earlier life of its process has made.
    pub(super) fn may_have_run(&self, seq: u64) -> bool {
        let was_said = || self.queue.get(seq).is_some_and(|entry| entry.said_to.is_some());
        self.config.keeps || was_said()
    }
}

const MAY_HAVE_RUN: &str = "; it may have run";
