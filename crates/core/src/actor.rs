//! Actors: state that stays put and is called directly.
//!
//! [`ActorSpec`] says what an actor is, [`call`] what is asked of it and how that can end, [`wire`] what a caller and a host
//! say to each other. Both halves of a conversation are pure machines: [`caller::Caller`] numbers the calls of one caller to
//! one actor and decides what is sent again; [`host::Host`] is one incarnation of an actor, with its mailbox, its lanes, its
//! table of replies and the decisions about its log; [`copies`] knows how far copies of that log have come. [`probe`] says how deadlocks are found. Whoever owns sockets, processes, files and time drives them.

pub mod call;
pub mod caller;
pub mod copies;
pub mod host;
pub mod place;
pub mod probe;
mod spec;
pub mod statistics;
pub mod wire;

pub use self::spec::{
    ActorName, ActorSpec, CheckpointPolicy, Delivery, Durability, Isolation, Journal, LaneSpec,
    MailboxSpec, MethodSpec, OnFull, OnSchedulerLoss, RestartPolicy, Selector,
};

/// What the names of native classes of actors begin with where a worker tells its functions: `actor:Counter`.
pub const CLASS_PREFIX: &str = "actor:";
