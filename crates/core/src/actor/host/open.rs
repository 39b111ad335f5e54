//! Conversations begin and end; callers acknowledge, go away, and are forgotten.

use super::callers::{Rests, Slot};
use super::event::Line;
use super::mailbox::Live;
use super::rest::Next;
use super::runs::ungather;
use super::{Effect, Host, Phase};
use crate::actor::call::{CallCode, CallFailure, CallId, CallerId, Outcome};
use crate::actor::wire::{Open, Opened, ToCaller};
use crate::id::Incarnation;
use crate::limits;
use crate::time::{Span, Time};

impl Host {
    pub(super) fn on_open(
        &mut self,
        now: Time,
        line: Line,
        open: &Open,
        effects: &mut Vec<Effect>,
    ) {
        self.callers.detach(now, line);
        if let Some(word) = self.no_entry(open) {
            effects.push(Effect::Say { line, word });
            return;
        }
        if self.callers.is_full_for(open.caller)
            && let Some(away) = self.callers.evictable()
        {
            self.forget(away, true, effects);
        }
        self.keeper.newcomers |= self.callers.get(open.caller).is_none();
        let (since, up_to) = (self.incarnation, open.processed_up_to);
        let Some(caller) = self.callers.admit(now, open.caller, since, up_to) else {
            let why =
                format!("{} callers are remembered, which is the most", limits::ACTOR_CALLERS);
            let failure = CallFailure::new(CallCode::MailboxFull, why);
            effects.push(Effect::Say { line, word: ToCaller::OpenRefused(Box::new(failure)) });
            return;
        };
        caller.credit = if open.credit == 0 { limits::CALL_ITEMS } else { open.credit };
        caller.on_unknown = open.on_unknown;
        self.callers.attach(now, line, open.caller);
        let unwanted = self.callers.acknowledge(open.caller, up_to);
        self.let_flow(&unwanted, effects);
        self.say_opened(open.caller, effects);
        self.say_again(open.caller, effects);
    }

    /// Why a conversation cannot begin here.
    fn no_entry(&self, open: &Open) -> Option<ToCaller> {
        let refused =
            |code, why: String| Some(ToCaller::OpenRefused(Box::new(CallFailure::new(code, why))));
        if open.actor != self.actor {
            return refused(CallCode::Fenced, format!("actor {} is not hosted here", open.actor));
        }
        if open.incarnation > self.incarnation {
            let (later, own) = (open.incarnation.0, self.incarnation.0);
            return refused(
                CallCode::Fenced,
                format!("incarnation {later} is known, this is {own}"),
            );
        }
        if self.fenced {
            return Some(fenced());
        }
        if self.leaves_without(open.caller) {
            let why = "the actor is about to live elsewhere: ask the scheduler where";
            return refused(CallCode::NotRun, why.to_owned());
        }
        let Phase::Over(over) = &self.phase else { return None };
        match over.next {
            Next::Elsewhere => Some(self.redirect()),
            Next::Gone if !self.owes(open.caller) => {
                Some(ToCaller::OpenRefused(Box::new(over.gone())))
            }
            Next::Gone | Next::Unknown => None,
        }
    }

    /// Whether the table with which the actor moves is written already, and a caller is not in it: what that one says here
    /// would not be known there.
    fn leaves_without(&self, caller: CallerId) -> bool {
        let is_written = self.moving.is_some() && self.keeper.is_asked();
        is_written && self.callers.get(caller).is_none()
    }

    /// Whether a caller may have a reply to come.
    fn owes(&self, caller: CallerId) -> bool {
        let is_told = |slot: &Slot| !matches!(slot, Slot::Void);
        self.callers.get(caller).is_some_and(|caller| caller.slots.values().any(is_told))
    }

    /// Whether the incarnation is over and no caller has anything to be told of it: it can be dropped.
    pub fn owes_nothing(&self) -> bool {
        let Phase::Over(over) = &self.phase else { return false };
        match over.next {
            Next::Elsewhere => true,
            Next::Gone => !self.callers.iter().any(|(id, _)| self.owes(id)),
            Next::Unknown => false,
        }
    }

