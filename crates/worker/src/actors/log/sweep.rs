//! Logs that nobody comes back for: of actors that have ended while their worker was away, and of workers that are lost.
//!
//! The scheduler waits [`limits::ACTOR_HOME_WAIT`] for the worker that has a log. One that no incarnation holds and that was
//! written to last longer ago than [`limits::ACTOR_LOG_KEPT`] is of no use to anybody. Whichever worker finds it removes it.

use std::fs::{self, DirEntry, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bireme_core::{Span, limits};
use rustix::fs::{FlockOperation, flock};

use super::{LOCK, remove};

/// Of the directories of workers.
pub(crate) const PREFIX: &str = "actors-";

/// A log that no incarnation holds.
#[derive(Debug)]
struct Left {
    directory: PathBuf,
    bytes: u64,
    changed: SystemTime,
}

/// Removes logs below `base` that are of no use any more. Of those that may still be, the oldest go as far as they take more
/// than [`limits::ACTOR_LOGS_LEFT_BYTES`] together. What cannot be read or removed is tried again the next time.
pub(crate) fn sweep(base: &Path, now: SystemTime) {
    sweep_within(base, now, limits::ACTOR_LOG_KEPT, limits::ACTOR_LOGS_LEFT_BYTES);
}

fn sweep_within(base: &Path, now: SystemTime, kept: Span, most: u64) {
    let workers = entries(base)
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)));
    let workers: Vec<PathBuf> = workers.map(|entry| entry.path()).collect();
    let logs = workers.iter().flat_map(|worker| entries(worker));
    let mut left: Vec<Left> = logs.filter_map(|log| look_at(log.path()).ok().flatten()).collect();
    left.sort_by_key(|log| log.changed);
    let mut bytes: u64 = left.iter().map(|log| log.bytes).sum();
    for log in left {
        let age = now.duration_since(log.changed).unwrap_or_default();
        if age < kept.to_std() && bytes <= most {
            break;
        }
        bytes -= log.bytes;
        clear(&log.directory);
    }
    for worker in workers {
        // It stays as long as there is anything in it.
        let _ = fs::remove_dir(worker);
    }
}

fn clear(directory: &Path) {
    match remove(directory) {
        Ok(()) => {
            tracing::info!(path = %directory.display(), "removed a log that nobody came back for");
        }
        Err(error) => {
            tracing::warn!(path = %directory.display(), %error, "a log that nobody came back for cannot be removed");
        }
    }
}

/// A log, unless an incarnation holds it.
fn look_at(directory: PathBuf) -> io::Result<Option<Left>> {
    let lock = OpenOptions::new().write(true).open(directory.join(LOCK))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(None);
    }
    let (mut bytes, mut changed) = (0, SystemTime::UNIX_EPOCH);
    for file in fs::read_dir(&directory)? {
        let about = file?.metadata()?;
        bytes += about.len();
        changed = changed.max(about.modified()?);
    }
    Ok(Some(Left { directory, bytes, changed }))
}

/// Directories in a directory; none where it cannot be read.
fn entries(directory: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    let found = fs::read_dir(directory).into_iter().flatten().flatten();
    found.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bireme_core::actor::Durability;

    use super::*;
    use crate::actors::log::Log;

    const DAY: Duration = Duration::from_hours(24);

    #[expect(clippy::disallowed_methods, reason = "files have the system's time")]
    fn now() -> SystemTime {
        SystemTime::now()
    }

    fn log(base: &Path, worker: &str, actor: &str) -> PathBuf {
        let directory = base.join(worker).join(actor);
        drop(Log::open(directory.clone(), Durability::Process).unwrap());
        directory
    }

    #[test]
    fn logs_that_nobody_holds_go_when_they_are_old() {
        let base = tempfile::tempdir().unwrap();
        let (lost, other) = (log(base.path(), "actors-1", "a"), base.path().join("spill"));
        fs::create_dir(&other).unwrap();
        let (held, _) = Log::open(base.path().join("actors-2/b"), Durability::Process).unwrap();
        sweep(base.path(), now());
        assert!(lost.exists(), "its worker may come back");
        sweep(base.path(), now() + DAY);
        assert!(!lost.exists() && !base.path().join("actors-1").exists());
        assert!(held.directory().exists() && other.exists());
        drop(held);
        sweep(base.path(), now() + DAY);
        assert!(!base.path().join("actors-2").exists());
    }

    #[test]
    fn of_many_the_oldest_go() {
        let base = tempfile::tempdir().unwrap();
        let logs = ["a", "b", "c"].map(|actor| log(base.path(), "actors-1", actor));
        for (log, age) in logs.iter().zip([3, 1, 2]) {
            let file = fs::File::create(log.join(LOCK)).unwrap();
            let others = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
            for path in others {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.set_modified(now() - Duration::from_secs(age)).unwrap();
            }
            file.set_len(100).unwrap();
            file.set_modified(now() - Duration::from_secs(age)).unwrap();
        }
        sweep_within(base.path(), now(), limits::ACTOR_LOG_KEPT, 150);
        let left = logs.map(|log| log.exists());
        assert_eq!(left, [false, true, false]);
    }
}
