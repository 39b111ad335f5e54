//! The call log: what is in it, how much of that is durable, what waits for it, and how it is played again.

use std::collections::{BTreeMap, VecDeque};

use super::callers::{Rests, Slot};
use super::mailbox::Given;
use super::rest::Next;
use super::{Effect, Host, Phase, Record};
use crate::actor::call::{CallCode, CallFailure, CallId, CallerId, Outcome};
use crate::actor::place::EndKind;
use crate::actor::wire::ToCaller;
use crate::error::{ErrorClass, TaskError};
use crate::id::Incarnation;
use crate::time::{Span, Time};

/// What the host knows of its log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// There is one.
    on: bool,
    /// The last record that was handed over.
    last: u64,
    durable: u64,
    /// It cannot be written any more.
    pub(super) failed: bool,
    /// Calls of which nothing is said before a record is durable, by the record.
    withheld: BTreeMap<u64, CallId>,
    /// What is not said before a checkpoint holds it.
    pub(super) until_kept: Vec<CallId>,
    /// Tickets of the calls that are still to run again.
    pub(super) replay: VecDeque<u64>,
    /// Bytes handed over since the last checkpoint, about.
    pub(super) bytes: u64,
    /// How many calls were set aside for good, by lane.
    pub(super) left_out: Vec<u32>,
}

impl Log {
    pub(super) fn new(on: bool, last: u64, left_out: Vec<u32>) -> Self {
        Self { on, last, durable: last, left_out, ..Self::default() }
    }

    /// How many calls of a lane were set aside so far.
    pub(super) fn left_out(&self, lane: usize) -> u32 {
        self.left_out.get(lane).copied().unwrap_or_default()
    }

