//! Values that this worker holds.
//!
//! Short buffers are in the daemon's own memory, long ones in files of the [`pool`], which executors map and everybody else
//! reads and writes. When memory runs short, values that nobody uses go to disk (`spill`), the least recently used first.
//! Whoever has a [`Stored`] uses the value: its files keep their bytes and their place until it is dropped.

mod blobs;
mod draft;
mod file;
mod losses;
mod place;
mod pool;
mod shelf;
mod spill;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bireme_core::id::AttemptId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{ErrorClass, ObjectId, TaskError, Time, Value, limits};

pub(crate) use self::draft::Draft;
pub(crate) use self::file::{File, Files};
pub use self::place::PlaceError;
pub(crate) use self::shelf::Stat;

use self::blobs::Blobs;
use self::losses::Losses;
use self::place::Place;
use self::pool::Pool;
use self::shelf::Shelf;
use crate::failure::failure;
use crate::sync::lock;

/// How a store is made.
#[derive(Clone, Debug)]
pub(crate) struct StoreConfig {
    /// Peers choose object ids, so this should be hard to guess.
    pub(crate) seed: u64,
    /// Where the pool's files are; `None` is a directory of its own in shared memory.
    pub(crate) directory: Option<PathBuf>,
    /// Bytes that values may take in memory and the pool together; 0 sets no limit.
    pub(crate) limit_bytes: u64,
    /// Where a directory for values that memory has no room for is made; `None` keeps all of them in memory.
    pub(crate) spill: Option<PathBuf>,
    /// Bytes that values may take there.
    pub(crate) spill_bytes: u64,
}

/// Every value held. Values never change: an object stored again under its id replaces the old one whole, and whoever reads
/// that keeps it.
#[derive(Debug)]
pub(crate) struct Store {
    shelf: Mutex<Shelf>,
    blobs: Blobs,
    pool: Arc<Pool>,
    limit: u64,
    /// Held by the one who moves values between memory and disk.
    moving: Mutex<()>,
    /// What time it is, roughly.
    now: AtomicU64,
    place: Place,
    losses: Losses,
}

/// A value held. As long as this or a clone of it lives, the value is pinned: the files that it names keep their bytes and
/// their place.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// The value. Its buffers are inline, or files of the pool.
    pub(crate) value: Arc<Value>,
    /// The attempt that made it, where one did and it is known.
    pub(crate) made_by: Option<AttemptId>,
    files: Option<Arc<Files>>,
}

/// Where the bytes of a value are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Residence {
    /// In the daemon's own memory.
    Memory,
    /// In files in shared memory.
    Shared,
    /// On disk.
    Spilled,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Totals {
    /// How many values.
    pub(crate) objects: u64,
    /// Bytes in the daemon's own memory.
    pub(crate) memory_bytes: u64,
    /// Bytes set aside in shared memory, for drafts too.
    pub(crate) shared_bytes: u64,
    /// Bytes set aside on disk.
    pub(crate) spilled_bytes: u64,
}

/// Why a value is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file of the value is not what it was made as.
    #[error("a file of the value is damaged: {0}")]
    Damaged(io::Error),
    /// There is room neither in memory nor on disk.
    #[error(
        "no room for {wanted} bytes: values take {} bytes of memory and {} of disk, and those that can be moved have been; \
         release values, or give the worker more --memory or a larger --spill-dir",
        totals.held_bytes(), totals.spilled_bytes
    )]
    Full {
        /// In bytes.
        wanted: u64,
        /// What there is.
        totals: Totals,
    },
    /// The value names a file that was not made for it.
    #[error("pool file {} at {} was not allocated for this, or its lease is over", .0.name, .0.offset)]
    NotAllocated(PoolFile),
    /// The system refuses.
    #[error("values cannot be kept in the pool: {0}")]
    System(#[from] io::Error),
}

impl StoreError {
    /// What the attempt whose result is not stored fails with.
    pub(crate) fn failure(&self) -> Box<TaskError> {
        failure(ErrorClass::Store, self.reason(), self.to_string())
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Damaged(_) | Self::NotAllocated(_) => Reason::Malformed,
            Self::Full { .. } | Self::System(_) => Reason::StoreFull,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(error.reason(), error.to_string())
    }
}

impl Totals {
    /// Bytes of memory that values take.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.memory_bytes + self.shared_bytes
    }
}

impl Store {
    /// An empty store.
    pub(crate) fn new(config: StoreConfig) -> Result<Self, PlaceError> {
        let StoreConfig { seed, directory, limit_bytes, spill, spill_bytes } = config;
        let limit = if limit_bytes == 0 { u64::MAX } else { limit_bytes };
        let place = Place::make(directory, spill.as_deref())?;
        let pool = Pool::new(place.pool.clone(), place.spill.clone(), limit, spill_bytes);
        Ok(Self {
            shelf: Mutex::new(Shelf::new(seed)),
            blobs: Blobs::default(),
            pool: Arc::new(pool),
            limit,
            moving: Mutex::default(),
            now: AtomicU64::new(0),
            place,
            losses: Losses::default(),
        })
    }

