//! The calls of a caller, by number.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::actor::call::Call;
use crate::actor::caller::Unready;
use crate::id::Incarnation;
use crate::limits;
use crate::time::Time;

/// How far a call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It has ended, and the host of this conversation knows its number or does not.
    Ended { known: bool },
    /// The host has it.
    Held,
    /// Its arguments are not ready.
    Preparing,
    /// It can be said.
    Ready,
}

/// A call.
#[derive(Debug)]
pub(super) struct Entry {
    /// What is to be said; `None` before it is ready, and after its end.
    pub(super) call: Option<Arc<Call>>,
    /// Bytes of its arguments that are not where the host can have them.
    unready_bytes: usize,
    stage: Stage,
    /// The first incarnation that it was said to; `None` where it is certain that it reached none.
    pub(super) said_to: Option<Incarnation>,
    /// The user wants it no more, and the host was told so.
    pub(super) cancelled: bool,
    /// Until when its caller waits.
    pub(super) deadline: Option<Time>,
    /// Items that have arrived.
    pub(super) items: u64,
    /// Items that were taken.
    pub(super) taken: u64,
    /// Items that the host was told are taken.
    pub(super) credited: u64,
}

impl Entry {
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether it has no arguments yet. A host may have it all the same, from an earlier life of the caller's process.
    pub(super) fn is_awaited(&self) -> bool {
        self.call.is_none() && !matches!(self.stage, Stage::Ended { .. })
    }

    fn bytes(&self) -> usize {
        self.call.as_ref().map_or(self.unready_bytes, |call| call.bytes())
    }
}

/// The calls that a caller keeps: all from the first that has not ended.
#[derive(Debug)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    /// The first number that was not said in this conversation.
    unsaid: u64,
    // Invariant: counts of `entries`.
    held: usize,
    pending: usize,
    bytes: usize,
    /// Of those that have not ended.
    deadlines: BTreeSet<(Time, u64)>,
}

impl Queue {
    pub(super) fn new(first: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            first,
            unsaid: first,
            held: 0,
            pending: 0,
            bytes: 0,
            deadlines: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// How many calls the host has without a reply.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Every call up to this one has ended.
    pub(super) fn done_up_to(&self) -> u64 {
        self.first - 1
    }

    /// The numbers that are kept.
    pub(super) fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.entries.len() as u64
    }

    /// The numbers from the first on that was not said in this conversation.
    pub(super) fn unsaid(&self) -> std::ops::Range<u64> {
        self.unsaid..self.numbers().end
    }

    /// There is so much room that it is worth waking those who wait for it.
    pub(super) fn has_ample_room(&self, most: usize) -> bool {
        self.len() <= most / 4 * 3 && self.bytes <= limits::CALLS_PENDING_BYTES / 4 * 3
    }

    pub(super) fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn stage(&self, seq: u64) -> Option<Stage> {
        self.get(seq).map(Entry::stage)
    }

    /// Adds a call, ready or not, and gives its number.
    pub(super) fn push(&mut self, call: Result<Arc<Call>, Unready>, deadline: Option<Time>) -> u64 {
        let seq = self.first + self.entries.len() as u64;
        let (call, unready_bytes, stage) = match call {
            Ok(call) => (Some(call), 0, Stage::Ready),
            Err(unready) => (None, unready.bytes, Stage::Preparing),
        };
        let entry = Entry {
            call,
            unready_bytes,
            stage,
            said_to: None,
            cancelled: false,
            deadline,
            items: 0,
            taken: 0,
            credited: 0,
        };
        self.bytes += entry.bytes();
        self.pending += 1;
        self.entries.push_back(entry);
        self.deadlines.extend(deadline.map(|at| (at, seq)));
        seq
    }

    /// A call that was not ready is.
    pub(super) fn prepare(&mut self, seq: u64, call: Arc<Call>) {
        let Some(entry) = self.get_mut(seq) else { return };
        let before = entry.bytes();
        entry.call = Some(call);
        entry.unready_bytes = 0;
        let bytes = entry.bytes();
        if entry.stage == Stage::Preparing {
            entry.stage = Stage::Ready;
        }
        self.bytes = self.bytes - before + bytes;
    }