    pub(super) fn redirect(&self) -> ToCaller {
        ToCaller::Redirect {
            incarnation: Incarnation(self.incarnation.0.saturating_add(1)),
            place: None,
        }
    }

    pub(super) fn say_opened(&self, caller: CallerId, effects: &mut Vec<Effect>) {
        let Some(known) = self.callers.get(caller) else { return };
        let Some(line) = known.line else { return };
        let weaker = self.spec.methods.iter().filter(|method| method.delivery.is_some());
        let opened = Opened {
            incarnation: self.incarnation,
            next_seq: known.next_seq(),
            delivery: self.spec.delivery,
            methods: weaker.cloned().collect(),
            lanes: self.spec.lanes.iter().map(|lane| lane.name.clone()).collect(),
            window: self.window_now(),
            on_full: self.spec.mailbox.on_full,
            lease: self.stops().then_some(self.spec.lease),
            forgotten: known.forgotten,
            remembers_from: known.since,
        };
        effects.push(Effect::Say { line, word: ToCaller::Opened(Box::new(opened)) });
    }

    /// Says everything again that the caller has not acknowledged, over its new line.
    fn say_again(&mut self, caller: CallerId, effects: &mut Vec<Effect>) {
        let Some(known) = self.callers.get(caller) else { return };
        let slots = known.slots.iter().map(|(seq, slot)| match slot {
            Slot::Ended(_) => (seq, None),
            Slot::Live(ticket) => (seq, Some(*ticket)),
            Slot::Void => (seq, Some(0)),
        });
        for (seq, ticket) in slots.collect::<Vec<_>>() {
            let Some(ticket) = ticket else {
                self.callers.with_reply(caller, seq, |reply| {
                    reply.items.iter_mut().for_each(|items| items.rewind());
                });
                self.say_reply(caller, seq, effects);
                continue;
            };
            let Some(live) = self.mailbox.get_mut(ticket) else { continue };
            let (id, is_durable) = (live.id, live.lsn() <= self.log.durable());
            let Some(items) = live.items.as_deref_mut() else { continue };
            items.rewind();
            if is_durable {
                self.say_items(id, ticket, effects);
            }
        }
    }

    pub(super) fn on_ack(&mut self, line: Line, up_to: u64, effects: &mut Vec<Effect>) {
        let Some(id) = self.callers.of_line(line) else { return };
        let unwanted = self.callers.acknowledge(id, up_to);
        self.let_flow(&unwanted, effects);
        if let Some(caller) = self.callers.get_mut(id) {
            caller.forgotten = false;
        }
    }

    pub(super) fn on_close(
        &mut self,
        now: Time,
        line: Line,
        forget: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = self.callers.of_line(line) else { return };
        self.callers.detach(now, line);
        if let Some(caller) = self.callers.get_mut(id) {
            caller.leaving = forget;
        }
        if forget && let Some(caller) = self.callers.get(id) {
            let unwanted: Vec<u64> = caller.live_tickets().collect();
            self.let_flow(&unwanted, effects);
        }
        self.let_go(id);
    }

    /// Forgets a caller that will not come back, once its calls have ended.
    pub(super) fn let_go(&mut self, caller: CallerId) {
        if self.callers.get(caller).is_some_and(|known| known.leaving && known.live == 0) {
            self.callers.remove(caller, false);
        }
    }

    /// Forgets callers that have been away for too long.
    pub(super) fn forget_absent(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some(caller) = self.callers.expired(now, self.caller_ttl()) {
            self.forget(caller, true, effects);
        }
    }

    /// Forgets a caller that is away and whose streaming call keeps the log from being played on.
    pub(super) fn forget_who_holds_up(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((_, caller)) = self.held_up().filter(|(until, _)| *until <= now) {
            self.forget(caller, true, effects);
        }
    }

