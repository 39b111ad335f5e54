//! Streams of calls, passed on to the worker that the caller names, for callers that cannot reach it.
//!
//! Messages go through as they are, so that callers and workers have in common what this version does not know. Only the
//! first is read, for the worker that it names. What waits on the way is bounded by the windows of the two connections: a
//! side that does not read holds the other up, and nobody else.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::BoxFuture;
use tonic::server::NamedService;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};
use tower::{Service, service_fn};

use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_daemon::auth::Bearer;
use bireme_proto::pb;
use bireme_proto::pb::actor_host_server::ActorHostServer;
use bireme_proto::status::{refusal, status};

use crate::relay::{AHEAD, Kind, Sender, Whereabouts};
use crate::rpc::Door;
use crate::rpc::unread::Unread;

/// The method whose messages are not read.
const CALLS: &str = "/bireme.v1.ActorHost/Calls";

/// The service `ActorHost` with streams that are not decoded.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    door: Door,
    /// Serves the other methods.
    single: ActorHostServer<Door>,
}

impl Calls {
    pub(crate) fn new(door: Door) -> Self {
        let single = ActorHostServer::new(door.clone())
            .max_decoding_message_size(limits::CALL_BYTES)
            .max_encoding_message_size(limits::CALL_BYTES);
        Self { door, single }
    }
}

impl NamedService for Calls {
    const NAME: &'static str = <ActorHostServer<Door> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != CALLS {
            return self.single.call(request);
        }
        let door = self.door.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Unread)
                .max_decoding_message_size(limits::CALL_BYTES)
                .max_encoding_message_size(limits::CALL_BYTES);
            let serve = service_fn(|request| door.clone().do_relay_calls(request));
            Ok(grpc.streaming(serve, request).await)
        })
    }
}

impl Door {
    async fn do_relay_calls(
        self,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<ReceiverStream<Result<Bytes, Status>>>, Status> {
        let mut up = request.into_inner();
        let first = timeout(limits::HELLO_WAIT.to_std(), up.message()).await;
        let silent = |_| Refusal::at(Reason::HelloExpected, "hello", "no message has come");
        let first = first.map_err(silent).map_err(status)??.unwrap_or_default();
        let worker = meant(&first).map_err(status)?;
        let look = self.mailbox.look(move |scene| {
            let mut workers = scene.machine.workers();
            workers.find(|view| view.id == worker)
        });
        let view = look.await.map_err(status)?.ok_or_else(|| unknown(worker)).map_err(status)?;
        if !view.connected {
            let message = format!("worker {} is away: it may come back", view.join.name);
            return Err(status(Refusal::new(Reason::WorkerLost, message)));
        }
        let relay = &self.site.relay;
        let bearer = relay.bearer();
        let pass_on = |down| pass_on(view.into(), bearer, (first, up), down);
        relay.stream(Kind::Calls, pass_on).map(Response::new).map_err(status)
    }
}

/// The worker that the first message of a stream names.
fn meant(first: &Bytes) -> Result<WorkerId, Refusal> {
    let unreadable = |error| Refusal::new(Reason::Malformed, format!("the first message: {error}"));
    let first = pb::CallerBatch::decode(first.clone()).map_err(unreadable)?;
    let missing = || {
        let message = "is missing: the scheduler passes streams on, and must know to which worker; Actors.Resolve names it";
        Refusal::at(Reason::Malformed, "worker", message)
    };
    first.worker.map(|worker| WorkerId(worker.number)).ok_or_else(missing)
}

fn unknown(worker: WorkerId) -> Refusal {
    let message = format!("there is no worker {worker}: ask Actors.Resolve where the actor is");
    Refusal::at(Reason::WorkerUnknown, "worker", message)
}

/// Opens the stream to the worker, and passes on what either side says until one ends.
async fn pass_on(
    to: Whereabouts,
    bearer: Bearer,
    (first, up): (Bytes, Streaming<Bytes>),
    down: Sender<Bytes>,
) -> Result<(), Status> {
    let channel = to.reach().await.map_err(status)?;
    let mut calls = Grpc::new(InterceptedService::new(channel, bearer))
        .max_decoding_message_size(limits::CALL_BYTES)
        .max_encoding_message_size(limits::CALL_BYTES);
    let lost = |problem: &str| {
        let message = format!("the stream to worker {} is lost: {problem}", to.name);
        status(Refusal::new(Reason::WorkerLost, message))
    };
    // What the worker itself says goes through.
    let ended = |error: Status| match refusal(&error) {
        Some(_) => error,
        None => lost(error.message()),
    };
    calls.ready().await.map_err(|error| lost(&error.to_string()))?;
    let (say, said) = mpsc::channel(AHEAD);
    let (said, path) = (Request::new(ReceiverStream::new(said)), PathAndQuery::from_static(CALLS));
    let pass_down = async {
        let mut batches = calls.streaming(said, path, Unread).await.map_err(ended)?.into_inner();
        while let Some(batch) = batches.message().await.map_err(ended)? {
            if down.send(Ok(batch)).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let mut pass_down = pin!(pass_down);
    tokio::select! {
        ended = &mut pass_down => ended,
        // The worker may still answer.
        () = pass_up(first, up, say) => pass_down.await,
    }
}

/// Passes on what the caller says, until it says nothing more or its stream breaks.
async fn pass_up(first: Bytes, mut up: Streaming<Bytes>, say: mpsc::Sender<Bytes>) {
    let mut next = Some(first);
    while let Some(batch) = next {
        if say.send(batch).await.is_err() {
            return;
        }
        next = up.message().await.ok().flatten();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_names_the_worker() {
        let worker = |worker| {
            let first = pb::CallerBatch { worker, ..pb::CallerBatch::default() };
            meant(&first.encode_to_vec().into()).map_err(|refusal| refusal.field)
        };
        assert_eq!(worker(Some(pb::WorkerId { number: 7 })), Ok(WorkerId(7)));
        assert_eq!(worker(None), Err("worker".to_owned()));
        let refused = meant(&Bytes::from_static(b"\xff")).unwrap_err();
        assert_eq!(refused.reason, Reason::Malformed);
    }
}
