//! A file of the pool while somebody uses it.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bireme_core::value::PoolFile;
use bytes::Bytes;
use smallvec::SmallVec;

use super::pool::{Idle, Pool};
use crate::sync::lock;

/// A file with some bytes of a value, or room for them. Dropped, it goes back to its pool.
#[derive(Debug)]
pub(crate) struct File {
    pool: Arc<Pool>,
    idle: Idle,
    spilled: bool,
    open: Mutex<Option<Arc<fs::File>>>,
}

impl File {
    /// A file that has been taken from the pool.
    pub(super) fn new(pool: Arc<Pool>, mut idle: Idle, spilled: bool) -> Self {
        let open = Mutex::new(idle.open.take());
        Self { pool, idle, spilled, open }
    }

    /// Its name within the pool's directory.
    pub(crate) fn name(&self) -> &str {
        &self.idle.name
    }

    /// Bytes set aside for it.
    pub(crate) fn room(&self) -> u64 {
        self.idle.room
    }

    /// A run of its bytes.
    pub(super) fn run(&self, offset: u64, length: u64) -> PoolFile {
        let Idle { name, generation, .. } = &self.idle;
        PoolFile { name: name.clone(), offset, length, generation: *generation }
    }

    /// Whether its bytes are on disk.
    pub(crate) fn is_spilled(&self) -> bool {
        self.spilled
    }

    /// Its path, by which it can be opened wherever its bytes are.
    pub(crate) fn path(&self) -> PathBuf {
        self.pool.path(self.name())
    }

    /// Opens it to read and write. Many callers share what is opened, so that its position means nothing.
    pub(crate) fn open(&self) -> io::Result<Arc<fs::File>> {
        let mut kept = lock(&self.open);
        if let Some(open) = &*kept {
            return Ok(Arc::clone(open));
        }
        let open = fs::OpenOptions::new().read(true).write(true).open(self.path())?;
        let open = Arc::new(open);
        if self.pool.count_open() {
            *kept = Some(Arc::clone(&open));
        }
        Ok(open)
    }

    /// Reads a run of its bytes. A file that somebody has cut is an error, and nothing worse.
    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length];
        self.open()?.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.cut(offset + length as u64),
            _ => error,
        })?;
        Ok(bytes.into())
    }

    /// Checks that it still has its bytes up to `end`, and no more than were set aside.
    pub(super) fn check(&self, end: u64) -> io::Result<()> {
        let open = self.open()?;
        let length = open.metadata()?.len();
        if length < end {
            return Err(self.cut(end));
        }
        // What it has grown by is in nobody's account.
        if length > self.room() && !self.is_spilled() { open.set_len(self.room()) } else { Ok(()) }
    }

    pub(super) fn cut(&self, wanted: u64) -> io::Error {
        let message = format!(
            "pool file {} has lost bytes below {wanted}: whoever could write it has cut it",
            self.name()
        );
        io::Error::new(io::ErrorKind::UnexpectedEof, message)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let name = std::mem::take(&mut self.idle.name);
        self.pool.give_back(Idle { name, open, ..self.idle }, self.spilled);
    }
}

/// The files that a value lies in. While it lives they keep their bytes and their place.
#[derive(Debug, Default)]
pub(crate) struct Files(SmallVec<[Arc<File>; 1]>);

impl Files {
    pub(super) fn push(&mut self, file: &Arc<File>) {
        if self.find(file.name()).is_none() {
            self.0.push(Arc::clone(file));
        }
    }

    /// The file of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<File>> {
        // Buffers name their files in order, so that the last is the likeliest while the list grows.
        self.0.iter().rev().find(|file| file.name() == name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<File>> {
        self.0.iter()
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&File) -> bool) {
        self.0.retain(|file| keep(file));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether other values or drafts use one of them too.
    pub(super) fn is_shared(&self) -> bool {
        self.0.iter().any(|file| Arc::strong_count(file) > 1)
    }
}
