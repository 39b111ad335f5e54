//! What the host of an actor tells a caller.

use bireme_core::Span;
use bireme_core::actor::call::Ending;
use bireme_core::actor::wire::{Opened, ToCaller};
use bireme_core::actor::{Delivery, Journal, MethodSpec, OnFull};
use bireme_core::id::Incarnation;
use bireme_core::limits;
use bireme_core::reason::Refusal;
use pb::host_message::{self as wire, Kind};

use super::call::{outcome, read_failure};
use super::place::read_place;
use crate::convert::Unknown;
use crate::convert::common::refusal;
use crate::convert::enums::{number, reported};
use crate::convert::field::{
    Within as _, at_most, counted, missing, names, required, sent, span, us,
};
use crate::pb;

/// What a batch from a host says.
#[derive(Debug, Default, PartialEq)]
pub struct Heard {
    /// What it says of actors, under the short numbers that the caller gave them; in order.
    pub words: Vec<(u32, ToCaller)>,
    /// What it did not understand.
    pub refusals: Vec<Refusal>,
    /// How many parts were passed over, because this version does not know them.
    pub unknown: usize,
}

/// Reads a batch.
///
/// # Errors
/// What no correct host sends. The stream is of no more use.
pub fn heard(messages: Vec<pb::HostMessage>) -> Result<Heard, Refusal> {
    let mut unknown = Unknown::default();
    let mut heard = Heard { words: Vec::with_capacity(messages.len()), ..Heard::default() };
    for (n, message) in messages.into_iter().enumerate() {
        match message.kind {
            None => unknown.0 += 1,
            Some(Kind::Refused(refused)) => {
                let pb::Refused { submission_id: _, reason, field, message } = refused;
                heard.refusals.push(refusal(&reason, field, message));
            }
            Some(kind) => {
                heard.words.extend(read(kind, &mut unknown).within_item("messages", n)?);
            }
        }
    }
    heard.unknown = unknown.0;
    Ok(heard)
}

/// Reads what is said of an actor.
fn read(kind: Kind, unknown: &mut Unknown) -> Result<Option<(u32, ToCaller)>, Refusal> {
    let (open, word) = match kind {
        Kind::Reply(reply) => read_reply(reply, unknown).within("reply")?,
        Kind::Item(wire::Item { open, seq, n, value }) => {
            let value = Box::new(required(value, "value").within("item")?);
            (open, ToCaller::Item { seq, n, value })
        }
        Kind::Opened(opened) => read_opened(opened, unknown).within("opened")?,
        Kind::Accepted(wire::Accepted { open, seq, position, estimate_us: _ }) => {
            (open, ToCaller::Accepted { seq, position })
        }
        Kind::Redirect(redirect) => {
            let wire::Redirect { open, incarnation, place } = *redirect;
            let place = match place {
                Some(place) => Some(Box::new(read_place(place, unknown).within("redirect.place")?)),
                None => None,
            };
            (open, ToCaller::Redirect { incarnation: Incarnation(incarnation), place })
        }
        Kind::Window(wire::Window { open, window }) => (open, ToCaller::Window(window)),
        Kind::OpenRefused(refused) => {
            let wire::OpenRefused { open, failure } = *refused;
            let failure = failure.ok_or_else(|| missing("open_refused.failure"))?;
            let failure = read_failure(failure, unknown).within("open_refused.failure")?;
            (open, ToCaller::OpenRefused(Box::new(failure)))
        }
        // Says nothing of an actor.
        Kind::Refused(_) => return Ok(None),
    };
    Ok(Some((counted(open, "open")?, word)))
}

fn read_reply(message: wire::Reply, unknown: &mut Unknown) -> Result<(u32, ToCaller), Refusal> {
    let wire::Reply { open, seq, outcome: how, queue_us, run_us, lsn, incarnation } = message;
    let ending = Ending {
        outcome: outcome(how, unknown).within("outcome")?,
        queue: Span(queue_us),
        run: Span(run_us),
        lsn,
        incarnation: Incarnation(incarnation),
    };
    let seq = counted(seq, "seq")?;
    Ok((open, ToCaller::Reply { seq, ending: Box::new(ending) }))
}

