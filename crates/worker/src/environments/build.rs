//! Builds an environment in its place.
//!
//! Archives are unpacked here; what is Python's business is left to its package, `python -m bireme.environment_builder`, which runs in
//! the interpreter that the language has on this worker.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use bireme_core::{ErrorClass, Exit, Reason, TaskError, limits};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::time::timeout;

use super::shelf::Place;
use super::unpack::{UnpackError, is_archive, unpack};
use crate::executor::command::tail::Tail;
use crate::executor::environment::Environment;
use crate::executor::process::ends::how;
use crate::failure::failure;

/// The module that makes environments.
const MODULE: &str = "bireme.environment_builder";

/// Builds what the file in its place asks for. `python` is the command of an interpreter; `name` is what errors call the
/// environment.
pub(super) async fn build(
    place: &Place,
    python: &[String],
    name: &str,
) -> Result<(), Box<TaskError>> {
    let broken = |problem: &dyn std::fmt::Display| broken(name, problem);
    let (root, wanted) = (place.root(), place.wanted());
    let laid_out = {
        let (root, wanted) = (root.clone(), wanted.clone());
        tokio::task::spawn_blocking(move || lay_out(&wanted, &root)).await
    };
    // It panics only with a bug, and says so itself.
    let laid_out = laid_out.map_err(|error| broken(&error))?;
    let is_packed =
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

/// Unpacks an archive, which is removed after that. Returns whether it is one.
fn lay_out(wanted: &Path, root: &Path) -> Result<bool, UnpackError> {
    fs::create_dir(root)?;
    if !is_archive(wanted)? {
        return Ok(false);
    }
    unpack(File::open(wanted)?, root)?;
    fs::remove_file(wanted)?;
    Ok(true)
}

/// Runs a builder to its end, or kills it when it takes too long. Returns how it ended, if it did, and what it printed last.
async fn run(mut command: Command) -> io::Result<(Option<Exit>, Vec<String>)> {
    let (heard, said) = io::pipe()?;
    command.env_clear().envs(Environment::inherited(true));
    // It ends when its standard input does: the worker may be killed.
    command.stdin(Stdio::piped()).stdout(said.try_clone()?).stderr(said);
    let mut command = tokio::process::Command::from(command);
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    drop(command); // With its end of the pipe.
    let _input = child.stdin.take();
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let tail = tokio::task::spawn_blocking(move || listen(heard.into()));
    let exit = end(&mut child, group).await?;
    let lines = match timeout(limits::EXECUTOR_LAST_WORDS.to_std(), tail).await {
        Ok(lines) => lines.map_err(io::Error::other)?,
        // Something that left its group holds the pipe open.
        Err(_) => Vec::new(),
    };
    Ok((exit, lines))
}

/// A builder and what it has started. Dropped, it is killed: with its end, or with whoever waits for that.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody may be left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn end(child: &mut Child, group: Group) -> io::Result<Option<Exit>> {
    use std::os::unix::process::ExitStatusExt as _;
    let status = timeout(limits::ENVIRONMENT_BUILD.to_std(), child.wait()).await;
    // What it has left running lets go of the pipe.
    drop(group);
    let Ok(status) = status else {
        child.wait().await?;
        return Ok(None);
    };
    let status = status?;
    Ok(Some(Exit { code: status.code().unwrap_or(0), signal: status.signal().unwrap_or(0) }))
}

/// The last lines of all that comes.
fn listen(heard: OwnedFd) -> Vec<String> {
    let (mut heard, mut tail) = (File::from(heard), Tail::default());
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Longest that anything may take.
    const GUARD: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn what_a_builder_has_started_goes_with_whoever_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let alive = directory.path().join("alive");
        assert!(Command::new("mkfifo").arg(&alive).status().unwrap().success());
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3>\"$0\"; echo >&3; sleep 1000 & wait"]).arg(&alive);
        let running = tokio::spawn(run(command));
        let begun = tokio::task::spawn_blocking(move || {
            let mut pipe = File::open(&alive).unwrap();
            pipe.read_exact(&mut [0]).unwrap();
            pipe
        });
        let mut pipe = timeout(GUARD, begun).await.unwrap().unwrap();
        running.abort();
        // It ends when nobody is left who could write into it.
        let gone = tokio::task::spawn_blocking(move || pipe.read(&mut [0]).unwrap());
        assert_eq!(timeout(GUARD, gone).await.unwrap().unwrap(), 0);
    }
}
