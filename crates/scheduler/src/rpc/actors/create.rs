//! The call that makes an actor, or finds the one that has the name.

use tonic::{Request, Response, Status};

use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::actor::{ActorSpec, Selector};
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::status::status;

use crate::machine::actor::{ActorAnswer, ActorRequest};
use crate::rpc::Door;
use crate::rpc::cluster::dismissal::submission;
use crate::rpc::cluster::work::present;

/// How long an answer is held back of which it is known that no worker can host the actor: one may be about to join.
const HOPE: Span = Span::secs(1);

impl Door {
    pub(super) async fn do_create_actor(
        &self,
        request: Request<pb::CreateActorRequest>,
    ) -> Result<Response<pb::CreateActorResponse>, Status> {
        let (asker, request) = self.asker(request, |request| &request.session).await?;
        let pb::CreateActorRequest {
            submission_id,
            actor,
            spec,
            get_if_exists,
            max_wait_us,
            session: _,
        } = request;
        let submission = submission(&submission_id)?;
        let actor = match actor {
            Some(actor) => ActorId::try_from(actor).map_err(status)?,
            None => chosen().map_err(status)?,
        };
        let spec = Box::new(ActorSpec::try_from(present(spec, "spec")?).map_err(status)?);
        let create = ActorRequest::Create { actor, spec, get_if_exists };
        let ActorAnswer::Created(actor, created) =
            self.ask_actors(submission, asker, create).await?
        else {
            return Err(reused());
        };
        let (is_settled, place, unplaceable) = self.born(actor, Span(max_wait_us)).await?;
        Ok(Response::new(pb::CreateActorResponse {
            pending: !is_settled,
            actor: Some(actor.into()),
            created,
            place: Some((*place).into()),
            unplaceable,
        }))
    }

    /// Waits until an actor takes calls. Returns whether it does, or has ended; where it is; and why nobody can host it.
    async fn born(
        &self,
        actor: ActorId,
        longest: Span,
    ) -> Result<(bool, Box<ActorPlace>, Vec<String>), Status> {
        let mut left = longest;
        for turn in [longest.min(HOPE), longest] {
            let turn = turn.min(left);
            left = Span(left.0 - turn.0);
            let settled = self.settled(Selector::Actor(actor), Incarnation(0), turn).await?;
            let (is_settled, place) = settled;
            let why = match place.state {
                ActorState::Waiting => self.unplaceable(actor).await?,
                _ => Vec::new(),
            };
            if is_settled || left == Span::ZERO || !why.is_empty() {
                return Ok((is_settled, place, why));
            }
        }
        let (is_settled, place) =
            self.settled(Selector::Actor(actor), Incarnation(0), Span::ZERO).await?;
        Ok((is_settled, place, Vec::new()))
    }

    async fn unplaceable(&self, actor: ActorId) -> Result<Vec<String>, Status> {
        let look = self.mailbox.look(move |scene| scene.machine.unplaceable(actor));
        look.await.map_err(status)
    }
}

/// An id for an actor of somebody who chose none.
fn chosen() -> Result<ActorId, Refusal> {
    let none =
        |error| Refusal::new(Reason::Busy, format!("the system gives no randomness: {error}"));
    let (high, low) = (getrandom::u64().map_err(none)?, getrandom::u64().map_err(none)?);
    Ok(ActorId(u128::from(high) << 64 | u128::from(low)))
}

/// The request has the id of another that was something else.
pub(super) fn reused() -> Status {
    let message = "another request of another kind had this id: choose ids at random";
    status(Refusal::at(Reason::Malformed, "submission_id", message))
}
