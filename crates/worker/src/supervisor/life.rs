//! One life of the daemon.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use bireme_core::id::WorkerLife;
use bireme_core::protocol::PreviousLife;
use bireme_core::{AttemptId, Exit};
use bireme_daemon::Systemd;
use rustix::process::{Pid, Signal, WaitStatus, kill_process};

use crate::blackbox;
use crate::inheritance::{self, Heir, Said};
use crate::personality::Personality;

/// Attempts that are named in the log; of further ones only the number is told.
const NAMED: usize = 16;

/// A daemon that was started.
#[derive(Debug)]
pub(super) struct Life {
    id: WorkerLife,
    pub(super) pid: Pid,
    pub(super) heir: Heir,
    black_box: OwnedFd,
}

/// How one ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) previous: PreviousLife,
    pub(super) said: Said,
}

impl Life {
    /// Starts the program of this process again, with the same arguments, as a daemon.
    pub(super) fn begin(id: WorkerLife, black_box: OwnedFd) -> io::Result<Self> {
        let (heir, far) = inheritance::line()?;
        let mut daemon = Command::new("/proc/self/exe");
        daemon.arg0(Personality::Daemon.name()).args(std::env::args_os().skip(1)).stdin(far);
        Systemd::delegate(&mut daemon);
        let daemon = daemon.spawn()?;
        // Whoever reaps all children reaps this one.
        Ok(Self { id, pid: Pid::from_child(&daemon), heir, black_box })
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        // It is not reaped yet, so the number is its own.
        let _ = kill_process(self.pid, Signal::KILL);
    }

    /// What is to be known of it, now that it is gone.
    pub(super) fn end(self, status: WaitStatus) -> io::Result<End> {
        let exit = Exit {
            code: status.exit_status().unwrap_or(0),
            signal: status.terminating_signal().unwrap_or(0),
        };
        let started = blackbox::read(&File::from(self.black_box))?;
        let previous = PreviousLife { life: self.id, exit, started };
        Ok(End { previous, said: self.heir.said() })
    }
}

/// Says how a daemon died, and what it was running.
pub(super) fn mourn(exit: Exit, started: &[AttemptId]) {
    let Exit { code, signal } = exit;
    let named: Vec<_> = started.iter().take(NAMED).map(ToString::to_string).collect();
    let (running, attempts) = (started.len(), named.join(" "));
    tracing::error!(signal, code, running, attempts, "the daemon has died");
}