    fn leave_out(&mut self, lane: usize) {
        if self.left_out.len() <= lane {
            self.left_out.resize(lane + 1, 0);
        }
        if let Some(count) = self.left_out.get_mut(lane) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// What a call's caller is told waits until a record is durable.
    pub(super) fn withhold(&mut self, lsn: u64, id: CallId) {
        self.withheld.insert(lsn, id);
    }

    pub(super) fn withholds_replies(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Whatever was handed over is durable up to a record; what waited for that.
    fn is_durable_to(&mut self, lsn: u64) -> BTreeMap<u64, CallId> {
        self.durable = self.durable.max(lsn.min(self.last));
        let rest = self.withheld.split_off(&(self.durable + 1));
        std::mem::replace(&mut self.withheld, rest)
    }
}

impl Host {
    /// Hands a record over. Returns its number.
    pub(super) fn append(&mut self, record: Record, effects: &mut Vec<Effect>) -> u64 {
        const OVERHEAD: u64 = 32;
        self.log.last += 1;
        self.log.bytes += OVERHEAD;
        if let Record::Call { call, .. } = &record {
            self.log.bytes += call.bytes() as u64;
        }
        effects.push(Effect::Append { lsn: self.log.last, record });
        self.log.last
    }

    pub(super) fn on_durable(&mut self, lsn: u64, effects: &mut Vec<Effect>) {
        if self.log.failed {
            return;
        }
        for (lsn, id) in self.log.is_durable_to(lsn) {
            self.release(id, Rests::Record(lsn), effects);
        }
    }

    /// What a reply, or items, rested on is there.
    pub(super) fn release(&mut self, id: CallId, rested: Rests, effects: &mut Vec<Effect>) {
        let CallId { caller, seq, .. } = id;
        let is_there = self.callers.with_reply(caller, seq, |reply| {
            let waited = reply.rests == rested;
            if waited {
                reply.rests = Rests::Nothing;
            }
            waited
        });
        let slot = self.callers.get(caller).and_then(|caller| caller.slots.get(seq));
        match (is_there, slot) {
            (Some(true), _) => self.say_reply(caller, seq, effects),
            (None, Some(Slot::Live(ticket))) => {
                let ticket = *ticket;
                self.say_items(id, ticket, effects);
            }
            _ => {}
        }
    }

    /// Says a reply that rests on nothing any more, if there is a line for it.
    pub(super) fn say_reply(&mut self, caller: CallerId, seq: u64, effects: &mut Vec<Effect>) {
        let Some(line) = self.callers.get(caller).and_then(|caller| caller.line) else { return };
        self.callers.with_reply(caller, seq, |reply| {
            if reply.rests != Rests::Nothing {
                return;
            }
            if let Some(items) = reply.items.as_deref_mut() {
                items.say(seq, line, effects);
            }
            let word = ToCaller::Reply { seq, ending: Box::new(reply.ending.clone()) };
            effects.push(Effect::Say { line, word });
        });
    }

    /// Runs the next call of the log again, when the one before has ended.
    pub(super) fn replay_next(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while self.given.is_empty() {
            let Some(ticket) = self.log.replay.pop_front() else {
                self.phase = Phase::Serving;
                return;
            };
            let Some(live) = self.mailbox.get(ticket) else { continue };
            let Some(replay) = live.replay else { continue };
            if replay.unrun {
                self.end_again(now, ticket, effects);
                continue;
            }
            let crashed = live.crashes >= self.spec.restart.poison_after.max(1);
            // A call that has ended once is not to blame, and what was acknowledged is not left out.
            if replay.poisoned || (crashed && replay.expected.is_none()) {
                self.poison(now, ticket, replay.poisoned, effects);
            } else {
                let given = Given { run: self.next_run(), lsn: 0, at: now, beside: false };
                self.give(now, ticket, given, effects);
            }
        }
    }

    /// Sets a call of the log aside for good. Each replay does so at the same place, until a checkpoint holds the count.
    fn poison(&mut self, now: Time, ticket: u64, known: bool, effects: &mut Vec<Effect>) {
        let Some(live) = self.mailbox.take(ticket) else { return };
        self.log.leave_out(live.lane);
        let lsn = live.lsn();
        let mut rests = Rests::Nothing;
        if !known {
            rests = Rests::Record(self.append(Record::Poisoned { lsn }, effects));
        }
        let outcome = poisoned(live.crashes);
        self.finish(now, ticket, live, outcome, Span::ZERO, rests, effects);
    }

    /// A call did otherwise than the first time: the actor stops rather than lies.
    pub(super) fn diverge(&mut self, now: Time, ticket: u64, why: &str, effects: &mut Vec<Effect>) {
        let Some(live) = self.mailbox.take(ticket) else { return };
        let CallId { seq, .. } = live.id;
        let method = &live.call.method;
        let message =
            format!("call {seq} of `{method}`, played again from record {}: {why}", live.lsn());
        let error = TaskError::new(ErrorClass::User, "REPLAY_DIVERGED", message.clone());
        let outcome = Outcome::failure(CallCode::ReplayDiverged, message);
        self.finish(now, ticket, live, outcome, Span::ZERO, Rests::Nothing, effects);
        self.over(now, EndKind::Diverged, Some(Box::new(error)), Next::Unknown, effects);
    }

    pub(super) fn on_log_failed(
        &mut self,
        now: Time,
        error: Box<TaskError>,
        effects: &mut Vec<Effect>,
    ) {
        if self.log.is_on() && !self.log.failed {
            self.log.failed = true;
            self.end_crashed(now, error, effects);
        }
    }
}

/// The end of a call that is not tried again.
pub(super) fn poisoned(crashes: u32) -> Outcome {
    let message = format!(
        "the actor's process died {crashes} times while this call ran; it is not tried again: mend the method, or raise `poison_after`"
    );
    Outcome::Failure(Box::new(CallFailure::new(CallCode::Poisoned, message)))
}

/// The record with which an incarnation begins.
pub(super) fn life(incarnation: Incarnation) -> Record {
    Record::Life { incarnation }
}
