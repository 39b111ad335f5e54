//! Builds an environment in its place.
//!
//! Archives are unpacked here; what is Python's business is left to its package, `python -m bireme.environment_builder`, which runs in
//! the interpreter that the language has on this worker.

use std::fs;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use bireme_core::{ErrorClass, Exit, Reason, TaskError, limits};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::time::timeout;

use super::shelf::Place;
use super::unpack::{is_archive, unpack};
use crate::executor::command::tail::Tail;
use crate::executor::environment::Environment;
use crate::executor::process::ends::how;
use crate::failure::failure;

/// The module that makes environments.
const MODULE: &str = "bireme.environment_builder";

/// Builds what a blob asks for. `python` is the command of an interpreter; `name` is what errors call the environment.
pub(super) async fn build(
    place: &Place,
    python: &[String],
    blob: Bytes,
    name: &str,
) -> Result<(), Box<TaskError>> {
    let broken = |problem: &dyn std::fmt::Display| broken(name, problem);
    let (root, wanted) = (place.root(), place.wanted());
    place.clear().map_err(|error| broken(&error))?;
    let is_packed = is_archive(&blob);
    let laid_out = {
        let (root, wanted) = (root.clone(), wanted.clone());
        tokio::task::spawn_blocking(move || lay_out(&blob, &root, &wanted)).await
    };
    // It panics only with a bug, and says so itself.
    let laid_out = laid_out.map_err(|error| broken(&error))?;
    laid_out.map_err(|problem| broken(&format!("its archive is refused: {problem}")))?;
    let mut words = python.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command.args(words).args(["-m", MODULE]);
    if is_packed {
        command.arg("adopt").arg(&root);
    } else {
        command.arg("install").arg(&root).arg(&wanted);
    }
    let (exit, last_lines) = run(command).await.map_err(|error| broken(&error))?;
    let problem = match exit {
        Some(Exit { code: 0, signal: 0 }) => {
            return place.complete().map_err(|error| broken(&error));
        }
        Some(exit) => format!("its builder {}", how(exit)),
        None => format!("its builder has not ended after {}", limits::ENVIRONMENT_BUILD),
    };
    let mut error = broken(&problem);
    (error.exit, error.last_lines) = (exit, last_lines);
    Err(error)
}

/// Writes down what the builder is to read.
fn lay_out(blob: &[u8], root: &Path, wanted: &Path) -> Result<(), String> {
    let made = fs::create_dir(root).map_err(|error| error.to_string());
    if is_archive(blob) {
        return made.and_then(|()| unpack(blob, root).map_err(|error| error.to_string()));
    }
    made.and_then(|()| fs::write(wanted, blob).map_err(|error| error.to_string()))
}

/// Runs a builder to its end, or kills it when it takes too long. Returns how it ended, if it did, and what it printed last.
async fn run(mut command: Command) -> io::Result<(Option<Exit>, Vec<String>)> {
    let (heard, said) = io::pipe()?;
    command.env_clear().envs(Environment::inherited(true));
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    let mut command = tokio::process::Command::from(command);
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    drop(command); // With its end of the pipe.
    let tail = tokio::task::spawn_blocking(move || listen(heard.into()));
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let exit = end(&mut child, group).await?;
    let lines = match timeout(limits::EXECUTOR_LAST_WORDS.to_std(), tail).await {
        Ok(lines) => lines.map_err(io::Error::other)?,
        // Something that left its group holds the pipe open.
        Err(_) => Vec::new(),
    };
    Ok((exit, lines))
}

async fn end(child: &mut Child, group: Option<Pid>) -> io::Result<Option<Exit>> {
    use std::os::unix::process::ExitStatusExt as _;
    let status = timeout(limits::ENVIRONMENT_BUILD.to_std(), child.wait()).await;
    // What it has left running goes with it, and lets go of the pipe.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let Ok(status) = status else {
        child.wait().await?;
        return Ok(None);
    };
    let status = status?;
    Ok(Some(Exit { code: status.code().unwrap_or(0), signal: status.signal().unwrap_or(0) }))
}

/// The last lines of all that comes.
fn listen(heard: OwnedFd) -> Vec<String> {
    let (mut heard, mut tail) = (fs::File::from(heard), Tail::default());
    let mut part = vec![0; limits::LOG_CHUNK_BYTES];
    while let Ok(length @ 1..) = heard.read(&mut part) {
        tail.push(part.get(..length).unwrap_or_default());
    }
    tail.lines().collect()
}

/// Why there is no such environment. It may be another time, or on another worker.
pub(super) fn broken(name: &str, problem: &dyn std::fmt::Display) -> Box<TaskError> {
    let message = format!("the environment {name} cannot be built: {problem}");
    failure(ErrorClass::NotFound, Reason::EnvironmentBroken, message)
}
