//! Items of streaming calls: how many may be made, and which are kept because their caller may not have them.

use std::collections::VecDeque;

use super::callers::Slot;
use super::digest::Digest;
use super::event::{Line, RunNo};
use super::{Effect, Host};
use crate::actor::call::{CallId, ReplyKind};
use crate::actor::wire::ToCaller;
use crate::limits;
use crate::value::Value;

/// The items of one call.
#[derive(Debug)]
pub(super) struct Items {
    /// The last that the process gave in this run.
    last: u64,
    /// The last that the caller has.
    acked: u64,
    /// The last that was said over the caller's line.
    said: u64,
    kept: VecDeque<(u64, Box<Value>)>,
    kept_bytes: u64,
    /// The last that the caller has room for.
    granted: u64,
    /// The last that the process may give.
    passed: u64,
    /// Of all items of this run.
    pub(super) digest: Digest,
    /// The call was stopped because its caller was away, who may come back and not know it.
    pub(super) given_up: bool,
}

impl Items {
    pub(super) fn new(credit: u32) -> Self {
        Self {
            last: 0,
            acked: 0,
            said: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            granted: u64::from(credit),
            passed: 0,
            digest: Digest::default(),
            given_up: false,
        }
    }

    /// Items that the caller may not have.
    pub(super) fn kept(&self) -> impl Iterator<Item = (u64, &Value)> {
        self.kept.iter().map(|(n, value)| (*n, &**value))
    }

    /// Takes over an item that the caller may not have.
    pub(super) fn restore(&mut self, n: u64, value: Value) {
        if self.kept.is_empty() {
            self.acked = n.saturating_sub(1);
        }
        self.kept_bytes += value.inline_bytes();
        self.kept.push_back((n, Box::new(value)));
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// The call begins, anew perhaps: its first item is the first again. Returns how many it may give.
    pub(super) fn begin(&mut self, unlimited: bool) -> u32 {
        self.last = 0;
        self.digest = Digest::default();
        self.passed = self.allowed();
        if unlimited {
            self.passed = u64::MAX;
        }
        u32::try_from(self.passed).unwrap_or(u32::MAX)
    }

    fn allowed(&self) -> u64 {
        match self.granted {
            u64::MAX => u64::MAX,
            granted => granted.min(self.acked.saturating_add(limits::CALL_ITEMS_KEPT)),
        }
    }

    /// How many more the process may give than it knows.
    fn pass(&mut self) -> u32 {
        let more = self.allowed().saturating_sub(self.passed);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.passed = self.passed.saturating_add(u64::from(more));
        more
    }

    /// The process gave an item. What it has given in an earlier run, or may not give, is dropped.
    fn add(&mut self, n: u64, value: Box<Value>) {
        if n != self.last + 1 || n > self.passed {
            return;
        }
        self.last = n;
        self.digest.value(&value);
        let newest = self.kept.back().map_or(self.acked, |(n, _)| *n);
        if n <= newest {
            return;
        }
        self.kept_bytes += value.inline_bytes();
        self.kept.push_back((n, value));
        if self.kept.len() as u64 > limits::CALL_ITEMS_KEPT {
            // Of a replay: in the first run no more could be made than that beyond what the caller has.
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, value)) = self.kept.pop_front() {
            self.kept_bytes -= value.inline_bytes();
        }
    }

    /// The caller has items up to a number, and room for as many more as it first had.
    fn acknowledge(&mut self, up_to: u64, credit: u32) {
        self.acked = self.acked.max(up_to);
        self.granted = self.granted.max(self.acked.saturating_add(u64::from(credit)));
        while self.kept.front().is_some_and(|(n, _)| *n <= self.acked) {
            self.drop_first();
        }
    }

    /// Nobody will take the items.
    pub(super) fn let_flow(&mut self) -> u32 {
        self.granted = u64::MAX;
        self.passed = u64::MAX;
        u32::MAX
    }

    fn grant(&mut self, n: u32) {
        self.granted = self.granted.saturating_add(u64::from(n)).min(u64::MAX - 1);
    }

