//! By which executor processes come back to their worker, whatever they run.

use std::pin::Pin;
use std::sync::Arc;

use bireme_core::id::Epoch;
use bireme_core::limits;
use bireme_core::link::{Hello, greet};
use bireme_core::reason::{Reason, Refusal};
use bireme_executor::batches::Batches;
use bireme_executor::{Socket, features};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::executor_report::Report;
use bireme_proto::pb::executor_server::{Executor, ExecutorServer};
use bireme_proto::status::status;
use rustix::process::getuid;
use tokio::net::UnixListener;
use tokio::time::timeout;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt as _, iter};
use tonic::codegen::http::Uri;
use tonic::transport::server::{Server, UdsConnectInfo};
use tonic::{Request, Response, Status, Streaming};

use crate::executor::process::Manners;
use crate::store::Store;
use crate::target::Scheduler;

/// Whose processes come back.
pub(crate) trait Reception: Send + Sync + 'static {
    /// What processes are told of their worker first.
    fn about(&self) -> About<'_>;

    /// A process has come back, and is sent what is put into `orders`. The reason if it is none of these.
    fn attach(
        self: &Arc<Self>,
        number: u64,
        token: &str,
        manners: Manners,
        orders: Batches<pb::ExecutorOrder>,
    ) -> Result<(), &'static str>;

    /// A process says something.
    fn hear(self: &Arc<Self>, number: u64, reports: Vec<pb::ExecutorReport>);

    /// A process has nothing more to say.
    fn detached(self: &Arc<Self>, number: u64);
}

/// What processes are told of their worker.
#[derive(Debug)]
pub(crate) struct About<'a> {
    /// Its name.
    pub(crate) worker: &'a str,
    pub(crate) store: &'a Store,
    /// Where their code finds the cluster.
    pub(crate) scheduler: &'a Scheduler,
}

/// Serves executor processes until it is aborted.
pub(crate) async fn serve<R: Reception>(listener: UnixListener, reception: Arc<R>) {
    let service =
        ExecutorServer::new(Door { reception }).max_decoding_message_size(limits::MESSAGE_BYTES);
    let served = Server::builder()
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener).map(|to| to.and_then(Socket::new)))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "executor processes are served no more");
    }
}

struct Door<R> {
    reception: Arc<R>,
}

#[tonic::async_trait]
impl<R: Reception> Executor for Door<R> {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<pb::ExecutorDown, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::ExecutorUp>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        check_peer(request.extensions().get())?;
        let mut incoming = request.into_inner();
        let first = timeout(limits::HELLO_WAIT.to_std(), incoming.message()).await;
        let silent = |_| refuse(Reason::HelloExpected, "hello", "no message has come");
        let first = first.map_err(silent)??.unwrap_or_default();
        let (attach, manners, token) = judge(first).map_err(status)?;

        let number = attach.started_as;
        let hello = Some(Greeting::new(ours()).into());
        let welcome = Some(self.reception.about().welcome(number));
        let first = iter([pb::ExecutorDown { hello, welcome, orders: Vec::new() }]);
        let orders = Batches::default();
        let taken = orders.taken();
        self.reception.attach(number, &token, manners, orders).map_err(|why| {
            refuse(Reason::Unauthenticated, "attach", format!("executor process {number}: {why}"))
        })?;
        let batches = taken.map(|orders| pb::ExecutorDown { orders, ..Default::default() });
        tokio::spawn(listen(incoming, Arc::clone(&self.reception), number));
        Ok(Response::new(Box::pin(first.chain(batches).map(Ok))))
    }
}

/// Hears what a process says, until it has nothing more to say.
async fn listen<R: Reception>(
    mut incoming: Streaming<pb::ExecutorUp>,
    reception: Arc<R>,
    number: u64,
) {
    loop {
        match incoming.message().await {
            Ok(Some(up)) => reception.hear(number, up.reports),
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(executor = number, %status, "stream of an executor process is lost");
                break;
            }
        }
    }
    reception.detached(number);
}

