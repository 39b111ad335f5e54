//! The thread that a session lives on, and how Python's threads wait for what happens there.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A wait in the main thread looks for signals this often.
const SIGNALS: Duration = Duration::from_millis(100);

/// Carries out what a session does. Dropped, it ends with all that it still has to do.
#[derive(Debug)]
pub(crate) struct Driver {
    handle: Handle,
    _running: oneshot::Sender<()>,
}

impl Driver {
    /// Starts it.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("bireme".to_owned()).spawn(move || {
            // An error is the end of the driver, which is what is waited for.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _running: running })
    }

    /// Has something done that nobody waits for.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }

    /// Waits until something is done, without the interpreter's lock; `None` if it takes longer than `timeout`. A signal whose
    /// Python handler raises ends the wait.
    pub(crate) fn wait<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Option<Duration>,
        work: impl Future<Output = T> + Send,
    ) -> PyResult<Option<T>> {
        py.detach(|| {
            let _entered = self.handle.enter();
            wait(timeout, work)
        })
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
}

fn wait<T>(timeout: Option<Duration>, work: impl Future<Output = T>) -> PyResult<Option<T>> {
    let mut work = pin!(work);
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
        return Ok(Some(done));
    }
    let begun = now();
    let deadline = timeout.and_then(|timeout| begun.checked_add(timeout));
    let mut signals = begun + SIGNALS;
    loop {
        let time = now();
        if deadline.is_some_and(|deadline| deadline <= time) {
            return Ok(None);
        }
        if signals <= time {
            #[expect(
                clippy::redundant_closure_for_method_calls,
                reason = "the method itself is of one lifetime only"
            )]
            Python::attach(|py| py.check_signals())?;
            signals = time + SIGNALS;
        }
        let until = deadline.map_or(signals, |deadline| deadline.min(signals));
        thread::park_timeout(until.saturating_duration_since(time));
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return Ok(Some(done));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "time enters here")]
fn now() -> Instant {
    Instant::now()
}

/// A thread that waits.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
