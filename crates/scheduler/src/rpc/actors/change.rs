//! Calls that end an actor, have it make a checkpoint, or move it.

use tonic::{Request, Response, Status};

use bireme_core::actor::Selector;
use bireme_core::actor::place::ActorState;
use bireme_core::error::TaskError;
use bireme_core::id::{SubmissionId, WorkerId};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::status::status;

use super::create::reused;
use crate::machine::actor::{ActorAnswer, ActorRequest};
use crate::rpc::Door;
use crate::rpc::cluster::dismissal::submission;

type Answered<T> = Result<Response<T>, Status>;

impl Door {
    pub(super) async fn do_kill_actor(
        &self,
        request: Request<pb::KillActorRequest>,
    ) -> Answered<pb::KillActorResponse> {
        let (asker, request) = self.asker(request, |request| &request.session).await?;
        let pb::KillActorRequest {
            submission_id,
            actor,
            allow_restart,
            grace_us,
            session: _,
            released,
        } = request;
        let submission = submission(&submission_id)?;
        if let Some(ActorAnswer::Killed(place)) = self.before(submission).await? {
            return Ok(Response::new(pb::KillActorResponse { place: Some((*place).into()) }));
        }
        let actor = self.selected(actor).await?;
        let kill = ActorRequest::Kill { actor, allow_restart, grace: Span(grace_us), released };
        match self.ask_actors(submission, asker, kill).await? {
            ActorAnswer::Killed(place) => {
                Ok(Response::new(pb::KillActorResponse { place: Some((*place).into()) }))
            }
            _ => Err(reused()),
        }
    }

    pub(super) async fn do_checkpoint_actor(
        &self,
        request: Request<pb::CheckpointActorRequest>,
    ) -> Answered<pb::CheckpointActorResponse> {
        let (asker, request) = self.asker(request, |request| &request.session).await?;
        let pb::CheckpointActorRequest { submission_id, actor, max_wait_us, session: _ } = request;
        let submission = submission(&submission_id)?;
        if self.before(submission).await?.is_none() {
            let actor = self.selected(actor).await?;
            self.ask_actors(submission, asker, ActorRequest::Checkpoint { actor }).await?;
        }
        let made = self.mailbox.wait(Span(max_wait_us), move |scene| {
            match scene.machine.actor_answer(submission) {
                Some(ActorAnswer::Checkpoint(None)) => None,
                answer => Some(answer.cloned()),
            }
        });
        let answer = match made.await.map_err(status)? {
            None => pb::CheckpointActorResponse { pending: true, ..Default::default() },
            Some(Some(ActorAnswer::Checkpoint(Some(Ok((incarnation, made)))))) => {
                pb::CheckpointActorResponse {
                    pending: false,
                    incarnation: incarnation.0,
                    lsn: made.lsn,
                    state_bytes: made.bytes,
                    took_us: made.took.0,
                }
            }
            Some(Some(ActorAnswer::Checkpoint(Some(Err(error))))) => return Err(failed(&error)),
            Some(Some(_)) => return Err(reused()),
            Some(None) => return Err(super::forgotten()),
        };
        Ok(Response::new(answer))
    }

    pub(super) async fn do_move_actor(
        &self,
        request: Request<pb::MoveActorRequest>,
    ) -> Answered<pb::MoveActorResponse> {
        let (asker, request) = self.asker(request, |request| &request.session).await?;
        let pb::MoveActorRequest {
            submission_id,
            actor,
            worker,
            lose_state,
            quiesce_us,
            max_wait_us,
            session: _,
        } = request;
        let submission = submission(&submission_id)?;
        if self.before(submission).await?.is_none() {
            let actor = self.selected(actor).await?;
            let to = worker.map(WorkerId::try_from).transpose().map_err(status)?;
            let quiesce = (quiesce_us > 0).then_some(Span(quiesce_us));
            let request = ActorRequest::Move { actor, to, quiesce, lose_state };
            self.ask_actors(submission, asker, request).await?;
        }
        let (actor, from) = match self.before(submission).await? {
            Some(ActorAnswer::Moved(actor, from, None)) => (actor, from),
            Some(ActorAnswer::Moved(_, _, Some(error))) => return Err(failed(&error)),
            Some(_) => return Err(reused()),
            None => return Err(super::forgotten()),
        };
        let longest = Span(max_wait_us).min(limits::MAX_WAIT);
        let given_up = self.mailbox.wait(longest, move |scene| {
            let answer = scene.machine.actor_answer(submission)?;
            let place = scene.machine.actor_place(actor);
            match answer {
                ActorAnswer::Moved(_, _, Some(error)) => Some(Some(error.clone())),
                _ if place.is_none_or(|place| {
                    let is_dead = place.state == ActorState::Dead;
                    is_dead || place.incarnation > from && place.worker.is_some()
                }) =>
                {
                    Some(None)
                }
                _ => None,
            }
        });
        if let Some(Some(error)) = given_up.await.map_err(status)? {
            return Err(failed(&error));
        }
        let (is_settled, place) = self.settled(Selector::Actor(actor), from, longest).await?;
        if let Some(cause) = place.cause.as_ref().filter(|_| place.state == ActorState::Dead) {
            return Err(failed(cause)); // It ended on its way.
        }
        let place = Some((*place).into());
        Ok(Response::new(pb::MoveActorResponse { pending: !is_settled, place }))
    }

    /// What became of a request that came before.
    async fn before(&self, submission: SubmissionId) -> Result<Option<ActorAnswer>, Status> {
        let look = self.mailbox.look(move |scene| scene.machine.actor_answer(submission).cloned());
        match look.await.map_err(status)? {
            Some(ActorAnswer::Refused(refusal)) => Err(status(refusal)),
            answer => Ok(answer),
        }
    }
}

/// What was asked of an actor was not done.
fn failed(error: &TaskError) -> Status {
    let reason = Reason::from_name(&error.reason).unwrap_or(Reason::ActorGone);
    status(Refusal::new(reason, error.message.clone()))
}
