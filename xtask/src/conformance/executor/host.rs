//! A worker, as far as one executor process can tell: a socket, a pool, and a first word.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use anyhow::{Context as _, Result};
use bireme_core::id::Epoch;
use bireme_core::limits;
use bireme_core::link::{Hello, PROTOCOL_MAX};
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::executor_server::{Executor, ExecutorServer};
use bireme_proto::status::status;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt as _, iter};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// Values up to this size may ride in messages.
pub(super) const INLINE_BYTES: u64 = 32 << 10;
/// How often a heartbeat is due.
const HEARTBEAT_US: u64 = 50_000;
/// Batches of orders that wait to be sent; a check waits for what it ordered long before.
const ORDERS: usize = 64;

/// What whoever comes back is told first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reception {
    /// Hello and welcome.
    Welcome,
    /// That its token is wrong.
    Refusal,
    /// Hello, in a version of the protocol that nobody speaks.
    Stranger,
}

/// The worker's side of the socket.
#[derive(Debug)]
pub(super) struct Host {
    dir: PathBuf,
    pub(super) came: mpsc::Receiver<Came>,
    served: JoinHandle<()>,
}

/// A process that has come back.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) first: pb::ExecutorUp,
    pub(super) incoming: Streaming<pb::ExecutorUp>,
    /// Closed when it is dropped.
    pub(super) orders: mpsc::Sender<pb::ExecutorDown>,
}

impl Host {
    /// Listens in a directory, and receives whoever comes back.
    pub(super) fn open(dir: &Path, reception: Reception) -> Result<Self> {
        let pool = dir.join("pool");
        fs::create_dir_all(&pool).context("cannot make a pool")?;
        let listener = UnixListener::bind(socket(dir)).context("cannot listen")?;
        let (comes, came) = mpsc::channel(1);
        let service = ExecutorServer::new(Door { reception, pool, comes })
            .max_decoding_message_size(limits::MESSAGE_BYTES);
        let served = Server::builder()
            .add_service(service)
            .serve_with_incoming(UnixListenerStream::new(listener));
        // It ends when it is aborted.
        let served = tokio::spawn(async move { drop(served.await) });
        Ok(Self { dir: dir.to_owned(), came, served })
    }

    /// The directory of the pool.
    pub(super) fn pool(&self) -> PathBuf {
        self.dir.join("pool")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// Where a host in this directory listens.
pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("socket")
}

struct Door {
    reception: Reception,
    pool: PathBuf,
    comes: mpsc::Sender<Came>,
}

#[tonic::async_trait]
impl Executor for Door {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<pb::ExecutorDown, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::ExecutorUp>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.unwrap_or_default();
        let (orders, taken) = mpsc::channel(ORDERS);
        // A second one is of no interest: the check looks at the first.
        let _ = self.comes.try_send(Came { first, incoming, orders });
        if self.reception == Reception::Refusal {
            let message = "its token is not the one that it was given";
            return Err(status(Refusal::at(Reason::Unauthenticated, "attach", message)));
        }
        let welcome = iter([self.welcome()]);
        Ok(Response::new(Box::pin(welcome.chain(ReceiverStream::new(taken)).map(Ok))))
    }
}

impl Door {
    fn welcome(&self) -> pb::ExecutorDown {
        let welcome = pb::Welcome {
            worker_name: "conformance".to_owned(),
            executor: 1,
            pool_directory: self.pool.display().to_string(),
            inline_bytes: INLINE_BYTES,
            heartbeat_us: HEARTBEAT_US,
            ..pb::Welcome::default()
        };
        let mut hello = Hello::new(None, Epoch(0));
        if self.reception == Reception::Stranger {
            (hello.protocol_min, hello.protocol_max) = (PROTOCOL_MAX + 100, PROTOCOL_MAX + 100);
        }
        let hello = Some(Greeting::new(hello).into());
        pb::ExecutorDown { hello, welcome: Some(welcome), orders: Vec::new() }
    }
}