/// Takes reports one after the other, each by `take`. One that makes no sense costs nothing else.
pub(crate) fn each(
    number: u64,
    reports: Vec<pb::ExecutorReport>,
    mut take: impl FnMut(Report) -> Result<(), Refusal>,
) {
    for report in reports.into_iter().filter_map(|report| report.report) {
        if let Err(Refusal { field, message, .. }) = take(report) {
            tracing::warn!(executor = number, field, message, "report makes no sense");
        }
    }
}

/// The number of something that is asked for and cannot be had from this version of the worker.
pub(crate) fn unserved(report: &Report) -> Option<u64> {
    match report {
        Report::CancelSpawned(asked) => Some(asked.request),
        Report::Forget(asked) => Some(asked.request),
        Report::Get(asked) => Some(asked.request),
        Report::OpenObject(asked) => Some(asked.request),
        Report::Put(asked) => Some(asked.request),
        Report::Spawn(asked) => Some(asked.request),
        Report::Wait(asked) => Some(asked.request),
        _ => None,
    }
}

impl About<'_> {
    /// What the process of this number is told.
    pub(crate) fn welcome(&self, executor: u64) -> pb::Welcome {
        let services = self.scheduler.services();
        pb::Welcome {
            worker_name: self.worker.to_owned(),
            executor,
            pool_directory: self.store.directory().display().to_string(),
            inline_bytes: limits::POOL_FILE_BYTES - 1,
            heartbeat_us: limits::HEARTBEAT.0,
            log_chunk_bytes: limits::LOG_CHUNK_BYTES as u64,
            services: services.iter().filter_map(|found| place(&found.address)).collect(),
            token: services.map(|found| found.token).unwrap_or_default(),
            ..pb::Welcome::default()
        }
    }
}

/// An address by its parts.
fn place(address: &str) -> Option<pb::Address> {
    let uri: Uri = address.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (scheme, port) = (uri.scheme_str()?.to_owned(), uri.port_u16()?.into());
    Some(pb::Address { scheme, host, port, ..pb::Address::default() })
}

/// Only processes of this user are let in, whatever the permissions of the directory have become.
fn check_peer(peer: Option<&UdsConnectInfo>) -> Result<(), Status> {
    let uid = peer.and_then(|peer| peer.peer_cred).map(|credentials| credentials.uid());
    if uid == Some(getuid().as_raw()) {
        return Ok(());
    }
    Err(refuse(Reason::Unauthenticated, "attach", "the process is not this worker's user's"))
}

fn ours() -> Hello {
    let features = [features::KEEPS_INPUTS, features::RUNS_AHEAD].map(str::to_owned).to_vec();
    Hello { features, ..Hello::new(None, Epoch(0)) }
}

/// Judges a first message: what it says of the process, what the process does beyond what it must, and its token.
fn judge(first: pb::ExecutorUp) -> Result<(pb::AttachExecutor, Manners, String), Refusal> {
    let missing =
        |field| Refusal::at(Reason::HelloExpected, field, "it is not in the first message");
    let greeting = Greeting::try_from(first.hello.ok_or_else(|| missing("hello"))?)?;
    greet(&ours(), &greeting.hello)?;
    let attach = first.attach.ok_or_else(|| missing("attach"))?;
    if attach.slots > 1 {
        let message = format!("slots is {}, this worker gives one attempt at a time", attach.slots);
        return Err(Refusal::at(Reason::Unsupported, "attach.slots", message));
    }
    let has = |name: &str| greeting.hello.features.iter().any(|feature| feature == name);
    let (runs_ahead, keeps_inputs) = (has(features::RUNS_AHEAD), has(features::KEEPS_INPUTS));
    let pid = Some(attach.pid).filter(|pid| *pid > 0);
    Ok((attach, Manners { runs_ahead, keeps_inputs, pid }, greeting.token))
}

fn refuse(reason: Reason, field: &str, message: impl Into<String>) -> Status {
    status(Refusal::at(reason, field, message.into()))
}
