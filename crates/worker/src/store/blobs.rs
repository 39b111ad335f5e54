//! Blobs: bytes named by their digest, kept like values for as long as there is room.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bireme_core::hash::{IdMap, Seeded};
use bireme_core::id::Digest;
use bireme_core::limits;

use super::{Store, Stored};
use crate::sync::lock;

/// The blobs of a store.
#[derive(Debug)]
pub(super) struct Blobs {
    shelf: Mutex<Shelf>,
    /// Bytes that blobs may take.
    limit: u64,
}

#[derive(Debug)]
struct Shelf {
    blobs: IdMap<Digest, (Stored, u64)>,
    /// All of them by the turn in which they were used last.
    recent: BTreeMap<u64, Digest>,
    turns: u64,
    /// Invariant: the sum of their sizes.
    bytes: u64,
}

impl Blobs {
    pub(super) fn new(seed: u64) -> Self {
        let blobs = IdMap::with_hasher(Seeded::new(seed));
        let shelf = Shelf { blobs, recent: BTreeMap::new(), turns: 0, bytes: 0 };
        Self { shelf: Mutex::new(shelf), limit: limits::BLOBS_BYTES }
    }
}

impl Store {
    /// A blob as a value of one raw buffer, if it is here.
    pub(crate) fn blob(&self, digest: Digest) -> Option<Stored> {
        let mut shelf = lock(&self.blobs.shelf);
        let blob = shelf.blobs.get(&digest)?.0.clone();
        shelf.touch(digest);
        Some(blob)
    }

    /// Whether a blob is here, and how long it is. That does not count as use.
    pub(crate) fn blob_stat(&self, digest: Digest) -> Option<Stored> {
        lock(&self.blobs.shelf).blobs.get(&digest).map(|(blob, _)| blob.clone())
    }

    /// Keeps a blob, and drops those least recently used for it where there are too many. One that somebody reads is dropped
    /// when it has been read. Whoever calls has checked the digest, and that the blob is within the limit.
    pub(crate) fn put_blob(&self, digest: Digest, blob: Stored) {
        let mut shelf = lock(&self.blobs.shelf);
        let mut gone = vec![shelf.remove(digest)];
        shelf.bytes += blob.value.size;
        shelf.blobs.insert(digest, (blob, 0));
        shelf.touch(digest);
        while shelf.bytes > self.blobs.limit
            && let Some((_, &oldest)) = shelf.recent.first_key_value()
            && oldest != digest
        {
            gone.push(shelf.remove(oldest));
        }
        drop(shelf); // Before those that are gone, whose memory is given back without the lock.
        drop(gone);
    }

    /// How many blobs there are, and how many bytes they have.
    pub(crate) fn blob_totals(&self) -> (u64, u64) {
        let shelf = lock(&self.blobs.shelf);
        (shelf.blobs.len() as u64, shelf.bytes)
    }
}

impl Shelf {
    fn touch(&mut self, digest: Digest) {
        let Some((_, turn)) = self.blobs.get_mut(&digest) else { return };
        self.recent.remove(turn);
        self.turns += 1;
        *turn = self.turns;
        self.recent.insert(self.turns, digest);
    }

    fn remove(&mut self, digest: Digest) -> Option<Stored> {
        let (blob, turn) = self.blobs.remove(&digest)?;
        self.recent.remove(&turn);
        self.bytes -= blob.value.size;
        Some(blob)
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::Value;

    use super::*;

    #[test]
    fn the_least_recently_used_blobs_go() {
        let mut store = Store::scratch();
        store.blobs.limit = 10;
        let put = |n: u8, len: usize| {
            store.put_blob(Digest([n; 32]), Stored::of(Value::raw(vec![n; len])));
        };
        let have = || -> String {
            let letter = |n| store.blob_stat(Digest([n; 32])).map_or('-', |_| char::from(b'0' + n));
            (1..=4).map(letter).collect()
        };
        put(1, 4);
        put(2, 4);
        put(2, 3);
        assert_eq!(store.blob_totals(), (2, 7));
        let read = store.blob(Digest([1; 32])).unwrap();
        put(3, 4);
        assert_eq!(have(), "1-3-");
        put(4, 10);
        assert_eq!((have().as_str(), store.blob_totals()), ("---4", (1, 10)));
        assert_eq!(read.value.size, 4);
    }
}
