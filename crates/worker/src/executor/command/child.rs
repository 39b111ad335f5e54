//! One process and its group.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{self, ExitStatus, Stdio};
use std::thread;

use bireme_core::{ErrorClass, Exit, Reason, Span, TaskError, Time, limits};
use bytes::Bytes;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use super::bell::Bell;
use super::pipes::{Heard, Pipes};
use super::program::{self, Variables};
use super::reap::{Usage, reap};
use crate::clock::Clock;
use crate::executor::Kill;
use crate::executor::crew::{Bell as _, Seat};
use crate::executor::payload::{Capture, Command};
use crate::executor::scales::{Bloat, Scales};
use crate::failure::failure;
use crate::logs::Writer;

/// How often a process is looked at where the system has no descriptor for it.
const LOOK: Span = Span::millis(10);

/// A process that runs.
#[derive(Debug)]
pub(super) struct Child<'a> {
    pid: Pid,
    /// Becomes readable at its end; not every system has it.
    ended: Option<OwnedFd>,
    pipes: Pipes<'a>,
}

/// A process that has ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) exit: Exit,
    /// It was killed, for this reason.
    pub(super) killed: Option<Kill>,
    /// Standard output passed the limit, and the process was killed.
    pub(super) too_long: bool,
    /// It took more memory than it may, and was killed.
    pub(super) bloat: Option<Bloat>,
    /// No process is left that it has started, as far as pipes tell.
    pub(super) is_alone: bool,
    pub(super) heard: Heard,
    pub(super) usage: Usage,
}

/// What was done to a process to end it.
#[derive(Debug, Default)]
struct Ending {
    killed: Option<Kill>,
    too_long: bool,
    bloat: Option<Bloat>,
    /// When it is over with its grace.
    deadline: Option<Time>,
}

impl<'a> Child<'a> {
    /// Starts a command in a directory, as leader of a process group of its own. It reads `stdin`, and what it prints goes
    /// into `log` as it comes.
    pub(super) fn spawn(
        command: &Command,
        variables: Variables,
        directory: &Path,
        stdin: Option<Bytes>,
        log: Option<&'a Writer>,
        buffer: &'a mut [u8],
    ) -> Result<Self, Box<TaskError>> {
        let path = program::find(command, &variables, directory)?;
        let piped = |wanted| if wanted { Stdio::piped() } else { Stdio::null() };
        let mut start = process::Command::new(path);
        start
            .args(command.argv.iter().skip(1))
            .env_clear()
            .envs(variables)
            .current_dir(directory)
            .stdin(piped(stdin.is_some()))
            .stdout(piped(command.stdout != Capture::Discard))
            .stderr(piped(command.stderr != Capture::Discard))
            .process_group(0);
        let mut process = spawn(&mut start).map_err(|error| cannot_start(command, &error))?;
        let pid = Pid::from_child(&process);
        let ended = pidfd_open(pid, PidfdFlags::empty()).ok();
        let pipes = Pipes::take(&mut process, command, stdin, log, buffer);
        Ok(Self { pid, ended, pipes })
    }

    /// Feeds and reads the process until it has ended, by itself or because it was killed. Its group is gone then. It is killed
    /// when it takes more memory than `memory_bytes`, if that is not 0.
    pub(super) fn run(mut self, seat: &Seat<Bell>, clock: Clock, memory_bytes: u64) -> Ran {
        let ending = self.until_ended(seat, clock, memory_bytes);
        // Whatever it left running in its group goes with it, and lets go of the pipes. The process itself is still to be
        // waited for, so that the group's number is nobody else's yet.
        self.signal(Signal::KILL);
        let (exit, usage) = exit(reap(self.pid));
        self.hear_the_rest(clock);
        let too_long = ending.too_long || self.pipes.is_too_long();
        let Ending { killed, bloat, .. } = ending;
        let is_alone = self.pipes.are_forsaken();
        Ran { exit, killed, too_long, bloat, is_alone, heard: self.pipes.close(), usage }
    }

    fn until_ended(&mut self, seat: &Seat<Bell>, clock: Clock, memory_bytes: u64) -> Ending {
        let mut ending = Ending::default();
        let mut scales =
            Scales::new(self.pid.as_raw_nonzero().get().unsigned_abs(), memory_bytes, clock.now());
        loop {
            let look = self.ended.is_none().then_some(LOOK);
            let grace = ending.deadline.map(|deadline| deadline.since(clock.now()));
            let weigh = scales.as_ref().map(|scales| scales.wait(clock.now()));
            let timeout = look.into_iter().chain(grace).chain(weigh).min();
            let others = [self.ended.as_ref().map(|fd| fd.as_fd()), Some(seat.bell().as_fd())];
            let [ended, rung] = self.pipes.turn(others, timeout);
            if ended || (self.ended.is_none() && self.has_ended()) {
                return ending;
            }
            if rung {
                seat.bell().silence();
                if let Some(kill) = seat.killed() {
                    self.end_within(kill, clock.now(), &mut ending);
                }
            }
            if self.pipes.is_too_long() && !ending.too_long {
                ending.too_long = true;
                self.signal(Signal::KILL);
            }
            if let Some(bloat) = scales.as_mut().and_then(|scales| scales.weigh(clock.now())) {
                ending.bloat = Some(bloat);
                self.signal(Signal::KILL);
            }
            if ending.deadline.is_some_and(|deadline| deadline <= clock.now()) {
                ending.deadline = None;
                self.signal(Signal::KILL);
            }
        }
    }

    /// Asks the process to end within a grace that may become shorter, but not longer.
    fn end_within(&self, kill: Kill, now: Time, ending: &mut Ending) {
        let deadline = now + kill.grace;
        if ending.killed.is_none() {
            (ending.killed, ending.deadline) = (Some(kill), Some(deadline));
            self.signal(Signal::TERM);
        } else if let Some(before) = &mut ending.deadline {
            *before = deadline.min(*before);
        }
    }

    /// Reads what is left in the pipes. A process that has left the group may keep them open, and is not waited for.
    fn hear_the_rest(&mut self, clock: Clock) {
        self.pipes.starve();
        let until = clock.now() + limits::COMMAND_PIPE_WAIT;
        while self.pipes.are_open() && !self.pipes.is_too_long() {
            let rest = until.since(clock.now());
            if rest == Span::ZERO {
                return;
            }
            self.pipes.turn([None, None], Some(rest));
        }
    }

    /// Whether it has ended, where no descriptor tells.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Sends a signal to the group. That the group is gone already is no error.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal);
    }
}

fn spawn(start: &mut process::Command) -> io::Result<process::Child> {
    const TRIES: usize = 50;
    for _ in 1..TRIES {
        match start.spawn() {
            // A process that another thread is just starting has inherited the file open for writing, until it execs.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => thread::yield_now(),
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
        // A zero byte in an argument or a variable; more of them than the system takes.
        io::ErrorKind::InvalidInput | io::ErrorKind::ArgumentListTooLong => {
            (ErrorClass::Malformed, Reason::Malformed)
        }
        _ => (ErrorClass::Reschedule, Reason::Busy),
    };
    failure(class, reason, format!("{program:?} cannot be started: {error}"))
}

fn exit(reaped: io::Result<(ExitStatus, Usage)>) -> (Exit, Usage) {
    match reaped {
        Ok((status, usage)) => {
            let (code, signal) = (status.code().unwrap_or(0), status.signal().unwrap_or(0));
            (Exit { code, signal }, usage)
        }
        Err(error) => {
            tracing::error!(%error, "a process cannot be waited for");
            (Exit { code: -1, signal: 0 }, Usage::default())
        }
    }
}
