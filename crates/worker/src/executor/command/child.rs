//! One process and its group.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use bireme_core::{ErrorClass, Exit, Reason, TaskError, limits};
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{self, ChildStdin};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::program;
use super::tail::Tail;
use crate::executor::Kill;
use crate::executor::payload::{Capture, Command};
use crate::failure::failure;

/// A process that runs.
pub(super) struct Child {
    process: process::Child,
    group: Option<Pid>,
    stdin: Option<Bytes>,
    keep_stdout: bool,
}

/// A process that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) exit: Exit,
    /// It was killed, for this reason.
    pub(super) killed: Option<Kill>,
    /// Standard output, where it was to be kept.
    pub(super) stdout: Vec<u8>,
    /// Standard output passed the limit, and the process was killed.
    pub(super) too_long: bool,
    pub(super) last_lines: Vec<String>,
}

/// Standard output passed the limit.
struct TooLong;

impl Child {
    /// Starts a command in a directory, as leader of a process group of its own.
    pub(super) async fn spawn(
        command: &Command,
        directory: &Path,
        stdin: Option<Bytes>,
    ) -> Result<Self, Box<TaskError>> {
        let environment = program::environment(command);
        let path = program::find(command, &environment, directory)?;
        let piped = |wanted| if wanted { Stdio::piped() } else { Stdio::null() };
        let mut start = process::Command::new(path);
        start
            .args(command.argv.iter().skip(1))
            .env_clear()
            .envs(environment)
            .current_dir(directory)
            .stdin(piped(stdin.is_some()))
            .stdout(piped(command.stdout != Capture::Discard))
            .stderr(piped(command.stderr != Capture::Discard))
            .process_group(0)
            .kill_on_drop(true);
        let process = spawn(&mut start).await.map_err(|error| cannot_start(command, &error))?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { process, group, stdin, keep_stdout: command.stdout == Capture::Value })
    }

    /// Feeds and reads the process until it has ended, by itself or because it was killed. Its group is gone then.
    pub(super) async fn run(mut self, killed: &mut oneshot::Receiver<Kill>) -> Ran {
        let (mut stdout, mut out_tail, mut err_tail) =
            (Vec::new(), Tail::default(), Tail::default());
        let feeding = feed(self.process.stdin.take(), self.stdin.take());
        let (out, err) = (self.process.stdout.take(), self.process.stderr.take());
        let keep = self.keep_stdout;
        let listening = async {
            tokio::try_join!(
                async {
                    feeding.await;
                    Ok(())
                },
                async {
                    if keep { read(out, &mut stdout).await } else { skim(out, &mut out_tail).await }
                },
                skim(err, &mut err_tail),
            )
        };
        let (status, reason, too_long) = {
            tokio::pin!(listening);
            self.until_ended(killed, listening).await
        };
        let exit = exit(status);
        let last_lines = out_tail.lines().chain(err_tail.lines()).collect();
        Ran { exit, killed: reason, stdout, too_long, last_lines }
    }

    async fn until_ended<T>(
        &mut self,
        killed: &mut oneshot::Receiver<Kill>,
        mut listening: std::pin::Pin<&mut impl Future<Output = Result<T, TooLong>>>,
    ) -> (io::Result<ExitStatus>, Option<Kill>, bool) {
        let (mut reason, mut listened, mut too_long) = (None, false, false);
        let (mut deadline, mut ending) = (Instant::now(), false);
        let status = loop {
            tokio::select! {
                status = self.process.wait() => break status,
                heard = &mut listening, if !listened => {
                    listened = true;
                    if heard.is_err() {
                        too_long = true;
                        self.signal(Signal::KILL);
                    }
                }
                Ok(kill) = &mut *killed, if reason.is_none() => {
                    reason = Some(kill);
                    (deadline, ending) = (Instant::now() + kill.grace.to_std(), true);
                    self.signal(Signal::TERM);
                }
                () = sleep_until(deadline), if ending => {
                    ending = false;
                    self.signal(Signal::KILL);
                }
            }
        };
        // Whatever it left running in its group goes with it, and lets go of the pipes.
        self.signal(Signal::KILL);
        if !listened {
            let rest = timeout(limits::COMMAND_PIPE_WAIT.to_std(), listening).await;
            too_long |= matches!(rest, Ok(Err(TooLong)));
        }
        (status, reason, too_long)
    }

    /// Sends a signal to the group. That the group is gone already is no error.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, signal);
        }
    }
}

async fn spawn(start: &mut process::Command) -> io::Result<process::Child> {
    const TRIES: usize = 50;
    for _ in 1..TRIES {
        match start.spawn() {
            // A process that another thread is just starting has inherited the file open for writing, until it execs.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                tokio::task::yield_now().await;
            }
            other => return other,
        }
    }
    start.spawn()
}

fn cannot_start(command: &Command, error: &io::Error) -> Box<TaskError> {
    let program = command.argv.first().map_or("", String::as_str);
    let (class, reason) = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            (ErrorClass::NotFound, Reason::CommandMissing)
        }
        _ => (ErrorClass::Reschedule, Reason::Busy),
    };
    failure(class, reason, format!("{program:?} cannot be started: {error}"))
}

fn exit(status: io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) => {
            Exit { code: status.code().unwrap_or(0), signal: status.signal().unwrap_or(0) }
        }
        Err(error) => {
            tracing::error!(%error, "a process cannot be waited for");
            Exit { code: -1, signal: 0 }
        }
    }
}

/// Writes everything and closes the pipe. A process need not read its input, so that it closed the pipe is no error.
async fn feed(pipe: Option<ChildStdin>, bytes: Option<Bytes>) {
    if let (Some(mut pipe), Some(bytes)) = (pipe, bytes) {
        let _ = pipe.write_all(&bytes).await;
    }
}

/// Reads everything, up to the limit. An error of a pipe reads as its end.
async fn read(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> Result<(), TooLong> {
    let Some(pipe) = pipe else { return Ok(()) };
    let _ = pipe.take(limits::COMMAND_OUTPUT_BYTES + 1).read_to_end(into).await;
    if into.len() as u64 > limits::COMMAND_OUTPUT_BYTES { Err(TooLong) } else { Ok(()) }
}

/// Reads everything and keeps the last lines.
async fn skim(pipe: Option<impl AsyncRead + Unpin>, tail: &mut Tail) -> Result<(), TooLong> {
    const READ: usize = 8 << 10;
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = Vec::with_capacity(READ);
    while let Ok(1..) = pipe.read_buf(&mut buffer).await {
        tail.push(&buffer);
        buffer.clear();
    }
    Ok(())
}
