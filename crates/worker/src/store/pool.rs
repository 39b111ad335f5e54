//! The pool: files in shared memory, used again and again.
//!
//! Memory that has been used once costs nothing to have again, while new memory has to be cleared page by page. So a file
//! whose value is gone waits for the next value of its size class. Its name changes with its generation: who comes late
//! finds no file, rather than another value's bytes. Clients of this machine read values in place for as long as they like:
//! each has a lock of the system on the file, and one that is locked is removed instead of used again.

mod sweep;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bireme_core::limits;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use tokio::sync::Notify;

use self::sweep::Sweeper;
use super::file::File;
use crate::sync::lock;

/// The files of a store, and the account of their bytes.
#[derive(Debug)]
pub(crate) struct Pool {
    directory: PathBuf,
    /// Where spilled files are.
    spill: Option<PathBuf>,
    /// Rooms of files in use in shared memory, in bytes.
    shared: AtomicU64,
    /// Rooms of files in use on disk, in bytes.
    spilled: AtomicU64,
    /// Bytes that files on disk may take.
    spill_limit: u64,
    /// Bytes that files in shared memory may take while they wait to be used again.
    free_limit: u64,
    open: AtomicUsize,
    next: AtomicU64,
    free: Mutex<Free>,
    sweeper: Sweeper,
    /// Told when a file comes free.
    freed: Notify,
}

/// Files that wait to be used again.
#[derive(Debug, Default)]
struct Free {
    by_room: BTreeMap<u64, Vec<Idle>>,
    /// Invariant: the sum of their rooms.
    bytes: u64,
}

/// A file that nobody uses.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) name: String,
    pub(super) number: u64,
    /// How many values it has been used for, with this one.
    pub(super) generation: u64,
    /// Bytes set aside.
    pub(super) room: u64,
    pub(super) open: Option<Arc<fs::File>>,
}

impl Pool {
    /// A pool without files in a directory that is there. `limit` is what all values may take in memory, in bytes.
    pub(super) fn new(
        directory: PathBuf,
        spill: Option<PathBuf>,
        limit: u64,
        spill_limit: u64,
    ) -> Self {
        Self {
            directory,
            spill,
            shared: AtomicU64::new(0),
            spilled: AtomicU64::new(0),
            spill_limit,
            free_limit: limit / 100 * limits::POOL_FREE_PERCENT,
            open: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            free: Mutex::default(),
            sweeper: Sweeper::default(),
            freed: Notify::new(),
        }
    }

    /// Where the files are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Bytes of files in use in shared memory.
    pub(super) fn shared_bytes(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }

    /// Bytes of files in use on disk.
    pub(super) fn spilled_bytes(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// Resolves when a file has come free since the future was made.
    pub(crate) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.freed.notified()
    }

    /// A file in shared memory with at least `length` bytes set aside, if all files together then take at most `limit`.
    /// `None` where that, or what the system has, is not enough.
    pub(super) fn take(self: &Arc<Self>, length: u64, limit: u64) -> io::Result<Option<Arc<File>>> {
        self.take_by(length, limit, |room| {
            self.reuse(room).map_or_else(|| self.create(room, limit), |idle| Ok(Some(idle)))
        })
    }

    /// The same, of files that have been used before: none is made, which takes the longer the more memory it has.
    pub(super) fn take_used(self: &Arc<Self>, length: u64, limit: u64) -> Option<Arc<File>> {
        self.take_by(length, limit, |room| Ok(self.reuse(room))).ok().flatten()
    }

