//! What a scheduler does with actors when it is asked: creates and ends them, has checkpoints made, moves them.

use std::sync::Arc;

use bireme_core::actor::place::{ActorPlace, ActorState, Checkpoint};
use bireme_core::actor::{ActorSpec, Selector};
use bireme_core::id::{ActorId, Incarnation, WorkerId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_core::{ErrorClass, TaskError, limits};
use bireme_proto::convert::actor;
use bireme_proto::pb;
use bytes::Bytes;
use tokio::time::Instant;

use super::error::CreateError;
use crate::client::{fresh_id, random, wire};
use crate::error::Refused;
use crate::peers::Peers;

/// Asks for it, in the name of a session or of nobody.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) peers: Arc<Peers>,
    /// The session's token; empty is nobody's.
    pub(crate) session: Bytes,
}

/// How an actor is to be ended.
#[derive(Clone, Debug)]
pub struct Kill {
    /// Which.
    pub actor: Selector,
    /// Only its incarnation ends: the restart policy says what follows.
    pub allow_restart: bool,
    /// How long running calls may go on.
    pub grace: Span,
}

/// How an actor is to be moved.
#[derive(Clone, Debug)]
pub struct Move {
    /// Which.
    pub actor: Selector,
    /// Where to; `None` is where the scheduler chooses.
    pub worker: Option<WorkerId>,
    /// Even if it cannot be checkpointed: it begins there from its constructor.
    pub lose_state: bool,
    /// How long running calls may go on before the move is given up; `None` is for ever.
    pub quiesce: Option<Span>,
}

/// What the scheduler says of an actor that was to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// The actor: a new one, or the one that has the name.
    pub actor: ActorId,
    /// It is a new one.
    pub created: bool,
    /// It does not take calls yet.
    pub pending: bool,
    /// Where it is.
    pub place: ActorPlace,
    /// Why no worker can host it, where none can: one line for each reason.
    pub unplaceable: Vec<String>,
}

impl Life {
    /// Creates an actor, and asks until it takes calls or the time is up. Tells `warn` once where no worker can host it.
    pub(crate) async fn create(
        &self,
        spec: ActorSpec,
        get_if_exists: bool,
        max_wait: Option<Span>,
        warn: impl Fn(&Refused),
    ) -> Result<Created, CreateError> {
        let class = spec.class_name.clone();
        let mut request = pb::CreateActorRequest {
            submission_id: wire(fresh_id()),
            actor: Some(ActorId(random()).into()),
            spec: Some(spec.into()),
            get_if_exists,
            max_wait_us: 0,
            session: self.session.clone(),
        };
        let mut warned = false;
        // The scheduler answers earlier, too, to say why it waits.
        let end = max_wait.and_then(|max_wait| Instant::now().checked_add(max_wait.to_std()));
        loop {
            let left = end.map(|end| Span::from(end.saturating_duration_since(Instant::now())));
            request.max_wait_us = left.unwrap_or(limits::MAX_WAIT).min(limits::MAX_WAIT).0;
            let answer = self.peers.actors().create(self.peers.call(request.clone())).await;
            let answer = answer.map_err(Refused::from)?.into_inner();
            let made = created(answer).map_err(Refused::from)?;
            if made.place.state == ActorState::Dead {
                return Err(CreateError::Ended(made.place.cause.unwrap_or_else(unsaid)));
            }
            if !made.unplaceable.is_empty() && !std::mem::replace(&mut warned, true) {
                let why = made.unplaceable.join("; ");
                let message = format!("no worker can host {class} now; waiting for one: {why}");
                warn(&Refused::from(Refusal::new(Reason::NoWorker, message)));
            }
            if !made.pending || left == Some(Span::ZERO) {
                return Ok(made);
            }
        }
    }

    pub(crate) async fn kill(&self, kill: Kill) -> Result<ActorPlace, Refused> {
        self.end(kill, false).await
    }

    /// Lets an actor end of which there is no handle any more that keeps it alive.
    pub(crate) async fn release(&self, actor: Selector) -> Result<ActorPlace, Refused> {
        self.end(Kill { actor, allow_restart: false, grace: Span::ZERO }, true).await
    }

    async fn end(&self, kill: Kill, released: bool) -> Result<ActorPlace, Refused> {
        let request = pb::KillActorRequest {
            submission_id: wire(fresh_id()),
            actor: Some(kill.actor.into()),
            allow_restart: kill.allow_restart,
            grace_us: kill.grace.0,
            session: self.session.clone(),
            released,
        };
        let answer = self.peers.actors().kill(self.peers.call(request)).await?.into_inner();
        Ok(actor::place(answer.place.unwrap_or_default())?)
    }

    pub(crate) async fn checkpoint(
        &self,
        actor: Selector,
    ) -> Result<(Incarnation, Checkpoint), Refused> {
        let request = pb::CheckpointActorRequest {
            submission_id: wire(fresh_id()),
            actor: Some(actor.into()),
            max_wait_us: limits::MAX_WAIT.0,
            session: self.session.clone(),
        };
        loop {
            let ask = self.peers.call(request.clone());
            let answer = self.peers.actors().checkpoint(ask).await?.into_inner();
            let pb::CheckpointActorResponse { pending, incarnation, lsn, state_bytes, took_us } =
                answer;
            if !pending {
                let made = Checkpoint { lsn, bytes: state_bytes, took: Span(took_us) };
                return Ok((Incarnation(incarnation), made));
            }
        }
    }

    pub(crate) async fn relocate(&self, order: Move) -> Result<ActorPlace, Refused> {
        let request = pb::MoveActorRequest {
            submission_id: wire(fresh_id()),
            actor: Some(order.actor.into()),
            worker: order.worker.map(Into::into),
            lose_state: order.lose_state,
            quiesce_us: order.quiesce.map_or(0, |quiesce| quiesce.0.max(1)),
            max_wait_us: limits::MAX_WAIT.0,
            session: self.session.clone(),
        };
        loop {
            let ask = self.peers.call(request.clone());
            let answer = self.peers.actors().r#move(ask).await?.into_inner();
            if !answer.pending {
                return Ok(actor::place(answer.place.unwrap_or_default())?);
            }
        }
    }
}

fn created(answer: pb::CreateActorResponse) -> Result<Created, Refusal> {
    let pb::CreateActorResponse { pending, actor: id, created, place, unplaceable } = answer;
    let place = actor::place(place.unwrap_or_default())?;
    let actor = ActorId::try_from(id.unwrap_or_default())?;
    Ok(Created { actor, created, pending, place, unplaceable })
}

fn unsaid() -> Box<TaskError> {
    Box::new(TaskError::new(ErrorClass::User, Reason::ActorGone.name(), "nobody said why"))
}
