//! Which values there are, and in which order they were used.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::hash::{IdMap, Seeded};
use bireme_core::id::AttemptId;
use bireme_core::{ObjectId, Time, Value};

use super::{Residence, Stored};

/// All values of a store. Small ones cost a look into one map and nothing else.
#[derive(Debug)]
pub(super) struct Shelf {
    objects: IdMap<ObjectId, Entry>,
    /// Those in shared memory by the turn in which they were used last.
    recent: BTreeMap<u64, ObjectId>,
    turns: u64,
    /// Invariant: the sum of the bytes that are in the values themselves.
    memory: u64,
}

#[derive(Debug)]
struct Entry {
    stored: Stored,
    /// Its key in `recent`; 0 where it is not there.
    turn: u64,
    used: Time,
}

/// What is known of a value that is held.
#[derive(Debug)]
pub(crate) struct Stat {
    /// The value, without a pin.
    pub(crate) value: Arc<Value>,
    /// The attempt that made it, where one did and it is known.
    pub(crate) made_by: Option<AttemptId>,
    /// Where its bytes are.
    pub(crate) residence: Residence,
    /// Bytes it takes there.
    pub(crate) stored_bytes: u64,
    /// How many readers hold it in place.
    pub(crate) pins: usize,
    /// When it was last used.
    pub(crate) used: Time,
}

impl Shelf {
    pub(super) fn new(seed: u64) -> Self {
        let objects = IdMap::with_hasher(Seeded::new(seed));
        Self { objects, recent: BTreeMap::new(), turns: 0, memory: 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.objects.len() as u64
    }

    /// Bytes that are in the values themselves.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// Puts a value where it belongs; returns the one that was there.
    pub(super) fn insert(&mut self, object: ObjectId, stored: Stored, now: Time) -> Option<Stored> {
        self.memory += stored.value.inline_bytes();
        let turn = if stored.residence() == Residence::Shared { self.take_turn(object) } else { 0 };
        let old = self.objects.insert(object, Entry { stored, turn, used: now });
        old.map(|old| self.forget(old))
    }

    pub(super) fn get(&mut self, object: ObjectId, now: Time) -> Option<Stored> {
        let entry = self.objects.get_mut(&object)?;
        entry.used = now;
        if entry.turn != 0 {
            self.recent.remove(&entry.turn);
            self.turns += 1;
            entry.turn = self.turns;
            self.recent.insert(entry.turn, object);
        }
        Some(entry.stored.clone())
    }

    pub(super) fn remove(&mut self, object: ObjectId) -> Option<Stored> {
        let old = self.objects.remove(&object)?;
        Some(self.forget(old))
    }

    pub(super) fn stat(&self, object: ObjectId) -> Option<Stat> {
        let Entry { stored, used, .. } = self.objects.get(&object)?;
        Some(Stat {
            value: Arc::clone(&stored.value),
            made_by: stored.made_by,
            residence: stored.residence(),
            stored_bytes: stored.bytes(),
            pins: stored.pins() - 1,
            used: *used,
        })
    }

    /// The least recently used value in shared memory that nobody uses, of those used after a turn. It comes with a pin.
    pub(super) fn victim(&self, after: u64) -> Option<(u64, ObjectId, Stored)> {
        let candidates = self.recent.range(after.saturating_add(1)..);
        let mut free = candidates.filter_map(|(turn, object)| {
            let stored = &self.objects.get(object)?.stored;
            stored.is_free(1).then(|| (*turn, *object, stored.clone()))
        });
        free.next()
    }

    /// Replaces a value by its copy elsewhere, unless it has been replaced, removed or, where `pins` is given, pinned by more
    /// than so many since. Returns what there is to be dropped.
    pub(super) fn replace(
        &mut self,
        object: ObjectId,
        old: &Stored,
        new: Stored,
        pins: Option<usize>,
    ) -> Result<Stored, Stored> {
        let same = |entry: &Entry| Arc::ptr_eq(&entry.stored.value, &old.value);
        let free = |entry: &Entry| pins.is_none_or(|pins| entry.stored.is_free(pins));
        match self.objects.get(&object) {
            Some(entry) if same(entry) && free(entry) => {
                let used = entry.used;
                self.insert(object, new, used).ok_or_else(|| old.clone())
            }
            _ => Err(new),
        }
    }

    fn take_turn(&mut self, object: ObjectId) -> u64 {
        self.turns += 1;
        self.recent.insert(self.turns, object);
        self.turns
    }

    fn forget(&mut self, old: Entry) -> Stored {
        self.memory -= old.stored.value.inline_bytes();
        if old.turn != 0 {
            self.recent.remove(&old.turn);
        }
        old.stored
    }
}
