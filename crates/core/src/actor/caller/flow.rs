//! What passes between caller and host while they talk: calls within the window, replies, items, acknowledgements.

use std::sync::Arc;

use super::link::{Ahead, Link};
use super::queue::{Entry, Stage};
use super::{Caller, Effect};
use crate::actor::call::{Call, CallCode, CallFailure, Ending};
use crate::actor::probe::Probe;
use crate::actor::wire::{OnUnknown, Opened, ToHost};
use crate::actor::{Delivery, MethodSpec, OnFull};
use crate::limits;
use crate::time::{Span, Time};
use crate::value::Value;

/// What a host said when a conversation began.
#[derive(Debug)]
pub(super) struct Terms {
    delivery: Delivery,
    methods: Vec<MethodSpec>,
    /// How many calls it holds without a reply.
    pub(super) window: u32,
    on_full: OnFull,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            delivery: Delivery::default(),
            methods: Vec::new(),
            window: 1,
            on_full: OnFull::default(),
        }
    }
}

impl Terms {
    pub(super) fn of(opened: &Opened) -> Self {
        Self {
            delivery: opened.delivery,
            methods: opened.methods.clone(),
            window: opened.window.max(1),
            on_full: opened.on_full,
        }
    }

    /// What is promised about a call: the weakest of what actor, method and call say.
    pub(super) fn delivery_of(&self, call: &Call) -> Delivery {
        let method = self.methods.iter().find(|own| own.method == call.method);
        let method = method.and_then(|own| own.delivery).unwrap_or(self.delivery);
        call.delivery.unwrap_or(method).min(method).min(self.delivery)
    }
}

impl Caller {
    /// Says in order what has not been said: calls while the window has room, and of calls that have ended that their
    /// numbers are used.
    pub(super) fn say_what_may_be_said(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while self.link.takes_calls()
            && let Some(seq) = self.queue.next_unsaid()
        {
            match self.queue.stage(seq) {
                Some(Stage::Ready) if self.doubted => self.end_doubted(seq, effects),
                Some(Stage::Ready) if self.has_window() => self.say_call(now, seq, effects),
                Some(Stage::Ready) if self.refuses() => {
                    let why = format!("{} calls wait for replies already", self.queue.held());
                    self.end_failed(seq, CallFailure::new(CallCode::MailboxFull, why), effects);
                }
                Some(Stage::Ended { known: false }) => {
                    self.queue.set_stage(seq, Stage::Ended { known: true });
                    effects.push(Effect::Say(ToHost::Cancel { seq, grace: None }));
                }
                _ => return,
            }
        }
    }

    fn has_window(&self) -> bool {
        u32::try_from(self.queue.held()).is_ok_and(|held| held < self.terms.window)
    }

    /// Whether calls beyond the window end. Those that may be made again wait: which of them find room would differ each time.
    fn refuses(&self) -> bool {
        self.terms.on_full == OnFull::Refuse && !self.config.keeps
    }

    fn say_call(&mut self, now: Time, seq: u64, effects: &mut Vec<Effect>) {
        let incarnation = self.newest;
        let Some(entry) = self.queue.get_mut(seq) else { return };
        let Some(mut call) = entry.call.clone() else { return };
        if let Some(at) = entry.deadline {
            let left = Some(at.since(now));
            if call.deadline != left {
                Arc::make_mut(&mut call).deadline = left;
            }
        }
        entry.said_to.get_or_insert(incarnation);
        if let Link::Opening { ahead, .. } = &mut self.link {
            *ahead = Ahead::Said;
        }
        self.queue.set_stage(seq, Stage::Held);
        effects.push(Effect::Say(ToHost::Call { seq, call, incarnation }));
        self.repeat_items(seq, effects);
    }

    /// The arguments of a call are ready, or will never be.
    pub(super) fn on_prepared(
        &mut self,
        seq: u64,
        call: Result<Arc<Call>, Box<CallFailure>>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.queue.get(seq).is_some_and(Entry::is_awaited) {
            return; // Cancelled, or its time was up.
        }
        match call {
            Ok(call) => self.queue.prepare(seq, call),
            Err(failure) => self.end_failed(seq, *failure, effects),
        }
    }