    /// The host has a call no more, as far as is known.
    pub(super) fn take_back(&mut self, seq: u64) {
        let awaited = self.get(seq).is_some_and(Entry::is_awaited);
        self.set_stage(seq, if awaited { Stage::Preparing } else { Stage::Ready });
    }

    /// What was said before the host had answered reached this incarnation first, or none.
    pub(super) fn said_behind_open(&mut self, said_to: Option<Incarnation>) {
        for entry in self.entries.iter_mut().filter(|entry| entry.stage == Stage::Held) {
            entry.said_to = said_to;
        }
    }

    /// Moves a call that has not ended to another stage.
    pub(super) fn set_stage(&mut self, seq: u64, stage: Stage) {
        let Some(entry) = self.get_mut(seq) else { return };
        let before = std::mem::replace(&mut entry.stage, stage);
        self.held =
            self.held - usize::from(before == Stage::Held) + usize::from(stage == Stage::Held);
    }

    /// Marks a call as ended. `false` if it has before.
    pub(super) fn end(&mut self, seq: u64, known: bool) -> bool {
        let Some(entry) = self.get_mut(seq) else { return false };
        if matches!(entry.stage, Stage::Ended { .. }) {
            return false;
        }
        let (bytes, deadline) = (entry.bytes(), entry.deadline);
        entry.call = None;
        entry.unready_bytes = 0;
        self.bytes -= bytes;
        self.pending -= 1;
        self.set_stage(seq, Stage::Ended { known });
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, seq));
        }
        true
    }

    /// Drops the first entries while they have ended. In a conversation, only those whose numbers the host knows.
    pub(super) fn forget_ended(&mut self, in_conversation: bool) {
        while let Some(entry) = self.entries.front() {
            match entry.stage {
                Stage::Ended { known } if known || !in_conversation => {}
                Stage::Ended { .. } | Stage::Held | Stage::Preparing | Stage::Ready => break,
            }
            self.entries.pop_front();
            self.first += 1;
        }
        self.unsaid = self.unsaid.max(self.first);
    }

    /// The next call, ended or not, of which the host has not been told.
    pub(super) fn next_unsaid(&mut self) -> Option<u64> {
        while let Some(Stage::Held | Stage::Ended { known: true }) = self.stage(self.unsaid) {
            self.unsaid += 1;
        }
        self.get(self.unsaid).map(|_| self.unsaid)
    }

    /// Everything is to be looked at again: a conversation begins or has ended.
    pub(super) fn rewind(&mut self) {
        self.unsaid = self.first;
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A call whose time is up.
    pub(super) fn pop_deadline(&mut self, now: Time) -> Option<u64> {
        let (at, seq) = *self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        Some(seq)
    }

    /// Counts everything anew. `open` says that the host of a conversation may have been told of calls.
    pub(super) fn check(&self, open: bool) -> Result<(), String> {
        let count =
            |test: fn(Stage) -> bool| self.entries.iter().filter(|own| test(own.stage)).count();
        let held = count(|stage| stage == Stage::Held);
        let pending = count(|stage| !matches!(stage, Stage::Ended { .. }));
        let bytes: usize = self.entries.iter().map(Entry::bytes).sum();
        if (held, pending, bytes) != (self.held, self.pending, self.bytes) {
            let kept = (self.held, self.pending, self.bytes);
            return Err(format!(
                "held, pending, bytes: {kept:?} kept, {:?} counted",
                (held, pending, bytes)
            ));
        }
        if held > 0 && !open {
            return Err(format!("{held} calls held by nobody"));
        }
        for (seq, entry) in self.numbers().zip(&self.entries) {
            let ended = matches!(entry.stage, Stage::Ended { .. });
            let timed = entry.deadline.is_some_and(|at| self.deadlines.contains(&(at, seq)));
            if timed != (entry.deadline.is_some() && !ended) {
                return Err(format!("call {seq}: ended {ended}, waited for {timed}"));
            }
            let said = matches!(entry.stage, Stage::Held | Stage::Ended { known: true });
            if open && seq < self.unsaid && !said {
                return Err(format!("call {seq} was passed over before {}", self.unsaid));
            }
            if open && seq > self.unsaid && entry.stage == Stage::Held {
                return Err(format!("call {seq} was said before {}", self.unsaid));
            }
        }
        Ok(())
    }
}