    /// The caller speaks over a new line: what it does not have is said again.
    pub(super) fn rewind(&mut self) {
        self.said = self.acked;
    }

    /// Says what was not said yet.
    pub(super) fn say(&mut self, seq: u64, line: Line, effects: &mut Vec<Effect>) {
        for (n, value) in self.kept.iter().filter(|(n, _)| *n > self.said) {
            let word = ToCaller::Item { seq, n: *n, value: value.clone() };
            effects.push(Effect::Say { line, word });
        }
        self.said = self.kept.back().map_or(self.said, |(n, _)| self.said.max(*n));
    }
}

impl Host {
    pub(super) fn on_item(
        &mut self,
        run: RunNo,
        n: u64,
        value: Box<Value>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(&ticket) = self.given.get(run.0) else { return };
        let Some(live) = self.mailbox.get_mut(ticket) else { return };
        let (id, lsn) = (live.id, live.lsn());
        let Some(items) = live.items.as_deref_mut() else { return };
        items.add(n, value);
        if lsn > self.log.durable() {
            self.log.withhold(lsn, id);
        } else {
            self.say_items(id, ticket, effects);
        }
    }

    /// Says the items of a call that has not ended, as far as nothing is in their way.
    pub(super) fn say_items(&mut self, id: CallId, ticket: u64, effects: &mut Vec<Effect>) {
        let line = self.callers.get(id.caller).and_then(|caller| {
            let is_its = matches!(caller.slots.get(id.seq), Some(Slot::Live(of)) if *of == ticket);
            caller.line.filter(|_| is_its)
        });
        let items = self.mailbox.get_mut(ticket).and_then(|live| live.items.as_deref_mut());
        if let (Some(line), Some(items)) = (line, items) {
            items.say(id.seq, line, effects);
        }
    }

    pub(super) fn on_ack_items(
        &mut self,
        line: Line,
        seq: u64,
        up_to: u64,
        effects: &mut Vec<Effect>,
    ) {
        let credit = self.callers.of_line(line).and_then(|caller| self.callers.get(caller));
        let credit = credit.map_or(limits::CALL_ITEMS, |caller| caller.credit);
        self.change_items(line, seq, effects, |items| items.acknowledge(up_to, credit));
    }

    pub(super) fn on_credit(&mut self, line: Line, seq: u64, n: u32, effects: &mut Vec<Effect>) {
        self.change_items(line, seq, effects, |items| items.grant(n));
    }

    fn change_items(
        &mut self,
        line: Line,
        seq: u64,
        effects: &mut Vec<Effect>,
        change: impl FnOnce(&mut Items),
    ) {
        let Some(caller) = self.callers.of_line(line) else { return };
        let slot = self.callers.get(caller).and_then(|caller| caller.slots.get(seq));
        let Some(Slot::Live(ticket)) = slot else {
            self.callers.with_reply(caller, seq, |reply| {
                if let Some(items) = reply.items.as_deref_mut() {
                    change(items);
                }
            });
            return;
        };
        let Some(live) = self.mailbox.get_mut(*ticket) else { return };
        let Some(items) = live.items.as_deref_mut() else { return };
        change(items);
        if let Some(given) = live.given {
            let n = items.pass();
            if n > 0 {
                effects.push(Effect::Credit { run: given.run, n });
            }
        }
    }

    /// Nobody waits for these calls any more: their items do not wait for anybody.
    pub(super) fn let_flow(&mut self, tickets: &[u64], effects: &mut Vec<Effect>) {
        for ticket in tickets {
            let Some(live) = self.mailbox.get_mut(*ticket) else { continue };
            let (Some(items), given) = (live.items.as_deref_mut(), live.given) else { continue };
            let n = items.let_flow();
            if let Some(given) = given {
                effects.push(Effect::Credit { run: given.run, n });
            }
        }
    }

    /// Where a call's items are kept, if it is to give any.
    pub(super) fn items_for(reply: ReplyKind, credit: u32) -> Option<Box<Items>> {
        (reply == ReplyKind::Stream).then(|| Box::new(Items::new(credit)))
    }
}
