//! Single calls, for scripts.

use std::sync::Mutex;

use bireme_core::actor::Selector;
use bireme_core::actor::call::{CallCode, Ending, Outcome};
use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::id::Incarnation;
use bireme_core::protocol::Peer;
use bireme_core::reason::Reason;
use bireme_core::{Span, limits};
use bireme_proto::convert::actor;
use bireme_proto::pb;
use bireme_proto::pb::actor_host_client::ActorHostClient;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;

use crate::actors::{Args, not_made};
use crate::admin::{Admin, Location, submission};
use crate::error::Refused;
use crate::session::lock;

/// A call on its own, without any order to others.
#[derive(Clone, Debug)]
pub struct OneCall {
    /// Which actor.
    pub actor: Selector,
    /// Name of the method.
    pub method: String,
    /// The arguments; large ones are to be stored values.
    pub args: Args,
    /// Name of the lane; empty is the method's own.
    pub lane: String,
    /// How long the call may take altogether; `None` is for ever.
    pub deadline: Option<Span>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Nobody has it yet; the actor was in this state when it was asked for last.
    Kept(Option<ActorState>),
    /// A host has it.
    Given,
    /// It has ended, with a result of so many bytes elsewhere.
    Ended(u64),
}

impl Admin {
    /// Makes a call, waits until it has ended, and fetches what it returned where that is large.
    pub async fn call_actor(&self, call: OneCall) -> Result<Ending, Refused> {
        let progress = Mutex::new(Progress::Kept(None));
        let Some(deadline) = call.deadline else {
            return self.make_call(call, None, &progress).await;
        };
        let end = Instant::now() + deadline.to_std();
        let made = self.make_call(call, Some(end), &progress);
        tokio::pin!(made);
        let mut in_time = timeout_at(end, &mut made).await;
        if in_time.is_err() && matches!(*lock(&progress), Progress::Given) {
            // The host ends the call at the same moment, and knows what has become of it.
            in_time = timeout_at(end + limits::LATE_ANSWER.to_std(), made).await;
        }
        in_time.unwrap_or_else(|_| Ok(not_made(CallCode::Deadline, lock(&progress).when_late())))
    }

    async fn make_call(
        &self,
        call: OneCall,
        end: Option<Instant>,
        progress: &Mutex<Progress>,
    ) -> Result<Ending, Refused> {
        let mut request = pb::CallRequest {
            submission_id: submission(),
            actor: Some(call.actor.clone().into()),
            method: call.method,
            arguments: call.args.encode(),
            inputs: call.args.inputs.iter().copied().map(Into::into).collect(),
            lane: call.lane,
            max_wait_us: limits::MAX_WAIT.0,
            ..pb::CallRequest::default()
        };
        let mut after = Incarnation(0);
        loop {
            let place = self.takes_calls(&call.actor, after, progress).await?;
            let mut host = self.host(&place).await?;
            // What another host did not run begins anew here; what is left of its time does not.
            request.deadline_us = end.map_or(0, time_left);
            *lock(progress) = Progress::Given;
            if let Some(ending) = self.ending(&mut host, &request).await? {
                return self.complete(&place, ending, progress).await;
            }
            *lock(progress) = Progress::Kept(None);
            after = place.incarnation;
        }
    }

    /// How a call ends at a host; `None` if that does not host the actor any more.
    async fn ending(
        &self,
        host: &mut ActorHostClient<Channel>,
        request: &pb::CallRequest,
    ) -> Result<Option<Ending>, Refused> {
        loop {
            let answer = host.call(self.request(request.clone())).await.map_err(Refused::from);
            let answer = match answer {
                Err(refused) if is_unknown(&refused) => return Ok(None),
                answer => answer?.into_inner(),
            };
            if let Some(ending) = actor::ending(answer)? {
                return Ok(Some(ending).filter(|ending| !is_elsewhere(ending)));
            }
        }
    }

    /// An ending with its value in it. Where the host stored that, it keeps it for a short while.
    async fn complete(
        &self,
        place: &ActorPlace,
        ending: Ending,
        progress: &Mutex<Progress>,
    ) -> Result<Ending, Refused> {
        let Outcome::Stored { object, size, worker } = ending.outcome else { return Ok(ending) };
        *lock(progress) = Progress::Ended(size);
        let (addresses, machine) = (place.addresses.clone(), place.machine.clone());
        let holders = vec![Peer { worker, addresses, machine }];
        let value = self.fetch(&Location { object, size, holders }).await?;
        Ok(Ending { outcome: Outcome::Value(Box::new(value)), ..ending })
    }

    /// Where an actor is that takes calls, in an incarnation after the one that was tried, or else there again.
    async fn takes_calls(
        &self,
        actor: &Selector,
        after: Incarnation,
        progress: &Mutex<Progress>,
    ) -> Result<ActorPlace, Refused> {
        // Asked at once first: what is waited for can be said then.
        let mut wait = Span::ZERO;
        loop {
            let asked = crate::actors::ask(&self.peers, actor.clone(), after, wait);
            let (place, pending) = asked.await?;
            if !pending || (place.worker.is_some() && wait > Span::ZERO) {
                return Ok(place);
            }
            *lock(progress) = Progress::Kept(Some(place.state));
            wait = limits::MAX_WAIT;
        }
    }
}

impl Progress {
    /// What there is to say when a call's time is up.
    fn when_late(self) -> String {
        let what = match self {
            Self::Kept(None) => "it did not run".to_owned(),
            Self::Kept(Some(state)) => format!("it did not run: the actor is {}", state.name()),
            Self::Given => "it may have run".to_owned(),
            Self::Ended(size) => format!("it ran, and its result of {size} bytes is not here yet"),
        };
        format!("the call's time is up; {what}")
    }
}

/// How long it is until `end`, as a message says it: 0 would be for ever.
fn time_left(end: Instant) -> u64 {
    Span::from(end.saturating_duration_since(Instant::now())).0.max(1)
}

/// Whether the worker does not host the actor any more: the call did not run there, or the next incarnation knows of it.
fn is_elsewhere(ending: &Ending) -> bool {
    matches!(ending.outcome.code(), Some(CallCode::Fenced | CallCode::NotRun))
}

/// Whether the worker does not know the actor any more.
fn is_unknown(refused: &Refused) -> bool {
    refused.reason == Reason::ObjectUnknown.name() && refused.field == "actor"
}
