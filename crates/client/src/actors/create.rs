//! Creating actors.

use std::marker::PhantomData;
use std::sync::Arc;

use bireme_core::actor::wire::OnUnknown;
use bireme_core::actor::{
    ActorName, ActorSpec, CheckpointPolicy, Delivery, Durability, Isolation, LaneSpec, MailboxSpec,
    MethodSpec, RestartPolicy,
};
use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use bireme_core::{Resources, Span};
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;

use super::args::Args;
use super::error::CreateError;
use super::handle::Actor;
use super::large::Stored;
use crate::client::Client;
use crate::error::Refused;
use crate::payload::Arg;

/// An actor that is about to be created: what it is. See [`ActorSpec`] for what is promised where nothing is said.
#[derive(Debug)]
#[must_use = "an actor is created by `create`"]
pub struct ActorBuilder<T = Actor> {
    client: Client,
    spec: ActorSpec,
    /// What makes it, without the arguments.
    payload: pb::Payload,
    args: Args,
    get_if_exists: bool,
    max_wait: Option<Span>,
    on_unknown: OnUnknown,
    handle: PhantomData<fn() -> T>,
}

impl<T: From<Actor>> ActorBuilder<T> {
    pub(super) fn native(client: Client, class: impl Into<String>) -> Self {
        let class = class.into();
        let work = Some(pb::payload::Work::Native(pb::Native { name: class.clone() }));
        let payload = pb::Payload { work, ..pb::Payload::default() };
        Self {
            client,
            spec: ActorSpec::new(class, Runtime::Native, Bytes::new()),
            payload,
            args: Args::new(),
            get_if_exists: false,
            max_wait: None,
            on_unknown: OnUnknown::default(),
            handle: PhantomData,
        }
    }

    /// Makes it of a class of another language: `function` is the name that its executor finds the class under, as
    /// `module:Class` in Python.
    pub fn runtime(mut self, runtime: Runtime, function: impl Into<String>) -> Self {
        let function = Some(pb::external::Function::Name(function.into()));
        let external = pb::External { function };
        self.payload.work = Some(pb::payload::Work::External(external));
        self.spec.runtime = runtime;
        self
    }

    /// Makes it of a class of another language that a blob holds, as its language writes classes down.
    pub fn blob(mut self, runtime: Runtime, class: Digest) -> Self {
        let function = Some(pb::external::Function::Blob(class.into()));
        let external = pb::External { function };
        self.payload.work = Some(pb::payload::Work::External(external));
        self.spec.runtime = runtime;
        self
    }

    /// Gives its constructor an argument by position.
    pub fn arg(mut self, arg: impl Into<Arg>) -> Self {
        self.args = self.args.arg(arg);
        self
    }

    /// Gives its constructor all its arguments.
    pub fn args(mut self, args: impl Into<Args>) -> Self {
        self.args = args.into();
        self
    }

    /// Gives it a name, by which others find it.
    pub fn name(mut self, name: impl Into<ActorName>) -> Self {
        self.spec.name = Some(name.into());
        self
    }

    /// Where the name is taken, gives the actor that has it.
    pub fn get_if_exists(mut self) -> Self {
        self.get_if_exists = true;
        self
    }

    /// It outlives its handles and its session.
    pub fn detached(mut self) -> Self {
        self.spec.detached = true;
        self
    }

    /// What it promises about its calls.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.spec.delivery = delivery;
        if delivery == Delivery::EffectivelyOnce {
            self.spec.on_scheduler_loss = bireme_core::actor::OnSchedulerLoss::Stop;
        }
        self
    }

    /// What its log and its checkpoints outlive.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.spec.durability = durability;
        self
    }

    /// On how many other workers its log and its checkpoints are kept too, at most [`limits::ACTOR_PEERS`]: when its own is lost it
    /// goes on at one of them. For effectively-once actors, and those that may be started again.
    ///
    /// [`limits::ACTOR_PEERS`]: bireme_core::limits::ACTOR_PEERS
    pub fn peers(mut self, peers: u32) -> Self {
        self.spec.peers = peers;
        self
    }

    /// When checkpoints are made.
    pub fn checkpoint(mut self, checkpoint: CheckpointPolicy) -> Self {
        self.spec.checkpoint = checkpoint;
        self
    }

    /// Starts it again so many times when it is lost.
    pub fn max_restarts(mut self, times: u32) -> Self {
        self.spec.restart.max_restarts = Some(times);
        self
    }

    /// What happens when it is lost.
    pub fn restart(mut self, restart: RestartPolicy) -> Self {
        self.spec.restart = restart;
        self
    }

    /// Adds a lane; the first one replaces the lane that every actor has.
    pub fn lane(mut self, name: impl Into<String>, concurrency: u32) -> Self {
        self.spec.lanes.retain(|lane| !lane.name.is_empty());
        self.spec.lanes.push(LaneSpec { name: name.into(), concurrency });
        self
    }

    /// How many calls may wait.
    pub fn mailbox(mut self, mailbox: MailboxSpec) -> Self {
        self.spec.mailbox = mailbox;
        self
    }

    /// What a method does otherwise than the actor.
    pub fn method(mut self, method: MethodSpec) -> Self {
        self.spec.methods.push(method);
        self
    }

    /// What it takes for life.
    pub fn resources(mut self, resources: Resources) -> Self {
        self.spec.resources = resources;
        self
    }

    /// How it is kept apart from others.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.spec.isolation = isolation;
        self
    }

    /// A call may come in while it waits for a call of its own that leads back to it.
    pub fn reentrant(mut self) -> Self {
        self.spec.reentrant = true;
        self
    }

    /// What happens to later calls of this session after one ended as unknown.
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.on_unknown = on_unknown;
        self
    }

    /// Changes anything else.
    pub fn with(mut self, change: impl FnOnce(&mut ActorSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Waits so long, at most, until it takes calls: [`Self::create`] gives the handle all the same then.
    pub fn max_wait(mut self, max_wait: Span) -> Self {
        self.max_wait = Some(max_wait);
        self
    }

    /// Creates it, and waits until it takes calls.
    pub async fn create(self) -> Result<T, CreateError> {
        // Putting large arguments takes a large future, which few actors need.
        Box::pin(self.make()).await
    }

    async fn make(mut self) -> Result<T, CreateError> {
        let inner = Arc::clone(&self.client.inner);
        let taken = self.args.take_large();
        // Held until the actor was made; an actor that is made again later has them from its checkpoint, or fails.
        let mut stored = Stored::new(Arc::clone(&inner), Arc::clone(inner.calls()));
        for value in taken {
            stored.add(value, None, &mut self.args).await?;
        }
        self.spec.inputs.clone_from(&self.args.inputs);
        self.payload.args.clone_from(&self.args.placed);
        self.payload.named_args.clone_from(&self.args.named);
        self.spec.payload = self.payload.encode_to_vec().into();
        self.spec.check().map_err(Refused::from)?;
        let (is_detached, runtime) = (self.spec.detached, self.spec.runtime.clone());
        let warn = |warning: &Refused| inner.session().warnings().found(warning);
        let life = inner.life();
        let made = life.create(self.spec, self.get_if_exists, self.max_wait, warn).await?;
        drop(stored);
        let place = Some(made.place).filter(|place| place.worker.is_some());
        let counts = made.created && !is_detached;
        if counts {
            inner.keepers.made(made.actor);
        }
        let actor = Actor::new(inner, made.actor, place, Some(runtime), self.on_unknown, counts);
        actor.keep(&self.args.handles);
        Ok(T::from(actor))
    }
}
