//! Logs that nobody comes back for: of actors that have ended while their worker was away, and of workers that are lost.
//!
//! The scheduler waits [`limits::ACTOR_HOME_WAIT`] for the worker that has a log. One that no incarnation holds and that was
//! written to last longer ago than [`limits::ACTOR_LOG_KEPT`] is of no use to anybody. Whichever worker finds it removes it.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bireme_core::{Span, limits};

use super::lock::take;
use super::remove;

/// Of the directories of workers.
pub(crate) const PREFIX: &str = "actors-";

/// What was written to more recently is left alone: an incarnation may be about to begin with it. It notes first whose it is.
const SETTLED: Span = Span::secs(60);

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
    let mut left: Vec<Left> =
        logs.filter_map(|log| look_at(log.path(), now).ok().flatten()).collect();
    left.sort_by_key(|log| log.changed);
    let mut bytes: u64 = left.iter().map(|log| log.bytes).sum();
    for log in left {
        if is_younger(log.changed, now, kept) && bytes <= most {
            break;
        }
        bytes -= log.bytes;
        clear(&log);
    }
    for worker in workers {
        // It stays as long as there is anything in it, or a worker may have made it to put something there.
        let changed = fs::metadata(&worker).and_then(|about| about.modified());
        if changed.is_ok_and(|changed| !is_younger(changed, now, kept)) {
            let _ = fs::remove_dir(worker);
        }
    }
}

fn is_younger(changed: SystemTime, now: SystemTime, age: Span) -> bool {
    now.duration_since(changed).unwrap_or_default() < age.to_std()
}

fn clear(Left { directory, changed, .. }: &Left) {
    // An incarnation that has begun with it meanwhile keeps it, and one that is about to.
    let Ok(Some(_taken)) = take(directory) else { return };
    if !measure(directory).is_ok_and(|(_, now)| now == *changed) {
        return;
    }
    match remove(directory) {
        Ok(()) => {
            tracing::info!(path = %directory.display(), "removed a log that nobody came back for");
        }
        Err(error) => {
            tracing::warn!(path = %directory.display(), %error, "a log that nobody came back for cannot be removed");
        }
    }
}

/// A log, unless an incarnation holds it or may be about to.
fn look_at(directory: PathBuf, now: SystemTime) -> io::Result<Option<Left>> {
    let (bytes, changed) = measure(&directory)?;
    let is_left = !is_younger(changed, now, SETTLED) && take(&directory)?.is_some();
    Ok(is_left.then_some(Left { directory, bytes, changed }))
}

/// Bytes of the files in a directory, and when the last of them was written to.
fn measure(directory: &Path) -> io::Result<(u64, SystemTime)> {
    let (mut bytes, mut changed) = (0, SystemTime::UNIX_EPOCH);
    for file in fs::read_dir(directory)? {
        let about = file?.metadata()?;
        bytes += about.len();
        changed = changed.max(about.modified()?);
    }
    Ok((bytes, changed))
}

/// Directories in a directory; none where it cannot be read.
fn entries(directory: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    let found = fs::read_dir(directory).into_iter().flatten().flatten();
    found.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::time::Duration;

    use bireme_core::actor::Durability;

    use super::*;
    use crate::actors::log::{LOCK, Log};

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
        let empty = base.path().join("actors-3");
        fs::create_dir(&empty).unwrap();
        sweep(base.path(), now());
        assert!(lost.exists(), "its worker may come back");
        assert!(empty.exists(), "its worker may be about to put a log there");
        sweep(base.path(), now() + DAY);
        assert!(!empty.exists());
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
            let file = File::create(log.join(LOCK)).unwrap();
            let others = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
            for path in others {
                let file = OpenOptions::new().write(true).open(path).unwrap();
                file.set_modified(now() - Duration::from_secs(age)).unwrap();
            }
            file.set_len(100).unwrap();
            file.set_modified(now() - Duration::from_secs(age)).unwrap();
        }
        sweep_within(base.path(), now() + SETTLED.to_std(), limits::ACTOR_LOG_KEPT, 150);
        let left = logs.map(|log| log.exists());
        assert_eq!(left, [false, true, false]);
    }
}
