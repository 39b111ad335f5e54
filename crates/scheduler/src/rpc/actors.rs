//! The service of the life of actors: they are made, found, ended, moved and looked at here. Calls go to their hosts.

pub(crate) mod calls;
mod change;
mod create;
mod host;
mod list;
mod watch;

use tonic::{Request, Response, Status};

use bireme_core::actor::Selector;
use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, SubmissionId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::pb::actors_server::Actors;
use bireme_proto::status::status;

use crate::driver::Scene;
use crate::driver::mail::{By, Mail};
use crate::machine::Event;
use crate::machine::actor::{ActorAnswer, ActorRequest, Asker};
use crate::rpc::Door;
use crate::rpc::cluster::work::present;
use crate::rpc::cluster::{Caller, Watching};

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Actors for Door {
    type WatchStream = Watching<pb::WatchActorsResponse>;

    async fn create(
        &self,
        request: Request<pb::CreateActorRequest>,
    ) -> Answered<pb::CreateActorResponse> {
        self.do_create_actor(request).await
    }

    async fn resolve(
        &self,
        request: Request<pb::ResolveActorRequest>,
    ) -> Answered<pb::ResolveActorResponse> {
        self.do_resolve_actor(request.into_inner()).await
    }

    async fn kill(
        &self,
        request: Request<pb::KillActorRequest>,
    ) -> Answered<pb::KillActorResponse> {
        self.do_kill_actor(request).await
    }

    async fn checkpoint(
        &self,
        request: Request<pb::CheckpointActorRequest>,
    ) -> Answered<pb::CheckpointActorResponse> {
        self.do_checkpoint_actor(request).await
    }

    async fn r#move(
        &self,
        request: Request<pb::MoveActorRequest>,
    ) -> Answered<pb::MoveActorResponse> {
        self.do_move_actor(request).await
    }

    async fn list(
        &self,
        request: Request<pb::ListActorsRequest>,
    ) -> Answered<pb::ListActorsResponse> {
        self.do_list_actors(request.into_inner()).await
    }

    async fn watch(&self, request: Request<pb::WatchActorsRequest>) -> Answered<Self::WatchStream> {
        self.do_watch_actors(request.into_inner()).map(Response::new)
    }
}

/// Where an actor stands, as far as whoever waits for it cares.
enum Standing {
    /// It takes calls, in an incarnation that is late enough, or has ended.
    Settled(Box<Found>),
    /// It is on its way there.
    Unsettled(Box<Found>),
    /// There is no such actor.
    Unknown,
}

/// An actor, as whoever wants to call it is told of it.
struct Found {
    place: ActorPlace,
    runtime: Runtime,
}

impl Standing {
    fn of(scene: &Scene<'_>, selector: &Selector, after: Incarnation) -> Self {
        let machine = scene.machine;
        let found = machine.find_actor(selector).and_then(|id| {
            let (place, runtime) = (machine.actor_place(id)?, machine.actor_runtime(id)?.clone());
            Some(Box::new(Found { place, runtime }))
        });
        let Some(found) = found else { return Self::Unknown };
        let is_settled = match found.place.state {
            ActorState::Alive => found.place.incarnation > after,
            state => state == ActorState::Dead,
        };
        if is_settled { Self::Settled(found) } else { Self::Unsettled(found) }
    }
}

impl Door {
    /// Waits until an actor takes calls in an incarnation after this one, or has ended. Returns whether it is so, and where
    /// the actor is.
    async fn settled(
        &self,
        selector: Selector,
        after: Incarnation,
        longest: Span,
    ) -> Result<(bool, Box<ActorPlace>), Status> {
        let (is_settled, found) = self.found(selector, after, longest).await?;
        Ok((is_settled, Box::new(found.place)))
    }

