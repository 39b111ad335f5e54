//! A daemon on a thread of its own.

use std::fmt::Display;
use std::future::Future;
use std::thread::{self, JoinHandle};

use bireme_daemon::Shutdown;
use tokio::sync::oneshot;

use super::{StartError, StopError};

/// What a daemon that says nothing at its end has done.
const PANICKED: &str = "it panicked";

/// A daemon that runs, and the way to end it.
#[derive(Debug)]
pub(super) struct Daemon {
    name: String,
    shutdown: Shutdown,
    ended: oneshot::Receiver<Result<(), String>>,
    /// What it said at its end, once that was waited for.
    end: Option<Result<(), String>>,
    thread: JoinHandle<()>,
}

impl Daemon {
    /// Starts a thread with a runtime of its own. `bind` opens what the daemon needs and says what others must know of it;
    /// what it returns besides runs until the shutdown begins.
    pub(super) async fn start<Bind, Bound, Run, Known, Error>(
        name: String,
        bind: Bind,
    ) -> Result<(Self, Known), StartError>
    where
        Bind: FnOnce(Shutdown) -> Bound + Send + 'static,
        Bound: Future<Output = Result<(Known, Run), Error>>,
        Run: Future<Output = Result<(), Error>>,
        Known: Send + 'static,
        Error: Display,
    {
        let shutdown = Shutdown::manual();
        let (tell_ready, ready) = oneshot::channel();
        let (tell_ended, ended) = oneshot::channel();
        let inside = shutdown.clone();
        let thread = thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                // Whoever does not listen any more has given the daemon up.
                let _ = tell_ended.send(run(bind(inside), tell_ready));
            })
            .map_err(|error| StartError { name: name.clone(), problem: error.to_string() })?;
        if let Ok(known) = ready.await {
            return Ok((Self { name, shutdown, ended, end: None, thread }, known));
        }
        let problem = match ended.await {
            Ok(Err(problem)) => problem,
            Ok(Ok(())) | Err(_) => "it ended at once".to_owned(),
        };
        Err(StartError { name, problem })
    }

    /// Asks the daemon to end.
    pub(super) fn shut_down(&self) {
        self.shutdown.trigger();
    }

    /// Waits until it has ended, of whatever cause.
    pub(super) async fn ended(&mut self) {
        if self.end.is_none() {
            let ended = (&mut self.ended).await;
            self.end = Some(ended.unwrap_or_else(|_| Err(PANICKED.to_owned())));
        }
    }

    /// Waits until it has ended. Daemons bound their own end.
    pub(super) async fn join(mut self) -> Result<(), StopError> {
        self.ended().await;
        let Self { name, shutdown: _, ended: _, end, thread } = self;
        // The thread has said its last word, or has panicked: it is not waited for in vain.
        let panicked = thread.join().is_err();
        match end {
            Some(Ok(())) if !panicked => Ok(()),
            Some(Err(problem)) => Err(StopError { name, problem }),
            Some(Ok(())) | None => Err(StopError { name, problem: PANICKED.to_owned() }),
        }
    }
}

/// The life of a daemon's thread.
fn run<Known, Run, Error: Display>(
    bound: impl Future<Output = Result<(Known, Run), Error>>,
    ready: oneshot::Sender<Known>,
) -> Result<(), String>
where
    Run: Future<Output = Result<(), Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (known, run) = bound.await.map_err(|error| error.to_string())?;
        if ready.send(known).is_err() {
            return Ok(());
        }
        run.await.map_err(|error| error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn idle(
        shutdown: Shutdown,
    ) -> Result<(u32, impl Future<Output = Result<(), String>>), String> {
        Ok((7, async move {
            shutdown.begun().await;
            Ok(())
        }))
    }

    #[tokio::test]
    async fn a_daemon_runs_until_it_is_shut_down() {
        let (daemon, known) = Daemon::start("idle".into(), idle).await.unwrap();
        assert_eq!(known, 7);
        daemon.shut_down();
        daemon.join().await.unwrap();
    }

    #[tokio::test]
    async fn a_daemon_that_cannot_start_says_why() {
        let bind = |_: Shutdown| async {
            Err::<((), std::future::Ready<Result<(), String>>), _>("the port is taken".to_owned())
        };
        let error = Daemon::start("poor".into(), bind).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot start poor: the port is taken");
    }

    #[tokio::test]
    async fn a_daemon_that_panics_is_told_of() {
        let bind = |shutdown: Shutdown| async {
            Ok::<_, String>(((), async move {
                shutdown.begun().await;
                panic!("as the test wants it")
            }))
        };
        let (daemon, ()) = Daemon::start("wild".into(), bind).await.unwrap();
        daemon.shut_down();
        assert_eq!(
            daemon.join().await.unwrap_err().to_string(),
            "wild did not end well: it panicked"
        );
    }
}
