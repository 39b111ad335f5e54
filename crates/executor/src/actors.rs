//! What hosts actors, and what it is told of them and of each call.
//!
//! A runtime that can host actors gives [`Actors`]. Of each actor that the worker wants here it makes an [`Actor`], whose
//! calls run on threads of this crate: those of its first lane on the thread that made it, which is the process's first where
//! the actor has the process for itself. Calls given ahead wait here in order; the runtime sees one when it is to run.

pub(crate) mod hall;
mod items;
mod lanes;
pub(crate) mod orders;
mod seat;

use std::fmt::Debug;
use std::sync::Arc;

use bireme_core::actor::ActorSpec;
use bireme_core::actor::call::{CallId, Callee, ReplyKind};
use bireme_core::actor::probe::Probe;
use bireme_core::id::Incarnation;
use bireme_core::{ActorId, Span, TaskError, Value};
use bytes::Bytes;

pub use self::items::Items;
pub(crate) use self::seat::Home;
use crate::blobs::Blobs;
use crate::runtime::{Held, Services};
use crate::stop::Stop;

/// Makes actors. It outlives them all.
pub trait Actors: Debug + Send + Sync {
    /// Makes an actor, or makes it again from what it left; on the thread on which the calls of its first lane will run. A
    /// panic here ends the process.
    fn create(&self, creation: &Creation) -> Result<Box<dyn Actor>, Box<TaskError>>;
}

/// One incarnation of an actor. As many calls run at a time as its lanes let, each on a thread of its own.
pub trait Actor: Send + Sync {
    /// Names of its methods.
    fn methods(&self) -> Vec<String>;

    /// Whether [`Actor::checkpoint`] can be asked for.
    fn checkpoints(&self) -> bool {
        false
    }

    /// Runs a call to its end. A panic here ends the process.
    fn call(&self, call: &Call) -> CallEnd;

    /// Its state, from which [`Actors::create`] can make it again; asked for when no call runs.
    fn checkpoint(&self) -> Result<State, Box<TaskError>>;

    /// A checkpoint is kept that told of these callees: the replies to its calls before them are needed no more. Told at any
    /// time, and must not wait.
    fn kept(&self, callees: &[Callee]) {
        let _ = callees;
    }

    /// Whether so many replies to its own calls are held for it elsewhere that it had better have a checkpoint. Asked after
    /// each call.
    fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Somebody waits for the call of this number, which runs, and it may be a deadlock: passes the probe on where that call
    /// itself does nothing but wait for one of another actor. Told at any time, and must not wait.
    fn probe(&self, call: u64, probe: Probe) {
        let _ = (call, probe);
    }

    /// Its last moment: no call runs, and none comes.
    fn end(&self) {}
}

/// What an actor is made from.
#[derive(Clone, Debug)]
pub struct Creation {
    /// Which.
    pub actor: ActorId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What it is.
    pub spec: ActorSpec,
    /// The values that the payload names by number. Every byte is here.
    pub inputs: Vec<Arc<Value>>,
    /// The blobs that the payload names, among others that this process keeps.
    pub blobs: Blobs,
    /// What it holds for life.
    pub held: Held,
    /// What it left; `None` has its constructor run.
    pub restored: Option<State>,
    /// W3C trace context; empty where there is none.
    pub traceparent: String,
    /// Where its code finds the cluster; `None` where the worker has no scheduler.
    pub services: Option<Arc<Services>>,
}

/// What is left of an actor, to make it again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// As its own code wrote it.
    pub value: Value,
    /// The actors that it has called, with the number of the next call to each: a call log that is played again makes the same
    /// calls. Empty where nobody numbers them.
    pub callees: Vec<Callee>,
}

/// A call that is to run.
#[derive(Debug)]
pub struct Call {
    /// Which actor's.
    pub actor: ActorId,
    /// The worker's number for it.
    pub number: u64,
    /// Name of the method.
    pub method: String,
    /// Encoded `CallArguments`, as the caller sent them.
    pub arguments: Bytes,
    /// The values that the arguments name by number. Every byte is here.
    pub inputs: Vec<Arc<Value>>,
    /// Place of the lane in the actor's list.
    pub lane: u32,
    /// What is wanted: a value, nothing, or items.
    pub reply: ReplyKind,
    /// How long the caller waits; the worker sees to that.
    pub deadline: Option<Span>,
    /// It has run before, in an earlier incarnation: its reply is only compared.
    pub replay: bool,
    /// Number of its record in the actor's log; 0 where there is no log.
    pub lsn: u64,
    /// How many calls of its lane were set aside for good before it. Where that has grown, calls that the actor makes to others
    /// are numbered anew, as those of another life of the caller: [`Callee::life`].
    pub left_out: u32,
    /// W3C trace context; empty where there is none.
    pub traceparent: String,
    /// Its name; `None` where nobody is told of it.
    pub id: Option<CallId>,
    /// The calls that wait for this one, outermost first.
    pub chain: Vec<CallId>,
    /// Asked when the call is unwanted: then it had better return.
    pub stop: Arc<Stop>,
    /// Where it sends its items, if it was asked to stream.
    pub items: Items,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum CallEnd {
    /// The method returned, and the actor is to end.
    Exit(Value),
    /// It failed. The class says where: [`Deserialize`](bireme_core::ErrorClass::Deserialize) before it ran,
    /// [`Serialize`](bireme_core::ErrorClass::Serialize) behind it, anything else in the method.
    Failed(Box<TaskError>),
    /// The actor has no such method.
    NoSuchMethod,
    /// The method returned.
    Returned(Value),
}