    /// Who holds up the log, and until when it is waited for.
    pub(super) fn held_up(&self) -> Option<(Time, CallerId)> {
        if !matches!(self.phase, Phase::Replaying) {
            return None;
        }
        let streams =
            self.given.values().filter_map(|ticket| self.mailbox.get(*ticket)).filter(|live| {
                // What has ended before runs without credit.
                live.items.is_some() && live.replay.is_some_and(|replay| replay.expected.is_none())
            });
        let away = streams.filter_map(|live| {
            let absent = self.callers.get(live.id.caller)?.absent()?;
            Some((absent + limits::REPLAY_CALLER_WAIT, live.id.caller))
        });
        away.min()
    }

    /// Forgets a caller. Its calls that wait do not run.
    fn forget(&mut self, caller: CallerId, may_come_back: bool, effects: &mut Vec<Effect>) {
        let Some(known) = self.callers.remove(caller, may_come_back) else { return };
        let tickets: Vec<u64> = known.live_tickets().collect();
        self.let_flow(&tickets, effects);
        for ticket in tickets {
            let waits = |live: &Live| live.given.is_none() && live.replay.is_none() && !live.logged;
            if self.mailbox.get(ticket).is_some_and(waits)
                && let Some(live) = self.mailbox.take(ticket)
            {
                ungather(ticket, &live, effects);
            }
        }
    }

    pub(super) fn caller_ttl(&self) -> Span {
        self.spec.caller_ttl.unwrap_or(limits::CALLER_TTL)
    }

    /// Says a last word to every caller, over lines that are closed with it.
    pub(super) fn turn_away(&mut self, now: Time, word: &ToCaller, effects: &mut Vec<Effect>) {
        for id in self.callers.ids() {
            if let Some(line) = self.callers.get(id).and_then(|caller| caller.line) {
                effects.push(Effect::Say { line, word: word.clone() });
                self.callers.detach(now, line);
            }
        }
    }

    /// Says every reply that rested on something: nothing will come that could contradict it.
    pub(super) fn release_all(&mut self, effects: &mut Vec<Effect>) {
        for id in self.callers.ids() {
            let Some(known) = self.callers.get(id) else { continue };
            let seqs: Vec<u64> = known.slots.numbers().collect();
            for seq in seqs {
                if let Some(rested) = self.rests_of(id, seq) {
                    self.release(CallId { caller: id, actor: self.actor, seq }, rested, effects);
                }
            }
        }
    }

    /// What a reply rested on was lost with the process, and no incarnation will make it again.
    pub(super) fn doubt_what_was_not_kept(&mut self) {
        let log_failed = self.log.failed;
        for caller in self.callers.ids() {
            let Some(known) = self.callers.get(caller) else { continue };
            for seq in known.slots.numbers().collect::<Vec<_>>() {
                self.callers.with_reply(caller, seq, |reply| {
                    let is_lost = match reply.rests {
                        Rests::Checkpoint => true,
                        Rests::Nothing => false,
                        Rests::Record(_) => log_failed,
                    };
                    if is_lost {
                        let why = "it ran, and the actor ended before that was kept";
                        reply.ending.outcome = Outcome::failure(CallCode::Unknown, why);
                    }
                });
            }
        }
    }

    fn rests_of(&self, caller: CallerId, seq: u64) -> Option<Rests> {
        match self.callers.get(caller)?.slots.get(seq)? {
            Slot::Ended(reply) => Some(reply.rests).filter(|rests| *rests != Rests::Nothing),
            Slot::Live(_) | Slot::Void => None,
        }
    }
}

/// Said where the lease is over.
pub(super) fn fenced() -> ToCaller {
    let why = "the host has not heard from the scheduler for as long as its lease lasts: ask the scheduler where the actor is";
    ToCaller::OpenRefused(Box::new(CallFailure::new(CallCode::Fenced, why)))
}