    /// A store without limits.
    #[cfg(test)]
    pub(crate) fn scratch() -> Self {
        let none =
            StoreConfig { seed: 0, directory: None, limit_bytes: 0, spill: None, spill_bytes: 0 };
        Self::new(none).expect("there is room for a directory")
    }

    /// Where the files of the pool are.
    pub(crate) fn directory(&self) -> &Path {
        self.pool.directory()
    }

    /// Where values go that memory has no room for.
    pub(crate) fn spill_directory(&self) -> Option<&Path> {
        self.place.spill.as_deref()
    }

    /// Bytes that values may take in memory and the pool together.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Says what time it is; used to tell how long values have been idle.
    pub(crate) fn set_now(&self, now: Time) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    /// What time it was when that was last said.
    pub(crate) fn now(&self) -> Time {
        Time(self.now.load(Ordering::Relaxed))
    }

    /// Stores a value and returns its size in bytes. Buffers of at least [`limits::POOL_FILE_BYTES`] are written into pool
    /// files before this returns: nothing for the driver's thread, unless the value is small.
    pub(crate) fn put(
        &self,
        object: ObjectId,
        value: Arc<Value>,
        made_by: Option<AttemptId>,
    ) -> Result<u64, StoreError> {
        let stored = self.lay_out(value, made_by)?;
        self.insert(object, stored)
    }

