//! A process that was started or forked, as who looks after it has it.

#![expect(unsafe_code, reason = "who has a descriptor that is waited for promises to keep it")]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread;

use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, pidfd_open,
    pidfd_send_signal, setpgid, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, ChildStderr, ChildStdout};

/// A process, killed when it is dropped before it has ended.
#[derive(Debug)]
pub(super) enum Running {
    /// The standard library started it.
    Started(Child),
    Forked(Forked),
}

/// A child of this process that the standard library does not know of.
#[derive(Debug)]
pub(super) struct Forked {
    pid: Pid,
    /// Becomes readable when it ends; `None` once it was waited for.
    ended: Option<AsyncFd<OwnedFd>>,
    /// What it prints.
    pipes: Option<[OwnedFd; 2]>,
}

impl Running {
    /// Its number; `None` if it has been waited for.
    pub(super) fn id(&self) -> Option<u32> {
        match self {
            Self::Started(child) => child.id(),
            Self::Forked(forked) => {
                let number = forked.pid.as_raw_nonzero().get().unsigned_abs();
                forked.ended.as_ref().map(|_| number)
            }
        }
    }

    /// The pipes of its standard output and standard error; not twice.
    pub(super) fn take_pipes(&mut self) -> [io::Result<OwnedFd>; 2] {
        let none = || Err(io::ErrorKind::NotFound.into());
        match self {
            Self::Started(child) => [
                child.stdout.take().map_or_else(none, ChildStdout::into_owned_fd),
                child.stderr.take().map_or_else(none, ChildStderr::into_owned_fd),
            ],
            Self::Forked(forked) => {
                forked.pipes.take().map_or_else(|| [none(), none()], |pipes| pipes.map(Ok))
            }
        }
    }

    /// Waits until it has ended. May be given up and begun again, but not after it has told how.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Started(child) => child.wait().await,
            Self::Forked(forked) => forked.wait().await,
        }
    }
}

impl Forked {
    /// Takes care of a child of this process, which ends where nobody can. Must be called within a runtime.
    pub(super) fn adopt(pid: Pid, pipes: [OwnedFd; 2]) -> io::Result<Self> {
        // So does the child; whoever is first makes that a signal to the group reaches it.
        let _ = setpgid(Some(pid), Some(pid));
        let ended = watch(pid).inspect_err(|_| {
            // Nobody has waited for it: the number is its own.
            let _ = kill_process(pid, Signal::KILL);
            reap(pid);
        })?;
        Ok(Self { pid, ended: Some(ended), pipes: Some(pipes) })
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(ended) = &self.ended else { return Err(io::ErrorKind::NotFound.into()) };
        let status = loop {
            let mut ready = ended.readable().await?;
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            if let Some(status) = waitid(WaitId::Pid(self.pid), options)? {
                break status;
            }
            ready.clear_ready();
        };
        self.ended = None;
        Ok(exit_status(&status))
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        let Some(ended) = self.ended.take() else { return };
        // One that has ended is still to be waited for.
        let _ = pidfd_send_signal(ended.get_ref(), Signal::KILL);
        reap(self.pid);
    }
}

/// What becomes readable when a child ends.
fn watch(pid: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    // SAFETY: it is open, and nobody but `AsyncFd` has it until that is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(ended, Interest::READABLE) }?)
}

/// Waits for a child that was killed.
fn reap(pid: Pid) {
    let wait = move || retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED));
    // The system may take its time. Without a thread the child is waited for when this process has ended.
    let _ = thread::Builder::new().name("reaper".to_owned()).spawn(wait);
}

/// The same as the standard library has it, which is as `wait` has it.
fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    let code = status.exit_status().map(|code| (code & 0xff) << 8);
    ExitStatus::from_raw(code.or_else(|| status.terminating_signal()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;
    use rustix::process::test_kill_process;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_child_that_nobody_can_look_after_ends() {
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _within = handle.enter();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let ended = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let pipes = [io::pipe().unwrap().0.into(), io::pipe().unwrap().0.into()];
        Forked::adopt(pid, pipes).unwrap_err();
        poll(&mut [PollFd::new(&ended, PollFlags::IN)], None).unwrap();
        while test_kill_process(pid) != Err(Errno::SRCH) {
            thread::yield_now(); // Somebody waits for it.
        }
        child.wait().unwrap_err();
    }
}
