//! Room: what a store does when memory is short.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{ObjectId, Value, limits};
use tokio::task::spawn_blocking;

use super::{Draft, File, Files, Store, StoreError, Stored, Totals, runs_of};
use crate::sync::lock;

impl Store {
    /// Room for buffers of these lengths, in bytes; each starts on a multiple of [`limits::POOL_ALIGN_BYTES`]. Where memory
    /// is short, values are moved to disk for it, or the room itself is on disk: nothing for the driver's thread.
    pub(crate) fn allocate(&self, lengths: &[u64]) -> Result<Draft, StoreError> {
        Draft::new(lengths, |length| self.room(length))
    }

    /// The same, for a thread that must not wait: only if there is room as things are, and of much only what has been used
    /// before.
    pub(crate) fn allocate_now(&self, lengths: &[u64]) -> Option<Draft> {
        let total = lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
        if self.is_above(limits::SPILL_PERCENT, total) {
            return None;
        }
        let (most, is_small) = (self.most(), total <= limits::ALLOCATE_NOW_BYTES);
        let take = |length| {
            let file = if is_small {
                self.pool.take(length, most).ok().flatten()
            } else {
                self.pool.take_used(length, most)
            };
            file.ok_or(())
        };
        Draft::new(lengths, take).ok()
    }

    /// The same, for a thread that serves others while it waits.
    pub(crate) async fn make_room(
        self: &Arc<Self>,
        lengths: Vec<u64>,
    ) -> Result<Draft, StoreError> {
        if lengths.is_empty() {
            return Ok(Draft::default());
        }
        if let Some(draft) = self.allocate_now(&lengths) {
            return Ok(draft);
        }
        let store = Arc::clone(self);
        let allocated = spawn_blocking(move || store.allocate(&lengths)).await;
        allocated.map_err(io::Error::other)?
    }

    /// Files of another pool of this machine, under names of this store's own; the caller sees to it that they stay in place
    /// meanwhile. The draft is all written.
    pub(crate) fn link(&self, directory: &Path, runs: &[PoolFile]) -> io::Result<Draft> {
        let mut linked = BTreeMap::new();
        let mut draft = Draft::default();
        for run in runs {
            let file = match linked.get(&run.name) {
                Some(file) => Arc::clone(file),
                None => self.pool.link(&directory.join(&run.name))?,
            };
            linked.insert(&run.name, Arc::clone(&file));
            draft.push(&file, run.offset, run.length);
        }
        Ok(draft)
    }

    /// Whether values should go to disk, when the store is as full as this.
    pub(crate) fn is_tight(&self, totals: &Totals) -> bool {
        self.spill_directory().is_some() && self.exceeds(limits::SPILL_PERCENT, totals.held_bytes())
    }

    /// Moves values to disk until they take less than they should. Returns whether any was moved.
    pub(crate) fn relieve(&self) -> bool {
        self.relieve_for(0)
    }

    /// A value in memory, if it is held: one that is on disk is brought back. Fails where there is no room for it.
    pub(crate) fn bring_back(&self, object: ObjectId) -> Result<Option<Stored>, StoreError> {
        let _moving = lock(&self.moving);
        let Some(stored) = self.get(object) else { return Ok(None) };
        if stored.is_in_memory() {
            return Ok(Some(stored));
        }
        let room = |length| self.room_in_memory(length);
        let back = stored.copied(|length| room(length)?.ok_or_else(|| self.full(length)))?;
        let outcome = lock(&self.shelf).replace(object, &stored, back.clone(), None);
        drop(outcome);
        Ok(Some(back))
    }

    fn room(&self, length: u64) -> Result<Arc<File>, StoreError> {
        let moving = self.is_above(limits::SPILL_PERCENT, length).then(|| lock(&self.moving));
        if moving.is_some() {
            self.relieve_locked(length);
        }
        drop(moving);
        if let Some(file) = self.pool.take(length, self.most())? {
            return Ok(file);
        }
        let _moving = lock(&self.moving);
        if let Some(file) = self.room_in_memory(length)? {
            return Ok(file);
        }
        // Larger than all memory, or everything there is in use.
        self.pool.take_spilled(length)?.ok_or_else(|| self.full(length))
    }

