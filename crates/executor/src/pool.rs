//! Values whose bytes lie in files of the worker's pool.

mod kept;
mod map;
mod spare;

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{AttemptId, Value, limits};
use bireme_proto::pb::executor_report::{ReleaseObjects, Report};
use bytes::Bytes;
use rustix::fs::statfs;

use self::kept::Kept;
use self::map::{Access, Map};
use self::spare::Spare;
use crate::desk::Desk;

/// What the system calls file systems in shared memory.
const TMPFS: u64 = 0x0102_1994;
/// Shorter buffers are written by a system call, in bytes, and those in files of which no mapping is kept: to make one takes as
/// long.
const SHORTEST_MAPPED: u64 = 128 << 10;

/// The worker's pool. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) directory: PathBuf,
    /// Values up to this size ride in messages, in bytes.
    pub(crate) inline_bytes: u64,
    spare: Spare,
    /// Files that are read.
    read: Arc<Kept>,
    /// Files that are written.
    written: Arc<Kept>,
    /// The file system in shared memory whose files are. On others a write may fail, which a mapping has no way to say.
    shared: Option<u64>,
}

impl Pool {
    pub(crate) fn new(directory: PathBuf, inline_bytes: u64) -> Self {
        let shared = shared_memory(&directory);
        let [read, written] = [Access::Read, Access::Write].map(|it| Arc::new(Kept::new(it)));
        Self { directory, inline_bytes, spare: Spare::default(), read, written, shared }
    }

    /// Lets go of files that the worker has removed.
    pub(crate) fn sweep(&self) {
        self.read.sweep();
        self.written.sweep();
    }

    /// The inputs of an attempt with every byte in reach. They stay in place until nobody uses them any more, which the
    /// worker is told.
    pub(crate) fn open(
        &self,
        desk: &Arc<Desk>,
        attempt: AttemptId,
        inputs: &mut [Arc<Value>],
    ) -> io::Result<()> {
        if inputs.iter().all(|input| input.is_inline()) {
            return Ok(());
        }
        let lease = Arc::new(Lease { desk: Arc::clone(desk), attempt });
        inputs.iter_mut().try_for_each(|input| self.map_value(Arc::make_mut(input), &lease))
    }

    /// Maps the buffers of a value; those that lie side by side in a file, together.
    fn map_value(&self, value: &mut Value, lease: &Arc<Lease>) -> io::Result<()> {
        for run in value.buffers.chunk_by_mut(are_side_by_side) {
            let (Some(Buffer::PoolFile(first)), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let (start, length) = (first.offset, end(last) - first.offset);
            let bytes = self.map(&PoolFile { length, ..first.clone() }, lease)?;
            for buffer in run {
                let Buffer::PoolFile(place) = &*buffer else { continue };
                let at = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
                *buffer = Buffer::Inline(bytes.slice(at(place.offset)..at(end(buffer))));
            }
        }
        Ok(())
    }

    fn map(&self, place: &PoolFile, lease: &Arc<Lease>) -> io::Result<Bytes> {
        if place.length == 0 {
            return Ok(Bytes::new());
        }
        let file = File::open(self.directory.join(&place.name))?;
        let about = file.metadata()?;
        if about.len() == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let map = self.read.map(file, &about)?;
        let place = map.place(place.offset, place.length)?;
        Ok(Bytes::from_owner(Leased { map, place, _lease: Arc::clone(lease) }))
    }

    /// The inputs of an actor's call with every byte here: copied, because an actor may keep them for as long as it lives.
    pub(crate) fn read(&self, inputs: &mut [Arc<Value>]) -> io::Result<()> {
        let apart = inputs.iter_mut().filter(|input| !input.is_inline());
        apart.map(Arc::make_mut).try_for_each(|input| self.read_value(input))
    }

    /// A value with every byte here: copied.
    pub(crate) fn read_value(&self, value: &mut Value) -> io::Result<()> {
        for buffer in &mut value.buffers {
            if let Buffer::PoolFile(place) = buffer {
                let file = File::open(self.directory.join(&place.name))?;
                let length = usize::try_from(place.length).unwrap_or(usize::MAX);
                *buffer = Buffer::Inline(self.spare.read(&file, place.offset, length)?);
            }
        }
        Ok(())
    }

    /// Writes into files that the worker gave.
    pub(crate) fn writer(&self) -> Writer<'_> {
        Writer { pool: self, last: None }
    }
}

/// Whether a buffer follows another in the same file, with no more between them than what aligns it.
fn are_side_by_side(one: &Buffer, next: &Buffer) -> bool {
    let (Buffer::PoolFile(a), Buffer::PoolFile(b)) = (one, next) else { return false };
    let gap = b.offset.checked_sub(end(one));
    a.name == b.name && gap.is_some_and(|gap| gap < limits::POOL_ALIGN_BYTES)
}

/// Where a buffer ends in its file.
fn end(buffer: &Buffer) -> u64 {
    match buffer {
        Buffer::PoolFile(place) => place.offset.saturating_add(place.length),
        _ => 0,
    }
}

/// Writes buffers of values, of which short ones share a file.
pub(crate) struct Writer<'a> {
    pool: &'a Pool,
    /// The name of the file that was written last, and the file.
    last: Option<(Box<str>, File)>,
}

impl Writer<'_> {
    /// Writes the bytes that belong into a file.
    pub(crate) fn write(&mut self, place: &PoolFile, bytes: &[u8]) -> io::Result<()> {
        if place.length != bytes.len() as u64 {
            let message = format!("room for {} bytes was given for {}", place.length, bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let file = match self.last.take() {
            Some((name, file)) if *name == *place.name => file,
            _ => open(&self.pool.directory.join(&place.name))?,
        };
        let longest = limits::POOL_MAPPED_FILE_BYTES;
        if (SHORTEST_MAPPED..=longest).contains(&place.length) && self.pool.shared.is_some() {
            let about = file.metadata()?;
            if Some(about.dev()) == self.pool.shared && about.len() <= longest {
                return self.pool.written.map(file, &about)?.write(place.offset, bytes);
            }
        }
        let (_, file) = self.last.insert((place.name.as_str().into(), file));
        file.write_all_at(bytes, place.offset)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The number of the file system of a directory, if it is one in shared memory.
fn shared_memory(directory: &Path) -> Option<u64> {
    let kind = statfs(directory).ok()?.f_type;
    let about = std::fs::metadata(directory).ok()?;
    (u64::try_from(kind) == Ok(TMPFS)).then(|| about.dev())
}

/// The files of an attempt's inputs stay in place while there is one.
#[derive(Debug)]
struct Lease {
    desk: Arc<Desk>,
    attempt: AttemptId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let attempts = vec![self.attempt.into()];
        self.desk.report(Report::ReleaseObjects(ReleaseObjects {
            attempts,
            ..ReleaseObjects::default()
        }));
    }
}

/// A part of a mapping that holds the lease until it is gone.
struct Leased {
    map: Arc<Map>,
    place: Range<usize>,
    _lease: Arc<Lease>,
}

impl AsRef<[u8]> for Leased {
    fn as_ref(&self) -> &[u8] {
        self.map.bytes(self.place.clone())
    }
}
