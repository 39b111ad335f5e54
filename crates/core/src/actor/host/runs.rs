//! Calls are given to the process, and end.

use super::callers::{Reply, Rests};
use super::digest::{self, Digest};
use super::event::{RunEnd, RunNo};
use super::mailbox::{Given, Live};
use super::{Effect, Host, Record, Run};
use crate::actor::Journal;
use crate::actor::call::{CallCode, CallFailure, Ending, Outcome, ReplyKind};
use crate::error::TaskError;
use crate::limits;
use crate::time::{Span, Time};

/// The method by which clients in Python read an attribute, which only actors in Python have.
const ATTRIBUTE: &str = "__getattribute__";

impl Host {
    pub(super) fn next_run(&mut self) -> RunNo {
        self.last_run.0 += 1;
        self.last_run
    }

    /// Gives the process what the lanes let begin.
    pub(super) fn give_what_may_begin(&mut self, now: Time, effects: &mut Vec<Effect>) {
        for lane in 0..self.mailbox.lanes() {
            while let Some(ticket) = self.mailbox.next(lane) {
                if self.waits_alone(ticket) {
                    break;
                }
                self.begin(now, ticket, false, effects);
            }
        }
    }

    /// A call that may have been to blame for a crash runs alone, so that no other is blamed for the next.
    fn waits_alone(&self, ticket: u64) -> bool {
        if !self.mailbox.has_suspects() {
            return false;
        }
        let is_suspect =
            |ticket: u64| self.mailbox.get(ticket).is_some_and(|live| live.crashes > 0);
        let suspect_runs = || self.given.values().any(|given| is_suspect(*given));
        !self.given.is_empty() && (is_suspect(ticket) || suspect_runs())
    }

    /// Gives a call of the mailbox to the process.
    pub(super) fn begin(
        &mut self,
        now: Time,
        ticket: u64,
        beside: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(live) = self.mailbox.get(ticket) else { return };
        let mut lsn = 0;
        if self.is_logged(live) {
            let (id, call) = (live.id, live.call.clone());
            let lane = u32::try_from(live.lane).unwrap_or_default();
            lsn = self.append(Record::Call { id, call, lane, ticket }, effects);
        }
        let given = Given { run: self.next_run(), lsn, at: now, beside };
        self.give(now, ticket, given, effects);
    }

    /// Whether a call's effect on the state is to outlive the process.
    pub(super) fn is_logged(&self, live: &Live) -> bool {
        self.log.is_on() && live.delivery == crate::actor::Delivery::EffectivelyOnce
    }

    pub(super) fn give(&mut self, now: Time, ticket: u64, given: Given, effects: &mut Vec<Effect>) {
        let Some(live) = self.mailbox.give(ticket, given) else { return };
        self.given.insert(given.run.0, ticket);
        let ended_before = live.replay.is_some_and(|replay| replay.expected.is_some());
        self.keeper.tainted |= live.lsn() > 0 && live.journal == Journal::Result;
        let credit = live.items.as_deref_mut().map_or(0, |items| items.begin(ended_before));
        self.counted.given(&live.call.method);
        let left_out = self.log.left_out(live.lane);
        effects.push(Effect::Run(Box::new(Run {
            run: given.run,
            id: live.id,
            call: live.call.clone(),
            ticket,
            lane: u32::try_from(live.lane).unwrap_or_default(),
            beside: given.beside,
            credit,
            replay: live.replay.is_some(),
            lsn: live.lsn(),
            deadline: live.deadline.map(|deadline| deadline.since(now)),
            left_out,
        })));
    }

    pub(super) fn on_ended(
        &mut self,
        now: Time,
        run: RunNo,
        end: RunEnd,
        took: Span,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_over() {
            return; // Superseded: what became of the call is settled with the process.
        }
        let Some(ticket) = self.given.remove(run.0) else { return };
        let Some(live) = self.mailbox.get(ticket) else { return };
        self.counted.given_no_more(&live.call.method);
        let items = live.items.as_ref().map_or(Digest::default(), |items| items.digest);
        let digest = if live.lsn() > 0 { digest::digest(&end, items) } else { None };
        let expected = live.replay.and_then(|replay| replay.expected);
        if expected.is_some() && digest != expected {
            let why = "it ended otherwise than the first time; a method must do the same each time, or say `journal=\"result\"`";
            return self.diverge(now, ticket, why, effects);
        }
        let Some(live) = self.mailbox.take(ticket) else { return };
        let rests = self.rests(&live, digest, effects);
        let outcome = self.outcome(&live, end);
        self.keeper.count_call();
        self.finish(now, ticket, live, outcome, took, rests, effects);
    }

