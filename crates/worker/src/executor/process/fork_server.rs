//! Makes executor processes of this program by `fork`, from one that has begun already.
//!
//! What a program does before `main`, and what it reads to become an executor, is most of what it takes to start one: loading and
//! linking it, and the C library asking the processor what that can do, by an instruction that hypervisors intercept. A process
//! that waits where all of that is done, and is copied when another is wanted, has done it once for all. A copy is a sibling of
//! the process that it was copied from, so that it belongs to the worker like any other: the worker waits for it, and the
//! system kills it with the worker.
//!
//! Whatever cannot be had this way is started as any other program is. That is so for the first process, which nobody is to wait
//! longer for; where the system cannot do it; and where the program has begun threads, or has files open, before it becomes an
//! executor (see [`siblings`]).

mod order;
pub(super) mod siblings;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use bireme_core::limits;
use bireme_executor::variables;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process_group, pidfd_open};
use tokio::time::Instant;

use self::order::{Answer, Order};
use super::running::Forked;
use crate::sync::lock;

/// The process from which others are copied, if there is one. What is asked of it is asked on the thread that starts processes.
#[derive(Debug, Default)]
pub(super) struct ForkServer(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    server: Option<Server>,
    /// How many were begun since one made a process.
    begun: u32,
    /// The program or the system does not allow it.
    is_impossible: bool,
}

#[derive(Debug)]
struct Server {
    line: OwnedFd,
    child: Child,
    begun: Instant,
    /// It has said that it can make processes.
    is_ready: bool,
}

impl ForkServer {
    /// Makes a process as `command` would start it. `None` if it has to be started.
    pub(super) fn fork(&self, command: &Command) -> Option<io::Result<Forked>> {
        let order = Order::of(command);
        if !order.fits() {
            return None;
        }
        let mut state = lock(&self.0);
        let server = state.server.as_mut()?;
        match server.get_ready() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                state.give_up(&error);
                return None;
            }
        }
        match server.fork(&order) {
            Ok(forked) => {
                state.begun = 0;
                Some(Ok(forked))
            }
            // It was not asked, or made none.
            Err((Asked::No, error)) => {
                state.give_up(&error);
                None
            }
            // There may be one, which finds nobody when it comes back.
            Err((Asked::Yes, error)) => {
                state.give_up(&error);
                let how = "copying the process that waits for that has come to nothing";
                Some(Err(io::Error::new(error.kind(), format!("{how}: {error}"))))
            }
        }
    }

    /// Begins one for the processes after this, which `command` would start.
    pub(super) fn prepare(&self, command: Command) {
        let mut state = lock(&self.0);
        if state.is_impossible || state.server.is_some() || state.begun >= limits::FORK_SERVERS {
            return;
        }
        state.begun += 1;
        match Server::begin(command) {
            Ok(server) => state.server = Some(server),
            Err(error) => {
                tracing::debug!(%error, "executor processes are not forked");
                state.is_impossible = true;
            }
        }
    }
}

impl State {
    fn give_up(&mut self, error: &io::Error) {
        tracing::debug!(%error, "the process that executor processes are forked from is of no use");
        self.is_impossible = error.kind() == io::ErrorKind::Unsupported;
        self.server = None;
    }
}

/// Whether a process that failed to make another had been told to.
#[derive(Clone, Copy, Debug)]
enum Asked {
    No,
    Yes,
}

impl Server {
    fn begin(mut command: Command) -> io::Result<Self> {
        // Without it nobody could wait for what is not a child of the standard library's.
        pidfd_open(getpid(), PidfdFlags::empty())?;
        let flags = SocketFlags::CLOEXEC;
        let (line, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        set_socket_timeout(&line, Timeout::Recv, Some(limits::FORK_WAIT.to_std()))?;
        set_socket_timeout(&line, Timeout::Send, Some(limits::FORK_WAIT.to_std()))?;
        let child = command
            .env(siblings::WANTED, "1")
            .env(variables::PARENT, std::process::id().to_string())
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { line, child, begun: Instant::now(), is_ready: false })
    }

    /// Whether it can make processes by now. Nobody waits for it.
    fn get_ready(&mut self) -> io::Result<bool> {
        if !self.is_ready {
            match order::answer(&self.line, false) {
                Ok(Answer::Ready) => self.is_ready = true,
                Ok(Answer::Made(_) | Answer::Failed(_)) => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.begun.elapsed() > limits::EXECUTOR_START.to_std() {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                // It was killed, perhaps for want of memory, and does not refuse to serve.
                Err(_) if self.child.try_wait()?.is_some_and(|it| !it.success()) => {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.is_ready)
    }

    fn fork(&self, order: &Order) -> Result<Forked, (Asked, io::Error)> {
        let no = |error| (Asked::No, error);
        let (out, their_out) = io::pipe().map_err(no)?;
        let (err, their_err) = io::pipe().map_err(no)?;
        order.send(&self.line, [their_out.into(), their_err.into()]).map_err(no)?;
        match order::answer(&self.line, true) {
            Ok(Answer::Made(pid)) => {
                Forked::adopt(pid, [out.into(), err.into()]).map_err(|error| (Asked::Yes, error))
            }
            Ok(Answer::Failed(error)) => Err((Asked::No, error)),
            Ok(Answer::Ready) => Err((Asked::Yes, io::ErrorKind::InvalidData.into())),
            Err(error) => Err((Asked::Yes, error)),
        }
    }
}

/// What it has made stays.
impl Drop for Server {
    fn drop(&mut self) {
        // With whatever it has started itself. One that has ended by itself is still to be waited for.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}
