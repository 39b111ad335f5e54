//! The thread that moves bytes, so that control messages do not wait behind them.

pub(crate) mod pour;
pub(crate) mod puts;
pub(crate) mod serve;
pub(crate) mod ticket;

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub(crate) use self::serve::Quay;

/// A thread with a runtime of its own: it serves the store, fetches from peers, and answers people.
/// Ends when dropped, with everything on it.
#[derive(Debug)]
pub(crate) struct Bulk {
    handle: Handle,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Bulk {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            // An error is the sender's being dropped, which is what is awaited.
            let _ = runtime.block_on(stopped);
            // Not for what still blocks: nobody waits for it.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("bulk".to_owned()).spawn(run)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a future there and waits for it here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.handle.spawn(future).await.expect("the thread lives, and the future does not panic")
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panics only with a bug, and says so itself.
            let _ = thread.join();
        }
    }
}
