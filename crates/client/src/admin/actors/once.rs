//! Single calls, for scripts.

use bireme_core::actor::Selector;
use bireme_core::actor::call::{CallCode, Ending, Outcome};
use bireme_core::actor::place::ActorPlace;
use bireme_core::id::Incarnation;
use bireme_core::protocol::Peer;
use bireme_core::{Span, limits};
use bireme_proto::convert::actor;
use bireme_proto::pb;

use crate::actors::Args;
use crate::admin::{Admin, Location, submission};
use crate::error::Refused;

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

impl Admin {
    /// Makes a call, waits until it has ended, and fetches what it returned where that is large.
    pub async fn call_actor(&self, call: OneCall) -> Result<Ending, Refused> {
        let request = pb::CallRequest {
            submission_id: submission(),
            actor: Some(call.actor.clone().into()),
            method: call.method,
            arguments: call.args.encode(),
            inputs: call.args.inputs.iter().copied().map(Into::into).collect(),
            lane: call.lane,
            max_wait_us: limits::MAX_WAIT.0,
            deadline_us: call.deadline.map_or(0, |deadline| deadline.0.max(1)),
            ..pb::CallRequest::default()
        };
        let mut after = Incarnation(0);
        loop {
            let place = self.takes_calls(&call.actor, after).await?;
            let mut host = self.host(&place).await?;
            let mut ending = None;
            while ending.is_none() {
                let answer = host.call(self.request(request.clone())).await?;
                ending = actor::ending(answer.into_inner())?;
            }
            match ending {
                Some(ending) if !is_elsewhere(&ending) => {
                    return self.complete(&place, ending).await;
                }
                _ => after = place.incarnation,
            }
        }
    }

    /// An ending with its value in it. Where the host stored that, it keeps it for a short while.
    async fn complete(&self, place: &ActorPlace, ending: Ending) -> Result<Ending, Refused> {
        let Outcome::Stored { object, size, worker } = ending.outcome else { return Ok(ending) };
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
    ) -> Result<ActorPlace, Refused> {
        loop {
            let asked = crate::actors::ask(&self.peers, actor.clone(), after, limits::MAX_WAIT);
            let (place, pending) = asked.await?;
            if !pending || place.worker.is_some() {
                return Ok(place);
            }
        }
    }
}

/// Whether the worker does not host the actor any more: the call did not run there.
fn is_elsewhere(ending: &Ending) -> bool {
    matches!(ending.outcome.code(), Some(CallCode::Fenced | CallCode::NotRun))
}
