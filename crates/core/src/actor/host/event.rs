//! What can happen to the host of an actor.

use crate::actor::call::CallFailure;
use crate::actor::place::Checkpoint;
use crate::actor::wire::ToHost;
use crate::error::TaskError;
use crate::object::ObjectId;
use crate::time::Span;
use crate::value::Value;

/// A caller on a stream, as numbered by the driver; never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Line(pub u64);

/// A call as it is given to the actor's process: counts what was given in this incarnation, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RunNo(pub u64);

/// Everything that can happen to the host of an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The process has made the actor, or restored it: it takes calls.
    Alive {
        /// It can give its state.
        checkpoints: bool,
    },
    /// Somebody wants a checkpoint; answered by [`Effect::Checkpointed`](super::Effect::Checkpointed).
    CheckpointAsked {
        /// Comes back with the answer.
        request: u64,
    },
    /// All records of the log up to this one are as durable as was asked for.
    Durable {
        /// The record.
        lsn: u64,
    },
    /// The incarnation is to end.
    EndAsked {
        /// How long running calls may go on.
        grace: Span,
        /// It ends for good: calls that wait end as gone.
        forget: bool,
        /// Why, for people.
        reason: String,
    },
    /// A call that was given to the process has ended.
    Ended {
        /// Which.
        run: RunNo,
        /// How.
        end: RunEnd,
        /// How long it ran.
        took: Span,
    },
    /// The actor asked to end, and the calls that were begun are done. What was given beyond them is not begun any more.
    Exited,
    /// The inputs of a call are here, or why not.
    Gathered {
        /// Which call.
        ticket: u64,
        /// Whether they are.
        inputs: Result<(), Box<CallFailure>>,
    },
    /// A streaming call gave an item.
    Item {
        /// Which call.
        run: RunNo,
        /// Counts its items, from 1.
        n: u64,
        /// The item.
        value: Box<Value>,
    },
    /// The lease is over: nobody has heard from the scheduler for too long.
    LeaseEnded,
    /// The scheduler is back.
    LeaseRenewed,
    /// A line is gone.
    LineLost(Line),
    /// The log cannot be written: nothing more can be promised.
    LogFailed(Box<TaskError>),
    /// The actor is to come to rest, so that it can begin again elsewhere; answered by [`Effect::Over`](super::Effect::Over), or by
    /// [`Effect::Checkpointed`](super::Effect::Checkpointed) with an error if it goes on here.
    MoveAsked {
        /// Comes back with the answer.
        request: u64,
        /// How long running calls may go on before the move is given up.
        quiesce: Option<Span>,
        /// Leave without its state if it cannot be checkpointed.
        lose_state: bool,
    },
    /// The process, in which the actor ends, has not begun a call that it was given, and will not.
    NotBegun(RunNo),
    /// The process has gone, before or after the actor was made; or nothing of the actor is left in it.
    ProcessLost {
        /// How far it had come with what it was given, where it left a mark.
        reached: Option<Reached>,
        /// How it ended.
        error: Box<TaskError>,
    },
    /// The process cannot make the actor, or cannot restore it.
    Refused(Box<TaskError>),
    /// A caller said something. The first word on a line is `Open`.
    Said {
        /// Over this line.
        line: Line,
        /// What.
        word: ToHost,
    },
    /// The answer to [`Effect::Checkpoint`](super::Effect::Checkpoint).
    StateKept(Result<Checkpoint, Box<TaskError>>),
    /// The process has given a call back, as [`Effect::TakeBack`](super::Effect::TakeBack) asked it to.
    TakenBack(RunNo),
    /// The time that [`Host::next_timer`](super::Host::next_timer) told has come.
    TimerDue,
}

/// How far a process had come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reached {
    /// The last call that was begun.
    pub started: RunNo,
    /// It was running then; else it had ended.
    pub runs: bool,
}

/// How a call ended, as the process tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// It was cancelled.
    Cancelled,
    /// Without a value, after so many items.
    Done {
        /// How many.
        items: u64,
    },
    /// There is no such method.
    NoSuchMethod {
        /// Those there are.
        methods: Vec<String>,
    },
    /// A value that is stored.
    Stored {
        /// Its id.
        object: ObjectId,
        /// Size in bytes.
        size: u64,
    },
    /// The arguments cannot be decoded: it did not run.
    UnserializableArgs(Box<TaskError>),
    /// The result cannot be encoded: it did run.
    UnserializableResult(Box<TaskError>),
    /// The user's code failed.
    UserError(Box<TaskError>),
    /// A value.
    Value(Box<Value>),
}
