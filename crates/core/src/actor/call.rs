//! Calls, and how they end.

use bytes::Bytes;
use smallvec::SmallVec;

use super::Delivery;
use crate::error::TaskError;
use crate::id::{ActorId, AttemptId, Incarnation, SessionId, WorkerId};
use crate::object::ObjectId;
use crate::time::Span;
use crate::value::Value;

/// Who makes calls.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Who {
    /// An actor that calls another.
    Actor(ActorId),
    /// A task that calls an actor.
    Attempt(AttemptId),
    /// A client.
    Session(SessionId),
}

/// One life of somebody who makes calls. Calls are numbered anew, from 1, in each.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallerId {
    /// Who.
    pub who: Who,
    /// Tells lives apart. An actor with a call log keeps its life across incarnations, so that a replay makes the same calls
    /// again.
    pub life: u64,
}

/// A call, by name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId {
    /// Who made it.
    pub caller: CallerId,
    /// Which actor is called.
    pub actor: ActorId,
    /// The caller's number for it, from 1.
    pub seq: u64,
}

/// An actor that another one has called, in one of its lanes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Callee {
    /// Place of the lane in the list of the one that calls.
    pub lane: u32,
    /// Who was called.
    pub actor: ActorId,
    /// The number of the next call to it.
    pub next_seq: u64,
    /// How many calls of the lane were set aside for good before those that are numbered so: [`Callee::life`].
    pub left_out: u32,
}

impl Callee {
    /// The life of the caller that a lane is to others, after so many of its calls were set aside for good. What was set aside
    /// has used numbers, nobody can know how many: calls after it belong to another life, whose numbers are its own.
    pub fn life(lane: u32, left_out: u32) -> u64 {
        (u64::from(left_out) << u32::BITS) | (u64::from(lane) + 1)
    }
}

/// What a caller wants to have of a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReplyKind {
    /// Only that the call has ended.
    None,
    /// A stored value under the id that the call names.
    Store,
    /// A stream of items, then the end.
    Stream,
    /// The value, in the reply if it is small, as a stored value if not.
    #[default]
    Value,
}

/// A call as its caller makes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// Name of the method.
    pub method: String,
    /// Encoded `CallArguments`; only the executor decodes them.
    pub arguments: Bytes,
    /// Objects that the arguments name by number. The lane waits until their values are here.
    pub inputs: SmallVec<[ObjectId; 1]>,
    /// Place of the lane in the actor's list; `None` is the method's own.
    pub lane: Option<u32>,
    /// What the caller wants to have.
    pub reply: ReplyKind,
    /// Where the result is stored, if it is.
    pub result: Option<ObjectId>,
    /// How long the caller waits, from when it is sent.
    pub deadline: Option<Span>,
    /// Weaker than the actor's own.
    pub delivery: Option<Delivery>,
    /// W3C trace context.
    pub traceparent: String,
    /// The calls that wait for this one, outermost first; at most [`limits::CALL_CHAIN`](crate::limits::CALL_CHAIN).
    pub chain: Vec<CallId>,
    /// The host says when it is in the mailbox.
    pub receipt: bool,
    /// It may overtake earlier ones of its caller.
    pub unordered: bool,
}

impl Call {
    /// Bytes that it takes up, about.
    pub fn bytes(&self) -> usize {
        const OVERHEAD: usize = 64;
        OVERHEAD + self.method.len() + self.arguments.len() + self.inputs.len() * 24
    }
}

/// Why a call has no outcome of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CallCode {
    /// An argument is an object that was lost, or whose task failed. The call did not run.
    ArgumentFailed,
    /// Somebody cancelled the call. It may have run in part.
    Cancelled,
    /// The call's time was up. It may have run.
    Deadline,
    /// The call waits for itself.
    Deadlock,
    /// The host's lease has ended, or a later incarnation lives.
    Fenced,
    /// The actor has ended for good.
    Gone,
    /// The mailbox is full, and the actor refuses rather than holds callers back.
    MailboxFull,
    /// The actor has no such method.
    NoSuchMethod,
    /// The call did not run; it is safe to make it again.
    NotRun,
    /// The call was running each time the actor crashed, and is not tried again.
    Poisoned,
    /// A replay of the call log gave another reply than the first run.
    ReplayDiverged,
    /// The call may have run: the incarnation that had it is lost.
    Unknown,
    /// The arguments cannot be decoded. The call did not run.
    UnserializableArgs,
    /// The result cannot be encoded. The call did run.
    UnserializableResult,
}

