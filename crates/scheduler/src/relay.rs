//! What the scheduler passes on between workers and people who cannot reach them.
//!
//! It happens on a thread of its own: however much is passed on, no control message waits behind it. A relay opens its own
//! connection and keeps nothing.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use bireme_core::limits;
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};
use bireme_daemon::auth::Bearer;

use crate::machine::view::WorkerView;

/// Messages that wait for a slow reader.
const AHEAD: usize = 2;

/// Where messages of a relay go.
pub(crate) type Sender<T> = mpsc::Sender<Result<T, Status>>;

/// The thread that passes things on. Ends when dropped, with everything on it.
#[derive(Debug)]
pub(crate) struct Relay {
    handle: Handle,
    bearer: Bearer,
    room: Arc<Semaphore>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Relay {
    /// Starts the thread; `bearer` is what workers are shown.
    pub(crate) fn start(bearer: Bearer) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            // An error is the sender's being dropped, which is what is awaited.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("relay".to_owned()).spawn(run)?;
        let room = Arc::new(Semaphore::new(limits::RELAYS));
        Ok(Self { handle, bearer, room, stop: Some(stop), thread: Some(thread) })
    }

    /// What workers are shown.
    pub(crate) fn bearer(&self) -> Bearer {
        self.bearer.clone()
    }

    /// A place among the relays.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{} relays are at work, which is the limit: come again, or ask the worker itself",
                limits::RELAYS
            );
            Refusal::new(Reason::Busy, message)
        })
    }

    /// Runs a relay there whose messages are read here. It ends when nobody reads them any more.
    pub(crate) fn stream<T, F>(
        &self,
        relay: impl FnOnce(Sender<T>) -> F,
    ) -> Result<ReceiverStream<Result<T, Status>>, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let place = self.enter()?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let relay = relay(sender.clone());
        self.handle.spawn(async move {
            let _place = place;
            let ended = tokio::select! {
                biased;
                () = sender.closed() => return,
                ended = relay => ended,
            };
            if let Err(status) = ended {
                // Whoever has gone need not be told.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    /// Runs something there and waits for it here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        relay: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.enter()?;
        let relay = self.handle.spawn(async move {
            let _place = place;
            relay.await
        });
        relay.await.map_err(|_| Refusal::new(Reason::ShuttingDown, "the scheduler is about to end"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panics only with a bug, and says so itself.
            let _ = thread.join();
        }
    }
}

/// A worker, as a relay must know it.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    /// Its name.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) addresses: Vec<Address>,
}

impl From<WorkerView> for Whereabouts {
    fn from(view: WorkerView) -> Self {
        Self { name: view.join.name, addresses: view.join.addresses }
    }
}

impl Whereabouts {
    /// A connection to the first address that answers.
    pub(crate) async fn reach(&self) -> Result<Channel, Refusal> {
        let mut why = "it gave no address".to_owned();
        for address in &self.addresses {
            match connect(address).await {
                Ok(channel) => return Ok(channel),
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        let message = format!("worker {} cannot be reached: {why}", self.name);
        Err(Refusal::new(Reason::WorkerLost, message))
    }
}

async fn connect(address: &Address) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(address.to_string())?
        .connect_timeout(limits::FETCH_WAIT.to_std())
        .tcp_nodelay(true)
        .connect()
        .await
}
