//! The log and the checkpoints of one actor, in a directory of its own.
//!
//! Records are appended to one file until a checkpoint is asked for; from then on to the next. A checkpoint is written beside
//! the old one and takes its place in one step; then the files go whose records it holds. The directory is locked for as long
//! as an incarnation writes to it: a life that was thought to be over cannot append behind the back of the next.

pub(crate) mod copy;
mod frames;
mod lock;
mod record;
mod sweep;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bireme_core::actor::Durability;
use bireme_core::actor::host::{Record, Restored};
use bireme_core::reason::Refusal;
use bireme_core::{Span, Value};
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;

pub(crate) use self::copy::{Batch, Snapshot};
use self::lock::lock;
pub(crate) use self::record::Kept;
use self::record::Written;
pub(crate) use self::sweep::{PREFIX, sweep};

/// Why a log cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// What is there cannot be read as what it should be.
    #[error("{path} is not what was written: {problem}")]
    Broken {
        /// Which file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another life has it.
    #[error("another incarnation still writes to it")]
    Locked,
    /// Somebody who looks whether it is of use does not come to an end.
    #[error("a sweep of old logs has had the directory for {0}: look whether the disk answers")]
    Swept(Span),
}

/// The log of an actor, opened for appending.
#[derive(Debug)]
pub(crate) struct Log {
    directory: PathBuf,
    /// Keeps others out.
    _lock: File,
    /// The files, the last of which is written to, by the number of their first record.
    files: Vec<u64>,
    file: File,
    /// Appended and not written.
    buffer: Vec<u8>,
    /// The number of the last record appended.
    end: u64,
    /// The number of the last one written.
    written: u64,
    /// Bytes of all files.
    bytes: u64,
    /// What was written and is to be handed on, if it is.
    batches: Option<Vec<Batch>>,
    durability: Durability,
    /// What has to reach the disk besides the file that is written to.
    unsynced: Vec<File>,
    /// A write has failed, perhaps half-way: what came behind it could not be read.
    torn: bool,
}

/// Files that have to reach the disk before records count as durable.
#[derive(Debug)]
pub(crate) struct Unsynced {
    /// Files that were written to before, and the directory that got a new one.
    others: Vec<File>,
    file: File,
}

impl Unsynced {
    /// Waits for the disk.
    pub(crate) fn sync(self) -> io::Result<()> {
        self.others.iter().try_for_each(File::sync_all)?;
        self.file.sync_data()
    }
}

/// What was found of earlier incarnations.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// For the host.
    pub(crate) restored: Restored,
    /// The state, and the numbers of the actor's own calls, if there is a checkpoint.
    pub(crate) kept: Option<Kept>,
    /// Values of inputs of recorded calls, by the numbers of their records.
    pub(crate) inputs: Vec<(u64, Vec<Value>)>,
}

const LOCK: &str = "lock";
const CHECKPOINT: &str = "checkpoint";
const UNFINISHED: &str = "checkpoint.new";
const FILE: &str = "log-";

impl Log {
    /// Whether there is one in `directory`.
    pub(crate) fn exists(directory: &Path) -> bool {
        directory.join(LOCK).exists()
    }

    /// Opens the log in `directory`, which is made if it is not there, and reads what earlier incarnations left. What the
    /// last of them did not write whole is cut off. It waits for the disk where records have to survive a power cut.
    pub(crate) fn open(
        directory: PathBuf,
        durability: Durability,
    ) -> Result<(Self, Found), LogError> {
        fs::create_dir_all(&directory)?;
        let lock = lock(&directory)?;
        let mut found = Found::default();
        if let Some(mut kept) = read_checkpoint(&directory)? {
            let path = || directory.join(CHECKPOINT);
            found.restored.lsn = kept.lsn;
            found.restored.table = kept.take_table().map_err(|refusal| broken(&path(), refusal))?;
            found.kept = Some(kept);
        }
        let mut files = names(&directory)?;
        let mut bytes = 0;
        let last = files.last().copied();
        for first in &files {
            let path = path_of(&directory, *first);
            bytes += read_file(&path, Some(*first) == last, &mut found)?;
        }
        let end = found.restored.end();
        if files.is_empty() {
            files.push(end + 1);
        }
        let first = files.last().copied().unwrap_or(end + 1);
        let file = append_to(&directory, first)?;
        if durability == Durability::Disk {
            settle(&directory, &files)?;
        }
        let log = Self {
            directory,
            _lock: lock,
            files,
            file,
            buffer: Vec::new(),
            end,
            written: end,
            bytes,
            batches: None,
            durability,
            unsynced: Vec::new(),
            torn: false,
        };
        Ok((log, found))
    }

    /// Makes the directory of a new incarnation begin with a checkpoint that was made elsewhere.
    pub(crate) fn seed(directory: &Path, kept: &Kept, durability: Durability) -> io::Result<()> {
        remove(directory)?;
        fs::create_dir_all(directory)?;
        write_checkpoint(directory, kept, durability)
    }

    /// Appends a record, with the values of its call's inputs. It is not written yet.
    pub(crate) fn append(&mut self, lsn: u64, record: &Record, inputs: Vec<pb::Value>) {
        debug_assert_eq!(lsn, self.end + 1, "records are numbered without gaps");
        let payload = Written::new(lsn, record, inputs).encode_to_vec();
        frames::push(&mut self.buffer, &payload);
        self.end = lsn;
    }

