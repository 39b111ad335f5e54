//! Runs of a worker's pool files, read in place.
//!
//! A lease of the worker's ends by itself, which memory that somebody looks at must not. So a client locks what it maps with
//! a lock of the system, while the lease still keeps the file in place. The worker uses no file again that is locked: it
//! removes it, and what is removed stays for those who have it mapped. The system takes the lock back when the client lets
//! go of the mapping, or dies.

#![expect(
    unsafe_code,
    reason = "the only place of the client where memory of another process is read as our own"
)]

use std::ffi::c_void;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::ptr::null_mut;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use bireme_core::limits;
use bireme_core::value::PoolFile;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;

/// How many runs this process has mapped.
static MAPS: AtomicUsize = AtomicUsize::new(0);

/// A run of a file, mapped for reading, and locked until this is dropped.
#[derive(Debug)]
pub(super) struct Mapped {
    /// Start of a page.
    start: *mut c_void,
    /// From there to the end of the run.
    length: usize,
    /// Where the run begins.
    skip: usize,
    /// Has the lock.
    _file: File,
    _counted: Counted,
}

// SAFETY: the memory is only read, and belongs to no thread.
unsafe impl Send for Mapped {}
// SAFETY: the same.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a run, more than no bytes, of a file that a lease keeps in place. `None` where so much is mapped that this one
    /// had better be copied, or where the worker is about to use the file again.
    pub(super) fn open(path: &Path, run: &PoolFile) -> io::Result<Option<Self>> {
        let Some(counted) = Counted::new() else { return Ok(None) };
        let file = File::open(path)?;
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The lease may have run out meanwhile: the file that is locked is the value's only if it still has this name.
        let (named, locked) = (fs::metadata(path)?, file.metadata()?);
        if (named.dev(), named.ino()) != (locked.dev(), locked.ino()) {
            return Ok(None);
        }
        let end = run.offset.checked_add(run.length).ok_or(io::ErrorKind::InvalidInput)?;
        if locked.len() < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let page = page_size() as u64;
        let from = run.offset / page * page;
        let size = |n: u64| usize::try_from(n).map_err(|_| io::ErrorKind::OutOfMemory);
        let (length, skip) = (size(end - from)?, size(run.offset - from)?);
        // SAFETY: a new mapping at an address of the system's choice takes the place of no other.
        let start =
            unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::SHARED, &file, from) }?;
        Ok(Some(Self { start, length, skip, _file: file, _counted: counted }))
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the mapping is `length` long and lives as long as `self`; the file covers it and is not written to while it
        // is locked. Only processes of the worker's user could cut it, and those could end this one as well.
        let all = unsafe { slice::from_raw_parts(self.start.cast::<u8>(), self.length) };
        all.get(self.skip..).unwrap_or_default()
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from `self` any more. That it is mapped is certain, so it can be unmapped.
        let _ = unsafe { munmap(self.start, self.length) };
    }
}

/// One of [`limits::MAPS`].
#[derive(Debug)]
struct Counted;

impl Counted {
    fn new() -> Option<Self> {
        let more = |maps| (maps < limits::MAPS).then_some(maps + 1);
        MAPS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        MAPS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    fn run(offset: u64, length: u64) -> PoolFile {
        PoolFile { name: "file".to_owned(), offset, length, generation: 1 }
    }

    #[test]
    fn a_run_is_read_in_place_and_locked_meanwhile() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * 4_096).collect();
        let file = file(&bytes);
        for (offset, length) in [(0, 1), (64, 100), (4_096, 4_096), (8_000, 4_288)] {
            let mapped = Mapped::open(file.path(), &run(offset, length)).unwrap().unwrap();
            let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + length));
            assert_eq!(mapped.as_ref(), &bytes[from..to.unwrap()]);
            assert!(matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock)));
        }
        file.as_file().try_lock().unwrap();
        assert!(Mapped::open(file.path(), &run(0, 1)).unwrap().is_none(), "claimed by the worker");
    }

    #[test]
    fn what_a_file_does_not_have_is_an_error() {
        let file = file(&[7; 4_096]);
        let beyond = Mapped::open(file.path(), &run(1, 4_096)).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        assert!(Mapped::open(file.path(), &run(u64::MAX, 2)).is_err());
        assert!(Mapped::open(Path::new("/nonexistent"), &run(0, 1)).is_err());
    }
}
