//! When to stop.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Says to everybody who holds a clone that the daemon is to end.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// One that only [`trigger`](Self::trigger) pulls.
    pub fn manual() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// One that SIGTERM and SIGINT pull too; the second signal ends the process at once, with 128 plus its number.
    /// Must be called inside a runtime, whose signals it takes over.
    pub fn on_signals() -> io::Result<Self> {
        Self::on_signals_or(|signal| tracing::warn!(signal, "second signal, ending at once"))
    }

    /// The same for a program that has `last` to do, briefly, when the second signal, whose name it is told, ends it at once.
    pub fn on_signals_or(last: impl FnOnce(&'static str) + Send + 'static) -> io::Result<Self> {
        let shutdown = Self::manual();
        let (terminate, interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(shutdown.clone().watch(terminate, interrupt, last));
        Ok(shutdown)
    }

    /// Begins the shutdown; again is no different.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when it begins, at once if it has.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        let sender = Arc::clone(&self.0);
        async move {
            // Never closed: `sender` is held here.
            let _ = sender.subscribe().wait_for(|begun| *begun).await;
        }
    }

    async fn watch(
        self,
        mut terminate: Signal,
        mut interrupt: Signal,
        last: impl FnOnce(&'static str),
    ) {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => ("SIGTERM", SignalKind::terminate()),
                _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt()),
            }
        };
        let (name, _) = next().await;
        tracing::info!(signal = name, "shutting down");
        self.trigger();
        let (name, kind) = next().await;
        last(name);
        std::process::exit(128 + kind.as_raw_value());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use rustix::process::{Pid, Signal as Kill, kill_process};
    use tokio::io::{AsyncBufReadExt, BufReader, Lines};
    use tokio::process::{ChildStdout, Command};

    use super::*;
    use crate::guarded;

    #[tokio::test]
    async fn every_clone_hears_of_it_before_and_after() {
        let shutdown = Shutdown::manual();
        let waiting = tokio::spawn(shutdown.begun());
        assert!(!shutdown.has_begun());
        shutdown.clone().trigger();
        guarded(waiting).await.unwrap();
        guarded(shutdown.begun()).await;
        assert!(shutdown.has_begun());
    }

    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_ends() {
        for (first, second, code) in [(Kill::TERM, Kill::INT, 130), (Kill::INT, Kill::TERM, 143)] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "shutdown::tests::daemon", "--ignored", "--nocapture"])
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            guarded(said(&mut lines, "up")).await;
            kill_process(pid, first).unwrap();
            guarded(said(&mut lines, "begun")).await;
            kill_process(pid, second).unwrap();
            assert_eq!(guarded(child.wait()).await.unwrap().code(), Some(code));
        }
    }

    #[tokio::test]
    #[ignore = "run by the test above, as its child"]
    async fn daemon() {
        let shutdown = Shutdown::on_signals().unwrap();
        println!("\nup");
        guarded(shutdown.begun()).await;
        println!("\nbegun");
        guarded(std::future::pending::<()>()).await;
    }

    async fn said(lines: &mut Lines<BufReader<ChildStdout>>, word: &str) {
        while lines.next_line().await.unwrap().expect("it says so before it ends") != word {}
    }
}