    fn take_by(
        self: &Arc<Self>,
        length: u64,
        limit: u64,
        take: impl FnOnce(u64) -> io::Result<Option<Idle>>,
    ) -> io::Result<Option<Arc<File>>> {
        let room = size_class(length);
        let fits = |shared: u64| shared.checked_add(room).filter(|shared| *shared <= limit);
        if self.shared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Ok(None);
        }
        match take(room) {
            Ok(Some(idle)) => Ok(Some(Arc::new(File::new(Arc::clone(self), idle, false)))),
            failed => {
                self.shared.fetch_sub(room, Ordering::Relaxed);
                failed.map(|_| None)
            }
        }
    }

    /// A file of this class that has been used before and that nobody has tampered with.
    fn reuse(&self, room: u64) -> Option<Idle> {
        loop {
            let mut idle = lock(&self.free).pop(room)?;
            idle.generation += 1;
            let name = name_of(idle.number, idle.generation);
            let renamed = idle.check(&self.directory).and_then(|()| {
                let claimed = idle.claim(&self.directory)?;
                fs::rename(self.path(&idle.name), self.path(&name))?;
                claimed.unlock()
            });
            if renamed.is_ok() {
                idle.name = name;
                return Some(idle);
            }
            self.discard(idle);
        }
    }

    fn create(&self, room: u64, limit: u64) -> io::Result<Option<Idle>> {
        // Those that wait would take what this one may have.
        let waiting = lock(&self.free).bytes;
        if waiting > 0 && self.shared_bytes().saturating_add(waiting) > limit {
            self.purge();
        }
        match self.allocate(room) {
            Err(error) if is_full(&error) && self.purge() => match self.allocate(room) {
                Err(error) if is_full(&error) => Ok(None),
                made => made.map(Some),
            },
            Err(error) if is_full(&error) => Ok(None),
            made => made.map(Some),
        }
    }

    fn allocate(&self, room: u64) -> io::Result<Idle> {
        let (number, name) = self.new_name();
        let open = allocate(&self.path(&name), room)?;
        let open = self.count_open().then(|| Arc::new(open));
        Ok(Idle { name, number, generation: 1, room, open })
    }

    fn new_name(&self) -> (u64, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, name_of(number, 1))
    }

    /// A file on disk, and a symbolic link to it in the directory, with `length` bytes set aside; `None` where there is no directory for it, or no room in it.
    pub(super) fn take_spilled(self: &Arc<Self>, length: u64) -> io::Result<Option<Arc<File>>> {
        let Some(spill) = &self.spill else { return Ok(None) };
        let fits = |spilled: u64| {
            spilled.checked_add(length).filter(|spilled| *spilled <= self.spill_limit)
        };
        if self.spilled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Ok(None);
        }
        let (number, name) = self.new_name();
        let path = spill.join(&name);
        let made = allocate(&path, length)
            .and_then(|_| symlink(&path, self.path(&name)).inspect_err(|_| remove(&path)));
        match made {
            Ok(()) => {
                let idle = Idle { name, number, generation: 1, room: length, open: None };
                Ok(Some(Arc::new(File::new(Arc::clone(self), idle, true))))
            }
            Err(error) => {
                self.spilled.fetch_sub(length, Ordering::Relaxed);
                if is_full(&error) { Ok(None) } else { Err(error) }
            }
        }
    }

    /// A file that another pool on this machine has too, under a name of its own here. The caller sees to it that the
    /// other keeps it in place meanwhile.
    pub(super) fn link(self: &Arc<Self>, path: &Path) -> io::Result<Arc<File>> {
        let (number, name) = self.new_name();
        fs::hard_link(path, self.path(&name))?;
        let about = fs::symlink_metadata(self.path(&name));
        let room = match about {
            Ok(about) if about.is_file() => about.len(),
            about => {
                remove(&self.path(&name));
                let message = format!("{} is no file in shared memory", path.display());
                return Err(about.err().unwrap_or_else(|| io::Error::other(message)));
            }
        };
        self.shared.fetch_add(room, Ordering::Relaxed);
        let idle = Idle { name, number, generation: 1, room, open: None };
        Ok(Arc::new(File::new(Arc::clone(self), idle, false)))
    }

    /// Takes back a file that nobody uses any more. Costs no system call.
    pub(super) fn give_back(&self, idle: Idle, spilled: bool) {
        if spilled {
            self.spilled.fetch_sub(idle.room, Ordering::Relaxed);
            self.discard(idle);
        } else {
            self.shared.fetch_sub(idle.room, Ordering::Relaxed);
            if let Err(idle) = lock(&self.free).push(idle, self.free_limit) {
                self.discard(idle);
            }
        }
        self.freed.notify_waiters();
    }

    /// Has a file removed, wherever it is.
    fn discard(&self, idle: Idle) {
        let Idle { name, open, .. } = idle;
        if open.is_some() {
            self.uncount_open();
        }
        let spilled = self.spill.as_ref().map(|spill| spill.join(&name));
        self.sweeper.sweep(open, [Some(self.path(&name)), spilled]);
    }

    /// Removes all files that wait, and those that are about to be removed; whether there were any.
    fn purge(&self) -> bool {
        let free = std::mem::take(&mut *lock(&self.free));
        for idle in free.by_room.into_values().flatten() {
            self.discard(idle);
        }
        self.sweeper.sweep_now()
    }

    /// Counts one more file that is kept open, if that may be.
    pub(super) fn count_open(&self) -> bool {
        let more = |open| (open < limits::POOL_OPEN_FILES).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn uncount_open(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Removes here what is about to be removed.
    #[cfg(test)]
    pub(super) fn sweep_now(&self) {
        self.sweeper.sweep_now();
    }

    /// Ends what removes files in the background.
    pub(super) fn close(&self) {
        self.sweeper.close();
    }
}

impl Idle {
    /// Checks that it is as it was made, and in nobody else's directory too.
    fn check(&self, directory: &Path) -> io::Result<()> {
        let about = match &self.open {
            Some(open) => open.metadata()?,
            None => fs::symlink_metadata(directory.join(&self.name))?,
        };
        // The system counts in blocks of this length.
        let set_aside = about.blocks().saturating_mul(512);
        if about.nlink() == 1 && about.len() == self.room && set_aside >= self.room {
            return Ok(());
        }
        Err(io::Error::other("the file is not as it was made"))
    }

    /// Locks it for a change of name. Whoever reads its last value in place has a lock on it, and this fails.
    fn claim(&self, directory: &Path) -> io::Result<Arc<fs::File>> {
        let open = match &self.open {
            Some(open) => Arc::clone(open),
            None => Arc::new(fs::File::open(directory.join(&self.name))?),
        };
        open.try_lock()?;
        Ok(open)
    }
}

impl Free {
    /// The one of this class that was used last: its memory is the likeliest to be near.
    fn pop(&mut self, room: u64) -> Option<Idle> {
        let idle = self.by_room.get_mut(&room)?.pop()?;
        self.bytes -= room;
        Some(idle)
    }

    fn push(&mut self, idle: Idle, limit: u64) -> Result<(), Idle> {
        let bytes = self.bytes.saturating_add(idle.room);
        if bytes > limit {
            return Err(idle);
        }
        self.bytes = bytes;
        self.by_room.entry(idle.room).or_default().push(idle);
        Ok(())
    }
}

/// What is set aside for so many bytes: the next of four steps to each power of two.
fn size_class(length: u64) -> u64 {
    let length = length.max(limits::POOL_FILE_BYTES);
    let step = 1 << (length.ilog2() - 2);
    length.checked_next_multiple_of(step).unwrap_or(length)
}

fn name_of(number: u64, generation: u64) -> String {
    format!("{number:x}.{generation}")
}

/// Makes a file with every byte set aside, so that writing to it cannot fail later.
fn allocate(path: &Path, room: u64) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    let open = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
    let set_aside = match fallocate(&open, FallocateFlags::empty(), 0, room) {
        // Not every file system for disks can; then writing may fail, and says so.
        Err(Errno::OPNOTSUPP) => open.set_len(room),
        done => Ok(done?),
    };
    set_aside.inspect_err(|_| remove(path))?;
    Ok(open)
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Removes a file of which nothing is needed any more.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "pool file cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_a_quarter_at_most() {
        for length in (0..400_000).step_by(977).chain([1 << 20, (1 << 20) + 1, 1 << 40]) {
            let room = size_class(length);
            assert!(room >= length && room.is_multiple_of(4_096), "{length}: {room}");
            assert!(
                length < limits::POOL_FILE_BYTES || room - length <= length / 4,
                "{length}: {room}"
            );
            assert_eq!(size_class(room), room);
        }
        assert_eq!(size_class(u64::MAX), u64::MAX);
    }
}
