//! Calls come in: judged, numbered, put into their lanes; cancelled, and overdue.

use std::sync::Arc;

use super::callers::{Caller, Reply, Rests, Slot};
use super::event::Line;
use super::mailbox::{Given, Live};
use super::rest::Next;
use super::{Effect, Host, Phase};
use crate::actor::call::{Call, CallCode, CallFailure, CallId, CallerId, Ending, Outcome};
use crate::actor::wire::ToCaller;
use crate::actor::{Delivery, Journal};
use crate::id::Incarnation;
use crate::limits;
use crate::time::{Span, Time};

impl Host {
    pub(super) fn on_call(
        &mut self,
        now: Time,
        line: Line,
        seq: u64,
        call: Arc<Call>,
        said_to: Incarnation,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = self.callers.of_line(line) else { return };
        let Some(caller) = self.callers.get_mut(id) else { return };
        caller.forgotten = false;
        let id = CallId { caller: id, actor: self.actor, seq };
        if said_to < caller.listens_from {
            return; // It was under way when all was forgotten, and is said again in its order.
        }
        if caller.has_used(seq) {
            return self.on_call_again(now, line, id, &call, effects);
        }
        if said_to <= caller.stopped {
            let why = "a call before it ended as unknown, and those after it are not to run";
            return self.refuse(line, id, CallFailure::new(CallCode::NotRun, why), effects);
        }
        if let Some(failure) = self.objection(id.caller, seq, &call) {
            return self.refuse(line, id, failure, effects);
        }
        let receipt = call.receipt;
        let (ticket, position) = self.take_in(now, id, call, effects);
        if receipt {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            effects.push(Effect::Say { line, word: ToCaller::Accepted { seq, position } });
        }
        self.judge_chain(now, ticket, effects);
    }

    /// Ends a call that was never in the mailbox. That is remembered, so that it does not run if it is said again; only a
    /// caller that acknowledges nothing is judged anew.
    fn refuse(&mut self, line: Line, id: CallId, failure: CallFailure, effects: &mut Vec<Effect>) {
        let outcome = Outcome::Failure(Box::new(failure));
        let incarnation = self.incarnation;
        let ending = Ending { outcome, queue: Span::ZERO, run: Span::ZERO, lsn: 0, incarnation };
        let most = 2 * (self.window() + limits::REPLIES_KEPT);
        let word = ToCaller::Reply { seq: id.seq, ending: Box::new(ending.clone()) };
        effects.push(Effect::Say { line, word });
        if self.callers.get(id.caller).is_some_and(|caller| caller.slots.len() < most) {
            self.callers.keep(id, Reply { ending, rests: Rests::Nothing, items: None });
        }
    }

    /// Why there is no room for a call, or no actor.
    fn objection(&self, caller: CallerId, seq: u64, call: &Call) -> Option<CallFailure> {
        if let Some(gone) = self.gone() {
            return Some(gone);
        }
        let caller = self.callers.get(caller)?;
        if self.is_overtaken(caller, seq, call) {
            let why = "calls after it have run: it had ended before it began, and how was lost with the worker's daemon";
            return Some(CallFailure::new(CallCode::NotRun, why));
        }
        let full = |message: String| Some(CallFailure::new(CallCode::MailboxFull, message));
        let window = self.window();
        if caller.live >= window {
            return full(format!(
                "{window} calls of this caller have no reply yet, which is the most"
            ));
        }
        let most = window + limits::REPLIES_KEPT;
        if caller.slots.len() >= most || seq - caller.processed_up_to > (2 * most) as u64 {
            return full(format!(
                "{most} replies to this caller are not acknowledged, which is the most"
            ));
        }
        let (held, most) = (self.mailbox.bytes() + self.callers.bytes, self.spec.mailbox.bytes);
        if held > 0 && held + call.bytes() as u64 > most {
            return full(format!("calls and replies take up {held} bytes of {most}"));
        }
        None
    }

    /// Whether a call would run after those that were made after it. It had ended, as one of which an argument is lost or that
    /// found the mailbox full, and its caller has not heard so.
    fn is_overtaken(&self, caller: &Caller, seq: u64, call: &Call) -> bool {
        let is_once = self.delivery_of(call) == Delivery::EffectivelyOnce && !call.unordered;
        is_once && caller.logged.get(&self.lane_of(call)).is_some_and(|last| *last > seq)
    }

    /// What is promised about a call.
    fn delivery_of(&self, call: &Call) -> Delivery {
        let own = self.spec.delivery_of(&call.method);
        call.delivery.map_or(own, |wanted| wanted.min(own))
    }

    /// The place of the lane that a call waits in.
    fn lane_of(&self, call: &Call) -> usize {
        let own = self.spec.method(&call.method).map(|method| method.lane);
        let lane = usize::try_from(call.lane.or(own).unwrap_or(0)).unwrap_or_default();
        if lane < self.mailbox.lanes() { lane } else { 0 }
    }

    /// How many calls of one caller may be without a reply.
    pub(super) fn window(&self) -> usize {
        usize::try_from(self.spec.mailbox.calls.max(1)).unwrap_or(usize::MAX)
    }

    fn take_in(
        &mut self,
        now: Time,
        id: CallId,
        call: Arc<Call>,
        effects: &mut Vec<Effect>,
    ) -> (u64, usize) {
        let ticket = self.mailbox.ticket();
        self.callers.occupy(id.caller, id.seq, ticket);
        let live = self.live(now, id, call);
        if live.gathering {
            effects.push(Effect::Gather { ticket, inputs: live.call.inputs.clone() });
        }
        (ticket, self.mailbox.push(ticket, live))
    }

