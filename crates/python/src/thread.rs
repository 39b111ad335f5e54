//! Who carries out what a session does: the thread of Python's that waits for it, or else a thread of its own.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bireme_executor::Turns;
use pyo3::prelude::*;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::keenness::Keenness;

/// A wait in the main thread looks for signals this often.
const SIGNALS: Duration = Duration::from_millis(100);

/// Carries out what a session does. Dropped, it ends with all that it still has to do.
#[derive(Debug)]
pub(crate) struct Driver {
    // Invariant: dropped first, so that the thread holds the runtime alone, and ends it.
    turns: Arc<Turns>,
    keenness: Keenness,
    _running: oneshot::Sender<()>,
}

impl Driver {
    /// Starts it.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let turns = Arc::new(Turns::new(runtime));
        let (running, ended) = oneshot::channel::<()>();
        let own = Arc::clone(&turns);
        thread::Builder::new().name("bireme".to_owned()).spawn(move || {
            // An error is the end of the driver, which is what is waited for.
            let _ = own.drive(ended);
            if let Some(turns) = Arc::into_inner(own) {
                turns.into_runtime().shutdown_background();
            }
        })?;
        Ok(Self { turns, keenness: Keenness::default(), _running: running })
    }

    /// Has something done that nobody waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.turns.runtime().spawn(work);
    }

    /// What is begun within is done here.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.turns.runtime().enter()
    }

    /// Waits until something is done, without the interpreter's lock; `None` if it takes longer than `timeout`. A signal whose
    /// Python handler raises ends the wait.
    pub(crate) fn wait<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        work: impl Future<Output = T> + Send,
    ) -> PyResult<Option<T>> {
        py.detach(|| self.done(timeout, work))
    }

    /// The same, for as long as it takes.
    pub(crate) fn block<T: Send>(
        &self,
        py: Python<'_>,
        work: impl Future<Output = T> + Send,
    ) -> PyResult<T> {
        let done = self.wait(py, None, work)?;
        Ok(done.expect("without a limit only a signal ends the wait"))
    }

    /// What is there at once, without a wait, and so with the interpreter's lock.
    pub(crate) fn now<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let _entered = self.enter();
        match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    fn done<T>(
        &self,
        limit: Option<Duration>,
        work: impl Future<Output = T>,
    ) -> PyResult<Option<T>> {
        let mut work = pin!(work);
        let entered = self.turns.runtime().enter();
        // As a rule a command has room, and a result that is asked for late is there.
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Ok(Some(done));
        }
        drop(entered);
        let deadline = limit.and_then(|limit| now().checked_add(limit));
        // One thread that looks is enough.
        if limit.is_none() && !self.turns.are_taken() && self.keenness.takes() {
            let found = self.turns.wait(self.keenness.look(work.as_mut()));
            if found.is_some() {
                return Ok(found);
            }
        }
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let span = left.map_or(SIGNALS, |left| left.min(SIGNALS));
            let work = work.as_mut();
            if let Ok(done) = self.turns.wait(async { timeout(span, work).await }) {
                return Ok(Some(done));
            }
            // Here, and not within: a handler of Python's may wait for something itself.
            #[expect(
                clippy::redundant_closure_for_method_calls,
                reason = "the method itself is of one lifetime only"
            )]
            Python::attach(|py| py.check_signals())?;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "time enters here")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
