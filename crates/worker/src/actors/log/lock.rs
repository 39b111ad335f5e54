//! Whose a log is at this moment: an incarnation's that writes to it, or a sweep's that looks whether there is one.
//!
//! Both take the lock of the log, and an incarnation that finds it taken for long gives up. That it gives up only for another
//! incarnation a gate sees to, the directory of the log's worker: a sweep, perhaps that of another worker of the machine, keeps
//! it shut while it has a log, and whoever is about to open one waits for that, but not for ever: a disk may be stuck.
//!
//! A lock outlives whoever has closed its file by the moment that a process takes to start: until it is another program, it has
//! all files open that the worker had. That is no other incarnation, and just when one was killed it is likely: a process for
//! the next one is started while the log is closed and opened anew.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::mpsc;
use std::{io, thread};

use bireme_core::{Span, limits};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, retry_on_intr};

use super::{LOCK, LogError};

/// A log that a sweep has.
#[derive(Debug)]
pub(super) struct Taken {
    // They are given back in this order.
    _log: File,
    _gate: File,
}

/// Keeps others out of a directory for as long as the file is open. Waits at most for [`limits::ACTOR_LOG_GATE`] and
/// [`limits::ACTOR_LOG_LOCK`].
pub(super) fn lock(directory: &Path) -> Result<File, LogError> {
    lock_within(directory, limits::ACTOR_LOG_GATE, limits::ACTOR_LOG_LOCK)
}

/// The same, with waits for a sweep and for whoever has the log.
pub(super) fn lock_within(directory: &Path, sweep: Span, other: Span) -> Result<File, LogError> {
    // Until the log is locked no sweep may begin. The gate is open for as long as the file is.
    let gate = wait_for(gate_of(directory)?, Kind::Shared, sweep)?;
    let _gate = gate.ok_or(LogError::Swept(sweep))?;
    let mut options = OpenOptions::new();
    let lock = options.create(true).truncate(false).write(true).open(directory.join(LOCK))?;
    wait_for(lock, Kind::Exclusive, other)?.ok_or(LogError::Locked)
}

/// How a file is locked.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Exclusive,
    Shared,
}

/// Locks a file, for as long as it is open; `None` if others have it for longer than `wait`.
fn wait_for(file: File, kind: Kind, wait: Span) -> io::Result<Option<File>> {
    let (at_once, in_time) = match kind {
        Kind::Exclusive => {
            (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive)
        }
        Kind::Shared => (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared),
    };
    match flock(&file, at_once) {
        Ok(()) => return Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error.into()),
    }
    // The system knows of no wait with an end. A thread that waits in vain has the lock when it is free, gives it back and ends.
    let (locked, heard) = mpsc::sync_channel(1);
    thread::Builder::new().name("log-lock".to_owned()).spawn(move || {
        let done = retry_on_intr(|| flock(&file, in_time));
        let _ = locked.send(done.map(|()| file));
    })?;
    match heard.recv_timeout(wait.to_std()) {
        Ok(locked) => Ok(Some(locked.map_err(io::Error::from)?)),
        Err(_) => Ok(None),
    }
}

/// Takes a log for a sweep, unless an incarnation has it, or is about to.
pub(super) fn take(directory: &Path) -> io::Result<Option<Taken>> {
    let gate = gate_of(directory)?;
    if !try_to(&gate)? {
        return Ok(None);
    }
    let lock = OpenOptions::new().write(true).open(directory.join(LOCK))?;
    Ok(try_to(&lock)?.then_some(Taken { _log: lock, _gate: gate }))
}

fn gate_of(directory: &Path) -> io::Result<File> {
    File::open(directory.parent().unwrap_or(directory))
}

/// Locks a file, if nobody else has locked it.
fn try_to(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;
    use std::thread;

    use bireme_core::actor::Durability;

    use super::*;
    use crate::actors::log::Log;

    fn log(base: &Path) -> PathBuf {
        let directory = base.join("actors-1/a");
        drop(Log::open(directory.clone(), Durability::Process).unwrap());
        directory
    }

    /// Whether somebody waits for a lock of a file.
    fn is_waited_for(path: &Path) -> bool {
        let number = format!(":{}", fs::metadata(path).unwrap().ino());
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| {
            line.contains("->") && line.split_whitespace().any(|word| word.ends_with(&number))
        })
    }

    #[test]
    fn an_incarnation_waits_for_a_sweep_that_has_its_log() {
        let base = tempfile::tempdir().unwrap();
        let directory = log(base.path());
        let swept = take(&directory).unwrap().unwrap();
        let opened = directory.clone();
        let opening = thread::spawn(move || Log::open(opened, Durability::Process).map(drop));
        while !is_waited_for(directory.parent().unwrap()) {
            assert!(!opening.is_finished(), "it did not wait: {:?}", opening.join());
            thread::yield_now();
        }
        drop(swept);
        opening.join().unwrap().unwrap();
    }

    #[test]
    fn a_sweep_that_does_not_end_is_not_waited_for_without_end() {
        let base = tempfile::tempdir().unwrap();
        let directory = log(base.path());
        let swept = take(&directory).unwrap().unwrap();
        let error = lock_within(&directory, Span::millis(1), Span::ZERO).unwrap_err();
        assert!(matches!(error, LogError::Swept(_)), "{error}");
        drop(swept);
        lock(&directory).unwrap();
    }

    #[test]
    fn a_lock_that_a_process_has_inherited_is_waited_for() {
        let base = tempfile::tempdir().unwrap();
        let directory = log(base.path());
        let held = lock(&directory).unwrap();
        // As a process has it that is just being started.
        let inherited = held.try_clone().unwrap();
        drop(held);
        let opened = directory.clone();
        let opening = thread::spawn(move || Log::open(opened, Durability::Process).map(drop));
        while !is_waited_for(&directory.join(LOCK)) {
            assert!(!opening.is_finished(), "it did not wait: {:?}", opening.join());
            thread::yield_now();
        }
        drop(inherited);
        opening.join().unwrap().unwrap();
    }

    #[test]
    fn another_incarnation_is_not_waited_for_without_end() {
        let base = tempfile::tempdir().unwrap();
        let directory = log(base.path());
        let held = lock(&directory).unwrap();
        let error = lock_within(&directory, Span::ZERO, Span::millis(1)).unwrap_err();
        assert!(matches!(error, LogError::Locked), "{error}");
        drop(held);
        lock(&directory).unwrap();
    }

    #[test]
    fn a_sweep_leaves_alone_what_is_held_or_about_to_be() {
        let base = tempfile::tempdir().unwrap();
        let directory = log(base.path());
        let gate = gate_of(&directory).unwrap();
        flock(&gate, FlockOperation::LockShared).unwrap();
        assert!(take(&directory).unwrap().is_none());
        drop(gate);
        let held = lock(&directory).unwrap();
        assert!(take(&directory).unwrap().is_none());
        drop(held);
        assert!(take(&directory).unwrap().is_some());
    }
}
