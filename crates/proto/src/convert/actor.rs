//! `actor.proto`: actors, calls to them, and what callers and hosts say to each other.
//!
//! On a stream of calls a caller and an actor stand under a short number. The words of `bireme-core` do not have it:
//! [`said`] and [`told`] take it off, and whoever sends puts it on.

mod call;
mod enums;
mod place;
mod probe;
pub mod said;
mod spec;
mod statistics;
pub mod told;

use bireme_core::actor::call::{CallId, CallerId, Who};
use bireme_core::actor::{ActorName, Selector};
use bireme_core::limits;
use bireme_core::reason::Refusal;

pub use self::call::{ending, failure};
pub use self::place::place;
use super::field::{
    Within as _, at_most, counted, list, malformed, missing, name, no_arm, required,
};
use crate::pb;

impl TryFrom<pb::CallerId> for CallerId {
    type Error = Refusal;

    fn try_from(pb::CallerId { who, life }: pb::CallerId) -> Result<Self, Refusal> {
        use pb::caller_id::Who as Wire;
        let who = match who.ok_or_else(|| no_arm("who"))? {
            Wire::Session(session) => session.try_into().map(Who::Session).within("session"),
            Wire::Actor(actor) => actor.try_into().map(Who::Actor).within("actor"),
            Wire::Attempt(attempt) => attempt.try_into().map(Who::Attempt).within("attempt"),
        };
        Ok(Self { who: who?, life })
    }
}

impl From<CallerId> for pb::CallerId {
    fn from(CallerId { who, life }: CallerId) -> Self {
        use pb::caller_id::Who as Wire;
        let who = match who {
            Who::Actor(actor) => Wire::Actor(actor.into()),
            Who::Attempt(attempt) => Wire::Attempt(attempt.into()),
            Who::Session(session) => Wire::Session(session.into()),
        };
        Self { who: Some(who), life }
    }
}

impl TryFrom<pb::CallId> for CallId {
    type Error = Refusal;

    fn try_from(pb::CallId { caller, actor, seq }: pb::CallId) -> Result<Self, Refusal> {
        Ok(Self {
            caller: required(caller, "caller")?,
            actor: required(actor, "actor")?,
            seq: counted(seq, "seq")?,
        })
    }
}

impl From<CallId> for pb::CallId {
    fn from(CallId { caller, actor, seq }: CallId) -> Self {
        Self { caller: Some(caller.into()), actor: Some(actor.into()), seq }
    }
}

impl TryFrom<pb::ActorName> for ActorName {
    type Error = Refusal;

    fn try_from(message: pb::ActorName) -> Result<Self, Refusal> {
        let pb::ActorName { namespace, name: text } = message;
        if text.is_empty() {
            return Err(missing("name"));
        }
        // The two are written as one word, `namespace/name`.
        if namespace.contains('/') {
            let message = format!("namespace {namespace:?} has a `/`, which ends a namespace");
            return Err(malformed("namespace", message));
        }
        Ok(Self { namespace: name(namespace, "namespace")?, name: name(text, "name")? })
    }
}

impl From<ActorName> for pb::ActorName {
    fn from(ActorName { namespace, name }: ActorName) -> Self {
        Self { namespace, name }
    }
}

impl TryFrom<pb::ActorSelector> for Selector {
    type Error = Refusal;

    fn try_from(pb::ActorSelector { by }: pb::ActorSelector) -> Result<Self, Refusal> {
        use pb::actor_selector::By;
        match by.ok_or_else(|| no_arm("by"))? {
            By::Actor(actor) => actor.try_into().map(Self::Actor).within("actor"),
            By::Name(name) => name.try_into().map(Self::Name).within("name"),
        }
    }
}

impl From<Selector> for pb::ActorSelector {
    fn from(selector: Selector) -> Self {
        use pb::actor_selector::By;
        let by = match selector {
            Selector::Actor(actor) => By::Actor(actor.into()),
            Selector::Name(name) => By::Name(name.into()),
        };
        Self { by: Some(by) }
    }
}

/// The calls that wait for a call, outermost first.
fn chain(calls: Vec<pb::CallId>) -> Result<Vec<CallId>, Refusal> {
    list(at_most(calls, limits::CALL_CHAIN, "chain")?, "chain")
}
