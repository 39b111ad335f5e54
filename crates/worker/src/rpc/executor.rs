//! The service `Executor`, by which executor processes come back to their worker.

mod orders;

use std::pin::Pin;
use std::sync::Arc;

use bireme_core::id::Epoch;
use bireme_core::link::{Hello, greet};
use bireme_core::protocol::Timing;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{AttemptId, Span, TaskError, Value, limits};
use bireme_executor::features;
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::executor_report::{
    AllocatePool, Failed, Finished, Leaving, Rejoin, Report, Secede,
};
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

pub(crate) use self::orders::Orders;
use crate::executor::process::{Manners, Shared};
use crate::registry::Outputs;
use crate::store::Store;
use crate::target::{Scheduler, Target};

/// Serves executor processes until it is aborted.
pub(crate) async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let service =
        ExecutorServer::new(Door { shared }).max_decoding_message_size(limits::MESSAGE_BYTES);
    let served = Server::builder()
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "executor processes are served no more");
    }
}

struct Door {
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl Executor for Door {
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

        let orders = Orders::default();
        let batches =
            orders.taken().map(|orders| pb::ExecutorDown { orders, ..Default::default() });
        let number = attach.started_as;
        let setup = &self.shared.setup;
        let welcome = iter([welcome(number, &setup.worker, &setup.store, &setup.scheduler)]);
        let attached = self.shared.attach(number, &token, manners, orders);
        attached.map_err(|why| {
            refuse(Reason::Unauthenticated, "attach", format!("executor process {number}: {why}"))
        })?;
        tokio::spawn(listen(incoming, Arc::clone(&self.shared), number));
        Ok(Response::new(Box::pin(welcome.chain(batches).map(Ok))))
    }
}

/// What a process is told first.
pub(crate) fn welcome(
    executor: u64,
    worker: &str,
    store: &Store,
    scheduler: &Scheduler,
) -> pb::ExecutorDown {
    let (services, token) = services(scheduler).unwrap_or_default();
    let welcome = pb::Welcome {
        worker_name: worker.to_owned(),
        executor,
        pool_directory: store.directory().display().to_string(),
        inline_bytes: limits::POOL_FILE_BYTES - 1,
        heartbeat_us: limits::HEARTBEAT.0,
        log_chunk_bytes: limits::LOG_CHUNK_BYTES as u64,
        services: services.into_iter().collect(),
        token,
        ..pb::Welcome::default()
    };
    let hello = Some(Greeting::new(ours()).into());
    pb::ExecutorDown { hello, welcome: Some(welcome), orders: Vec::new() }
}

/// Where code of attempts and actors finds the cluster, and the token to show there: what this worker goes by itself.
fn services(scheduler: &Scheduler) -> Option<(Option<pb::Address>, String)> {
    let Target { address, token, .. } = scheduler.find().ok()?;
    let token = token.map(|token| token.reveal().to_owned()).unwrap_or_default();
    Some((place(&address), token))
}

/// An address by its parts.
fn place(address: &str) -> Option<pb::Address> {
    let uri: Uri = address.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (scheme, port) = (uri.scheme_str()?.to_owned(), uri.port_u16()?.into());
    Some(pb::Address { scheme, host, port, ..pb::Address::default() })
}

/// Only processes of this user are let in, whatever the permissions of the directory have become.
pub(crate) fn check_peer(peer: Option<&UdsConnectInfo>) -> Result<(), Status> {
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
pub(crate) fn judge(
    first: pb::ExecutorUp,
) -> Result<(pb::AttachExecutor, Manners, String), Refusal> {
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
    Ok((attach, Manners { runs_ahead, keeps_inputs }, greeting.token))
}

pub(crate) fn refuse(reason: Reason, field: &str, message: impl Into<String>) -> Status {
    status(Refusal::at(reason, field, message.into()))
}

/// Hears what a process says, until it has nothing more to say.
async fn listen(mut incoming: Streaming<pb::ExecutorUp>, shared: Arc<Shared>, number: u64) {
    loop {
        match incoming.message().await {
            Ok(Some(up)) => {
                for report in up.reports.into_iter().filter_map(|report| report.report) {
                    if let Err(Refusal { field, message, .. }) = hear(&shared, number, report) {
                        tracing::warn!(executor = number, field, message, "report makes no sense");
                    }
                }
            }
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(executor = number, %status, "stream of an executor process is lost");
                break;
            }
        }
    }
    shared.detached(number);
}

/// Takes one report. What this version does not know is passed over.
fn hear(shared: &Arc<Shared>, number: u64, report: Report) -> Result<(), Refusal> {
    match report {
        Report::Finished(Finished { attempt, outputs, timing: taken }) => {
            let id = attempt_id(attempt)?;
            let outputs: Result<Outputs, Refusal> =
                outputs.into_iter().map(Value::try_from).collect();
            let outcome = outputs.map_err(|refusal| senseless(&refusal));
            shared.ended(number, id, outcome, timing(taken));
        }
        Report::Failed(Failed { attempt, error, timing: taken, permanent: _ }) => {
            let id = attempt_id(attempt)?;
            let missing = || Refusal::at(Reason::Malformed, "failed.error", "error is missing");
            let error = error.ok_or_else(missing).and_then(TaskError::try_from);
            let error = error.unwrap_or_else(|refusal| *senseless(&refusal));
            shared.ended(number, id, Err(Box::new(error)), timing(taken));
        }
        Report::AllocatePool(AllocatePool { request, attempt, lengths, actor: _ }) => {
            shared.allocate(number, request, attempt_id(attempt)?, lengths);
        }
        Report::ReleaseObjects(released) => {
            for attempt in released.attempts {
                shared.released(number, attempt.try_into()?);
            }
        }
        Report::Secede(Secede { attempt, request }) => {
            shared.seceded(number, attempt_id(attempt)?, request);
        }
        Report::Rejoin(Rejoin { request, attempt }) => {
            shared.rejoining(number, attempt_id(attempt)?, request);
        }
        Report::Leaving(Leaving { reason }) => shared.leaving(number, &reason),
        Report::Refused(refused) => {
            let pb::Refused { reason, field, message, .. } = refused.refused.unwrap_or_default();
            let refusal = bireme_proto::convert::common::refusal(&reason, field, message);
            return Err(refusal);
        }
        other => {
            if let Some(request) = unserved(&other) {
                shared.refuse(number, request);
            }
        }
    }
    Ok(())
}

/// The number of something that is asked for and cannot be had from this version of the worker.
fn unserved(report: &Report) -> Option<u64> {
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

fn attempt_id(attempt: Option<pb::AttemptId>) -> Result<AttemptId, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "attempt", "attempt is missing");
    attempt.ok_or_else(missing)?.try_into()
}

pub(crate) fn timing(taken: Option<pb::ExecutorTiming>) -> Timing {
    let taken = taken.unwrap_or_default();
    let pb::ExecutorTiming { deserialize_us, run_us, serialize_us, cpu_us, peak_bytes } = taken;
    let run = Span(deserialize_us.saturating_add(run_us).saturating_add(serialize_us));
    Timing { run, cpu: Span(cpu_us), peak_bytes, ..Timing::default() }
}

/// The failure of an attempt of whose end the process tells nonsense.
pub(crate) fn senseless(Refusal { reason, field, message }: &Refusal) -> Box<TaskError> {
    let message = format!("the executor's report makes no sense: {field}: {message}");
    crate::failure::failure(bireme_core::ErrorClass::Serialize, *reason, message)
}
