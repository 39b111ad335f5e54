//! Places where a test may have the daemon die.

use std::sync::OnceLock;

/// The variable that names the place, and after a colon the time it is come by at which that happens, from 1.
const VARIABLE: &str = "BIREME_FAULT";

/// What was asked for.
struct Wanted {
    name: String,
    /// How many times the place may still be come by.
    left: std::sync::atomic::AtomicU64,
}

/// Kills this process, as if from outside, if it was started to die here.
pub(crate) fn point(name: &str) {
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    let Some(wanted) = WANTED.get_or_init(read) else { return };
    let is_it = wanted.name == name;
    if is_it && wanted.left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
        let own = rustix::process::getpid();
        // It cannot fail: the process is there.
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}

fn read() -> Option<Wanted> {
    let text = std::env::var(VARIABLE).ok()?;
    let (name, times) = text.split_once(':').unwrap_or((&text, "1"));
    let left = times.parse().unwrap_or(1).into();
    Some(Wanted { name: name.to_owned(), left })
}
