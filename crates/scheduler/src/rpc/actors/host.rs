//! Calls to actors for those who cannot reach the workers that host them: passed on one by one, and never kept here.

use tonic::{Request, Response, Status, Streaming};

use bireme_core::actor::Selector;
use bireme_core::actor::call::{CallCode, CallFailure, Ending, Outcome};
use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::id::{Incarnation, WorkerId};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_daemon::auth::Bearer;
use bireme_proto::pb;
use bireme_proto::pb::actor_host_client::ActorHostClient;
use bireme_proto::pb::actor_host_server::ActorHost;
use bireme_proto::status::{refusal, status};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::relay::Whereabouts;
use crate::rpc::Door;
use crate::rpc::cluster::Watching;
use crate::rpc::cluster::work::present;

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ActorHost for Door {
    type CallsStream = Watching<pb::HostBatch>;

    async fn calls(&self, _: Request<Streaming<pb::CallerBatch>>) -> Answered<Self::CallsStream> {
        let message = "streams are passed on before they are decoded";
        Err(status(Refusal::new(Reason::Unsupported, message)))
    }

    async fn call(&self, request: Request<pb::CallRequest>) -> Answered<pb::CallResponse> {
        self.do_call_actor(request.into_inner()).await
    }

    async fn describe(
        &self,
        request: Request<pb::DescribeActorRequest>,
    ) -> Answered<pb::ActorStatus> {
        self.do_describe_actor(request.into_inner()).await
    }
}

impl Door {
    async fn do_call_actor(&self, request: pb::CallRequest) -> Answered<pb::CallResponse> {
        let selector = present(request.actor.clone(), "actor")?;
        let selector = Selector::try_from(selector).map_err(status)?;
        let longest = Span(request.max_wait_us).min(limits::MAX_WAIT);
        let mut after = Incarnation(0);
        loop {
            let (is_settled, place) = self.settled(selector.clone(), after, longest).await?;
            if place.state == ActorState::Dead {
                return Ok(Response::new(gone(&place).into()));
            }
            let (Some(host), true) = (self.host_of(&place).await?, is_settled) else {
                let pending = pb::CallResponse { pending: true, ..pb::CallResponse::default() };
                return Ok(Response::new(pending));
            };
            let request = pb::CallRequest { actor: Some(named(&place)), ..request.clone() };
            let bearer = self.site.relay.bearer();
            let relayed = self.site.relay.run(async move {
                Ok::<_, Status>(client(&host, bearer).await?.call(request).await?.into_inner())
            });
            let answer = relayed.await.map_err(status)?;
            if !is_elsewhere(&answer) {
                return answer.map(Response::new);
            }
            after = place.incarnation;
        }
    }

    async fn do_describe_actor(
        &self,
        request: pb::DescribeActorRequest,
    ) -> Answered<pb::ActorStatus> {
        let selector = present(request.actor, "actor")?;
        let selector = Selector::try_from(selector).map_err(status)?;
        let (_, place) = self.settled(selector, Incarnation(0), Span::ZERO).await?;
        let Some(host) = self.host_of(&place).await? else {
            return Ok(Response::new(pb::ActorStatus {
                actor: Some(place.actor.into()),
                incarnation: place.incarnation.0,
                state: pb::ActorState::from(place.state).into(),
                ..pb::ActorStatus::default()
            }));
        };
        let bearer = self.site.relay.bearer();
        let stacks = request.stacks;
        let relayed = self.site.relay.run(async move {
            let request = pb::DescribeActorRequest { actor: Some(named(&place)), stacks };
            Ok::<_, Status>(client(&host, bearer).await?.describe(request).await?.into_inner())
        });
        relayed.await.map_err(status)?.map(Response::new)
    }

    /// Where the worker of an actor is, if it has one that is there.
    async fn host_of(&self, place: &ActorPlace) -> Result<Option<Whereabouts>, Status> {
        let Some(worker) = place.worker else { return Ok(None) };
        let look = self.mailbox.look(move |scene| {
            let mut workers = scene.machine.workers();
            workers.find(|view| view.id == WorkerId(worker.0)).map(Whereabouts::from)
        });
        look.await.map_err(status)
    }
}

type Client = ActorHostClient<InterceptedService<Channel, Bearer>>;

async fn client(host: &Whereabouts, bearer: Bearer) -> Result<Client, Status> {
    let channel = host.reach().await.map_err(status)?;
    Ok(ActorHostClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(limits::CALL_BYTES)
        .max_encoding_message_size(limits::CALL_BYTES))
}

/// The actor by its id: a worker need not know its name.
fn named(place: &ActorPlace) -> pb::ActorSelector {
    Selector::Actor(place.actor).into()
}

/// Whether a worker says that it does not host the actor any more: what was asked of it is for the next incarnation.
fn is_elsewhere(answer: &Result<pb::CallResponse, Status>) -> bool {
    use pb::call_outcome::Outcome;
    match answer {
        Ok(answer) => match answer.outcome.as_ref().and_then(|ended| ended.outcome.as_ref()) {
            Some(Outcome::Failure(failure)) => {
                matches!(failure.code(), pb::CallCode::Fenced | pb::CallCode::NotRun)
            }
            _ => false,
        },
        Err(error) => refusal(error).is_some_and(|refusal| {
            refusal.reason == Reason::ObjectUnknown && refusal.field == "actor"
        }),
    }
}

/// How a call to an actor ends that has ended before.
fn gone(place: &ActorPlace) -> Ending {
    let message = format!("actor {} has ended", place.actor);
    let failure = CallFailure::new(CallCode::Gone, message).caused_by(place.cause.clone());
    Ending {
        outcome: Outcome::Failure(Box::new(failure)),
        queue: Span::ZERO,
        run: Span::ZERO,
        lsn: 0,
        incarnation: place.incarnation,
    }
}