impl CallCode {
    /// Its name, as people and errors spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ArgumentFailed => "ARGUMENT_FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Deadline => "DEADLINE",
            Self::Deadlock => "DEADLOCK",
            Self::Fenced => "FENCED",
            Self::Gone => "GONE",
            Self::MailboxFull => "MAILBOX_FULL",
            Self::NoSuchMethod => "NO_SUCH_METHOD",
            Self::NotRun => "NOT_RUN",
            Self::Poisoned => "POISONED",
            Self::ReplayDiverged => "REPLAY_DIVERGED",
            Self::Unknown => "UNKNOWN",
            Self::UnserializableArgs => "UNSERIALIZABLE_ARGS",
            Self::UnserializableResult => "UNSERIALIZABLE_RESULT",
        }
    }
}

/// Why a call has no outcome of its own, in full.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallFailure {
    /// What kind of failure it is.
    pub code: CallCode,
    /// One line for people.
    pub message: String,
    /// The error behind this one: what ended the actor, why an argument failed.
    pub cause: Option<Box<TaskError>>,
    /// With [`CallCode::Deadlock`]: the calls, each waiting for the next and the last for the first.
    pub cycle: Vec<CallId>,
}

impl CallFailure {
    /// A failure with a code and a line for people.
    pub fn new(code: CallCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), cause: None, cycle: Vec::new() }
    }

    /// The same with the error behind it.
    #[must_use]
    pub fn caused_by(self, cause: Option<Box<TaskError>>) -> Self {
        Self { cause, ..self }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Without a value: none was asked for, or all items have been sent.
    Done {
        /// How many items were sent.
        items: u64,
    },
    /// The system says what happened.
    Failure(Box<CallFailure>),
    /// The method returned a value that is stored.
    Stored {
        /// Its id: the call's `result`.
        object: ObjectId,
        /// Size in bytes.
        size: u64,
        /// The worker that has it.
        worker: WorkerId,
    },
    /// The user's code returned or raised an error.
    UserError(Box<TaskError>),
    /// What the method returned.
    Value(Box<Value>),
}

impl Outcome {
    /// A failure with a code and a line for people.
    pub fn failure(code: CallCode, message: impl Into<String>) -> Self {
        Self::Failure(Box::new(CallFailure::new(code, message)))
    }

    /// Why there is none, if the system says so.
    pub fn code(&self) -> Option<CallCode> {
        match self {
            Self::Failure(failure) => Some(failure.code),
            Self::Done { .. } | Self::Stored { .. } | Self::UserError(_) | Self::Value(_) => None,
        }
    }

    /// Bytes that it takes up where it is kept, about. Word of a full mailbox is not held against the mailbox, which would
    /// never be less full for it.
    pub fn bytes(&self) -> u64 {
        const OVERHEAD: u64 = 64;
        let own = match self {
            Self::Value(value) => value.inline_bytes(),
            Self::UserError(error) => {
                let opaque = error.opaque.as_ref().map_or(0, Value::inline_bytes);
                opaque + (error.message.len() + error.traceback.len()) as u64
            }
            Self::Failure(failure) if failure.code == CallCode::MailboxFull => return 0,
            Self::Failure(failure) => failure.message.len() as u64,
            Self::Done { .. } | Self::Stored { .. } => 0,
        };
        OVERHEAD + own
    }
}

/// How a call ended, and what that took.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// How long it waited in the mailbox.
    pub queue: Span,
    /// How long it ran.
    pub run: Span,
    /// Number of its record in the actor's log; 0 where there is no log.
    pub lsn: u64,
    /// The incarnation that ran it.
    pub incarnation: Incarnation,
}