    /// Whether something was appended and not written.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Writes what was appended. From here on it survives this process, and nothing else. Returns the last record's number.
    pub(crate) fn write(&mut self) -> io::Result<u64> {
        if std::mem::replace(&mut self.torn, true) {
            return Err(io::Error::other("records before these were not written whole"));
        }
        self.file.write_all(&self.buffer)?;
        self.torn = false;
        self.bytes += self.buffer.len() as u64;
        if let (Some(batches), Some(file)) = (&mut self.batches, self.files.last())
            && !self.buffer.is_empty()
        {
            let frames = std::mem::take(&mut self.buffer).into();
            batches.push(Batch { file: *file, frames, last: self.end });
        }
        self.buffer.clear();
        self.written = self.end;
        Ok(self.written)
    }

    /// What has to be synced for the records written so far to survive a power cut: for another thread to do.
    pub(crate) fn unsynced(&mut self) -> io::Result<Unsynced> {
        let file = self.file.try_clone()?;
        Ok(Unsynced { others: std::mem::take(&mut self.unsynced), file })
    }

    /// The number of the last record written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Bytes of all records that no checkpoint holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has further records go to a new file. It waits for no disk.
    pub(crate) fn turn_over(&mut self) -> io::Result<()> {
        self.write()?;
        let first = self.end + 1;
        if self.files.last() == Some(&first) {
            return Ok(());
        }
        self.begin_file(first)
    }

    /// Has what is written from here on go to another file.
    fn begin_file(&mut self, first: u64) -> io::Result<()> {
        let before = std::mem::replace(&mut self.file, append_to(&self.directory, first)?);
        self.files.push(first);
        if self.durability == Durability::Disk {
            self.unsynced.extend([before, File::open(&self.directory)?]);
        }
        Ok(())
    }

    /// Where the log is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A checkpoint holds all calls up to this record: drops the files that have no later one.
    pub(crate) fn drop_up_to(&mut self, lsn: u64) -> io::Result<()> {
        while let [first, next, ..] = *self.files.as_slice()
            && next <= lsn + 1
        {
            let path = path_of(&self.directory, first);
            self.bytes = self.bytes.saturating_sub(fs::metadata(&path)?.len());
            fs::remove_file(path)?;
            self.files.remove(0);
        }
        Ok(())
    }
}

/// Writes a checkpoint beside the old one and puts it in its place.
pub(crate) fn write_checkpoint(
    directory: &Path,
    kept: &Kept,
    durability: Durability,
) -> io::Result<()> {
    let synced = durability == Durability::Disk;
    let (unfinished, path) = (directory.join(UNFINISHED), directory.join(CHECKPOINT));
    let mut buffer = Vec::new();
    frames::push(&mut buffer, &kept.encode_to_vec());
    let mut file = File::create(&unfinished)?;
    file.write_all(&buffer)?;
    if synced {
        file.sync_data()?;
    }
    crate::actors::fault::point("inside-checkpoint");
    fs::rename(&unfinished, &path)?;
    if synced {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Removes all that is kept of an actor.
pub(crate) fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_checkpoint(directory: &Path) -> Result<Option<Kept>, LogError> {
    let path = directory.join(CHECKPOINT);
    let mut bytes = match fs::read(&path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let torn = || LogError::Broken {
        path: path.display().to_string(),
        problem: "its checksum does not agree".to_owned(),
    };
    let frame = frames::take(&mut bytes).ok_or_else(torn)?;
    Kept::read(frame).map(Some).map_err(|refusal| broken(&path, refusal))
}

/// Reads the records of a file that come after what was found so far. Returns the length of what is whole.
fn read_file(path: &Path, is_last: bool, found: &mut Found) -> Result<u64, LogError> {
    let whole = Bytes::from(fs::read(path)?);
    let mut rest = whole.clone();
    while let Some(frame) = frames::take(&mut rest) {
        let (lsn, record, inputs) =
            Written::read(frame).map_err(|refusal| broken(path, refusal))?;
        if lsn <= found.restored.lsn {
            continue;
        }
        if lsn != found.restored.end() + 1 {
            let problem = format!("record {lsn} comes after record {}", found.restored.end());
            return Err(LogError::Broken { path: path.display().to_string(), problem });
        }
        if !inputs.is_empty() {
            found.inputs.push((lsn, inputs));
        }
        found.restored.records.push(record);
    }
    let length = (whole.len() - rest.len()) as u64;
    if !rest.is_empty() {
        if !is_last {
            let problem = format!("what follows byte {length} cannot be read");
            return Err(LogError::Broken { path: path.display().to_string(), problem });
        }
        tracing::warn!(path = %path.display(), bytes = rest.len(), "the end of a call log was not written whole and is cut off");
        OpenOptions::new().write(true).open(path)?.set_len(length)?;
    }
    Ok(length)
}

fn names(directory: &Path) -> io::Result<Vec<u64>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix(FILE)?.parse().ok());
        names.extend(number);
    }
    names.sort_unstable();
    Ok(names)
}

fn path_of(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{FILE}{first:020}"))
}

fn append_to(directory: &Path, first: u64) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path_of(directory, first))
}

/// Waits until all that is there has reached the disk: also what an earlier life wrote and did not wait for, and the names of
/// files and directories that are new.
fn settle(directory: &Path, files: &[u64]) -> io::Result<()> {
    /// The log's, its worker's and the one that has those of all workers.
    const DIRECTORIES: usize = 3;
    for first in files {
        File::open(path_of(directory, *first))?.sync_data()?;
    }
    directory.ancestors().take(DIRECTORIES).try_for_each(|path| File::open(path)?.sync_all())
}

fn broken(path: &Path, Refusal { message, .. }: Refusal) -> LogError {
    LogError::Broken { path: path.display().to_string(), problem: message }
}

#[cfg(test)]
mod tests;
