//! Room for the buffers of a value that is yet to be written.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bireme_core::limits;
use bireme_core::value::{Buffer, PoolFile};

use super::file::{File, Files};

/// Files with room for buffers. What no value has been made of goes back to the pool when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    runs: Vec<PoolFile>,
    files: Files,
}

impl Draft {
    /// Room for buffers of these lengths, of files that `make` makes: one for each long buffer, and one that the short ones
    /// share.
    pub(super) fn new<E>(
        lengths: &[u64],
        mut make: impl FnMut(u64) -> Result<Arc<File>, E>,
    ) -> Result<Self, E> {
        let place = |length: u64| length.next_multiple_of(limits::POOL_ALIGN_BYTES);
        let is_short = |length: &&u64| **length < limits::POOL_FILE_BYTES;
        let together: u64 = lengths.iter().filter(is_short).map(|length| place(*length)).sum();
        let shared = if lengths.iter().any(|length| is_short(&length)) {
            Some(make(together)?)
        } else {
            None
        };
        let (mut draft, mut end) = (Self::default(), 0);
        for &length in lengths {
            match &shared {
                Some(file) if is_short(&&length) => {
                    draft.push(file, end, length);
                    end += place(length);
                }
                _ => draft.push(&make(length)?, 0, length),
            }
        }
        Ok(draft)
    }

    pub(super) fn push(&mut self, file: &Arc<File>, offset: u64, length: u64) {
        self.runs.push(file.run(offset, length));
        self.files.push(file);
    }

    /// Where the buffers are to be written, in order.
    pub(crate) fn runs(&self) -> &[PoolFile] {
        &self.runs
    }

    /// Opens the file of a buffer to write within its run. Others may use it too, so that its position means nothing.
    pub(crate) fn open(&self, n: usize) -> io::Result<Arc<fs::File>> {
        self.file(n)?.open()
    }

    /// Writes some bytes of a buffer.
    pub(crate) fn write(&self, n: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let run = self.run(n)?;
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > run.length) {
            return Err(io::Error::other(format!("buffer {n} has {} bytes", run.length)));
        }
        self.open(n)?.write_all_at(bytes, run.offset + offset)
    }

    /// The buffers of a value whose bytes are all here, and the files to keep with it.
    pub(super) fn finish(self) -> (Vec<Buffer>, Files) {
        (self.runs.into_iter().map(Buffer::PoolFile).collect(), self.files)
    }

    /// The file that has all of a run, if it was made for it.
    pub(super) fn owner(&self, run: &PoolFile) -> Option<&Arc<File>> {
        let has = |own: &&PoolFile| {
            (&own.name, own.offset, own.generation) == (&run.name, run.offset, run.generation)
                && run.length <= own.length
        };
        self.runs.iter().find(has).and_then(|own| self.files.find(&own.name))
    }

    /// Gives up runs that a value has been made of, or that nobody wants. Returns whether any are left.
    pub(crate) fn give_up(&mut self, runs: &[PoolFile]) -> bool {
        let gone = |own: &PoolFile| {
            runs.iter().any(|run| (&own.name, own.offset) == (&run.name, run.offset))
        };
        self.runs.retain(|own| !gone(own));
        let Self { runs, files } = self;
        files.retain(|file| runs.iter().any(|run| run.name == file.name()));
        !self.runs.is_empty()
    }

    fn run(&self, n: usize) -> io::Result<&PoolFile> {
        let missing = || io::Error::other(format!("buffer {n} of {}", self.runs.len()));
        self.runs.get(n).ok_or_else(missing)
    }

    fn file(&self, n: usize) -> io::Result<&Arc<File>> {
        let missing = || io::Error::other(format!("buffer {n} has no file"));
        self.files.find(&self.run(n)?.name).ok_or_else(missing)
    }
}
