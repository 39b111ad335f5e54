//! A thread that starts processes: the system takes its time for each, and nobody else is to wait meanwhile.
//!
//! It lives as long as whatever its processes belong to, for the system kills a process when the thread ends that started it.

use std::sync::OnceLock;
use std::{io, thread};

use bireme_core::limits;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// The thread, which begins with the first start.
#[derive(Debug, Default)]
pub(super) struct Starter(OnceLock<mpsc::Sender<Job>>);

impl Starter {
    /// Has the thread do something, within the runtime of whoever wants it, and waits for that.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, result) = oneshot::channel();
        let runtime = Handle::current();
        let job = move || {
            let _within = runtime.enter();
            // Whoever wanted it may have gone.
            drop(done.send(job()));
        };
        let gone = || io::Error::other("the thread that starts processes is gone");
        self.jobs()?.send(Box::new(job)).await.map_err(|_| gone())?;
        result.await.map_err(|_| gone())
    }

    fn jobs(&self) -> io::Result<&mpsc::Sender<Job>> {
        if let Some(jobs) = self.0.get() {
            return Ok(jobs);
        }
        let (jobs, mut waiting) = mpsc::channel::<Job>(limits::OUTBOX_MESSAGES);
        let work = move || {
            while let Some(job) = waiting.blocking_recv() {
                job();
            }
        };
        thread::Builder::new().name("starter".to_owned()).spawn(work)?;
        // Of two that begin at once one ends before it has started anything.
        Ok(self.0.get_or_init(|| jobs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_done_on_one_thread_of_its_own() {
        let starter = Starter::default();
        let first = starter.run(|| (thread::current().id(), Handle::try_current().is_ok()));
        let (first, within) = first.await.unwrap();
        let second = starter.run(|| thread::current().id()).await.unwrap();
        assert!(within, "a process that is started is looked after by the runtime");
        assert_eq!(first, second);
        assert_ne!(first, thread::current().id());
    }
}