    /// Moves values to disk until there is room. The caller has the lock of those who move.
    fn room_in_memory(&self, length: u64) -> Result<Option<Arc<File>>, StoreError> {
        let mut turn = 0;
        loop {
            let file = self.pool.take(length, self.most())?;
            if file.is_some() || length > self.limit || !self.spill_next(&mut turn) {
                return Ok(file);
            }
        }
    }

    fn relieve_for(&self, more: u64) -> bool {
        let _moving = lock(&self.moving);
        self.relieve_locked(more)
    }

    fn relieve_locked(&self, more: u64) -> bool {
        let (mut turn, mut any) = (0, false);
        // Another may have done it meanwhile.
        if !self.is_above(limits::SPILL_PERCENT, more) {
            return false;
        }
        while self.is_above(limits::SPILL_TO_PERCENT, more) && self.spill_next(&mut turn) {
            any = true;
        }
        any
    }

    /// Moves a value to disk: of those that nobody uses, the one least recently used after `turn`. Returns whether there was
    /// one, and room for it.
    fn spill_next(&self, turn: &mut u64) -> bool {
        if self.spill_directory().is_none() {
            return false;
        }
        loop {
            let victim = lock(&self.shelf).victim(*turn);
            let Some((at, object, stored)) = victim else { return false };
            *turn = at;
            let full = |length| self.full(length);
            let copied =
                stored.copied(|length| self.pool.take_spilled(length)?.ok_or_else(|| full(length)));
            match copied {
                Ok(copy) => {
                    // Two share it: the shelf and this thread.
                    let outcome = lock(&self.shelf).replace(object, &stored, copy, Some(2));
                    if outcome.is_ok() {
                        tracing::debug!(%object, bytes = stored.bytes(), "moved to disk");
                        return true;
                    }
                }
                Err(StoreError::Full { .. }) => {
                    tracing::warn!(%object, "no room on disk for values that memory has no room for");
                    return false;
                }
                Err(error) => {
                    tracing::warn!(%object, %error, "value cannot be moved to disk");
                    self.examine(object);
                }
            }
        }
    }

    /// Bytes that files in shared memory may take.
    fn most(&self) -> u64 {
        self.limit.saturating_sub(lock(&self.shelf).memory())
    }

    fn is_above(&self, percent: u64, more: u64) -> bool {
        self.exceeds(percent, self.totals().held_bytes().saturating_add(more))
    }

    fn exceeds(&self, percent: u64, bytes: u64) -> bool {
        self.limit != u64::MAX && bytes > self.limit / 100 * percent
    }

    fn full(&self, wanted: u64) -> StoreError {
        StoreError::Full { wanted, totals: self.totals() }
    }
}

impl Stored {
    /// The same value in other files, which `make` makes.
    fn copied(
        &self,
        mut make: impl FnMut(u64) -> Result<Arc<File>, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut copies = BTreeMap::new();
        let mut files = Files::default();
        for file in self.files.iter().flat_map(|files| files.iter()) {
            let own = runs_of(&self.value).filter(|run| run.name == file.name());
            let end = own.map(|run| run.offset.saturating_add(run.length)).max().unwrap_or(0);
            let copy = make(end)?;
            copy_bytes(file, &copy, end)?;
            files.push(&copy);
            copies.insert(file.name(), copy);
        }
        let buffers = self.value.buffers.iter().map(|buffer| match buffer {
            Buffer::PoolFile(run) => match copies.get(run.name.as_str()) {
                Some(copy) => Buffer::PoolFile(copy.run(run.offset, run.length)),
                None => buffer.clone(),
            },
            other => other.clone(),
        });
        let value = Arc::new(Value { buffers: buffers.collect(), ..self.head() });
        Ok(Self { value, made_by: self.made_by, files: Some(Arc::new(files)) })
    }
}

/// Copies the first bytes of a file into a new one.
fn copy_bytes(from: &File, to: &File, length: u64) -> io::Result<()> {
    // Both have positions of their own.
    let source = fs::File::open(from.path())?;
    let mut target = fs::OpenOptions::new().write(true).open(to.path())?;
    let copied = io::copy(&mut source.take(length), &mut target)?;
    if copied < length { Err(from.cut(length)) } else { Ok(()) }
}
