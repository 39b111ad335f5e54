//! What a caller says to the host of an actor.

use std::sync::Arc;

use bireme_core::actor::call::{Call, ReplyKind};
use bireme_core::actor::wire::{Open, ToHost};
use bireme_core::id::Incarnation;
use bireme_core::reason::Refusal;
use bireme_core::{ObjectId, limits};
use bytes::Bytes;
use pb::caller_message::{self as wire, Kind};
use smallvec::{SmallVec, smallvec};

use super::chain;
use super::enums::weaker;
use crate::convert::enums::{commanded, number};
use crate::convert::field::{
    Within as _, at_most, counted, list, malformed, missing, name, no_arm, optional, required,
    sent, span, us,
};
use crate::pb;

/// Something that a caller said and that cannot be read. Its stream goes on. Where it has a number, that number is used:
/// whoever reads this cancels it, lest later calls wait for it.
#[derive(Debug, PartialEq)]
pub struct Misheard {
    /// The caller and the actor; 0 where not even that is known.
    pub open: u32,
    /// The call that was meant, if one was.
    pub seq: Option<u64>,
    /// What is wrong.
    pub refusal: Refusal,
}

/// Reads what a caller said of one actor, under its short number: one word, or two where it acknowledges calls and items at
/// once.
///
/// # Errors
/// What is wrong, and with what.
pub fn heard(message: pb::CallerMessage) -> Result<(u32, SmallVec<[ToHost; 1]>), Misheard> {
    let kind = message.kind.ok_or_else(|| misheard(0, None, no_arm("kind")))?;
    let (open, seq) = match &kind {
        Kind::Call(call) => (call.open, Some(call.seq)),
        Kind::Ack(ack) => (ack.open, None),
        Kind::Open(open) => (open.open, None),
        Kind::Cancel(cancel) => (cancel.open, None),
        Kind::Credit(credit) => (credit.open, None),
        Kind::Close(close) => (close.open, None),
        Kind::Probe(probe) => (probe.open, None),
    };
    let words = counted(open, "open").and_then(|_| words(kind));
    words.map(|words| (open, words)).map_err(|refusal| misheard(open, seq, refusal))
}

#[cold]
fn misheard(open: u32, seq: Option<u64>, refusal: Refusal) -> Misheard {
    Misheard { open, seq: seq.filter(|seq| *seq > 0), refusal }
}

fn words(kind: Kind) -> Result<SmallVec<[ToHost; 1]>, Refusal> {
    Ok(smallvec![match kind {
        Kind::Call(call) => read_call(call).within("call")?,
        Kind::Ack(ack) => return acks(&ack).within("ack"),
        Kind::Open(open) => ToHost::Open(read_open(open).within("open")?),
        Kind::Cancel(wire::Cancel { open: _, seq, grace_us }) => {
            ToHost::Cancel { seq: counted(seq, "seq").within("cancel")?, grace: span(grace_us) }
        }
        Kind::Credit(wire::Credit { open: _, seq, n }) => {
            ToHost::Credit { seq: counted(seq, "seq").within("credit")?, n }
        }
        Kind::Close(wire::Close { open: _, forget }) => ToHost::Close { forget },
        Kind::Probe(wire::Probe { open: _, seq, probe }) => ToHost::Probe {
            seq: counted(seq, "seq").within("probe")?,
            probe: Box::new(required(probe, "probe").within("probe")?),
        },
    }])
}

fn acks(message: &wire::Ack) -> Result<SmallVec<[ToHost; 1]>, Refusal> {
    let wire::Ack { open: _, processed_up_to, seq, items_up_to } = *message;
    let mut words = SmallVec::new();
    if processed_up_to > 0 {
        words.push(ToHost::Ack { processed_up_to });
    }
    match (seq, items_up_to) {
        (0, 0) => {}
        (0, _) => return Err(missing("seq")),
        (seq, up_to) => words.push(ToHost::AckItems { seq, up_to }),
    }
    Ok(words)
}

fn read_open(message: wire::Open) -> Result<Open, Refusal> {
    let wire::Open { open: _, caller, actor, incarnation, processed_up_to, on_unknown, credit } =
        message;
    Ok(Open {
        caller: required(caller, "caller")?,
        actor: required(actor, "actor")?,
        incarnation: Incarnation(incarnation),
        processed_up_to,
        on_unknown: commanded(on_unknown, "on_unknown")?,
        credit: if credit == 0 { limits::CALL_ITEMS } else { credit },
    })
}

