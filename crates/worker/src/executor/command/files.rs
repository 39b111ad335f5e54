//! The directory of a command: what is written before it starts, and what is read when it has ended.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bireme_core::{ErrorClass, Reason, TaskError, Value, limits};
use bytes::Bytes;

use super::scratch::{Fresh, Scratch};
use crate::executor::Job;
use crate::executor::payload::{Command, Template};
use crate::failure::failure;
use crate::registry::{Arg, BadArg};

/// Where a command runs.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// A directory of the user's.
    Given(PathBuf),
    /// One of its own, which goes with it.
    Own(Fresh<'a>),
}

impl<'a> Place<'a> {
    /// Makes the directory where none is given, and writes the input files.
    pub(super) fn prepare(
        command: &Command,
        job: &Job,
        scratch: &'a Scratch,
    ) -> Result<Self, Box<TaskError>> {
        let place = match &command.working_directory {
            Some(directory) => Self::Given(directory.into()),
            None => Self::Own(
                scratch.fresh().map_err(|error| failed("a directory cannot be made", &error))?,
            ),
        };
        for file in &command.files {
            let content = content(&file.content, job, &file.path)?;
            let path = place.path().join(&file.path);
            write(&path, &content, file.executable).map_err(|error| {
                failed(&format!("input file {} cannot be written", path.display()), &error)
            })?;
        }
        Ok(place)
    }

    /// Nobody works in it any more, as far as can be told.
    pub(super) fn leave(&mut self) {
        if let Self::Own(directory) = self {
            directory.leave();
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Own(directory) => directory.path(),
        }
    }
}

/// Whether the inputs of a command are small enough to be brought into memory.
pub(super) fn check_inputs(job: &Job) -> Result<(), Box<TaskError>> {
    let sizes = job.inputs.iter().map(|input| input.value.size);
    let bytes = sizes.fold(0, u64::saturating_add);
    if bytes <= limits::COMMAND_BYTES {
        return Ok(());
    }
    let message = format!(
        "the inputs have {bytes} bytes together, a command takes {}: split the work, or pass large files by path",
        limits::COMMAND_BYTES
    );
    Err(failure(ErrorClass::Store, Reason::ValueTooLarge, message))
}

/// The bytes of an argument that a command takes as `what`: those of a list one after the other.
pub(super) fn content(template: &Template, job: &Job, what: &str) -> Result<Bytes, Box<TaskError>> {
    bytes(&template.fill(job)?).map_err(|error| {
        let message = format!("{what}: {error}");
        failure(ErrorClass::Deserialize, error.reason(), message)
    })
}

fn bytes(arg: &Arg) -> Result<Bytes, BadArg> {
    let Arg::List(items) = arg else { return arg.bytes() };
    let parts = items.iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
    Ok(parts.concat().into())
}

fn write(path: &Path, content: &[u8], executable: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mode = if executable { 0o755 } else { 0o644 };
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content)
}

/// Reads the files that `globs` name: glob by glob, sorted by path within each.
pub(super) fn collect(directory: &Path, globs: &[String]) -> Result<Vec<Value>, Box<TaskError>> {
    let (mut files, mut room) = (Vec::new(), limits::COMMAND_BYTES);
    for pattern in globs {
        let base = glob::Pattern::escape(&directory.to_string_lossy());
        let paths = glob::glob(&format!("{base}/{pattern}")).map_err(|error| {
            let message = format!("payload.command.output_globs: {pattern:?}: {error}");
            failure(ErrorClass::Malformed, Reason::Malformed, message)
        })?;
        for path in paths.filter_map(Result::ok).filter(|path| path.is_file()) {
            if files.len() == usize::from(limits::TASK_OUTPUTS) {
                let message = format!("more than {} files match {globs:?}", limits::TASK_OUTPUTS);
                return Err(failure(ErrorClass::User, Reason::CommandFailed, message));
            }
            room = weigh(&path, room)?;
            files.push(path);
        }
    }
    files
        .iter()
        .map(|path| Ok(Value::raw(fs::read(path).map_err(|error| unread(path, &error))?)))
        .collect()
}

/// Judges how long an output file is, before any is read: how much room it leaves.
fn weigh(path: &Path, room: u64) -> Result<u64, Box<TaskError>> {
    let length = fs::metadata(path).map_err(|error| unread(path, &error))?.len();
    if length > limits::COMMAND_OUTPUT_BYTES {
        let message = format!(
            "output file {} has {length} bytes, the limit is {}",
            path.display(),
            limits::COMMAND_OUTPUT_BYTES
        );
        return Err(failure(ErrorClass::Store, Reason::ValueTooLarge, message));
    }
    room.checked_sub(length).ok_or_else(|| {
        let message = format!(
            "the output files have more than {} bytes together; write some elsewhere, or split the work",
            limits::COMMAND_BYTES
        );
        failure(ErrorClass::Store, Reason::ValueTooLarge, message)
    })
}

fn unread(path: &Path, error: &io::Error) -> Box<TaskError> {
    failed(&format!("output file {} cannot be read", path.display()), error)
}

fn failed(what: &str, error: &io::Error) -> Box<TaskError> {
    failure(ErrorClass::Store, Reason::StoreFull, format!("{what}: {error}"))
}
