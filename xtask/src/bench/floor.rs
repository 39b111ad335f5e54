//! The floor under a round trip: the processes, threads, sockets and streams of a cluster, without its logic.
//!
//! A client sends a message to a scheduler, that one passes it on to a worker, and it comes back the same way. Each is a
//! process with one thread and one tonic stream to its neighbour, as in a cluster. A worker of a cluster runs tasks on
//! another thread; with `hand_over`, this one has such a thread too.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, Context, Poll, Service, http};
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Length of every message: about that of a task, its start, or its end.
const MESSAGE_BYTES: usize = 128;
/// Messages that may wait for a stream.
const WAITING: usize = 16;

const SERVICE: &str = "bench.Floor";
const CLIENTS: &str = "/bench.Floor/Clients";
const WORKERS: &str = "/bench.Floor/Workers";

/// Where messages for a peer are put, once it is there.
type Door = Arc<Mutex<Option<mpsc::Sender<Result<Bytes, Status>>>>>;

/// Listens, says where, and passes messages on for ever.
pub(super) async fn scheduler() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("ready grpc={address} http={address}");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(Floor::default()).serve_with_incoming(incoming).await?;
    Ok(())
}

/// Connects and sends every message back.
pub(super) async fn worker(address: &str, hand_over: bool) -> Result<()> {
    let (mut messages, replies) = open(address, WORKERS).await?;
    println!("up");
    let pool = hand_over.then(|| pool(replies.clone())).transpose()?;
    while let Some(message) = messages.message().await? {
        match &pool {
            Some(pool) => pool.send(message).context("the other thread has ended")?,
            None => replies.send(message).await.context("the stream has ended")?,
        }
    }
    Ok(())
}

/// A client of the floor's scheduler.
pub(super) struct Client {
    messages: mpsc::Sender<Bytes>,
    replies: Streaming<Bytes>,
    message: Bytes,
}

impl Client {
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let (replies, messages) = open(address, CLIENTS).await?;
        Ok(Self { messages, replies, message: vec![7; MESSAGE_BYTES].into() })
    }

    /// Sends a message to the worker and waits for it.
    pub(super) async fn round_trip(&mut self) -> Result<()> {
        self.messages.send(self.message.clone()).await.context("the stream has ended")?;
        match self.replies.message().await? {
            Some(reply) if reply == self.message => Ok(()),
            Some(_) => bail!("another message came back"),
            None => bail!("the stream has ended"),
        }
    }
}

/// A thread that sends back what it is given.
fn pool(replies: mpsc::Sender<Bytes>) -> Result<std::sync::mpsc::SyncSender<Bytes>> {
    let (sender, messages) = std::sync::mpsc::sync_channel(WAITING);
    let work = move || {
        while let Ok(message) = messages.recv() {
            if replies.blocking_send(message).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("pool".to_owned()).spawn(work)?;
    Ok(sender)
}

async fn open(
    address: &str,
    method: &'static str,
) -> Result<(Streaming<Bytes>, mpsc::Sender<Bytes>)> {
    let channel: Channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let (sender, messages) = mpsc::channel(WAITING);
    let request = Request::new(ReceiverStream::new(messages));
    let path = http::uri::PathAndQuery::from_static(method);
    let codec = ProstCodec::<Bytes, Bytes>::default();
    Ok((grpc.streaming(request, path, codec).await?.into_inner(), sender))
}

/// The service: what comes from one side goes to the other.
#[derive(Clone, Default)]
struct Floor {
    clients: Door,
    workers: Door,
}

impl NamedService for Floor {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<tonic::body::Body>> for Floor {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let Self { clients, workers } = self.clone();
        let relay = match request.uri().path() {
            CLIENTS => Relay { own: clients, other: workers },
            WORKERS => Relay { own: workers, other: clients },
            path => {
                let status = Status::unimplemented(format!("there is no {path}"));
                return Box::pin(async move { Ok(status.into_http()) });
            }
        };
        Box::pin(async move {
            let codec = ProstCodec::<Bytes, Bytes>::default();
            Ok(tonic::server::Grpc::new(codec).streaming(relay, request).await)
        })
    }
}

/// One side of the service.
struct Relay {
    own: Door,
    other: Door,
}

impl Service<Request<Streaming<Bytes>>> for Relay {
    type Response = Response<ReceiverStream<Result<Bytes, Status>>>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (sender, messages) = mpsc::channel(WAITING);
        *lock(&self.own) = Some(sender);
        tokio::spawn(pass_on(request.into_inner(), Arc::clone(&self.other)));
        Box::pin(async { Ok(Response::new(ReceiverStream::new(messages))) })
    }
}

/// Passes messages on until either side is gone.
async fn pass_on(mut messages: Streaming<Bytes>, door: Door) {
    while let Ok(Some(message)) = messages.message().await {
        let Some(sender) = lock(&door).clone() else { return };
        if sender.send(Ok(message)).await.is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