    /// A call that the host has came to its end.
    pub(super) fn on_reply(&mut self, seq: u64, ending: Box<Ending>, effects: &mut Vec<Effect>) {
        if !self.link.is_open() || self.queue.stage(seq) != Some(Stage::Held) {
            return;
        }
        let bytes = ending.outcome.bytes();
        match ending.outcome.code() {
            Some(CallCode::Fenced) => return self.on_fenced(seq, effects),
            Some(CallCode::Unknown) => {
                self.end(seq, true, ending, effects);
                self.stop_after(seq, effects);
            }
            _ => self.end(seq, true, ending, effects),
        }
        if self.config.keeps {
            self.owed.add(seq, bytes);
        }
        self.pause = Span::ZERO;
    }

    /// An item of a streaming call has arrived, perhaps not for the first time.
    pub(super) fn on_item(
        &mut self,
        seq: u64,
        n: u64,
        value: Box<Value>,
        effects: &mut Vec<Effect>,
    ) {
        let open = self.link.is_open();
        let Some(entry) = self.queue.get_mut(seq) else { return };
        if open && entry.stage() == Stage::Held && n == entry.items + 1 {
            entry.items = n;
            effects.push(Effect::Item { seq, n, value });
        }
    }

    /// Tells the host of items that were taken, half a credit at a time.
    pub(super) fn on_items_taken(&mut self, seq: u64, up_to: u64, effects: &mut Vec<Effect>) {
        let open = self.link.is_open();
        let Some(entry) = self.queue.get_mut(seq) else { return };
        entry.taken = entry.taken.max(up_to.min(entry.items));
        let fresh = u32::try_from(entry.taken - entry.credited).unwrap_or(u32::MAX);
        if open && entry.stage() == Stage::Held && fresh >= limits::CALL_ITEMS / 2 {
            entry.credited = entry.taken;
            let up_to = entry.taken;
            effects.push(Effect::Say(ToHost::AckItems { seq, up_to }));
            effects.push(Effect::Say(ToHost::Credit { seq, n: fresh }));
        }
    }

    /// Passes a probe on to the host of a call, if that has it.
    pub(super) fn on_probed(&self, seq: u64, probe: Box<Probe>, effects: &mut Vec<Effect>) {
        if self.queue.stage(seq) == Some(Stage::Held) {
            effects.push(Effect::Say(ToHost::Probe { seq, probe }));
        }
    }

    /// Tells the host which replies it need not keep: many at a time, or after a while.
    pub(super) fn acknowledge(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let processed_up_to = self.needless_up_to();
        if !self.link.is_open() || processed_up_to == self.acked {
            self.ack_at = None;
            return;
        }
        let at = *self.ack_at.get_or_insert(now + limits::CALL_ACK_DELAY);
        if at <= now || processed_up_to - self.acked >= limits::CALL_ACK_AFTER {
            self.acked = processed_up_to;
            self.ack_at = None;
            self.owed.free(processed_up_to);
            effects.push(Effect::Say(ToHost::Ack { processed_up_to }));
        }
    }

    /// The last call, none before it missing, whose reply is needed no more.
    pub(super) fn needless_up_to(&self) -> u64 {
        let done = self.queue.done_up_to();
        if self.config.keeps { done.min(self.unkept - 1) } else { done }
    }

    /// What was made of the replies before this call is kept.
    pub(super) fn on_kept(&mut self, next_seq: u64) {
        self.unkept = self.unkept.max(next_seq);
        self.doubted = false;
    }

    /// A call that may have been made before, of which the host has forgotten whether it was.
    fn end_doubted(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        let why = "the actor has forgotten this caller, which was away for too long";
        self.end_failed(seq, CallFailure::new(CallCode::Unknown, why), effects);
    }

    /// After a call whose fate is unknown: ends those that were made later and are not the host's to decide.
    pub(super) fn stop_after(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        if self.config.on_unknown == OnUnknown::Continue {
            return;
        }
        // What was said before is held, or has ended.
        let unsaid = self.queue.unsaid();
        for later in unsaid.start.max(seq + 1)..unsaid.end {
            if let Some(Stage::Preparing | Stage::Ready) = self.queue.stage(later) {
                let why = format!("call {seq} before it ended as UNKNOWN");
                let may_have = self.may_have_run(later);
                let code = if may_have { CallCode::Unknown } else { CallCode::NotRun };
                self.end_failed(later, CallFailure::new(code, why), effects);
            }
        }
    }
}
