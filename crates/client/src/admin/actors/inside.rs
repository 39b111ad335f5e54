//! A look into an actor, by its host.

use bireme_core::Span;
use bireme_core::actor::Selector;
use bireme_core::actor::call::CallId;
use bireme_core::actor::place::ActorPlace;
use bireme_core::actor::statistics::ActorStatistics;
use bireme_core::id::{Incarnation, WorkerId};
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use pb::actor_host_client::ActorHostClient;
use tonic::transport::Channel;

use crate::admin::Admin;
use crate::error::Refused;
use crate::fetch;
use crate::peers::endpoint;

/// What the host sees of an actor.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorDetails {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// How long that has lived.
    pub age: Span,
    /// Its lanes, in order.
    pub lanes: Vec<LaneStatus>,
    /// Calls that run now.
    pub running: Vec<RunningCall>,
    /// How many callers the host remembers.
    pub callers: u32,
    /// Replies that their callers have not acknowledged.
    pub replies: u64,
    /// Counters since the incarnation began.
    pub statistics: ActorStatistics,
    /// Process id of its executor; 0 where it has none of its own.
    pub pid: u32,
}

/// How a lane is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LaneStatus {
    /// Name; empty for the lane that every actor has.
    pub name: String,
    /// How many calls wait.
    pub waiting: u32,
    /// How long the oldest of them has waited.
    pub oldest: Span,
    /// How many calls run.
    pub running: u32,
}

/// A call that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningCall {
    /// Which.
    pub call: CallId,
    /// Name of the method.
    pub method: String,
    /// Name of the lane.
    pub lane: String,
    /// For how long it has run.
    pub ran: Span,
    /// Its stack, where it was asked for and can be had.
    pub stack: String,
}

impl Admin {
    /// Looks into an actor: mailbox, running calls, counters. Asks the worker that hosts it, by way of the scheduler if need be.
    pub async fn look_into(&self, actor: &Selector, stacks: bool) -> Result<ActorDetails, Refused> {
        let (place, _) = self.find_actor(actor, Span::ZERO).await?;
        let request = pb::DescribeActorRequest { actor: Some(actor.clone().into()), stacks };
        let mut host = self.host(&place).await?;
        details(host.describe(self.request(request)).await?.into_inner())
    }

    /// The worker that hosts an actor, or the scheduler, which passes calls on, where that cannot be reached.
    pub(super) async fn host(
        &self,
        place: &ActorPlace,
    ) -> Result<ActorHostClient<Channel>, Refused> {
        let (worker, address) = whereabouts(place)?;
        let channel = match self.peers.dial(worker, address).await {
            Ok(channel) => channel,
            Err(silence) => {
                let beside = |problem| {
                    let problem = format!("{silence}; by way of the scheduler: {problem}");
                    unreachable(address, &problem)
                };
                self.peers.dial_scheduler().await.map_err(beside)?
            }
        };
        Ok(ActorHostClient::new(channel)
            .max_decoding_message_size(bireme_core::limits::CALL_BYTES)
            .max_encoding_message_size(bireme_core::limits::CALL_BYTES))
    }

    /// A connection to the worker that hosts an actor.
    pub(super) async fn host_channel(&self, place: &ActorPlace) -> Result<Channel, Refused> {
        let (_, address) = whereabouts(place)?;
        let silence = |problem: String| unreachable(address, &problem);
        let endpoint = endpoint(&address.to_string()).map_err(silence)?;
        endpoint.connect().await.map_err(|error| silence(error.to_string()))
    }
}

/// The worker that hosts an actor, and where it listens.
fn whereabouts(place: &ActorPlace) -> Result<(WorkerId, &Address), Refusal> {
    let address = place.addresses.iter().find(|address| fetch::is_plain(address));
    place.worker.zip(address).ok_or_else(|| {
        let (actor, state) = (place.actor, place.state.name());
        let cause = place.cause.as_ref().map(|cause| format!(": {}", cause.message));
        let message = format!("actor {actor} is {state}{}", cause.unwrap_or_default());
        Refusal::new(Reason::ActorGone, message)
    })
}

fn unreachable(address: &Address, problem: &str) -> Refused {
    Refused {
        reason: "UNAVAILABLE".to_owned(),
        field: String::new(),
        message: format!("cannot reach the worker of the actor at {address}: {problem}"),
    }
}

fn details(status: pb::ActorStatus) -> Result<ActorDetails, Refused> {
    let lane = |lane: pb::LaneStatus| LaneStatus {
        name: lane.name,
        waiting: lane.waiting,
        oldest: Span(lane.oldest_us),
        running: lane.running,
    };
    let running = |call: pb::RunningCall| {
        Ok(RunningCall {
            call: CallId::try_from(call.call.unwrap_or_default())?,
            method: call.method,
            lane: call.lane,
            ran: Span(call.run_us),
            stack: call.stack,
        })
    };
    Ok(ActorDetails {
        incarnation: Incarnation(status.incarnation),
        age: Span(status.age_us),
        lanes: status.lanes.into_iter().map(lane).collect(),
        running: status.running.into_iter().map(running).collect::<Result<_, Refusal>>()?,
        callers: status.callers,
        replies: status.replies,
        statistics: ActorStatistics::try_from(status.statistics.unwrap_or_default())?,
        pid: status.pid,
    })
}
