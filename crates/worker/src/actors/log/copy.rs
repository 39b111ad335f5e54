//! Logs that are copied to other workers: what was written is handed on, and a copy takes it in, file by file and byte by byte.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bireme_core::actor::Durability;
use bireme_core::id::Incarnation;
use bytes::Bytes;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{CHECKPOINT, Log, LogError, UNFINISHED, append_to, lock, path_of, remove, settle};

const LIFE: &str = "life";
const NEW_LIFE: &str = "life.new";

/// Records that were written together.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// The file they are in, by the number of its first record.
    pub(crate) file: u64,
    /// As they are in the file.
    pub(crate) frames: Bytes,
    /// The number of the last of them.
    pub(crate) last: u64,
}

/// All that there is of a log at some moment, held open: files that are removed meanwhile can still be read.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) checkpoint: Option<File>,
    /// Files in order, by the numbers of their first records, with their lengths in bytes.
    pub(crate) files: Vec<(u64, File, u64)>,
    /// The last record in them.
    pub(crate) last: u64,
}

impl Log {
    /// From here on what is written is handed on too.
    pub(crate) fn hand_on(&mut self) {
        self.batches.get_or_insert_default();
    }

    /// What was written and has not been taken from here.
    pub(crate) fn take_batches(&mut self) -> Vec<Batch> {
        self.batches.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All that has been written.
    pub(crate) fn snapshot(&self) -> io::Result<Snapshot> {
        let files = self.files.iter().map(|first| {
            let file = File::open(path_of(&self.directory, *first))?;
            let length = file.metadata()?.len();
            Ok((*first, file, length))
        });
        let files = files.collect::<io::Result<_>>()?;
        Ok(Snapshot { checkpoint: open_checkpoint(&self.directory)?, files, last: self.written })
    }

    /// Begins a copy of what an incarnation writes, in a directory where nothing is kept that is still of use. Its first file
    /// begins with record `first`.
    pub(crate) fn begin_copy(
        directory: PathBuf,
        life: Life,
        first: u64,
        durability: Durability,
    ) -> Result<Self, LogError> {
        remove(&directory)?;
        fs::create_dir_all(&directory)?;
        let lock = lock(&directory)?;
        note_life(&directory, life, durability)?;
        let file = append_to(&directory, first)?;
        let end = first.saturating_sub(1);
        Ok(Self {
            directory,
            _lock: lock,
            files: vec![first],
            file,
            buffer: Vec::new(),
            end,
            written: end,
            bytes: 0,
            batches: None,
            durability,
            unsynced: Vec::new(),
            torn: false,
        })
    }

    /// Takes bytes in that follow those before, in the file of this name. With `last` that record is whole. Nothing is behind
    /// what was not written whole: after an error a copy takes nothing more in.
    pub(crate) fn take_in(&mut self, file: u64, frames: &[u8], last: u64) -> io::Result<()> {
        if std::mem::replace(&mut self.torn, true) {
            return Err(io::Error::other("what comes before this was not written whole"));
        }
        if self.files.last() != Some(&file) {
            self.begin_file(file)?;
        }
        self.file.write_all(frames)?;
        self.torn = false;
        self.bytes += frames.len() as u64;
        self.end = self.end.max(last);
        self.written = self.end;
        Ok(())
    }

    /// Waits until all that was taken in has reached the disk, where it has to survive a power cut.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        match self.durability {
            Durability::Disk => self.unsynced()?.sync(),
            Durability::Process => Ok(()),
        }
    }

    /// Takes the place of what is at `to`, in one step. All of it has reached the disk by then, where it has to survive a power
    /// cut, and what was there goes only after that.
    pub(crate) fn take_place_of(&mut self, to: &Path) -> io::Result<()> {
        let synced = self.durability == Durability::Disk;
        if synced {
            settle(&self.directory, &self.files)?;
        }
        let exchanged = renameat_with(CWD, &self.directory, CWD, to, RenameFlags::EXCHANGE);
        if exchanged.is_err() {
            // There is none, or the file system cannot do it in one step.
            remove(to)?;
            fs::rename(&self.directory, to)?;
        }
        if let Some(parent) = to.parent().filter(|_| synced) {
            File::open(parent)?.sync_all()?;
        }
        let before = std::mem::replace(&mut self.directory, to.to_owned());
        remove(&before)
    }
}

/// Whose log is in a directory.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Life {
    /// The incarnation that lives with it, or that sends it here.
    pub(crate) incarnation: Incarnation,
    /// Where it is sent here: over which of the incarnation's streams.
    pub(crate) stream: u64,
}

impl From<Incarnation> for Life {
    fn from(incarnation: Incarnation) -> Self {
        Self { incarnation, stream: 0 }
    }
}

/// Takes note of whose log is in a directory, for those who come later. It has reached the disk where records have to, but for
/// its name, which does when the log is opened.
pub(crate) fn note_life(
    directory: &Path,
    Life { incarnation: Incarnation(incarnation), stream }: Life,
    durability: Durability,
) -> io::Result<()> {
    let (unfinished, path) = (directory.join(NEW_LIFE), directory.join(LIFE));
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{incarnation} {stream}")?;
    if durability == Durability::Disk {
        file.sync_data()?;
    }
    fs::rename(unfinished, path)
}

/// What was noted of a directory; the earliest life where there is none, or nothing was noted.
pub(crate) fn life_of(directory: &Path) -> io::Result<Life> {
    match fs::read_to_string(directory.join(LIFE)) {
        // What cannot be read was not written whole, which is as if it had not been.
        Ok(text) => Ok(read_life(&text).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Life::default()),
        Err(error) => Err(error),
    }
}

fn read_life(text: &str) -> Option<Life> {
    // Earlier versions noted no stream.
    let (incarnation, stream) = text.trim().split_once(' ').unwrap_or((text.trim(), "0"));
    let incarnation = Incarnation(incarnation.parse().ok()?);
    Some(Life { incarnation, stream: stream.parse().ok()? })
}

/// The checkpoint in a directory, if there is one.
pub(crate) fn open_checkpoint(directory: &Path) -> io::Result<Option<File>> {
    match File::open(directory.join(CHECKPOINT)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A checkpoint that comes in parts: a file beside the one before.
pub(crate) fn begin_checkpoint(directory: &Path) -> io::Result<File> {
    File::create(directory.join(UNFINISHED))
}

/// All parts are there: it takes the place of the one before.
pub(crate) fn end_checkpoint(
    directory: &Path,
    file: &File,
    durability: Durability,
) -> io::Result<()> {
    let synced = durability == Durability::Disk;
    if synced {
        file.sync_data()?;
    }
    fs::rename(directory.join(UNFINISHED), directory.join(CHECKPOINT))?;
    if synced {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
