//! What the scheduler and a worker tell each other of actors.

use bireme_core::Span;
use bireme_core::actor::copies::{CopiesTold, CopyPlace, CopyPlaces};
use bireme_core::actor::place::{
    ActorOrder, ActorReport, Beat, Checkpoint, EndKind, HostOrder, Hosted,
};
use bireme_core::id::{ActorId, Incarnation, WorkerUid};
use bireme_core::limits;
use bireme_core::reason::Refusal;
use bytes::Bytes;
use pb::fleet_order::Order as Down;
use pb::fleet_report::Report as Up;
use smallvec::SmallVec;

use crate::convert::Unknown;
use crate::convert::common::error;
use crate::convert::enums::{number, reported};
use crate::convert::field::{
    Within as _, at_most, counted, id, id_bytes, list, optional, required, sent, span, us,
};
use crate::pb;

/// Longest list of workers that keep copies of one actor.
const PEERS: usize = limits::ACTOR_PEERS as usize;

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
        ActorOrder::Copy { actor, incarnation, copies } => Down::CopyActor(pb::CopyActor {
            actor: Some(actor.into()),
            incarnation: incarnation.0,
            copies: Some(copies.into()),
        }),
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

/// Reads where copies are to be kept.
pub(super) fn read_copy(message: pb::CopyActor) -> Result<ActorOrder, Refusal> {
    let pb::CopyActor { actor, incarnation: life, copies } = message;
    let (actor, incarnation) = (required(actor, "actor")?, incarnation(life)?);
    Ok(ActorOrder::Copy { actor, incarnation, copies: required(copies, "copies")? })
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
            copies,
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
            copies: optional(copies, "copies")?.unwrap_or_default(),
        })
    }
}

impl From<HostOrder> for pb::HostActor {
    fn from(host: HostOrder) -> Self {
        let HostOrder { actor, incarnation, spec, inputs, checkpoint, restores, copies } = host;
        Self {
            actor: Some(actor.into()),
            incarnation: incarnation.0,
            lease_us: spec.lease.0,
            spec: Some(spec.into()),
            inputs: sent(inputs),
            checkpoint: checkpoint.map(Into::into),
            restores,
            copies: (copies != CopyPlaces::default()).then(|| copies.into()),
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
        ActorReport::Copied { actor, incarnation, told } => {
            let CopiesTold { version, in_sync, failed } = told;
            let uids = |workers: Vec<WorkerUid>| {
                workers.into_iter().map(|worker| id_bytes(worker.to_bytes())).collect()
            };
            Up::ActorCopied(pb::ActorCopied {
                actor: Some(actor.into()),
                incarnation: incarnation.0,
                version,
                in_sync: uids(in_sync),
                failed: uids(failed),
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

/// Reads how it stands with copies.
pub(super) fn read_copied(message: pb::ActorCopied) -> Result<ActorReport, Refusal> {
    let pb::ActorCopied { actor, incarnation: life, version, in_sync, failed } = message;
    let (actor, incarnation) = (required(actor, "actor")?, incarnation(life)?);
    let (in_sync, failed) = (uids(in_sync, "in_sync")?, uids(failed, "failed")?);
    Ok(ActorReport::Copied { actor, incarnation, told: CopiesTold { version, in_sync, failed } })
}

fn uids(from: Vec<Bytes>, field: &str) -> Result<Vec<WorkerUid>, Refusal> {
    let from = at_most(from, PEERS, field)?;
    from.iter().map(|uid| id(uid, WorkerUid::from_slice, field)).collect()
}

impl TryFrom<pb::CopyPlaces> for CopyPlaces {
    type Error = Refusal;

    fn try_from(message: pb::CopyPlaces) -> Result<Self, Refusal> {
        let pb::CopyPlaces { version, members, unheard } = message;
        let members = list(at_most(members, PEERS, "members")?, "members")?;
        Ok(Self { version, members, unheard })
    }
}

impl From<CopyPlaces> for pb::CopyPlaces {
    fn from(CopyPlaces { version, members, unheard }: CopyPlaces) -> Self {
        Self { version, members: sent(members), unheard }
    }
}

impl TryFrom<pb::CopyPlace> for CopyPlace {
    type Error = Refusal;

    fn try_from(pb::CopyPlace { uid, addresses }: pb::CopyPlace) -> Result<Self, Refusal> {
        let addresses = at_most(addresses, limits::ADDRESSES, "addresses")?;
        let worker = id(&uid, WorkerUid::from_slice, "uid")?;
        Ok(Self { worker, addresses: list(addresses, "addresses")? })
    }
}

impl From<CopyPlace> for pb::CopyPlace {
    fn from(CopyPlace { worker, addresses }: CopyPlace) -> Self {
        Self { uid: id_bytes(worker.to_bytes()), addresses: sent(addresses) }
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