    /// Stores a value that names runs of drafts, all written, among other buffers. The drafts keep what it does not name.
    pub(crate) fn put_written<'a>(
        &self,
        object: ObjectId,
        value: Value,
        drafts: impl Iterator<Item = &'a Draft> + Clone,
        made_by: Option<AttemptId>,
    ) -> Result<u64, StoreError> {
        let stored = Stored::gather(value, drafts, made_by)?;
        self.insert(object, stored)
    }

    /// A value, if it is held. Does no I/O.
    pub(crate) fn get(&self, object: ObjectId) -> Option<Stored> {
        lock(&self.shelf).get(object, self.now())
    }

    /// What is known of a value, if it is held. That does not count as use.
    pub(crate) fn stat(&self, object: ObjectId) -> Option<Stat> {
        lock(&self.shelf).stat(object)
    }

    /// Drops a value; whether it was held. Does no I/O: files go back to the pool, or are removed by another thread.
    pub(crate) fn remove(&self, object: ObjectId) -> bool {
        // The lock is given back first: giving back memory takes a while.
        let old = lock(&self.shelf).remove(object);
        old.is_some()
    }

    /// How full the store is.
    pub(crate) fn totals(&self) -> Totals {
        let shelf = lock(&self.shelf);
        let (objects, memory_bytes) = (shelf.len(), shelf.memory());
        drop(shelf);
        let (shared_bytes, spilled_bytes) = (self.pool.shared_bytes(), self.pool.spilled_bytes());
        Totals { objects, memory_bytes, shared_bytes, spilled_bytes }
    }

    /// Resolves when memory or disk has come free since the future was made.
    pub(crate) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.pool.freed()
    }

    /// Removes the directories that the store has made; files that are open stay as they are.
    pub(crate) fn close(&self) {
        self.pool.close();
        self.place.remove();
    }

    /// Writes long buffers of a value into files.
    pub(crate) fn lay_out(
        &self,
        mut value: Arc<Value>,
        made_by: Option<AttemptId>,
    ) -> Result<Stored, StoreError> {
        let lengths: Vec<_> = long_buffers(&value).map(|(_, bytes)| bytes.len() as u64).collect();
        if lengths.is_empty() {
            return Ok(Stored { value, made_by, files: None });
        }
        let draft = self.allocate(&lengths)?;
        for (n, (_, bytes)) in long_buffers(&value).enumerate() {
            draft.write(n, 0, bytes)?;
        }
        let places: Vec<_> = long_buffers(&value).map(|(at, _)| at).collect();
        let (runs, files) = draft.finish();
        let buffers = &mut Arc::make_mut(&mut value).buffers;
        for (at, run) in places.into_iter().zip(runs) {
            if let Some(buffer) = buffers.get_mut(at) {
                *buffer = run;
            }
        }
        Ok(Stored { value, made_by, files: Some(Arc::new(files)) })
    }

    fn insert(&self, object: ObjectId, stored: Stored) -> Result<u64, StoreError> {
        let (size, wanted) = (stored.value.size, stored.value.inline_bytes());
        let now = self.now();
        let mut shelf = lock(&self.shelf);
        let held = shelf.memory() + self.pool.shared_bytes();
        // The smallest are always taken: they come with orders, and nothing starts above the pause mark.
        if wanted > limits::INLINE_BYTES && held.saturating_add(wanted) > self.limit {
            drop(shelf);
            return Err(StoreError::Full { wanted, totals: self.totals() });
        }
        let old = shelf.insert(object, stored, now);
        drop(shelf); // Before `old`, whose memory is given back without the lock.
        drop(old);
        Ok(size)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Stored {
    /// A value that is in no store.
    #[cfg(test)]
    pub(crate) fn of(value: Value) -> Self {
        Self { value: Arc::new(value), made_by: None, files: None }
    }

    /// A value of runs of drafts, in no store yet.
    pub(crate) fn gather<'a>(
        value: Value,
        drafts: impl Iterator<Item = &'a Draft> + Clone,
        made_by: Option<AttemptId>,
    ) -> Result<Self, StoreError> {
        let mut files = Files::default();
        for run in runs_of(&value) {
            let owner = drafts.clone().find_map(|draft| draft.owner(run));
            files.push(owner.ok_or_else(|| StoreError::NotAllocated(run.clone()))?);
        }
        let stored = Self::checked(value, files, made_by)?;
        let long = |buffer: &Buffer| matches!(buffer, Buffer::Inline(bytes) if is_long(bytes));
        if stored.value.buffers.iter().any(long) {
            let message = "a buffer of the value is too long to be inline".to_owned();
            return Err(StoreError::Damaged(io::Error::other(message)));
        }
        Ok(stored)
    }

    fn checked(value: Value, files: Files, made_by: Option<AttemptId>) -> Result<Self, StoreError> {
        for run in runs_of(&value) {
            if let Some(file) = files.find(&run.name) {
                file.check(run.offset.saturating_add(run.length)).map_err(StoreError::Damaged)?;
            }
        }
        let files = (!files.is_empty()).then(|| Arc::new(files));
        Ok(Self { value: Arc::new(value), made_by, files })
    }

    /// The value with every byte in memory. Reads files where they are there: nothing for the driver's thread.
    pub(crate) fn load(&self) -> io::Result<Arc<Value>> {
        if self.files.is_none() {
            return Ok(Arc::clone(&self.value));
        }
        let buffers = self.value.buffers.iter().map(|buffer| match buffer {
            Buffer::PoolFile(run) => {
                let length = usize::try_from(run.length).map_err(io::Error::other)?;
                Ok(Buffer::Inline(self.file(run)?.read(run.offset, length)?))
            }
            other => Ok(other.clone()),
        });
        let buffers = buffers.collect::<io::Result<_>>()?;
        Ok(Arc::new(Value { buffers, ..self.head() }))
    }

    /// The value without its buffers.
    pub(crate) fn head(&self) -> Value {
        let Value { codec, size, compression, digest, .. } = *self.value;
        let (contains, type_hint) = (self.value.contains.clone(), self.value.type_hint.clone());
        Value { codec, buffers: Vec::new(), size, contains, type_hint, compression, digest }
    }

    /// The file of a buffer.
    pub(crate) fn file(&self, run: &PoolFile) -> io::Result<&Arc<File>> {
        let missing = || io::Error::other(format!("pool file {} is not the value's", run.name));
        self.files.as_ref().and_then(|files| files.find(&run.name)).ok_or_else(missing)
    }

    /// Where the bytes are.
    pub(crate) fn residence(&self) -> Residence {
        match &self.files {
            None => Residence::Memory,
            Some(files) if files.iter().any(|file| !file.is_spilled()) => Residence::Shared,
            Some(_) => Residence::Spilled,
        }
    }

    /// Whether nothing of it is on disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        !self.files.iter().flat_map(|files| files.iter()).any(|file| file.is_spilled())
    }

    /// Bytes that are taken where the value is.
    pub(crate) fn bytes(&self) -> u64 {
        let rooms = self.files.iter().flat_map(|files| files.iter()).map(|file| file.room());
        self.value.inline_bytes() + rooms.sum::<u64>()
    }

    /// How many share the value, this one included; 1 where nobody can say.
    fn pins(&self) -> usize {
        self.files.as_ref().map_or(1, Arc::strong_count)
    }

    /// Whether no more than so many share the value, nor anybody else a file of it.
    fn is_free(&self, pins: usize) -> bool {
        self.files
            .as_ref()
            .is_some_and(|files| Arc::strong_count(files) <= pins && !files.is_shared())
    }
}

fn is_long(bytes: &[u8]) -> bool {
    bytes.len() as u64 >= limits::POOL_FILE_BYTES
}

/// The buffers that belong in files, and which ones they are.
fn long_buffers(value: &Value) -> impl Iterator<Item = (usize, &bytes::Bytes)> {
    value.buffers.iter().enumerate().filter_map(|(at, buffer)| match buffer {
        Buffer::Inline(bytes) if is_long(bytes) => Some((at, bytes)),
        _ => None,
    })
}

/// The buffers that are in files.
fn runs_of(value: &Value) -> impl Iterator<Item = &PoolFile> {
    value.buffers.iter().filter_map(|buffer| match buffer {
        Buffer::PoolFile(run) => Some(run),
        Buffer::Blob(_) | Buffer::Inline(_) | Buffer::Object(_) => None,
    })
}
