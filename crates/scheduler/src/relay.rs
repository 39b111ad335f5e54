//! What the scheduler passes on between workers and people who cannot reach them.
//!
//! It happens on a thread of its own: however much is passed on, no control message waits behind it. A relay opens its own
//! connection and keeps nothing. Streams of calls last as long as their callers, so that they are counted apart, and end when
//! the scheduler is about to; transfers come to their own end.

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
use bireme_daemon::Shutdown;
use bireme_daemon::auth::Bearer;
use bireme_proto::status::status;

use crate::machine::view::WorkerView;

/// Messages that wait for a slow reader.
pub(crate) const AHEAD: usize = 2;

/// Where messages of a relay go.
pub(crate) type Sender<T> = mpsc::Sender<Result<T, Status>>;

/// What is passed on, each with a limit of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Calls to actors, for as long as the caller likes.
    Calls,
    /// Values, single calls, and what tasks printed.
    Transfer,
}

/// The thread that passes things on. Ends when dropped, with everything on it.
#[derive(Debug)]
pub(crate) struct Relay {
    handle: Handle,
    bearer: Bearer,
    transfers: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    /// Begins when streams of calls are to end.
    ending: Shutdown,
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
        Ok(Self {
            handle,
            bearer,
            transfers: Arc::new(Semaphore::new(limits::RELAYS)),
            calls: Arc::new(Semaphore::new(limits::CALL_RELAYS)),
            ending: Shutdown::manual(),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What workers are shown.
    pub(crate) fn bearer(&self) -> Bearer {
        self.bearer.clone()
    }

    /// Ends streams of calls, which are told so.
    pub(crate) fn end_calls(&self) {
        self.ending.trigger();
    }

    /// A place among the relays of a kind.
    fn enter(&self, kind: Kind) -> Result<OwnedSemaphorePermit, Refusal> {
        let (room, limit) = match kind {
            Kind::Calls => (&self.calls, limits::CALL_RELAYS),
            Kind::Transfer => (&self.transfers, limits::RELAYS),
        };
        Arc::clone(room).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{limit} relays are at work, which is the limit: come again, or ask the worker itself"
            );
            Refusal::new(Reason::Busy, message)
        })
    }

    /// Runs a relay there whose messages are read here. It ends when nobody reads them any more.
    pub(crate) fn stream<T, F>(
        &self,
        kind: Kind,
        relay: impl FnOnce(Sender<T>) -> F,
    ) -> Result<ReceiverStream<Result<T, Status>>, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let place = self.enter(kind)?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let relay = relay(sender.clone());
        let (lasts, ending) = (matches!(kind, Kind::Calls), self.ending.begun());
        self.handle.spawn(async move {
            let _place = place;
            let ended = tokio::select! {
                biased;
                () = sender.closed() => return,
                () = ending, if lasts => Err(status(shutting_down())),
                ended = relay => ended,
            };
            if let Err(why) = ended {
                // Whoever has gone need not be told.
                let _ = sender.send(Err(why)).await;
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    /// Runs something there and waits for it here.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        relay: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.enter(Kind::Transfer)?;
        let relay = self.handle.spawn(async move {
            let _place = place;
            relay.await
        });
        relay.await.map_err(|_| shutting_down())
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

/// Why a relay ends before its time.
pub(crate) fn shutting_down() -> Refusal {
    Refusal::new(Reason::ShuttingDown, "the scheduler is about to end")
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
        .connect_timeout(limits::DIRECT_WAIT.to_std())
        .http2_keep_alive_interval(limits::PING.to_std())
        .keep_alive_timeout(limits::PING_WAIT.to_std())
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .tcp_nodelay(true)
        .connect()
        .await
}
