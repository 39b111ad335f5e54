//! Blobs: bytes that were uploaded under their digest. They are kept in memory, and those that were used least recently make
//! room for new ones: whoever needs one that is gone uploads it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit of an upload stands for.
const PAGE: u64 = limits::STORE_CHUNK_BYTES as u64;

/// The blobs that are kept.
#[derive(Debug)]
pub(crate) struct Blobs {
    limit: u64,
    kept: Mutex<Kept>,
    /// Pages that uploads under way may still take; they come on top of what is kept.
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    blobs: BTreeMap<Digest, Blob>,
    /// By their last use, the oldest first.
    order: BTreeMap<u64, Digest>,
    uses: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Blob {
    bytes: Bytes,
    used: u64,
}

impl Blobs {
    /// Keeps so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        let pages = usize::try_from(limit.div_ceil(PAGE)).unwrap_or(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(pages.min(Semaphore::MAX_PERMITS)));
        Self { limit, kept: Mutex::default(), room }
    }

    /// Room for an upload, for as long as it takes.
    pub(crate) fn enter(&self, length: u64) -> Result<OwnedSemaphorePermit, Refusal> {
        if length > self.limit {
            let message =
                format!("the blob has {length} bytes, the limit is {}: put a value", self.limit);
            return Err(Refusal::at(Reason::ValueTooLarge, "head.length", message));
        }
        let pages = u32::try_from(length.div_ceil(PAGE)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(pages).map_err(|_| {
            let message = format!(
                "blobs of {} bytes are being uploaded, which is the limit: come again",
                self.limit
            );
            Refusal::new(Reason::Busy, message)
        })
    }

    /// The bytes of a blob, which count as used.
    pub(crate) fn get(&self, digest: Digest) -> Option<Bytes> {
        let mut kept = self.lock();
        let Kept { blobs, order, uses, .. } = &mut *kept;
        let blob = blobs.get_mut(&digest)?;
        *uses += 1;
        order.remove(&blob.used);
        blob.used = *uses;
        order.insert(*uses, digest);
        Some(blob.bytes.clone())
    }

    /// Its length, if it is kept.
    pub(crate) fn length(&self, digest: Digest) -> Option<u64> {
        self.lock().blobs.get(&digest).map(|blob| blob.bytes.len() as u64)
    }

    /// Keeps bytes under their digest, if that is theirs.
    pub(crate) fn put(&self, digest: Digest, bytes: Bytes) -> Result<(), Refusal> {
        let found = Digest(*blake3::hash(&bytes).as_bytes());
        if found != digest {
            let message = format!("the bytes have the digest {found:?}, not {digest:?}");
            return Err(Refusal::at(Reason::DigestMismatch, "head.digest", message));
        }
        let length = bytes.len() as u64;
        let mut kept = self.lock();
        if kept.blobs.contains_key(&digest) {
            return Ok(());
        }
        while kept.bytes + length > self.limit {
            kept.drop_oldest();
        }
        kept.uses += 1;
        let used = kept.uses;
        kept.bytes += length;
        kept.order.insert(used, digest);
        kept.blobs.insert(digest, Blob { bytes, used });
        Ok(())
    }

    /// How many are kept, and their bytes.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let kept = self.lock();
        (kept.blobs.len() as u64, kept.bytes)
    }

    /// The table is whole after a panic: no holder of the lock stops half-way.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_oldest(&mut self) {
        let oldest = self.order.pop_first().and_then(|(_, digest)| self.blobs.remove(&digest));
        // No single blob is above the limit, so that nothing is left to drop only where nothing need be.
        self.bytes -= oldest.map_or(self.bytes, |blob| blob.bytes.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest(*blake3::hash(bytes).as_bytes())
    }

    fn put(blobs: &Blobs, bytes: &'static [u8]) -> Digest {
        let digest = digest(bytes);
        blobs.put(digest, Bytes::from_static(bytes)).unwrap();
        digest
    }

    #[test]
    fn what_was_used_least_recently_makes_room() {
        let blobs = Blobs::new(10);
        let (first, second) = (put(&blobs, b"1234"), put(&blobs, b"5678"));
        assert_eq!(blobs.get(first).as_deref(), Some(&b"1234"[..]));
        let third = put(&blobs, b"90");
        assert_eq!(blobs.totals(), (3, 10));
        let fourth = put(&blobs, b"abc");
        let lengths = [first, second, third, fourth].map(|digest| blobs.length(digest));
        assert_eq!(lengths, [Some(4), None, Some(2), Some(3)]);
        let whole = put(&blobs, b"0123456789");
        assert_eq!((blobs.totals(), blobs.length(whole)), ((1, 10), Some(10)));
    }

    #[test]
    fn bytes_are_kept_under_their_own_digest_only() {
        let blobs = Blobs::new(10);
        let refused = blobs.put(digest(b"a"), Bytes::from_static(b"b")).unwrap_err();
        assert_eq!((refused.reason, blobs.totals()), (Reason::DigestMismatch, (0, 0)));
    }

    #[test]
    fn uploads_wait_outside_when_there_are_too_many() {
        let blobs = Blobs::new(10);
        assert_eq!(blobs.enter(11).unwrap_err().reason, Reason::ValueTooLarge);
        let first = blobs.enter(10).unwrap();
        assert_eq!(blobs.enter(1).unwrap_err().reason, Reason::Busy);
        drop(first);
        assert!(blobs.enter(1).is_ok());
    }
}
