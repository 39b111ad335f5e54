//! Where actors are.

use bireme_core::Span;
use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::id::Incarnation;
use bireme_core::reason::Refusal;

use crate::convert::Unknown;
use crate::convert::common::error;
use crate::convert::enums::{number, reported};
use crate::convert::field::{Within as _, list, optional, required, sent};
use crate::pb;

/// Where an actor is, as a report tells it. A state that this version does not know is taken for one in which the actor does
/// not take calls yet: whoever asks asks again.
pub fn place(message: pb::ActorPlace) -> Result<ActorPlace, Refusal> {
    read_place(message, &mut Unknown::default())
}

pub(super) fn read_place(
    message: pb::ActorPlace,
    unknown: &mut Unknown,
) -> Result<ActorPlace, Refusal> {
    let pb::ActorPlace { actor, incarnation, state, worker, addresses, lease_us, cause, machine } =
        message;
    let state = reported(state).unwrap_or_else(|| {
        unknown.0 += 1;
        ActorState::Waiting
    });
    let cause = match cause {
        Some(cause) => Some(Box::new(error(cause, unknown).within("cause")?)),
        None => None,
    };
    Ok(ActorPlace {
        actor: required(actor, "actor")?,
        incarnation: Incarnation(incarnation),
        state,
        worker: optional(worker, "worker")?,
        addresses: list(addresses, "addresses")?,
        machine,
        lease: Span(lease_us),
        cause,
    })
}

impl TryFrom<pb::ActorPlace> for ActorPlace {
    type Error = Refusal;

    fn try_from(message: pb::ActorPlace) -> Result<Self, Refusal> {
        place(message)
    }
}

impl From<ActorPlace> for pb::ActorPlace {
    fn from(place: ActorPlace) -> Self {
        let ActorPlace { actor, incarnation, state, worker, addresses, machine, lease, cause } =
            place;
        Self {
            actor: Some(actor.into()),
            incarnation: incarnation.0,
            state: number(state),
            worker: worker.map(Into::into),
            addresses: sent(addresses),
            lease_us: lease.0,
            cause: cause.map(|cause| (*cause).into()),
            machine,
        }
    }
}
