//! Blobs: bytes named by their digest, kept like values for as long as there is room.

use std::sync::Mutex;

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::recent::Recent;

use super::{Store, Stored};
use crate::sync::lock;

/// The blobs of a store.
#[derive(Debug)]
pub(super) struct Blobs(Mutex<Recent<Digest, Stored>>);

impl Default for Blobs {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(limits::BLOBS_BYTES)))
    }
}

impl Store {
    /// A blob as a value of one raw buffer, if it is here.
    pub(crate) fn blob(&self, digest: Digest) -> Option<Stored> {
        lock(&self.blobs.0).get(digest).cloned()
    }

    /// Whether a blob is here, and how long it is. That does not count as use.
    pub(crate) fn blob_stat(&self, digest: Digest) -> Option<Stored> {
        lock(&self.blobs.0).peek(digest).cloned()
    }

    /// Keeps a blob, and drops those least recently used for it where there are too many. One that somebody reads is dropped
    /// when it has been read. Whoever calls has checked the digest, and that the blob is within the limit.
    pub(crate) fn put_blob(&self, digest: Digest, blob: Stored) {
        let gone = lock(&self.blobs.0).put(digest, blob.value.size, blob);
        // Their memory is given back without the lock.
        drop(gone);
    }

    /// How many blobs there are, and how many bytes they have.
    pub(crate) fn blob_totals(&self) -> (u64, u64) {
        let blobs = lock(&self.blobs.0);
        (blobs.len() as u64, blobs.bytes())
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::Value;

    use super::*;

    #[test]
    fn the_least_recently_used_blobs_go() {
        let mut store = Store::scratch();
        store.blobs = Blobs(Mutex::new(Recent::new(10)));
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
