//! Ctrl-C and SIGTERM while something is waited for.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Failure;
use crate::output;

/// Waits for some work. Whoever does not want to wait for it any longer is told what becomes of it: `None`.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
    goes_on: &str,
) -> Result<Option<T>, Failure> {
    tokio::select! {
        // First listen, then begin: nothing that the work does finds nobody listening.
        biased;
        interrupted = interrupted() => {
            interrupted?;
            output::say(goes_on);
            Ok(None)
        }
        done = work => done.map(Some),
    }
}

/// Waits until a person or a program wants this to end.
pub(super) async fn interrupted() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
