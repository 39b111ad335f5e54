//! The callers that an actor remembers: which of their numbers are used, and which replies they may not have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::event::Line;
use super::forgotten::Forgotten;
use super::items::Items;
use super::record::{Remembered, Table};
use crate::actor::call::{CallId, CallerId, Ending};
use crate::actor::wire::OnUnknown;
use crate::id::Incarnation;
use crate::limits;
use crate::numbered::Numbered;
use crate::time::{Span, Time};

/// Absent callers that are looked at for one without replies, when room is needed.
const EVICTION_SCAN: usize = 64;

/// What a reply waits for before it is said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rests {
    /// A checkpoint that holds its call.
    Checkpoint,
    /// Nothing.
    Nothing,
    /// That this record is durable.
    Record(u64),
}

/// The end of a call, kept until its caller has it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) ending: Ending,
    pub(super) rests: Rests,
    pub(super) items: Option<Box<Items>>,
}

impl Reply {
    /// Bytes that it takes up, about.
    pub(super) fn bytes(&self) -> u64 {
        self.ending.outcome.bytes() + self.items.as_ref().map_or(0, |items| items.bytes())
    }
}

/// What became of a number.
#[derive(Debug)]
pub(super) enum Slot {
    /// Its call has ended.
    Ended(Box<Reply>),
    /// Its call has not, and has this ticket.
    Live(u64),
    /// It is used, and there is nothing to be told of it.
    Void,
}

/// What an actor remembers of a caller.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) line: Option<Line>,
    /// Since when it has none.
    absent: Option<Time>,
    /// The first incarnation since which nothing was forgotten of what it said.
    pub(super) since: Incarnation,
    /// It has all replies up to here.
    pub(super) processed_up_to: u64,
    /// Numbers after that, as far as they are used.
    pub(super) slots: Numbered<Slot>,
    /// How many of them have not ended.
    pub(super) live: usize,
    /// Items of a streaming call that it takes before it grants more.
    pub(super) credit: u32,
    pub(super) on_unknown: OnUnknown,
    /// Calls that it made for this incarnation or an earlier one do not run any more.
    pub(super) stopped: Incarnation,
    /// What it says to incarnations before this one is not heard.
    pub(super) listens_from: Incarnation,
    /// The last of its calls that the log has, by lane: those before it that the log does not have ended without having run.
    pub(super) logged: BTreeMap<usize, u64>,
    /// It was forgotten before, and may not know: a call, or that it has replies, shows that it does. That it skips numbers does
    /// not, where its process dies before it has made anything of what it was told.
    pub(super) forgotten: bool,
    /// It will not come back.
    pub(super) leaving: bool,
}

impl Caller {
    pub(super) fn new(since: Incarnation, processed_up_to: u64) -> Self {
        Self {
            line: None,
            absent: None,
            since,
            processed_up_to,
            slots: Numbered::default(),
            live: 0,
            credit: limits::CALL_ITEMS,
            on_unknown: OnUnknown::Continue,
            stopped: Incarnation(0),
            listens_from: Incarnation(0),
            logged: BTreeMap::new(),
            forgotten: false,
            leaving: false,
        }
    }

    /// Since when it has no line, if it has none.
    pub(super) fn absent(&self) -> Option<Time> {
        self.absent
    }

    /// Whether a number is used.
    pub(super) fn has_used(&self, seq: u64) -> bool {
        seq <= self.processed_up_to || self.slots.contains(seq)
    }

    /// Its calls that have not ended.
    pub(super) fn live_tickets(&self) -> impl Iterator<Item = u64> {
        self.slots.values().filter_map(|slot| match slot {
            Slot::Live(ticket) => Some(*ticket),
            Slot::Ended(_) | Slot::Void => None,
        })
    }

    /// The first number that is not used.
    pub(super) fn next_seq(&self) -> u64 {
        let mut next = self.processed_up_to.saturating_add(1);
        for seq in self.slots.numbers() {
            if seq != next {
                break;
            }
            next = next.saturating_add(1);
        }
        next
    }