    /// What the reply to a call that ran waits for. What a replay must be held to is logged.
    fn rests(&mut self, live: &Live, digest: Option<u64>, effects: &mut Vec<Effect>) -> Rests {
        let lsn = live.lsn();
        if lsn == 0 {
            return Rests::Nothing;
        }
        self.keeper.tainted |= digest.is_none();
        let Some(digest) = digest.filter(|_| !self.keeper.tainted) else {
            // A replay would do otherwise, and so would all that came after: the state itself has to be kept.
            self.keeper.needed = true;
            return Rests::Checkpoint;
        };
        if live.replay.is_some_and(|replay| replay.expected.is_some()) {
            return Rests::Nothing;
        }
        // Not on its call's record alone: then it could still be set aside as one that never ended.
        Rests::Record(self.append(Record::Ended { lsn, digest }, effects))
    }

    /// A call is no more, and its caller is told as soon as nothing is in the way.
    #[expect(clippy::too_many_arguments, reason = "all that is known of an end")]
    pub(super) fn finish(
        &mut self,
        now: Time,
        ticket: u64,
        live: Box<Live>,
        outcome: Outcome,
        took: Span,
        rests: Rests,
        effects: &mut Vec<Effect>,
    ) {
        let queue = Span(now.since(live.arrived).0.saturating_sub(took.0));
        let (id, lsn) = (live.id, live.lsn());
        if live.replay.is_none() {
            self.counted.ended(&live.call.method, &outcome, queue, took, live.given.is_some());
        }
        let ending = Ending { outcome, queue, run: took, lsn, incarnation: self.incarnation };
        let reply = Reply { ending, rests, items: live.items };
        if self.callers.end(id.caller, id.seq, ticket, reply) {
            match rests {
                Rests::Nothing => self.say_reply(id.caller, id.seq, effects),
                Rests::Record(lsn) => self.log.withhold(lsn, id),
                Rests::Checkpoint => self.log.until_kept.push(id),
            }
        }
        self.let_go(id.caller);
    }

    /// A call that waited ends without having run.
    pub(super) fn end_unrun(
        &mut self,
        now: Time,
        ticket: u64,
        failure: CallFailure,
        effects: &mut Vec<Effect>,
    ) {
        let Some(live) = self.mailbox.take(ticket) else { return };
        ungather(ticket, &live, effects);
        let outcome = Outcome::Failure(Box::new(failure));
        self.finish(now, ticket, live, outcome, Span::ZERO, Rests::Nothing, effects);
    }

    fn outcome(&self, live: &Live, end: RunEnd) -> Outcome {
        let wants_nothing = live.call.reply == ReplyKind::None;
        let failed = |code, message: &str, error: Box<TaskError>| {
            let failure = CallFailure::new(code, format!("{message}: {}", error.message));
            Outcome::Failure(Box::new(failure.caused_by(Some(error))))
        };
        match end {
            RunEnd::Cancelled => Outcome::failure(CallCode::Cancelled, "cancelled while it ran"),
            // Code that returns when it is told to stop has not made all of its items.
            RunEnd::Done { .. } if live.items.as_ref().is_some_and(|items| items.given_up) => {
                let why = format!("its caller was away for {}", limits::ITEMS_CALLER_WAIT);
                Outcome::failure(CallCode::Cancelled, why)
            }
            RunEnd::Done { items } => Outcome::Done { items },
            RunEnd::NoSuchMethod { methods } => {
                let (class, method) = (&self.spec.class_name, &live.call.method);
                let there_are = methods.join(", ");
                let message = match method.as_str() {
                    ATTRIBUTE => {
                        format!("{class} has no attributes to read, but methods: {there_are}")
                    }
                    _ => format!("{class} has no method `{method}`; it has: {there_are}"),
                };
                Outcome::failure(CallCode::NoSuchMethod, message)
            }
            RunEnd::Stored { object, size } => {
                Outcome::Stored { object, size, worker: self.worker }
            }
            RunEnd::UnserializableArgs(error) => {
                failed(CallCode::UnserializableArgs, "the arguments cannot be decoded", error)
            }
            RunEnd::UnserializableResult(error) => {
                failed(CallCode::UnserializableResult, "the result cannot be encoded", error)
            }
            RunEnd::UserError(error) => Outcome::UserError(error),
            RunEnd::Value(_) if wants_nothing => Outcome::Done { items: 0 },
            RunEnd::Value(value) if value.inline_bytes() > limits::CALL_INLINE_BYTES => {
                let (bytes, most) = (value.inline_bytes(), limits::CALL_INLINE_BYTES);
                let message = format!(
                    "the result has {bytes} bytes, a reply takes {most}: name an id under which it is stored"
                );
                Outcome::failure(CallCode::UnserializableResult, message)
            }
            RunEnd::Value(value) => Outcome::Value(value),
        }
    }
}

/// Lets go of the inputs of a call that will not run.
pub(super) fn ungather(ticket: u64, live: &Live, effects: &mut Vec<Effect>) {
    if !live.call.inputs.is_empty() && live.replay.is_none() {
        effects.push(Effect::Ungather { ticket });
    }
}
