//! Ends everything that descends from this process, so that nothing of a dead daemon goes on.
//!
//! This process is a *subreaper*: whoever loses its parent becomes its child. So when no child is left, nothing is left.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use bireme_core::limits;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, wait,
};

use crate::clock::Clock;
use crate::shared_memory;
use crate::signals::Signals;

/// All of a process that was a daemon until its supervisor died: ends what descends from it, and removes what it had in
/// shared memory.
pub(crate) fn main(pool_dir: &Path) -> ExitCode {
    let ended = become_subreaper().and_then(|()| bury(&Signals::catch()?, Clock::start()));
    shared_memory::remove(pool_dir);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Has this process inherit the children of its dead descendants.
pub(crate) fn become_subreaper() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Kills every descendant and waits until none is left, for at most [`limits::REAP_WAIT`].
pub(crate) fn bury(signals: &Signals, clock: Clock) -> io::Result<()> {
    let deadline = clock.now() + limits::REAP_WAIT;
    loop {
        // Whoever was born meanwhile is found in the next round, which its parent's end brings about.
        kill(&descendants(getpid())?);
        if reap(|_, _| {})? == Left::Nobody {
            return Ok(());
        }
        let left = deadline.since(clock.now().min(deadline));
        if left.0 == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "killed processes do not end"));
        }
        signals.wait_child(left)?;
    }
}

/// Kills every descendant of this process, and waits for none: for a program that has workers on threads of its own, and
/// ends without them.
pub fn kill_descendants() -> io::Result<()> {
    let mut killed = BTreeSet::new();
    loop {
        // Whoever was born meanwhile is found in the next round.
        let mut left = descendants(getpid())?;
        left.retain(|pid| killed.insert(pid.as_raw_nonzero()));
        if left.is_empty() {
            return Ok(());
        }
        kill(&left);
    }
}

/// Whether there are children.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Left {
    /// There are.
    Children,
    /// There are none.
    Nobody,
}

/// Takes note of every child that has ended.
pub(crate) fn reap(mut ended: impl FnMut(Pid, WaitStatus)) -> io::Result<Left> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => ended(pid, status),
            Ok(None) => return Ok(Left::Children),
            Err(Errno::CHILD) => return Ok(Left::Nobody),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn kill(pids: &[Pid]) {
    for pid in pids {
        // One that has ended meanwhile needs no killing.
        let _ = kill_process(*pid, Signal::KILL);
    }
}

/// Every process whose chain of parents ends at `root`.
fn descendants(root: Pid) -> io::Result<Vec<Pid>> {
    let processes: Vec<_> = fs::read_dir("/proc")?
        .filter_map(|entry| parent(&fs::read_to_string(entry.ok()?.path().join("stat")).ok()?))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(member) = family.get(next).copied() {
        family.extend(processes.iter().filter(|(_, of)| *of == member).map(|(pid, _)| *pid));
        next += 1;
    }
    family.remove(0);
    Ok(family)
}

/// A process and its parent, from `/proc/PID/stat`; `None` for one without a parent.
fn parent(stat: &str) -> Option<(Pid, Pid)> {
    let (pid, rest) = stat.split_once(" (")?;
    // The name may hold anything, parentheses too.
    let (_, rest) = rest.rsplit_once(") ")?;
    let of = rest.split(' ').nth(1)?;
    Some((Pid::from_raw(pid.parse().ok()?)?, Pid::from_raw(of.parse().ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_read_whatever_the_name() {
        let pid = |raw| Pid::from_raw(raw).unwrap();
        assert_eq!(parent("12 (a) b (c) S 7 12 12 0"), Some((pid(12), pid(7))));
        assert_eq!(parent("1 (init) S 0 1 1 0"), None);
        assert_eq!(parent("nonsense"), None);
    }

    #[test]
    fn children_of_children_are_found() {
        use std::io::{BufRead as _, BufReader};
        use std::process::{Command, Stdio};
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (shell_pid, sleep) = (Pid::from_child(&shell), line.trim().parse().unwrap());
        let sleep = Pid::from_raw(sleep).unwrap();
        let found = descendants(getpid()).unwrap();
        assert!(found.contains(&sleep) && found.contains(&shell_pid), "{found:?}");
        assert_eq!(descendants(shell_pid).unwrap(), [sleep]);
        kill(&[sleep, shell_pid]);
        shell.wait().unwrap();
    }
}
