//! What the scheduler and a worker tell each other of actors.

use bireme_core::Span;
use bireme_core::actor::place::{
    ActorOrder, ActorReport, Beat, Checkpoint, EndKind, HostOrder, Hosted,
};
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::reason::Refusal;
use pb::fleet_order::Order as Down;
use pb::fleet_report::Report as Up;
use smallvec::SmallVec;

use crate::convert::Unknown;
use crate::convert::common::error;
use crate::convert::enums::{number, reported};
use crate::convert::field::{Within as _, counted, list, optional, required, sent, span, us};
use crate::pb;

/// Writes an order about an actor.
pub(super) fn order_sent(order: ActorOrder) -> Down {
    match order {
        ActorOrder::Checkpoint { actor, incarnation, request } => {
            Down::CheckpointActor(pb::CheckpointActor {
                actor: Some(actor.into()),
                incarnation: incarnation.0,
                request,
            })
        }
        ActorOrder::End { actor, incarnation, grace, forget, reason } => {
            Down::EndActor(pb::EndActor {
                actor: Some(actor.into()),
                incarnation: incarnation.0,
                grace_us: grace.0,
                forget,
                reason,
            })
        }
        ActorOrder::Host(host) => Down::HostActor((*host).into()),
        ActorOrder::Move { actor, incarnation, request, quiesce, lose_state } => {
            Down::MoveActor(pb::MoveActor {
                actor: Some(actor.into()),
                incarnation: incarnation.0,
                request,
                quiesce_us: us(quiesce),
                lose_state,
            })
        }
        ActorOrder::Settle { actor, incarnation } => Down::SettleActor(pb::SettleActor {
            actor: Some(actor.into()),
            incarnation: incarnation.0,
        }),
    }
}

/// Reads an order to host.
pub(super) fn read_host(message: pb::HostActor) -> Result<ActorOrder, Refusal> {
    message.try_into().map(|host| ActorOrder::Host(Box::new(host)))
}

/// Reads an order to end.
pub(super) fn read_end(message: pb::EndActor) -> Result<ActorOrder, Refusal> {
    let pb::EndActor { actor, incarnation: life, grace_us, forget, reason } = message;
    let (actor, incarnation) = (required(actor, "actor")?, incarnation(life)?);
    Ok(ActorOrder::End { actor, incarnation, grace: Span(grace_us), forget, reason })
}

/// Reads an order to make a checkpoint.
pub(super) fn read_checkpoint(message: pb::CheckpointActor) -> Result<ActorOrder, Refusal> {
    let pb::CheckpointActor { actor, incarnation: life, request } = message;
    let (actor, incarnation) = (required(actor, "actor")?, incarnation(life)?);
    Ok(ActorOrder::Checkpoint { actor, incarnation, request })
}

/// Reads an order to come to rest.
pub(super) fn read_move(message: pb::MoveActor) -> Result<ActorOrder, Refusal> {
    let pb::MoveActor { actor, incarnation: life, request, quiesce_us, lose_state } = message;
    let (actor, incarnation) = (required(actor, "actor")?, incarnation(life)?);
    let quiesce = span(quiesce_us);
    Ok(ActorOrder::Move { actor, incarnation, request, quiesce, lose_state })
}

/// Reads that an end is known.
pub(super) fn read_settle(message: pb::SettleActor) -> Result<ActorOrder, Refusal> {
    let pb::SettleActor { actor, incarnation: life } = message;
    Ok(ActorOrder::Settle { actor: required(actor, "actor")?, incarnation: incarnation(life)? })
}

fn incarnation(number: u32) -> Result<Incarnation, Refusal> {
    counted(number, "incarnation").map(Incarnation)
}

impl TryFrom<pb::HostActor> for HostOrder {
    type Error = Refusal;

    fn try_from(message: pb::HostActor) -> Result<Self, Refusal> {
        // How long the lease is stands in the specification too.
        let pb::HostActor {
            actor,
            incarnation: life,
            spec,
            inputs: from,
            checkpoint,
            restores,
            lease_us: _,
        } = message;
        let mut inputs = SmallVec::with_capacity(from.len());
        for (n, input) in from.into_iter().enumerate() {
            inputs.push(input.try_into().within_item("inputs", n)?);
        }
        Ok(Self {
            actor: required(actor, "actor")?,
            incarnation: incarnation(life)?,
            spec: required(spec, "spec")?,
            inputs,
            checkpoint: optional(checkpoint, "checkpoint")?,
            restores,
        })
    }
}

impl From<HostOrder> for pb::HostActor {
    fn from(host: HostOrder) -> Self {
        let HostOrder { actor, incarnation, spec, inputs, checkpoint, restores } = host;
        Self {
            actor: Some(actor.into()),
            incarnation: incarnation.0,
            lease_us: spec.lease.0,
            spec: Some(spec.into()),
            inputs: sent(inputs),
            checkpoint: checkpoint.map(Into::into),
            restores,
        }
    }
}