    /// The same, with what hosts the actor.
    async fn found(
        &self,
        selector: Selector,
        after: Incarnation,
        longest: Span,
    ) -> Result<(bool, Box<Found>), Status> {
        let sought = selector.clone();
        let waited =
            self.mailbox.wait(longest, move |scene| match Standing::of(scene, &sought, after) {
                Standing::Unsettled(_) => None,
                standing => Some(standing),
            });
        let standing = if let Some(standing) = waited.await.map_err(status)? {
            standing
        } else {
            let sought = selector.clone();
            let look = self.mailbox.look(move |scene| Standing::of(scene, &sought, after));
            look.await.map_err(status)?
        };
        match standing {
            Standing::Settled(found) => Ok((true, found)),
            Standing::Unsettled(found) => Ok((false, found)),
            Standing::Unknown => Err(unknown(&selector)),
        }
    }

    /// Who asks: the session that the message or its metadata names, and whose token the call carries.
    async fn asker<T>(
        &self,
        request: Request<T>,
        session: impl FnOnce(&T) -> &[u8],
    ) -> Result<(Asker, T), Status> {
        let owner = Caller::owner(self, &request);
        let (caller, request) = Caller::of(self, request)?;
        let session = match caller.by(session(&request))? {
            By::Token(token) => {
                let look = self.mailbox.look(move |scene| scene.machine.session_of(token));
                let message = "there is no such session, or its time ran out: open a new one";
                let gone = || Refusal::at(Reason::SessionUnknown, "session", message);
                Some(look.await.map_err(status)?.ok_or_else(|| status(gone()))?)
            }
            By::Nobody | By::Number(_) => None,
        };
        Ok((Asker { session, owner }, request))
    }

    /// Has a request carried out, unless it was before. Returns what became of it by now.
    async fn ask_actors(
        &self,
        submission: SubmissionId,
        asker: Asker,
        request: ActorRequest,
    ) -> Result<ActorAnswer, Status> {
        let event = Event::ActorAsked { submission, asker, request };
        self.mailbox.send(Mail::Asked(event)).await.map_err(status)?;
        let look = self.mailbox.look(move |scene| scene.machine.actor_answer(submission).cloned());
        match look.await.map_err(status)? {
            Some(ActorAnswer::Refused(refusal)) => Err(status(refusal)),
            Some(answer) => Ok(answer),
            None => Err(forgotten()),
        }
    }

    /// The actor that a request is about.
    async fn selected(&self, selector: Option<pb::ActorSelector>) -> Result<ActorId, Status> {
        let selector = Selector::try_from(present(selector, "actor")?).map_err(status)?;
        let sought = selector.clone();
        let look = self.mailbox.look(move |scene| scene.machine.find_actor(&sought));
        look.await.map_err(status)?.ok_or_else(|| unknown(&selector))
    }

    async fn do_resolve_actor(
        &self,
        request: pb::ResolveActorRequest,
    ) -> Answered<pb::ResolveActorResponse> {
        let pb::ResolveActorRequest { actor, after_incarnation, max_wait_us } = request;
        let selector = Selector::try_from(present(actor, "actor")?).map_err(status)?;
        let after = Incarnation(after_incarnation);
        let (is_settled, found) = self.found(selector, after, Span(max_wait_us)).await?;
        let Found { place, runtime } = *found;
        let (place, runtime) = (Some(place.into()), Some(runtime.into()));
        Ok(Response::new(pb::ResolveActorResponse { pending: !is_settled, place, runtime }))
    }
}

fn unknown(selector: &Selector) -> Status {
    let message = match selector {
        Selector::Actor(id) => format!("there is no actor {id}, or it ended and was forgotten"),
        Selector::Name(name) => format!("there is no actor named {name}"),
    };
    status(Refusal::at(Reason::ActorUnknown, "actor", message))
}

/// The answer to a request went with those that came after.
fn forgotten() -> Status {
    let message = "too many requests came since: look at the actor to see what became of this one";
    status(Refusal::new(Reason::Busy, message))
}
