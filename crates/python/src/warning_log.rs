//! Warnings on their way to Python's `logging`, whose handlers are code of users: they may take long, and use the client.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use bireme_core::limits;
use pyo3::prelude::*;

/// Has warnings logged by a thread of its own, which the first of them starts and which ends after this.
#[derive(Debug, Default)]
pub(crate) struct WarningLog(OnceLock<Option<SyncSender<String>>>);

impl WarningLog {
    /// Returns at once. What comes while as many wait as may is not logged, nor is anything where no thread can be had.
    pub(crate) fn add(&self, message: &str) {
        let started = self.0.get_or_init(|| start().ok());
        if let Some(sender) = started {
            drop(sender.try_send(message.to_owned()));
        }
    }
}

fn start() -> io::Result<SyncSender<String>> {
    let (sender, messages) = sync_channel(limits::WARNINGS_UNLOGGED);
    thread::Builder::new().name("bireme-warnings".to_owned()).spawn(move || log(messages))?;
    Ok(sender)
}

/// Logs what comes, until nothing more can. Says nothing once Python is ending.
fn log(messages: Receiver<String>) {
    for message in messages {
        let log = |py: Python<'_>| -> PyResult<()> {
            let logger = py.import("logging")?.call_method1("getLogger", ("bireme",))?;
            logger.call_method1("warning", ("%s", &message))?;
            Ok(())
        };
        Python::try_attach(|py| log(py).unwrap_or_else(|error| error.write_unraisable(py, None)));
    }
}
