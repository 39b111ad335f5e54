//! The service `ActorHost`: calls to the actors of this worker.

use std::pin::Pin;
use std::sync::Arc;

use bireme_core::actor::Selector;
use bireme_core::actor::call::{Call, Ending, ReplyKind};
use bireme_core::actor::wire::ToHost;
use bireme_core::id::{Epoch, SubmissionId};
use bireme_core::link::{Hello, greet};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{Span, limits};
use bireme_proto::convert::actor::said;
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::actor_host_server::ActorHost as Service;
use bireme_proto::status::status;
use tokio::time::timeout;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::actors::Shared;

/// Serves the actors of this worker.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) actors: Arc<Shared>,
}

#[tonic::async_trait]
impl Service for Door {
    type CallsStream = Pin<Box<dyn Stream<Item = Result<pb::HostBatch, Status>> + Send>>;

    async fn calls(
        &self,
        request: Request<Streaming<pb::CallerBatch>>,
    ) -> Result<Response<Self::CallsStream>, Status> {
        let mut incoming = request.into_inner();
        let first = timeout(limits::HELLO_WAIT.to_std(), incoming.message()).await;
        let silent = |_| Refusal::at(Reason::HelloExpected, "hello", "no message has come");
        let first = first.map_err(silent).map_err(status)??.unwrap_or_default();
        let missing =
            || Refusal::at(Reason::HelloExpected, "hello", "it is not in the first message");
        let hello = first.hello.ok_or_else(missing).map_err(status)?;
        let greeting = Greeting::try_from(hello).map_err(status)?;
        greet(&ours(), &greeting.hello).map_err(status)?;
        let (peer, outgoing) = self.actors.admit(Greeting::new(ours()).into());
        // Before the answer: nothing that came with the greeting is lost if the stream ends right away.
        let heard = Heard { actors: Arc::clone(&self.actors), peer };
        heard.take(first.messages);
        tokio::spawn(heard.listen(incoming));
        Ok(Response::new(Box::pin(outgoing)))
    }

    async fn call(
        &self,
        request: Request<pb::CallRequest>,
    ) -> Result<Response<pb::CallResponse>, Status> {
        let asked = Asked::read(request.into_inner()).map_err(status)?;
        let Asked { actor, submission, call, max_wait } = asked;
        let unknown = || {
            let message = "the actor is not hosted here: ask the scheduler where it is";
            status(Refusal::at(Reason::ObjectUnknown, "actor", message))
        };
        let actor = self.actors.find(&actor).ok_or_else(unknown)?;
        let ended = self.actors.call_once(actor, submission, call, max_wait).await;
        Ok(Response::new(ended.map_or_else(pending, response)))
    }

    async fn describe(
        &self,
        request: Request<pb::DescribeActorRequest>,
    ) -> Result<Response<pb::ActorStatus>, Status> {
        let selector = selector(request.into_inner().actor).map_err(status)?;
        let shown = self.actors.describe(&selector);
        let unknown = || {
            let message = "the actor is not hosted here: ask the scheduler where it is";
            status(Refusal::at(Reason::ObjectUnknown, "actor", message))
        };
        Ok(Response::new(shown.ok_or_else(unknown)?))
    }
}

/// A stream that is listened to. Dropping it ends its conversations.
struct Heard {
    actors: Arc<Shared>,
    peer: u64,
}

impl Heard {
    /// Hears a batch in one turn: records and replies that follow from it travel together.
    fn take(&self, messages: Vec<pb::CallerMessage>) {
        self.actors.lookout.asked();
        let mut turn = self.actors.turn();
        for message in messages {
            turn.hear(self.peer, message);
        }
    }

    async fn listen(self, mut incoming: Streaming<pb::CallerBatch>) {
        loop {
            match incoming.message().await {
                Ok(Some(batch)) => {
                    let is_full = batch.messages.len() >= limits::CALL_BATCH;
                    self.take(batch.messages);
                    if is_full {
                        // What follows from it is sent before the next, of which it can be that there are many.
                        tokio::task::yield_now().await;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(peer = self.peer, %error, "a stream of calls is lost");
                    break;
                }
            }
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.actors.turn().dismiss(self.peer);
    }
}

/// One call that was asked for.
struct Asked {
    actor: Selector,
    submission: SubmissionId,
    call: Call,
    max_wait: Span,
}

impl Asked {
    fn read(request: pb::CallRequest) -> Result<Self, Refusal> {
        let pb::CallRequest {
            submission_id,
            actor,
            method,
            arguments,
            inputs,
            lane,
            max_wait_us,
            reply,
            result,
            deadline_us,
            delivery,
            session: _,
        } = request;
        let submission = SubmissionId::from_slice(&submission_id).ok_or_else(|| {
            let message = "it is not 16 bytes: choose them at random, and again for each call";
            Refusal::at(Reason::Malformed, "submission_id", message)
        })?;
        if !lane.is_empty() {
            let message = "a call without a stream runs in its method's own lane: leave it out";
            return Err(Refusal::at(Reason::Unsupported, "lane", message));
        }
        let call = pb::caller_message::Call {
            open: 1,
            seq: 1,
            method,
            arguments,
            inputs,
            reply,
            result,
            incarnation: 1,
            deadline_us,
            delivery,
            ..pb::caller_message::Call::default()
        };
        let kind = Some(pb::caller_message::Kind::Call(call));
        let (_, words) = said::heard(pb::CallerMessage { kind }).map_err(|heard| heard.refusal)?;
        let call = words.into_iter().find_map(|word| match word {
            ToHost::Call { call, .. } => Some((*call).clone()),
            _ => None,
        });
        let call = call.unwrap_or_default();
        if call.reply == ReplyKind::Stream {
            let message = "items travel on a stream of calls only: ask for a value";
            return Err(Refusal::at(Reason::Unsupported, "reply", message));
        }
        let max_wait = Span(max_wait_us).min(limits::MAX_WAIT);
        Ok(Self { actor: selector(actor)?, submission, call, max_wait })
    }
}

fn selector(actor: Option<pb::ActorSelector>) -> Result<Selector, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "actor", "actor is missing");
    actor.ok_or_else(missing)?.try_into()
}

fn pending() -> pb::CallResponse {
    pb::CallResponse { pending: true, ..pb::CallResponse::default() }
}

fn response(ending: Ending) -> pb::CallResponse {
    let Ending { outcome, queue, run, lsn: _, incarnation } = ending;
    pb::CallResponse {
        pending: false,
        outcome: Some(outcome.into()),
        queue_us: queue.0,
        run_us: run.0,
        incarnation: incarnation.0,
    }
}

fn ours() -> Hello {
    Hello::new(None, Epoch(0))
}
