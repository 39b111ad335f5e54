//! By which processes of actors come back to their worker, and what they say.

use std::pin::Pin;
use std::sync::Arc;

use bireme_core::id::ActorId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{TaskError, Value, limits};
use bireme_executor::batches::Batches;
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{Answer, answer};
use bireme_proto::pb::executor_report::{self as wire, Report};
use bireme_proto::pb::executor_server::{Executor, ExecutorServer};
use bireme_proto::status::status;
use tokio::net::UnixListener;
use tokio::time::timeout;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, StreamExt as _, iter};
use tonic::transport::server::Server;
use tonic::{Request, Response, Status, Streaming};

use super::{Shared, Turn};
use crate::failure::failure;
use crate::rpc::executor::{check_peer, judge, refuse, senseless, timing, welcome};

/// Serves processes of actors until it is aborted.
pub(super) async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let service =
        ExecutorServer::new(Door { shared }).max_decoding_message_size(limits::MESSAGE_BYTES);
    let served = Server::builder()
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .add_service(service)
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "processes of actors are served no more");
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
        let (attach, _, token) = judge(first).map_err(status)?;

        let orders = Batches::default();
        let batches =
            orders.taken().map(|orders| pb::ExecutorDown { orders, ..Default::default() });
        let (number, setup) = (attach.started_as, &self.shared.setup);
        let welcome = iter([welcome(number, &setup.worker, &setup.store, &setup.scheduler)]);
        let attached = self.shared.turn().attach(number, &token, orders);
        attached.map_err(|why| {
            refuse(Reason::Unauthenticated, "attach", format!("executor process {number}: {why}"))
        })?;
        tokio::spawn(listen(incoming, Arc::clone(&self.shared), number));
        Ok(Response::new(Box::pin(welcome.chain(batches).map(Ok))))
    }
}

/// Hears what a process says, until it has nothing more to say.
async fn listen(mut incoming: Streaming<pb::ExecutorUp>, shared: Arc<Shared>, number: u64) {
    loop {
        match incoming.message().await {
            Ok(Some(up)) => {
                // One turn for all of it: replies travel together, and so do records of logs.
                let mut turn = shared.turn();
                for report in up.reports.into_iter().filter_map(|report| report.report) {
                    if let Err(Refusal { field, message, .. }) = turn.hear_process(number, report) {
                        tracing::warn!(executor = number, field, message, "report makes no sense");
                    }
                }
            }
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(executor = number, %status, "stream of an actor's process is lost");
                break;
            }
        }
    }
    shared.turn().detached(number);
}

impl Turn<'_> {
    /// Takes one report. What this version does not know is passed over.
    fn hear_process(&mut self, number: u64, report: Report) -> Result<(), Refusal> {
        match report {
            Report::ActorReply(wire::ActorReply { actor, call, outcome, timing: taken }) => {
                let actor = actor_id(actor)?;
                let took = timing(taken).run;
                self.replied(actor, call, outcome, took);
            }
            Report::ActorItem(wire::ActorItem { actor, call, n, value }) => {
                let missing = || Refusal::at(Reason::Malformed, "value", "value is missing");
                let value = Value::try_from(value.ok_or_else(missing)?)?;
                self.gave_item(actor_id(actor)?, call, n, value);
            }
            Report::ActorReady(wire::ActorReady { actor, incarnation, checkpoints, .. }) => {
                let actor = actor_id(actor)?;
                if self.is_it(number, actor, incarnation) {
                    self.became_alive(actor, checkpoints);
                }
            }
            Report::ActorFailed(wire::ActorFailed { actor, incarnation, error }) => {
                let actor = actor_id(actor)?;
                if self.is_it(number, actor, incarnation) {
                    self.refused(actor, read_error(error));
                    // It never was: nothing of it is left in the process.
                    self.dropped(number, actor);
                }
            }
            Report::ActorState(state) => self.hear_state(number, state)?,
            Report::ActorDropped(wire::ActorDropped { actor, .. }) => {
                self.dropped(number, actor_id(actor)?);
            }
            Report::AllocatePool(wire::AllocatePool { request, lengths, actor, .. }) => {
                self.allocate(number, request, actor_id(actor)?, lengths);
            }
            Report::Refused(wire::OrderRefused { actor: Some(actor), refused, .. }) => {
                let actor = actor_id(Some(actor))?;
                let pb::Refused { reason, field, message, .. } = refused.unwrap_or_default();
                let refusal = bireme_proto::convert::common::refusal(&reason, field, message);
                self.refused(actor, senseless(&refusal));
            }
            other => {
                if let Some(request) = unserved(&other) {
                    let message = "code of actors cannot ask its worker for this";
                    let error =
                        failure(bireme_core::ErrorClass::User, Reason::Unsupported, message);
                    self.refuse_request_of(number, request, &error);
                }
            }
        }
        Ok(())
    }

    fn hear_state(&mut self, number: u64, state: wire::ActorState) -> Result<(), Refusal> {
        let wire::ActorState { actor, incarnation, lsn, state, error, callees, .. } = state;
        let actor = actor_id(actor)?;
        let asked = self.table.entries.get(&actor).and_then(|entry| entry.keeping.as_ref());
        if !self.is_it(number, actor, incarnation) || asked.is_none_or(|asked| asked.lsn != lsn) {
            return Ok(());
        }
        let state = match (state, error) {
            (Some(state), None) => Ok(Value::try_from(state)?),
            (_, error) => Err(read_error(error)),
        };
        self.keep_state(actor, state, callees);
        Ok(())
    }

    /// Whether a process has just this incarnation.
    fn is_it(&self, number: u64, actor: ActorId, incarnation: u32) -> bool {
        self.table.entries.get(&actor).is_some_and(|entry| {
            entry.process == Some(number) && entry.hosting.incarnation.0 == incarnation
        })
    }

    pub(super) fn refuse_request_of(&self, number: u64, request: u64, error: &TaskError) {
        let (reason, message) = (error.reason.clone(), error.message.clone());
        let refused = pb::Refused { reason, message, ..pb::Refused::default() };
        let answer = Some(answer::Answer::Refused(refused));
        let answer = Answer { request, answer };
        self.say_to(number, pb::executor_order::Order::Answer(answer));
    }
}

/// The number of something that is asked for and cannot be had here.
fn unserved(report: &Report) -> Option<u64> {
    match report {
        Report::CancelSpawned(asked) => Some(asked.request),
        Report::Forget(asked) => Some(asked.request),
        Report::Get(asked) => Some(asked.request),
        Report::OpenObject(asked) => Some(asked.request),
        Report::Put(asked) => Some(asked.request),
        Report::Rejoin(asked) => Some(asked.request),
        Report::Spawn(asked) => Some(asked.request),
        Report::Wait(asked) => Some(asked.request),
        _ => None,
    }
}

/// An error as a process tells it.
pub(super) fn read_error(error: Option<pb::TaskError>) -> Box<TaskError> {
    let missing = || Refusal::at(Reason::Malformed, "error", "error is missing");
    let error = error.ok_or_else(missing).and_then(TaskError::try_from);
    error.map_or_else(|refusal| senseless(&refusal), Box::new)
}

fn actor_id(actor: Option<pb::ActorId>) -> Result<ActorId, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "actor", "actor is missing");
    actor.ok_or_else(missing)?.try_into()
}