/// Where a promise is one that this version does not know, the weakest is taken: nothing is sent again on the strength of it.
fn read_opened(message: wire::Opened, unknown: &mut Unknown) -> Result<(u32, ToCaller), Refusal> {
    let wire::Opened {
        open,
        incarnation,
        next_seq,
        delivery,
        lanes,
        lease_us,
        forgotten,
        window,
        on_full,
        methods,
        remembers_from,
    } = message;
    let promised = |number, unknown: &mut Unknown| {
        reported(number).unwrap_or_else(|| {
            unknown.0 += 1;
            Delivery::AtMostOnce
        })
    };
    let delivery = promised(delivery, unknown);
    let method = |message| {
        let pb::MethodSpec { method, lane, delivery, journal } = message;
        let delivery = (delivery != 0).then(|| promised(delivery, unknown));
        let journal = reported(journal).unwrap_or(Journal::Call);
        MethodSpec { method, lane, delivery, journal }
    };
    let methods = at_most(methods, limits::ACTOR_METHODS, "methods")?;
    let opened = Opened {
        incarnation: Incarnation(incarnation),
        next_seq: counted(next_seq, "next_seq")?,
        delivery,
        methods: methods.into_iter().map(method).collect(),
        lanes: names(lanes, limits::ACTOR_LANES, "lanes")?,
        window,
        on_full: reported(on_full).unwrap_or(OnFull::Wait),
        lease: span(lease_us),
        forgotten,
        remembers_from: Incarnation(if remembers_from == 0 { incarnation } else { remembers_from }),
    };
    Ok((open, ToCaller::Opened(Box::new(opened))))
}

/// Writes what a host tells a caller of one actor, under the short number that the caller has given to it on this stream.
pub fn tell(open: u32, word: ToCaller) -> pb::HostMessage {
    let kind = match word {
        ToCaller::Accepted { seq, position } => {
            Kind::Accepted(wire::Accepted { open, seq, position, estimate_us: 0 })
        }
        ToCaller::Item { seq, n, value } => {
            Kind::Item(wire::Item { open, seq, n, value: Some((*value).into()) })
        }
        ToCaller::Opened(opened) => Kind::Opened(write_opened(open, *opened)),
        ToCaller::OpenRefused(failure) => {
            let failure = Some((*failure).into());
            Kind::OpenRefused(Box::new(wire::OpenRefused { open, failure }))
        }
        ToCaller::Redirect { incarnation, place } => {
            let (incarnation, place) = (incarnation.0, place.map(|place| (*place).into()));
            Kind::Redirect(Box::new(wire::Redirect { open, incarnation, place }))
        }
        ToCaller::Reply { seq, ending } => Kind::Reply(write_reply(open, seq, *ending)),
        ToCaller::Window(window) => Kind::Window(wire::Window { open, window }),
    };
    pb::HostMessage { kind: Some(kind) }
}

/// Tells a caller that something it said was not understood.
pub fn refuse(refusal: Refusal) -> pb::HostMessage {
    let Refusal { reason, field, message } = refusal;
    let reason = reason.name().to_owned();
    let refused = pb::Refused { submission_id: bytes::Bytes::new(), reason, field, message };
    pb::HostMessage { kind: Some(Kind::Refused(refused)) }
}

fn write_reply(open: u32, seq: u64, ending: Ending) -> wire::Reply {
    let Ending { outcome, queue, run, lsn, incarnation } = ending;
    wire::Reply {
        open,
        seq,
        outcome: Some(outcome.into()),
        queue_us: queue.0,
        run_us: run.0,
        lsn,
        incarnation: incarnation.0,
    }
}

fn write_opened(open: u32, opened: Opened) -> wire::Opened {
    let Opened {
        incarnation,
        next_seq,
        delivery,
        methods,
        lanes,
        window,
        on_full,
        lease,
        forgotten,
        remembers_from,
    } = opened;
    wire::Opened {
        open,
        incarnation: incarnation.0,
        next_seq,
        delivery: number(delivery),
        lanes,
        lease_us: us(lease),
        forgotten,
        window,
        on_full: number(on_full),
        methods: sent(methods),
        remembers_from: remembers_from.0,
    }
}
