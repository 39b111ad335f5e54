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

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Own(directory) => directory.path(),
        }
    }
}

/// The bytes of an argument that a command takes as `what`.
pub(super) fn content(template: &Template, job: &Job, what: &str) -> Result<Bytes, Box<TaskError>> {
    template.fill(job)?.bytes().map_err(|error| {
        let message = format!("{what}: {error}");
        failure(ErrorClass::Deserialize, error.reason(), message)
    })
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
    let mut values = Vec::new();
    for pattern in globs {
        let base = glob::Pattern::escape(&directory.to_string_lossy());
        let paths = glob::glob(&format!("{base}/{pattern}")).map_err(|error| {
            let message = format!("payload.command.output_globs: {pattern:?}: {error}");
            failure(ErrorClass::Malformed, Reason::Malformed, message)
        })?;
        for path in paths.filter_map(Result::ok).filter(|path| path.is_file()) {
            if values.len() == usize::from(limits::TASK_OUTPUTS) {
                let message = format!("more than {} files match {globs:?}", limits::TASK_OUTPUTS);
                return Err(failure(ErrorClass::User, Reason::CommandFailed, message));
            }
            values.push(read(&path)?);
        }
    }
    Ok(values)
}

fn read(path: &Path) -> Result<Value, Box<TaskError>> {
    let failed = |error| failed(&format!("output file {} cannot be read", path.display()), &error);
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > limits::COMMAND_OUTPUT_BYTES {
        let message = format!(
            "output file {} has {length} bytes, the limit is {}",
            path.display(),
            limits::COMMAND_OUTPUT_BYTES
        );
        return Err(failure(ErrorClass::Store, Reason::ValueTooLarge, message));
    }
    Ok(Value::raw(fs::read(path).map_err(failed)?))
}

fn failed(what: &str, error: &io::Error) -> Box<TaskError> {
    failure(ErrorClass::Store, Reason::StoreFull, format!("{what}: {error}"))
}
