//! Handles of actors.

use std::sync::Arc;

use bireme_core::actor::call::CallId;
use bireme_core::actor::place::{ActorPlace, Checkpoint};
use bireme_core::actor::wire::OnUnknown;
use bireme_core::actor::{ActorName, Selector};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, WorkerId};
use bireme_core::{Span, Value};

use super::args::Args;
use super::call::{Call, Method};
use super::create::ActorBuilder;
use super::hub::Hub;
use super::life::{self, Move};
use super::resolve;
use crate::client::{Client, Inner};
use crate::error::Refused;
use crate::payload::Arg;

/// An actor, to be called.
///
/// Clones are handles of the same actor. When the last handle is gone that [`ActorBuilder::create`] gave, with the calls that
/// were made by it, the actor is killed, unless it is detached. An actor that was given the handle, by a call of this session
/// or to its constructor, has one for as long as it is wanted itself.
#[derive(Clone, Debug)]
pub struct Actor {
    handle: Arc<Handle>,
    /// The calls that wait for those made by this handle.
    chain: Option<Arc<[CallId]>>,
}

struct Handle {
    client: Arc<Inner>,
    hub: Arc<Hub>,
    id: ActorId,
    /// What hosts it, where that is known.
    runtime: Option<Runtime>,
    /// The actor is wanted for as long as there is this handle.
    counts: bool,
}

impl Actor {
    pub(super) fn new(
        client: Arc<Inner>,
        id: ActorId,
        place: Option<ActorPlace>,
        runtime: Option<Runtime>,
        on_unknown: OnUnknown,
        counts: bool,
    ) -> Self {
        let hub = Arc::clone(client.calls());
        hub.join(id, on_unknown, place);
        Self { handle: Arc::new(Handle { client, hub, id, runtime, counts }), chain: None }
    }

    /// The same actor, as `hub` calls it.
    pub(super) fn over(&self, hub: &Arc<Hub>) -> Self {
        let (client, hub, id) = (Arc::clone(self.client()), Arc::clone(hub), self.id());
        hub.join(id, OnUnknown::Continue, self.handle.hub.place(id));
        let runtime = self.handle.runtime.clone();
        let handle = Handle { client, hub, id, runtime, counts: false };
        Self { handle: Arc::new(handle), chain: None }
    }

    /// The same actor, called by code for which these calls wait, outermost first: a call by the handle that would wait for
    /// itself ends as [`CallCode::Deadlock`](bireme_core::actor::call::CallCode::Deadlock).
    #[must_use]
    pub fn within(&self, chain: impl Into<Arc<[CallId]>>) -> Self {
        Self { handle: Arc::clone(&self.handle), chain: Some(chain.into()) }
    }

    pub(super) fn chain(&self) -> &[CallId] {
        self.chain.as_deref().unwrap_or_default()
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.handle.hub
    }

    pub(super) fn client(&self) -> &Arc<Inner> {
        &self.handle.client
    }

    /// The actor is given handles of these: they are wanted for as long as it is.
    pub fn keep(&self, handles: &[ActorId]) {
        if !handles.is_empty() {
            self.client().keepers.given(self.id(), handles);
        }
    }

    /// Its id, by which others find it: [`Client::actor_of`].
    pub fn id(&self) -> ActorId {
        self.handle.id
    }

    /// What hosts it: which languages' values it reads. `None` where that is not known, as of an actor that was found by its id.
    pub fn runtime(&self) -> Option<&Runtime> {
        self.handle.runtime.as_ref()
    }

    /// Calls a method. The call has its place in the order of calls when this returns; awaiting it gives its result.
    ///
    /// The calls that this session makes to an actor run in the order in which they are made, those in different lanes apart.
    pub fn call(&self, method: impl Into<String>, args: impl Into<Args>) -> Call {
        self.method(method).args(args).call()
    }

    /// A method, to be called in a way of its own.
    pub fn method(&self, method: impl Into<String>) -> Method {
        Method::new(self.clone(), method)
    }

    /// Waits until there is room for a further call: where it is awaited before each, none ends for want of it.
    pub async fn room(&self) {
        self.hub().room(self.id()).await;
    }

    /// Waits until it takes calls, at most for so long, and tells where it is then.
    pub async fn ready(&self, max_wait: Span) -> Result<ActorPlace, Refused> {
        let (peers, selector) = (&self.hub().peers, Selector::Actor(self.id()));
        Ok(resolve::ask(peers, selector, Incarnation(0), max_wait).await?.0)
    }

    /// Ends it for good. Running calls may go on for `grace`; calls that have not ended then end as gone.
    pub async fn kill(&self, grace: Span) -> Result<(), Refused> {
        let kill = life::Kill { actor: Selector::Actor(self.id()), allow_restart: false, grace };
        self.handle.client.life().kill(kill).await?;
        // It need not be ended once more when its handles are gone.
        for actor in self.handle.client.keepers.ended(self.id()) {
            self.handle.release(actor);
        }
        Ok(())
    }

    /// Makes a checkpoint, and waits until it is made.
    pub async fn checkpoint(&self) -> Result<(Incarnation, Checkpoint), Refused> {
        self.handle.client.life().checkpoint(Selector::Actor(self.id())).await
    }

    /// Moves it to another worker, or to one that the scheduler chooses, and waits until it takes calls there. No call is
    /// lost. An actor that cannot be checkpointed is not moved.
    pub async fn move_to(&self, worker: Option<WorkerId>) -> Result<ActorPlace, Refused> {
        let actor = Selector::Actor(self.id());
        let order = Move { actor, worker, lose_state: false, quiesce: None };
        self.handle.client.life().relocate(order).await
    }
}

/// As an argument: native code reads it as an [`ActorId`].
impl From<&Actor> for Value {
    fn from(actor: &Actor) -> Self {
        Self::actor(actor.id())
    }
}

impl From<&Actor> for Arg {
    fn from(actor: &Actor) -> Self {
        Value::from(actor).into()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.hub.leave(self.id);
        if self.counts {
            for actor in self.client.keepers.left(self.id) {
                self.release(actor);
            }
        }
    }
}

impl Handle {
    fn release(&self, actor: ActorId) {
        let life = self.client.life();
        self.hub.spawn(async move {
            if let Err(refused) = life.release(Selector::Actor(actor)).await {
                tracing::debug!(%refused, "an actor is not released");
            }
        });
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.id)
    }
}

impl Client {
    /// An actor of a native class, to be created: the name that a worker's binary registered it under. `T` is made from the
    /// handle: [`Actor`] itself, or a type of the program's own with a method for each of the actor's.
    pub fn actor<T: From<Actor>>(&self, class: impl Into<String>) -> ActorBuilder<T> {
        ActorBuilder::native(self.clone(), class)
    }

    /// A handle of an actor, by its id. It keeps the actor alive where this session has created it and wants it still: then it
    /// is as good as the one that [`ActorBuilder::create`] gave.
    pub fn actor_of(&self, id: ActorId) -> Actor {
        let counts = self.inner.keepers.joined(id);
        Actor::new(Arc::clone(&self.inner), id, None, None, OnUnknown::Continue, counts)
    }

    /// A handle of the actor that has this name. It does not keep the actor alive.
    pub async fn find_actor(&self, name: impl Into<ActorName>) -> Result<Actor, Refused> {
        let (place, runtime) = resolve::find(&self.inner.calls().peers, name.into()).await?;
        let (id, client) = (place.actor, Arc::clone(&self.inner));
        let place = place.worker.is_some().then_some(place);
        Ok(Actor::new(client, id, place, runtime, OnUnknown::Continue, false))
    }
}