fn read_call(message: wire::Call) -> Result<ToHost, Refusal> {
    let wire::Call {
        open: _,
        seq,
        method,
        arguments: given,
        inputs,
        lane,
        reply,
        result: named,
        incarnation,
        deadline_us,
        delivery,
        traceparent,
        chain: waiting,
        receipt,
        unordered,
    } = message;
    let inputs = list(at_most(inputs, limits::TASK_INPUTS, "inputs")?, "inputs")?;
    let reply = commanded(reply, "reply")?;
    let call = Call {
        method: name(method, "method")?,
        arguments: arguments(given)?,
        inputs: inputs.into(),
        lane,
        reply,
        result: result(named, reply)?,
        deadline: span(deadline_us),
        delivery: weaker(delivery)?,
        traceparent: name(traceparent, "traceparent")?,
        chain: chain(waiting)?,
        receipt,
        unordered,
    };
    let incarnation = Incarnation(incarnation);
    Ok(ToHost::Call { seq: counted(seq, "seq")?, call: Arc::new(call), incarnation })
}

/// Encoded arguments, if they are small enough to be part of a call.
fn arguments(arguments: Bytes) -> Result<Bytes, Refusal> {
    let (bytes, limit) = (arguments.len(), limits::PAYLOAD_BYTES + ENVELOPE);
    if bytes > limit {
        let message = format!(
            "arguments of {bytes} bytes, the limit is {limit}; put large ones into a store first"
        );
        return Err(malformed("arguments", message));
    }
    Ok(arguments)
}

/// Bytes around the values themselves in encoded arguments of the greatest size.
const ENVELOPE: usize = 4 << 10;

/// Where the result is stored.
fn result(object: Option<pb::ObjectId>, reply: ReplyKind) -> Result<Option<ObjectId>, Refusal> {
    match (optional(object, "result")?, reply) {
        (Some(ObjectId::Output { .. }), _) => {
            Err(malformed("result", "the result of a call is not the output of a task"))
        }
        (None, ReplyKind::Store) => Err(missing("result")),
        (result, _) => Ok(result),
    }
}

/// Writes what a caller says of one actor, under the short number that it has given to it on this stream.
pub fn say(open: u32, word: ToHost) -> pb::CallerMessage {
    let kind = match word {
        ToHost::Ack { processed_up_to } => {
            Kind::Ack(wire::Ack { open, processed_up_to, ..wire::Ack::default() })
        }
        ToHost::AckItems { seq, up_to } => {
            Kind::Ack(wire::Ack { open, processed_up_to: 0, seq, items_up_to: up_to })
        }
        ToHost::Call { seq, call, incarnation } => {
            Kind::Call(write_call(open, seq, Arc::unwrap_or_clone(call), incarnation))
        }
        ToHost::Cancel { seq, grace } => {
            Kind::Cancel(wire::Cancel { open, seq, grace_us: us(grace) })
        }
        ToHost::Close { forget } => Kind::Close(wire::Close { open, forget }),
        ToHost::Credit { seq, n } => Kind::Credit(wire::Credit { open, seq, n }),
        ToHost::Open(word) => Kind::Open(write_open(open, word)),
        ToHost::Probe { seq, probe } => {
            Kind::Probe(wire::Probe { open, seq, probe: Some((*probe).into()) })
        }
    };
    pb::CallerMessage { kind: Some(kind) }
}

fn write_open(open: u32, word: Open) -> wire::Open {
    let Open { caller, actor, incarnation, processed_up_to, on_unknown, credit } = word;
    wire::Open {
        open,
        caller: Some(caller.into()),
        actor: Some(actor.into()),
        incarnation: incarnation.0,
        processed_up_to,
        on_unknown: number(on_unknown),
        credit,
    }
}

fn write_call(open: u32, seq: u64, call: Call, incarnation: Incarnation) -> wire::Call {
    let Call {
        method,
        arguments,
        inputs,
        lane,
        reply,
        result,
        deadline,
        delivery,
        traceparent,
        chain,
        receipt,
        unordered,
    } = call;
    wire::Call {
        open,
        seq,
        method,
        arguments,
        inputs: sent(inputs),
        lane,
        reply: number(reply),
        result: result.map(Into::into),
        incarnation: incarnation.0,
        deadline_us: us(deadline),
        delivery: delivery.map_or(0, number),
        traceparent,
        chain: sent(chain),
        receipt,
        unordered,
    }
}