/// Writes a report about an actor.
pub(super) fn report_sent(report: ActorReport) -> Up {
    match report {
        ActorReport::Alive(hosted) => Up::ActorAlive(hosted.into()),
        ActorReport::Checkpointed { actor, incarnation, request, made } => {
            let (Checkpoint { lsn, bytes, took }, error) = match made {
                Ok(made) => (made, None),
                Err(error) => (Checkpoint::default(), Some((*error).into())),
            };
            Up::ActorCheckpointed(pb::ActorCheckpointed {
                actor: Some(actor.into()),
                incarnation: incarnation.0,
                request,
                lsn,
                state_bytes: bytes,
                took_us: took.0,
                error,
            })
        }
        ActorReport::Ended { actor, incarnation, end, cause, checkpoint } => {
            let size = checkpoint.map_or(0, |(_, size)| size);
            Up::ActorEnded(pb::ActorEnded {
                actor: Some(actor.into()),
                incarnation: incarnation.0,
                end: number(end),
                cause: cause.map(|cause| (*cause).into()),
                checkpoint: checkpoint.map(|(object, _)| object.into()),
                size,
            })
        }
    }
}

/// Reads that an actor takes calls.
pub(super) fn read_alive(message: pb::HostedActor) -> Result<ActorReport, Refusal> {
    message.try_into().map(ActorReport::Alive)
}

/// Reads that an incarnation has ended. A way to end that this version does not know is a crash: what was lost is started
/// again where that is allowed.
pub(super) fn read_ended(
    message: pb::ActorEnded,
    unknown: &mut Unknown,
) -> Result<ActorReport, Refusal> {
    let pb::ActorEnded { actor, incarnation: life, end, cause, checkpoint, size } = message;
    let end = reported(end).unwrap_or_else(|| {
        unknown.0 += 1;
        EndKind::Crashed
    });
    let cause = match cause {
        Some(cause) => Some(Box::new(error(cause, unknown).within("cause")?)),
        None => None,
    };
    Ok(ActorReport::Ended {
        actor: required(actor, "actor")?,
        incarnation: incarnation(life)?,
        end,
        cause,
        checkpoint: optional(checkpoint, "checkpoint")?.map(|object| (object, size)),
    })
}

/// Reads how a checkpoint turned out.
pub(super) fn read_checkpointed(
    message: pb::ActorCheckpointed,
    unknown: &mut Unknown,
) -> Result<ActorReport, Refusal> {
    let pb::ActorCheckpointed {
        actor,
        incarnation: life,
        request,
        lsn,
        state_bytes,
        took_us,
        error: why,
    } = message;
    let made = match why {
        Some(why) => Err(Box::new(error(why, unknown).within("error")?)),
        None => Ok(Checkpoint { lsn, bytes: state_bytes, took: Span(took_us) }),
    };
    let (actor, incarnation) = (required(actor, "actor")?, incarnation(life)?);
    Ok(ActorReport::Checkpointed { actor, incarnation, request, made })
}

impl TryFrom<pb::HostedActor> for Hosted {
    type Error = Refusal;

    fn try_from(message: pb::HostedActor) -> Result<Self, Refusal> {
        let pb::HostedActor { actor, incarnation: life, alive, checkpoints } = message;
        let (actor, incarnation) = (required(actor, "actor")?, incarnation(life)?);
        Ok(Self { actor, incarnation, alive, checkpoints })
    }
}

impl From<Hosted> for pb::HostedActor {
    fn from(Hosted { actor, incarnation, alive, checkpoints }: Hosted) -> Self {
        Self { actor: Some(actor.into()), incarnation: incarnation.0, alive, checkpoints }
    }
}

/// Reads the counters of actors that ride on a heartbeat.
pub fn beats(messages: Vec<pb::ActorStatistics>) -> Result<Vec<Beat>, Refusal> {
    list(messages, "actors")
}

/// Writes them.
pub fn beats_sent(beats: Vec<Beat>) -> Vec<pb::ActorStatistics> {
    sent(beats)
}

impl TryFrom<pb::ActorStatistics> for Beat {
    type Error = Refusal;

    fn try_from(message: pb::ActorStatistics) -> Result<Self, Refusal> {
        let actor: ActorId = required(message.actor.clone(), "actor")?;
        Ok((actor, incarnation(message.incarnation)?, message.try_into()?))
    }
}

impl From<Beat> for pb::ActorStatistics {
    fn from((actor, incarnation, counted): Beat) -> Self {
        Self { actor: Some(actor.into()), incarnation: incarnation.0, ..counted.into() }
    }
}