    /// A call as it is kept.
    pub(super) fn live(&self, now: Time, id: CallId, call: Arc<Call>) -> Live {
        let method = self.spec.method(&call.method);
        let credit = self.callers.get(id.caller).map_or(limits::CALL_ITEMS, |caller| caller.credit);
        Live {
            id,
            lane: self.lane_of(&call),
            arrived: now,
            deadline: call.deadline.map(|span| now + span),
            delivery: self.delivery_of(&call),
            journal: method.map_or(Journal::Call, |method| method.journal),
            gathering: !call.inputs.is_empty(),
            crashes: 0,
            begun: false,
            logged: false,
            given: None,
            replay: None,
            items: Self::items_for(call.reply, credit),
            call,
        }
    }

    /// A call whose number is used was said again: it is answered again, if it can be.
    fn on_call_again(
        &mut self,
        now: Time,
        line: Line,
        id: CallId,
        call: &Call,
        effects: &mut Vec<Effect>,
    ) {
        let slot = self.callers.get(id.caller).and_then(|caller| caller.slots.get(id.seq));
        match slot {
            Some(Slot::Ended(_)) => self.say_reply(id.caller, id.seq, effects),
            Some(Slot::Live(ticket)) => {
                let ticket = *ticket;
                self.replay_beside(now, ticket, call, effects);
            }
            Some(Slot::Void) => {
                // The wish to cancel it came first: all that was known of it was lost while both were under way.
                let why = "cancelled before it ran";
                self.refuse(line, id, CallFailure::new(CallCode::Cancelled, why), effects);
            }
            None => {}
        }
    }

    /// A call of the log that a call waits for which runs again now: its turn would never come.
    fn replay_beside(&mut self, now: Time, ticket: u64, call: &Call, effects: &mut Vec<Effect>) {
        let Some(at) = self.log.replay.iter().position(|queued| *queued == ticket) else { return };
        let runs = matches!(self.phase, Phase::Replaying) && !self.fenced;
        if runs && !self.running_in(&call.chain).is_empty() {
            self.log.replay.remove(at);
            let (run, beside) = (self.next_run(), self.spec.reentrant);
            self.give(now, ticket, Given { run, lsn: 0, at: now, beside }, effects);
        }
    }

    pub(super) fn on_gathered(
        &mut self,
        now: Time,
        ticket: u64,
        inputs: Result<(), Box<CallFailure>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(live) = self.mailbox.get_mut(ticket).filter(|live| live.gathering) else { return };
        live.gathering = false;
        match inputs {
            Ok(()) => self.judge_chain(now, ticket, effects),
            Err(failure) => self.end_unrun(now, ticket, *failure, effects),
        }
    }

    pub(super) fn on_cancel(
        &mut self,
        now: Time,
        line: Line,
        seq: u64,
        grace: Option<Span>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = self.callers.of_line(line) else { return };
        let most = self.window() + limits::REPLIES_KEPT;
        let Some(caller) = self.callers.get_mut(id) else { return };
        let Some(slot) = caller.slots.get(seq) else {
            // Said of a number that never arrived: it is used now, so that no gap makes later calls wait.
            if seq > caller.processed_up_to && caller.slots.len() < 2 * most {
                caller.slots.insert(seq, Slot::Void);
            }
            return;
        };
        let Slot::Live(ticket) = slot else { return };
        let ticket = *ticket;
        let Some(live) = self.mailbox.get(ticket) else { return };
        let ended_before = live.replay.is_some_and(|replay| replay.expected.is_some());
        let given = live.given;
        self.let_flow(&[ticket], effects);
        let Some(live) = self.mailbox.get(ticket) else { return };
        match given {
            // What has been acknowledged once is not undone.
            Some(_) if ended_before => {}
            Some(given) => {
                self.keeper.tainted |= live.lsn() > 0;
                effects.push(Effect::Stop { run: given.run, grace });
            }
            // What is in the log runs again, or has had its effect.
            None if live.replay.is_some() || live.logged => {}
            None => {
                let why = "cancelled before it ran";
                self.end_unrun(now, ticket, CallFailure::new(CallCode::Cancelled, why), effects);
            }
        }
    }

    /// Ends calls whose time is up before they ran.
    pub(super) fn end_overdue(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some(ticket) = self.mailbox.overdue(now) {
            let why = "its time was up before it ran";
            self.end_unrun(now, ticket, CallFailure::new(CallCode::Deadline, why), effects);
        }
    }

    /// Ends the calls of a caller that wait, because an earlier one ended as unknown.
    pub(super) fn stop_later(&mut self, now: Time, caller: CallerId, effects: &mut Vec<Effect>) {
        let incarnation = self.incarnation;
        if let Some(caller) = self.callers.get_mut(caller) {
            caller.stopped = caller.stopped.max(incarnation);
        }
        let waits = |caller: &Caller| caller.live_tickets().collect::<Vec<_>>();
        for ticket in self.callers.get(caller).map(waits).unwrap_or_default() {
            let has_begun = |live: &Live| {
                live.given.is_some() || live.replay.is_some() || live.logged || live.begun
            };
            if self.mailbox.get(ticket).is_none_or(has_begun) {
                continue;
            }
            let why = "a call before it ended as unknown, and those after it are not to run";
            self.end_unrun(now, ticket, CallFailure::new(CallCode::NotRun, why), effects);
        }
    }

    /// That the actor has ended for good, if it has.
    pub(super) fn gone(&self) -> Option<CallFailure> {
        let Phase::Over(over) = &self.phase else { return None };
        (over.next == Next::Gone).then(|| over.gone())
    }
}
