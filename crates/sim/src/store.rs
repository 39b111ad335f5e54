//! A worker's store: values in memory, and those that had to give way on disk.
//!
//! Only sizes count here. What a store does to a machine is to pause it when memory is full, to make attempts wait for
//! values that are read back, and to have no room left at all.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::{ObjectId, Span, limits};

use crate::world::Stored;

/// The values that one life of a worker holds.
#[derive(Debug)]
pub(crate) struct Store {
    values: BTreeMap<ObjectId, Slot>,
    /// Bytes of memory for values; 0 is without end.
    memory: u64,
    /// Bytes of values in memory.
    resident: u64,
    /// How often a value was used: the least recently used goes first.
    uses: u64,
    /// Above the pause mark, and not below the other one since.
    is_full: bool,
}

#[derive(Debug)]
struct Slot {
    stored: Stored,
    /// It is on disk, and not in memory.
    spilled: bool,
    /// Its file was cut, and nobody knows yet.
    cut: bool,
    used: u64,
}

impl Store {
    pub(crate) fn new(memory: u64) -> Self {
        Self { values: BTreeMap::new(), memory, resident: 0, uses: 0, is_full: false }
    }

    pub(crate) fn insert(&mut self, object: ObjectId, stored: Stored) {
        self.remove(object);
        self.uses += 1;
        self.resident += stored.size;
        self.values.insert(object, Slot { stored, spilled: false, cut: false, used: self.uses });
    }

    pub(crate) fn remove(&mut self, object: ObjectId) {
        if let Some(slot) = self.values.remove(&object).filter(|slot| !slot.spilled) {
            self.resident -= slot.stored.size;
        }
    }

    /// What is believed to be a value, wherever it lies.
    pub(crate) fn get(&self, object: ObjectId) -> Option<Stored> {
        self.values.get(&object).map(|slot| slot.stored)
    }

    /// Cuts the file of a value: whoever reads it next finds that out.
    pub(crate) fn cut(&mut self, object: ObjectId) {
        if let Some(slot) = self.values.get_mut(&object) {
            slot.cut = true;
        }
    }

    pub(crate) fn is_cut(&self, object: ObjectId) -> bool {
        self.values.get(&object).is_some_and(|slot| slot.cut)
    }

    /// Brings a value into memory for somebody who uses it. Returns it and how long reading it back takes.
    pub(crate) fn take_up(&mut self, object: ObjectId) -> Option<(Stored, Span)> {
        self.uses += 1;
        let slot = self.values.get_mut(&object).filter(|slot| !slot.cut)?;
        slot.used = self.uses;
        let Stored { size, .. } = slot.stored;
        let was_spilled = std::mem::take(&mut slot.spilled);
        self.resident += if was_spilled { size } else { 0 };
        let reading = if was_spilled { Span(100 + size / 2_000) } else { Span::ZERO };
        Some((slot.stored, reading))
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = ObjectId> {
        self.values.keys().copied()
    }

    /// Whether values should go to disk.
    pub(crate) fn is_tight(&self) -> bool {
        self.memory > 0 && self.resident > self.share(limits::SPILL_PERCENT)
    }

    /// Whether any could go.
    pub(crate) fn can_relieve(&self, pinned: &BTreeSet<ObjectId>) -> bool {
        self.idle(pinned).next().is_some()
    }

    /// Moves values that nobody uses to disk until there is room. Returns them.
    pub(crate) fn relieve(&mut self, pinned: &BTreeSet<ObjectId>) -> Vec<ObjectId> {
        let mut oldest: Vec<(u64, ObjectId)> = self.idle(pinned).collect();
        oldest.sort_unstable();
        let mut spilled = Vec::new();
        for (_, object) in oldest {
            if self.resident <= self.share(limits::SPILL_TO_PERCENT) {
                break;
            }
            if let Some(slot) = self.values.get_mut(&object) {
                slot.spilled = true;
                self.resident -= slot.stored.size;
                spilled.push(object);
            }
        }
        spilled
    }

    /// Values in memory that nobody uses, by when they were used last.
    fn idle(&self, pinned: &BTreeSet<ObjectId>) -> impl Iterator<Item = (u64, ObjectId)> {
        let is_idle = |object: &ObjectId, slot: &Slot| {
            !slot.spilled && slot.stored.size > 0 && !pinned.contains(object)
        };
        let idle = self.values.iter().filter(move |(object, slot)| is_idle(object, slot));
        idle.map(|(object, slot)| (slot.used, *object))
    }

    /// Whether memory is too full for anything to start: it takes more to become so than to stay so.
    pub(crate) fn is_full(&mut self) -> bool {
        let percent = if self.is_full { limits::RESUME_PERCENT } else { limits::PAUSE_PERCENT };
        self.is_full = self.memory > 0 && self.resident > self.share(percent);
        self.is_full
    }

    fn share(&self, percent: u64) -> u64 {
        self.memory / 100 * percent
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::id::HolderId;

    use super::*;

    fn object(n: u64) -> ObjectId {
        ObjectId::Held { holder: HolderId(1), n }
    }

    #[test]
    fn the_least_recently_used_goes_first_and_what_is_pinned_stays() {
        let mut store = Store::new(1_000);
        for n in 0..4 {
            store.insert(object(n), Stored { value: n, size: 250 });
        }
        assert!(store.is_tight() && store.is_full());
        store.take_up(object(0));
        let pinned = BTreeSet::from([object(1)]);
        assert_eq!(store.relieve(&pinned), [object(2), object(3)]);
        assert!(!store.is_full());
        let (stored, reading) = store.take_up(object(2)).unwrap_or_else(|| panic!("it is held"));
        assert_eq!((stored.value, reading > Span::ZERO), (2, true));
        assert!(store.is_tight() && !store.is_full(), "three of four are back");
        store.remove(object(3));
        assert!(store.is_tight(), "what is on disk takes no memory");
    }
}
