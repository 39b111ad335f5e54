//! A shelf of blobs, with room for so many bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::recent::Recent;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Blob;

/// Bytes that one permit of an upload stands for.
const PAGE: u64 = limits::STORE_CHUNK_BYTES as u64;

/// Blobs, of which those that were used least recently make room for others.
#[derive(Debug)]
pub(super) struct Shelf {
    limit: u64,
    kept: Mutex<Recent<Digest, Blob>>,
    /// Pages that uploads under way may still take; they come on top of what is kept.
    room: Arc<Semaphore>,
}

impl Shelf {
    /// Keeps so many bytes.
    pub(super) fn new(limit: u64) -> Self {
        let pages = usize::try_from(limit.div_ceil(PAGE)).unwrap_or(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(pages.min(Semaphore::MAX_PERMITS)));
        Self { limit, kept: Mutex::new(Recent::new(limit)), room }
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
        self.lock().get(digest).cloned()
    }

    /// Its length, if it is kept.
    pub(super) fn length(&self, digest: Digest) -> Option<u64> {
        self.lock().peek(digest).map(Blob::length)
    }

    /// Keeps a blob, which is at most as long as there is room in all.
    pub(super) fn put(&self, digest: Digest, blob: Blob) {
        let gone = self.lock().put(digest, blob.length(), blob);
        // Without the lock, which whoever looks for a blob waits for.
        drop(gone);
    }

    /// How many are kept, and their bytes.
    pub(super) fn totals(&self) -> (u64, u64) {
        let kept = self.lock();
        (kept.len() as u64, kept.bytes())
    }

    /// The table is whole after a panic: no holder of the lock stops half-way.
    fn lock(&self) -> MutexGuard<'_, Recent<Digest, Blob>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
