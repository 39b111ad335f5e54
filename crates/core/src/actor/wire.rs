//! What a caller and a host say to each other over one stream, once caller and actor are known by a short number.

use std::sync::Arc;

use super::call::{Call, CallFailure, CallerId, Ending};
use super::place::ActorPlace;
use super::probe::Probe;
use super::{Delivery, MethodSpec, OnFull};
use crate::id::{ActorId, Incarnation};
use crate::time::Span;
use crate::value::Value;

/// Begins a caller's calls to an actor on a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Open {
    /// Who calls.
    pub caller: CallerId,
    /// The actor.
    pub actor: ActorId,
    /// The incarnation that the caller believes in.
    pub incarnation: Incarnation,
    /// The caller has the replies to all calls up to this one, or needs none: these numbers are used, whether they arrived or
    /// not.
    pub processed_up_to: u64,
    /// What happens to later calls after one ended as unknown.
    pub on_unknown: OnUnknown,
    /// Items of a streaming call that may be sent before more is granted.
    pub credit: u32,
}

/// What happens to a caller's later calls after one ended as unknown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnUnknown {
    /// They go on.
    #[default]
    Continue,
    /// Those already made end as not run.
    Stop,
}

/// What a caller says to the host of an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum ToHost {
    /// Replies up to here have arrived, none before it missing.
    Ack {
        /// The last of the calls.
        processed_up_to: u64,
    },
    /// Items of a streaming call have arrived.
    AckItems {
        /// The call.
        seq: u64,
        /// The last of its items.
        up_to: u64,
    },
    /// Make a call.
    Call {
        /// The caller's number for it.
        seq: u64,
        /// The call.
        call: Arc<Call>,
        /// The incarnation that the caller believes in.
        incarnation: Incarnation,
    },
    /// End a call, or skip a number.
    Cancel {
        /// The call.
        seq: u64,
        /// How long a running call may go on before its actor's process is killed; `None` is never killed.
        grace: Option<Span>,
    },
    /// The caller will say no more on this stream.
    Close {
        /// It will not come back either.
        forget: bool,
    },
    /// More items of a streaming call may be sent.
    Credit {
        /// The call.
        seq: u64,
        /// How many more.
        n: u32,
    },
    /// Begin. The first of all; a caller that has never spoken to any host may say one call behind it, before the answer.
    Open(Open),
    /// The caller waits for a call, and somebody for the caller.
    Probe {
        /// The call.
        seq: u64,
        /// What looks for a circle.
        probe: Box<Probe>,
    },
}

/// The host's answer to [`ToHost::Open`], said again when it may have missed calls. The first says nothing of a call that was
/// said right behind `Open`: that is on its way, and taken. Any other answer says that it was not.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The first number that the host has not seen: from there on the caller sends again, or cancels, what it made.
    pub next_seq: u64,
    /// What the actor promises.
    pub delivery: Delivery,
    /// Methods that promise less.
    pub methods: Vec<MethodSpec>,
    /// Names of its lanes.
    pub lanes: Vec<String>,
    /// How many of the caller's calls it holds without a reply, at most.
    pub window: u32,
    /// What becomes of calls that find the window full.
    pub on_full: OnFull,
    /// How long the host's lease lasts; `None` where it does not end by itself.
    pub lease: Option<Span>,
    /// The caller was forgotten: calls it sends again end as unknown.
    pub forgotten: bool,
    /// The first of the incarnations that share the host's memory: a call with a number from `next_seq` on that was said to
    /// this incarnation or a later one never arrived. The host's own incarnation where it knows nothing of those before.
    pub remembers_from: Incarnation,
}

/// What the host of an actor says to a caller.
#[derive(Clone, Debug, PartialEq)]
pub enum ToCaller {
    /// A call is in the mailbox.
    Accepted {
        /// The call.
        seq: u64,
        /// How many calls are before it in its lane.
        position: u32,
    },
    /// One item of a streaming call.
    Item {
        /// The call.
        seq: u64,
        /// Counts the call's items, from 1.
        n: u64,
        /// The item.
        value: Box<Value>,
    },
    /// The actor lives here.
    Opened(Box<Opened>),
    /// The caller's `Open` was not carried out.
    OpenRefused(Box<CallFailure>),
    /// The actor lives elsewhere, or will; `None` where the host does not know where: ask the scheduler.
    Redirect {
        /// Its incarnation there is at least this.
        incarnation: Incarnation,
        /// Where.
        place: Option<Box<ActorPlace>>,
    },
    /// A call ended. Kept until it is acknowledged.
    Reply {
        /// The call.
        seq: u64,
        /// How it ended.
        ending: Box<Ending>,
    },
    /// The window has changed.
    Window(u32),
}
