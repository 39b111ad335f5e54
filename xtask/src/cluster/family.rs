//! Processes of processes: who they are, and their common end.
//!
//! A worker is a supervisor, a daemon below it, and executors and commands below that. Whoever is orphaned comes to this
//! program, which asks for that, so nobody gets away.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};

/// Where shared memory is.
const SHARED_MEMORY: &str = "/dev/shm";

/// Has orphans of our processes become our children, from here on.
pub(crate) fn adopt_orphans() -> Result<()> {
    set_child_subreaper(Some(getpid())).context("cannot adopt orphans")
}

/// The children of a process, by number.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut children: Vec<u32> =
        numbers.filter(|child| state(*child).is_some_and(|(_, parent)| parent == pid)).collect();
    children.sort_unstable();
    children
}

/// All below a process, without itself; children after their parents.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let (mut found, mut next) = (Vec::new(), 0);
    let mut parent = Some(pid);
    while let Some(pid) = parent {
        found.extend(children(pid));
        parent = found.get(next).copied();
        next += 1;
    }
    found
}

/// Whether a process has not ended. One that has and was not waited for is not alive.
pub(crate) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// The process that does the work of a daemon: the child that a supervisor calls so, or itself.
pub(crate) fn daemon(pid: u32) -> u32 {
    let children = children(pid);
    children.into_iter().find(|child| name(*child).contains("[daemon]")).unwrap_or(pid)
}

/// A directory in shared memory that a process has open, if it has one.
pub(crate) fn shared_memory(pid: u32) -> Option<PathBuf> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|path| path.starts_with(SHARED_MEMORY)).find(|path| path.is_dir())
}

/// Kills a child of ours and all below it, reaps them, and removes what it has in shared memory. Each is stopped before its
/// children are counted, so that none is added meanwhile.
pub(crate) fn end(root: u32) {
    let shared_memory = shared_memory(root);
    // Children stand after their parents.
    let mut family = vec![root];
    send(root, Signal::STOP);
    loop {
        let below = family.iter().flat_map(|pid| children(*pid));
        let news: Vec<u32> = below.filter(|pid| !family.contains(pid)).collect();
        if news.is_empty() {
            break;
        }
        for pid in news {
            send(pid, Signal::STOP);
            family.push(pid);
        }
    }
    for pid in &family {
        send(*pid, Signal::KILL);
    }
    // When one is reaped, its children have become ours.
    family.into_iter().for_each(reap);
    if let Some(directory) = shared_memory {
        // The next worker of this user would, too.
        let _ = fs::remove_dir_all(directory);
    }
}

/// Kills and reaps whatever came to us and was not waited for. Returns what of it had not ended.
pub(crate) fn end_orphans() -> Vec<String> {
    let orphans = children(std::process::id());
    let alive = orphans.iter().filter(|pid| is_alive(**pid));
    let names = alive.map(|pid| format!("{} ({pid})", name(*pid))).collect();
    orphans.into_iter().for_each(end);
    names
}

/// Its arguments, or its name where it has none any more.
fn name(pid: u32) -> String {
    let read = |file| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let words = read("cmdline").replace('\0', " ");
    if words.is_empty() { read("comm").trim().to_owned() } else { words.trim().to_owned() }
}

/// The state of a process and the number of its parent.
fn state(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may have some of its own.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn number(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// Kills one process alone.
pub(crate) fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = number(pid) {
        // Its end is what is wanted: one that has come already is no failure.
        let _ = kill_process(pid, signal);
    }
}

fn reap(pid: u32) {
    if let Some(pid) = number(pid) {
        // Its own parent may have been quicker.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_family_ends_together() {
        adopt_orphans().unwrap();
        // A child, a grandchild, and one whose parent has gone.
        let script = "sleep 600 & (sleep 600 & echo $!); sh -c 'sleep 600 & echo $!; wait'";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped());
        #[expect(clippy::zombie_processes, reason = "this is what `end` does")]
        let mut shell = shell.spawn().unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let mut printed = || lines.next().unwrap().unwrap().parse::<u32>().unwrap();
        let (orphan, grandchild) = (printed(), printed());
        let own = std::process::id();
        assert!(children(own).contains(&orphan), "orphans come to whoever asked for them");
        let below = descendants(shell.id());
        assert!(below.len() == 3 && below.contains(&grandchild), "{below:?}");
        end(shell.id());
        assert!(!below.into_iter().any(is_alive) && !is_alive(shell.id()));
        assert!(is_alive(orphan));
        end(orphan);
        assert!(!is_alive(orphan));
    }

    #[test]
    fn who_has_no_supervisor_is_the_daemon() {
        assert_eq!(daemon(std::process::id()), std::process::id());
        assert!(is_alive(std::process::id()));
    }
}
