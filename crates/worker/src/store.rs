//! Values that this worker holds.

use std::sync::{Arc, Mutex};

use bireme_core::hash::{IdMap, Seeded};
use bireme_core::id::AttemptId;
use bireme_core::{ObjectId, Value};

use crate::sync::lock;

/// Every value held, in memory. Values never change: an object stored again under its id replaces the old one whole, and
/// whoever reads that keeps it.
#[derive(Debug)]
pub(crate) struct Store {
    shelf: Mutex<Shelf>,
}

#[derive(Debug)]
struct Shelf {
    objects: IdMap<ObjectId, Stored>,
    /// Invariant: the sum of the values' sizes.
    bytes: u64,
}

/// A value held.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The value.
    pub(crate) value: Arc<Value>,
    /// The attempt that made it, where one did and it is known.
    pub(crate) made_by: Option<AttemptId>,
}

impl Stored {
    /// A value that is in no store.
    #[cfg(test)]
    pub(crate) fn of(value: Value) -> Self {
        Self { value: Arc::new(value), made_by: None }
    }

    /// The value with every byte in memory. Reads files where they are there: nothing for the driver's thread.
    #[expect(clippy::unnecessary_wraps, reason = "files cannot always be read")]
    pub(crate) fn load(&self) -> std::io::Result<Arc<Value>> {
        Ok(Arc::clone(&self.value))
    }
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Totals {
    /// How many values.
    pub(crate) objects: u64,
    /// Their sizes in bytes.
    pub(crate) bytes: u64,
}

impl Store {
    /// An empty store. Peers choose object ids, so the seed should be hard to guess.
    pub(crate) fn new(seed: u64) -> Self {
        let objects = IdMap::with_hasher(Seeded::new(seed));
        Self { shelf: Mutex::new(Shelf { objects, bytes: 0 }) }
    }

    /// Stores a value and returns its size in bytes.
    pub(crate) fn put(
        &self,
        object: ObjectId,
        value: Arc<Value>,
        made_by: Option<AttemptId>,
    ) -> u64 {
        let size = value.size;
        let mut shelf = lock(&self.shelf);
        let old = shelf.objects.insert(object, Stored { value, made_by });
        shelf.bytes += size;
        shelf.bytes -= old.as_ref().map_or(0, |old| old.value.size);
        drop(shelf); // Before `old`, whose memory is given back without the lock.
        size
    }

    /// A value, if it is held.
    pub(crate) fn get(&self, object: ObjectId) -> Option<Stored> {
        lock(&self.shelf).objects.get(&object).cloned()
    }

    /// Drops a value; whether it was held.
    pub(crate) fn remove(&self, object: ObjectId) -> bool {
        let mut shelf = lock(&self.shelf);
        let old = shelf.objects.remove(&object);
        shelf.bytes -= old.as_ref().map_or(0, |old| old.value.size);
        drop(shelf); // Before `old`, whose memory is given back without the lock.
        old.is_some()
    }

    /// How full the store is.
    pub(crate) fn totals(&self) -> Totals {
        let shelf = lock(&self.shelf);
        Totals { objects: shelf.objects.len() as u64, bytes: shelf.bytes }
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::id::HolderId;

    use super::*;

    fn object(n: u64) -> ObjectId {
        ObjectId::Held { holder: HolderId(1), n }
    }

    fn bytes(len: usize) -> Arc<Value> {
        Arc::new(Value::raw(vec![0; len]))
    }

    #[test]
    fn bytes_are_counted_once_whatever_is_stored_twice() {
        let store = Store::new(0);
        assert_eq!(store.put(object(1), bytes(10), None), 10);
        store.put(object(2), bytes(5), None);
        assert_eq!(store.totals(), Totals { objects: 2, bytes: 15 });
        store.put(object(1), bytes(3), None);
        assert_eq!(store.totals(), Totals { objects: 2, bytes: 8 });
        assert!(store.remove(object(1)) && !store.remove(object(1)));
        assert_eq!(store.totals(), Totals { objects: 1, bytes: 5 });
    }

    #[test]
    fn a_reader_keeps_what_is_dropped() {
        let store = Store::new(0);
        store.put(object(1), bytes(4), None);
        let read = store.get(object(1)).unwrap();
        store.remove(object(1));
        assert!(store.get(object(1)).is_none());
        assert_eq!(read.value.size, 4);
    }
}