    /// What is kept with a checkpoint: calls that wait are not in the state, and their numbers are free again.
    fn remembered(&self, caller: CallerId) -> Remembered {
        let mut seen_up_to = self.processed_up_to;
        let (mut seen, mut replies, mut items) = (Vec::new(), Vec::new(), Vec::new());
        for (seq, slot) in self.slots.iter() {
            match slot {
                Slot::Live(_) => continue,
                Slot::Ended(reply) => {
                    replies.push((seq, reply.ending.clone()));
                    let kept = reply.items.iter().flat_map(|items| items.kept());
                    items.extend(kept.map(|(n, value)| (seq, n, value.clone())));
                }
                Slot::Void => {}
            }
            if seen_up_to.checked_add(1) == Some(seq) {
                seen_up_to = seq;
            } else {
                seen.push(seq);
            }
        }
        let (since, processed_up_to) = (self.since, self.processed_up_to);
        Remembered { caller, since, seen_up_to, seen, processed_up_to, replies, items }
    }

    fn from_remembered(remembered: Remembered, since: Incarnation) -> Self {
        let Remembered { caller: _, since: _, seen_up_to, seen, processed_up_to, replies, items } =
            remembered;
        let mut caller = Self::new(since, processed_up_to);
        let most = (limits::CALLS_PENDING as u64).min(seen_up_to.saturating_sub(processed_up_to));
        let used = (1..=most).map(|n| processed_up_to.saturating_add(n)).chain(seen);
        for seq in used {
            caller.slots.insert(seq, Slot::Void);
        }
        for (seq, ending) in replies.into_iter().filter(|(seq, _)| *seq > processed_up_to) {
            let reply = Reply { ending, rests: Rests::Nothing, items: None };
            caller.slots.insert(seq, Slot::Ended(Box::new(reply)));
        }
        for (seq, n, item) in items {
            if let Some(Slot::Ended(reply)) = caller.slots.get_mut(seq) {
                reply.items.get_or_insert_with(|| Box::new(Items::new(0))).restore(n, item);
            }
        }
        caller
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Callers {
    known: BTreeMap<CallerId, Caller>,
    lines: BTreeMap<Line, CallerId>,
    /// Those without a line.
    absent: BTreeSet<(Time, CallerId)>,
    /// The last of those whose streaming calls were ended.
    looked_at: Option<(Time, CallerId)>,
    forgotten: Forgotten,
    /// Bytes that replies take up.
    pub(super) bytes: u64,
}

impl Callers {
    pub(super) fn of_line(&self, line: Line) -> Option<CallerId> {
        self.lines.get(&line).copied()
    }

    pub(super) fn get(&self, caller: CallerId) -> Option<&Caller> {
        self.known.get(&caller)
    }

    pub(super) fn get_mut(&mut self, caller: CallerId) -> Option<&mut Caller> {
        self.known.get_mut(&caller)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn ids(&self) -> Vec<CallerId> {
        self.known.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (CallerId, &Caller)> {
        self.known.iter().map(|(id, caller)| (*id, caller))
    }

    /// The caller of that name, made if it is not known. `None` where there is no room for another.
    pub(super) fn admit(
        &mut self,
        now: Time,
        caller: CallerId,
        since: Incarnation,
        processed_up_to: u64,
    ) -> Option<&mut Caller> {
        if !self.known.contains_key(&caller) {
            if self.known.len() >= limits::ACTOR_CALLERS {
                return None;
            }
            let mut new = Caller::new(since, processed_up_to);
            new.forgotten = self.forgotten.remove(caller);
            new.absent = Some(now);
            self.absent.insert((now, caller));
            self.known.insert(caller, new);
        }
        self.known.get_mut(&caller)
    }

    /// Whom to forget when room is needed: one that is away, better one to whom nothing is owed.
    pub(super) fn evictable(&self) -> Option<CallerId> {
        let away = || self.absent.iter().map(|(_, caller)| *caller).take(EVICTION_SCAN);
        let owes =
            |caller: &CallerId| self.known.get(caller).is_some_and(|known| !known.slots.is_empty());
        away().find(|caller| !owes(caller)).or_else(|| away().next())
    }

    /// Whether another caller needs room made first.
    pub(super) fn is_full_for(&self, caller: CallerId) -> bool {
        self.known.len() >= limits::ACTOR_CALLERS && !self.known.contains_key(&caller)
    }

    /// A caller speaks over a line from here on.
    pub(super) fn attach(&mut self, now: Time, line: Line, caller: CallerId) {
        self.detach(now, line);
        let Some(known) = self.known.get_mut(&caller) else { return };
        if let Some(since) = known.absent.take() {
            self.absent.remove(&(since, caller));
        }
        known.leaving = false;
        if let Some(old) = known.line.replace(line) {
            self.lines.remove(&old);
        }
        self.lines.insert(line, caller);
    }

    /// A line is gone.
    pub(super) fn detach(&mut self, now: Time, line: Line) {
        let Some(caller) = self.lines.remove(&line) else { return };
        if let Some(known) = self.known.get_mut(&caller) {
            known.line = None;
            known.absent = Some(now);
            self.absent.insert((now, caller));
        }
    }

    /// Forgets a caller altogether. If it might come back, it is remembered that it was forgotten.
    pub(super) fn remove(&mut self, caller: CallerId, may_come_back: bool) -> Option<Caller> {
        let known = self.known.remove(&caller)?;
        if let Some(line) = known.line {
            self.lines.remove(&line);
        }
        if let Some(since) = known.absent {
            self.absent.remove(&(since, caller));
        }
        let freed: u64 = known.slots.values().map(slot_bytes).sum();
        self.bytes -= freed;
        if may_come_back {
            self.forgotten.push(caller);
        }
        Some(known)
    }

    /// When the first absent caller is to be forgotten.
    pub(super) fn next_expiry(&self, ttl: Span) -> Option<Time> {
        self.absent.first().map(|(since, _)| *since + ttl)
    }

    /// The first absent caller that is to be forgotten.
    pub(super) fn expired(&self, now: Time, ttl: Span) -> Option<CallerId> {
        self.absent.first().filter(|(since, _)| *since + ttl <= now).map(|(_, caller)| *caller)
    }

    /// The first absent caller that was not looked at, and since when it is away.
    pub(super) fn next_away(&self) -> Option<(Time, CallerId)> {
        let after = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        self.absent.range((after, Bound::Unbounded)).next().copied()
    }

    /// That one, which is looked at now: not again unless it comes back and goes.
    pub(super) fn look_at_away(&mut self) -> Option<CallerId> {
        self.looked_at = self.next_away().or(self.looked_at);
        self.looked_at.map(|(_, caller)| caller)
    }

    /// The caller has all replies up to a number, or needs none: the tickets of the calls whose replies it does not need.
    pub(super) fn acknowledge(&mut self, caller: CallerId, up_to: u64) -> Vec<u64> {
        let mut unwanted = Vec::new();
        let Some(known) = self.known.get_mut(&caller) else { return unwanted };
        if up_to <= known.processed_up_to {
            return unwanted;
        }
        while let Some((_, slot)) = known.slots.pop_first_to(up_to) {
            self.bytes -= slot_bytes(&slot);
            if let Slot::Live(ticket) = slot {
                known.live -= 1;
                unwanted.push(ticket);
            }
        }
        known.processed_up_to = up_to;
        unwanted
    }

    /// A number is used by a call that has not ended.
    pub(super) fn occupy(&mut self, caller: CallerId, seq: u64, ticket: u64) {
        let Some(known) = self.known.get_mut(&caller) else { return };
        known.live += 1;
        if let Some(Slot::Ended(reply)) = known.slots.insert(seq, Slot::Live(ticket)) {
            self.bytes -= reply.bytes();
        }
    }

    /// A call has ended. False where its caller does not wait for it any more.
    pub(super) fn end(&mut self, caller: CallerId, seq: u64, ticket: u64, reply: Reply) -> bool {
        let Some(known) = self.known.get_mut(&caller) else { return false };
        let Some(slot @ Slot::Live(_)) = known.slots.get_mut(seq) else { return false };
        if !matches!(slot, Slot::Live(of) if *of == ticket) {
            return false;
        }
        self.bytes += reply.bytes();
        *slot = Slot::Ended(Box::new(reply));
        known.live -= 1;
        true
    }

    /// A call ends that never had a ticket.
    pub(super) fn keep(&mut self, id: CallId, reply: Reply) {
        let Some(known) = self.known.get_mut(&id.caller) else { return };
        self.bytes += reply.bytes();
        known.slots.insert(id.seq, Slot::Ended(Box::new(reply)));
    }

    /// A number of which nothing is known any more.
    pub(super) fn vacate(&mut self, id: CallId) {
        let Some(known) = self.known.get_mut(&id.caller) else { return };
        if let Some(slot) = known.slots.remove(id.seq) {
            self.bytes -= slot_bytes(&slot);
            known.live -= usize::from(matches!(slot, Slot::Live(_)));
        }
    }

    /// A call that did not run is known no more.
    pub(super) fn vacate_live(&mut self, id: CallId, ticket: u64) {
        let slot = self.get(id.caller).and_then(|caller| caller.slots.get(id.seq));
        if matches!(slot, Some(Slot::Live(of)) if *of == ticket) {
            self.vacate(id);
        }
    }

    /// Changes a reply in place.
    pub(super) fn with_reply<R>(
        &mut self,
        caller: CallerId,
        seq: u64,
        change: impl FnOnce(&mut Reply) -> R,
    ) -> Option<R> {
        let slot = self.known.get_mut(&caller)?.slots.get_mut(seq)?;
        let Slot::Ended(reply) = slot else { return None };
        self.bytes -= reply.bytes();
        let result = change(reply);
        self.bytes += reply.bytes();
        Some(result)
    }

    /// What is kept with a checkpoint.
    pub(super) fn table(&self) -> Table {
        let callers = self.known.iter().map(|(id, caller)| caller.remembered(*id)).collect();
        Table { callers, forgotten: self.forgotten.to_vec(), ..Table::default() }
    }

    /// What was kept with a checkpoint. `since` is from where on nothing is forgotten, where that is not as it was.
    pub(super) fn from_table(now: Time, table: Table, since: Option<Incarnation>) -> Self {
        let mut callers = Self { forgotten: Forgotten::new(table.forgotten), ..Self::default() };
        for remembered in table.callers.into_iter().take(limits::ACTOR_CALLERS) {
            let (id, known) = (remembered.caller, since.unwrap_or(remembered.since));
            let mut caller = Caller::from_remembered(remembered, known);
            caller.absent = Some(now);
            callers.absent.insert((now, id));
            callers.bytes += caller.slots.values().map(slot_bytes).sum::<u64>();
            callers.known.insert(id, caller);
        }
        callers
    }

    /// Recounts what is kept as a count.
    pub(super) fn check(&self) -> Result<(), String> {
        let slots = || self.known.values().flat_map(|caller| caller.slots.values());
        let bytes: u64 = slots().map(slot_bytes).sum();
        if bytes != self.bytes {
            return Err(format!("replies take up {bytes} bytes, {} counted", self.bytes));
        }
        for (id, caller) in &self.known {
            let live = caller.slots.values().filter(|slot| matches!(slot, Slot::Live(_))).count();
            if live != caller.live {
                return Err(format!("{id:?}: {live} calls, {} counted", caller.live));
            }
            if caller.line.is_some() == caller.absent.is_some() {
                return Err(format!("{id:?} has a line and is absent, or neither"));
            }
            if caller.line.is_some_and(|line| self.lines.get(&line) != Some(id)) {
                return Err(format!("{id:?} is not found by its line"));
            }
            if caller.absent.is_some_and(|since| !self.absent.contains(&(since, *id))) {
                return Err(format!("{id:?} is absent and would never be forgotten"));
            }
        }
        Ok(())
    }
}

fn slot_bytes(slot: &Slot) -> u64 {
    match slot {
        Slot::Ended(reply) => reply.bytes(),
        Slot::Live(_) | Slot::Void => 0,
    }
}
