//! Asking the scheduler where an actor is.

use bireme_core::actor::call::{CallCode, CallFailure};
use bireme_core::actor::caller::Event;
use bireme_core::actor::place::ActorPlace;
use bireme_core::actor::{ActorName, Selector};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::reason::Reason;
use bireme_core::time::Span;
use bireme_proto::convert::actor;
use bireme_proto::pb;

use crate::error::Refused;
use crate::peers::Peers;

/// Where an actor is, as an answer for its caller.
pub(super) async fn resolve(
    peers: &Peers,
    actor: ActorId,
    after: Incarnation,
    wait: Span,
) -> Event {
    match ask(peers, Selector::Actor(actor), after, wait).await {
        Ok((place, _)) => Event::Resolved(Ok(Box::new(place))),
        Err(refused) if refused.reason == Reason::ActorUnknown.name() => {
            Event::Resolved(Err(Box::new(CallFailure::new(CallCode::Gone, refused.message))))
        }
        Err(refused) if is_final(&refused.reason) => {
            let failure = CallFailure::new(CallCode::NotRun, refused.to_string());
            Event::Resolved(Err(Box::new(failure)))
        }
        Err(refused) => {
            tracing::debug!(%actor, %refused, "the scheduler does not say where the actor is");
            Event::Unresolved
        }
    }
}

/// Where an actor is, and whether the answer came before it takes calls.
pub(crate) async fn ask(
    peers: &Peers,
    actor: Selector,
    after: Incarnation,
    wait: Span,
) -> Result<(ActorPlace, bool), Refused> {
    let request = pb::ResolveActorRequest {
        actor: Some(actor.into()),
        after_incarnation: after.0,
        max_wait_us: wait.0,
    };
    let answer = peers.actors().resolve(peers.call(request)).await?.into_inner();
    Ok((actor::place(answer.place.unwrap_or_default())?, answer.pending))
}

/// Where the actor of a name is now, and what hosts it, if the scheduler says so.
pub(super) async fn find(
    peers: &Peers,
    name: ActorName,
) -> Result<(ActorPlace, Option<Runtime>), Refused> {
    let actor = Some(Selector::Name(name).into());
    let request = pb::ResolveActorRequest { actor, ..pb::ResolveActorRequest::default() };
    let answer = peers.actors().resolve(peers.call(request)).await?.into_inner();
    // A kind that this version does not know is none that it can say anything about.
    let runtime = answer.runtime.and_then(|runtime| Runtime::try_from(runtime).ok());
    Ok((actor::place(answer.place.unwrap_or_default())?, runtime))
}

/// Whether asking again would be answered alike.
fn is_final(reason: &str) -> bool {
    let ours = [Reason::Unauthenticated, Reason::RoleMissing, Reason::Malformed];
    ours.iter().any(|ours| ours.name() == reason) || reason == "UNIMPLEMENTED"
}
