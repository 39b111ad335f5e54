//! Places where a test may have the daemon die.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// The variable that says where: the name of a place, and after a colon the time it is come by at which that happens, from 1;
/// or the path of a directory, in which a test puts a file of the place's name whenever it wants a death there.
const VARIABLE: &str = "BIREME_FAULT";

/// What was asked for.
enum Wanted {
    Once {
        name: String,
        /// How many times the place may still be come by.
        left: AtomicU64,
    },
    Whenever(PathBuf),
}

/// Kills this process, as if from outside, if it is to die here.
pub(crate) fn point(name: &str) {
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    let is_now = match WANTED.get_or_init(read) {
        None => false,
        Some(Wanted::Once { name: wanted, left }) => {
            wanted == name && left.fetch_sub(1, Ordering::Relaxed) == 1
        }
        // Each file is for one death.
        Some(Wanted::Whenever(directory)) => fs::remove_file(directory.join(name)).is_ok(),
    };
    if is_now {
        // It cannot fail: the process is there.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

fn read() -> Option<Wanted> {
    let text = std::env::var(VARIABLE).ok()?;
    if text.starts_with('/') {
        return Some(Wanted::Whenever(PathBuf::from(text)));
    }
    let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
    let left = times.parse().unwrap_or(1).into();
    Some(Wanted::Once { name: name.to_owned(), left })
}
