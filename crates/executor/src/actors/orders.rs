//! Orders about actors off the wire.

use std::path::Path;
use std::sync::Arc;

use bireme_core::actor::call::{self, ReplyKind};
use bireme_core::actor::probe::Probe;
use bireme_core::id::Incarnation;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ActorId, Span, Value};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{ActorCall, ActorCreate, Callee};

use super::{Call, Creation, Items, State};
use crate::blobs::Blobs;
use crate::orders::held;

/// Reads which actor an order is about.
pub(super) fn actor(actor: Option<pb::ActorId>) -> Result<ActorId, Refusal> {
    actor.ok_or_else(|| missing("actor"))?.try_into()
}

/// Reads what an actor is made from, and keeps the blobs that come with it. Values that are given by reference are not brought
/// here yet; `pool` is where blobs are read from.
pub(super) fn creation(
    actor: ActorId,
    order: ActorCreate,
    kept: &Blobs,
    pool: &Path,
) -> Result<Creation, Refusal> {
    let ActorCreate { actor: _, incarnation, spec, inputs, held: holds, blobs, traceparent } =
        order;
    blobs.into_iter().try_for_each(|blob| kept.take(pool, blob))?;
    Ok(Creation {
        actor,
        incarnation: Incarnation(incarnation),
        spec: spec.ok_or_else(|| missing("spec"))?.try_into()?,
        inputs: values(inputs)?,
        blobs: kept.clone(),
        held: holds.map(held).unwrap_or_default(),
        restored: None,
        traceparent,
        services: None,
    })
}

/// Reads what is left of an actor.
pub(super) fn state(state: Option<pb::Value>, callees: Vec<Callee>) -> Result<State, Refusal> {
    Ok(State {
        value: state.ok_or_else(|| missing("state"))?.try_into()?,
        callees: called(callees)?,
    })
}

/// Reads the actors that one has called.
pub(super) fn called(callees: Vec<Callee>) -> Result<Vec<call::Callee>, Refusal> {
    let callee = |Callee { actor, next_seq, lane, left_out }| {
        let actor = actor.ok_or_else(|| missing("callees.actor"))?;
        Ok(call::Callee { lane, actor: actor.try_into()?, next_seq, left_out })
    };
    callees.into_iter().map(callee).collect()
}

/// Writes the actors that one has called.
pub(super) fn callees_sent(callees: Vec<call::Callee>) -> Vec<Callee> {
    let callee = |call::Callee { lane, actor, next_seq, left_out }| Callee {
        actor: Some(actor.into()),
        next_seq,
        lane,
        left_out,
    };
    callees.into_iter().map(callee).collect()
}

/// Reads what looks for a deadlock.
pub(super) fn probe(probe: Option<pb::DeadlockProbe>) -> Result<Probe, Refusal> {
    probe.ok_or_else(|| missing("probe"))?.try_into()
}

/// Reads a call. Values that are given by reference are not brought here yet.
pub(super) fn call(actor: ActorId, order: ActorCall, items: Items) -> Result<Call, Refusal> {
    let reply = match order.reply() {
        pb::ReplyKind::Unspecified | pb::ReplyKind::Value => ReplyKind::Value,
        pb::ReplyKind::Store => ReplyKind::Store,
        pb::ReplyKind::None => ReplyKind::None,
        pb::ReplyKind::Stream => ReplyKind::Stream,
    };
    let ActorCall {
        actor: _,
        call: number,
        method,
        arguments,
        inputs,
        lane,
        deadline_us,
        reply: _,
        replay,
        lsn,
        traceparent,
        id,
        chain,
        credit: _,
        left_out,
    } = order;
    Ok(Call {
        actor,
        number,
        method,
        arguments,
        inputs: values(inputs)?,
        lane,
        reply,
        deadline: (deadline_us > 0).then_some(Span(deadline_us)),
        replay,
        lsn,
        left_out,
        traceparent,
        id: id.map(TryInto::try_into).transpose()?,
        chain: chain.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        stop: Arc::default(),
        items,
    })
}

fn values(values: Vec<pb::Value>) -> Result<Vec<Arc<Value>>, Refusal> {
    values.into_iter().map(|value| Value::try_from(value).map(Arc::new)).collect()
}

fn missing(field: &str) -> Refusal {
    Refusal::at(Reason::Malformed, field, format!("{field} is missing"))
}
