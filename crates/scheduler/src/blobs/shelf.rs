//! A shelf of blobs, with room for so many bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Blob;

/// Bytes that one permit of an upload stands for.
const PAGE: u64 = limits::STORE_CHUNK_BYTES as u64;

/// Blobs, of which those that were used least recently make room for others.
#[derive(Debug)]
pub(super) struct Shelf {
    limit: u64,
    kept: Mutex<Kept>,
    /// Pages that uploads under way may still take; they come on top of what is kept.
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    /// With their last uses.
    blobs: BTreeMap<Digest, (Blob, u64)>,
    /// By their last use, the oldest first.
    order: BTreeMap<u64, Digest>,
    uses: u64,
    bytes: u64,
}

impl Shelf {
    /// Keeps so many bytes.
    pub(super) fn new(limit: u64) -> Self {
        let pages = usize::try_from(limit.div_ceil(PAGE)).unwrap_or(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(pages.min(Semaphore::MAX_PERMITS)));
        Self { limit, kept: Mutex::default(), room }
    }

    /// Room for an upload, for as long as it takes.
    pub(super) fn enter(&self, length: u64) -> Result<OwnedSemaphorePermit, Refusal> {
        let pages = u32::try_from(length.div_ceil(PAGE)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(pages).map_err(|_| {
            let message = format!(
                "blobs of {} bytes are being uploaded, which is the limit: come again",
                self.limit
            );
            Refusal::new(Reason::Busy, message)
        })
    }

    /// A blob, which counts as used.
    pub(super) fn get(&self, digest: Digest) -> Option<Blob> {
        let mut kept = self.lock();
        let Kept { blobs, order, uses, .. } = &mut *kept;
        let (blob, used) = blobs.get_mut(&digest)?;
        *uses += 1;
        order.remove(used);
        *used = *uses;
        order.insert(*uses, digest);
        Some(blob.clone())
    }

    /// Its length, if it is kept.
    pub(super) fn length(&self, digest: Digest) -> Option<u64> {
        self.lock().blobs.get(&digest).map(|(blob, _)| blob.length())
    }

    /// Keeps a blob, which is at most as long as there is room in all.
    pub(super) fn put(&self, digest: Digest, blob: Blob) {
        let length = blob.length();
        let mut kept = self.lock();
        if kept.blobs.contains_key(&digest) {
            return;
        }
        while kept.bytes + length > self.limit {
            kept.drop_oldest();
        }
        kept.uses += 1;
        let used = kept.uses;
        kept.bytes += length;
        kept.order.insert(used, digest);
        kept.blobs.insert(digest, (blob, used));
    }

    /// How many are kept, and their bytes.
    pub(super) fn totals(&self) -> (u64, u64) {
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
        self.bytes -= oldest.map_or(self.bytes, |(blob, _)| blob.length());
    }
}
