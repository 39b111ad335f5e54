//! What the host of an actor asks of its driver.

use std::sync::Arc;

use smallvec::SmallVec;

use super::event::{Line, RunNo};
use super::record::{Record, Table};
use crate::actor::call::{Call, CallId};
use crate::actor::place::{Checkpoint, EndKind};
use crate::actor::probe::Probe;
use crate::actor::wire::ToCaller;
use crate::error::TaskError;
use crate::object::ObjectId;
use crate::time::Span;

/// Everything a host can ask of its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append a record to the log; answered by [`Event::Durable`](super::Event::Durable), many at a time.
    Append {
        /// Its number: one more than the last.
        lsn: u64,
        /// What it says.
        record: Record,
    },
    /// Ask the process for its state and keep it with this table; the log before it can go then. No call runs meanwhile.
    /// Answered by [`Event::StateKept`](super::Event::StateKept).
    Checkpoint {
        /// It holds all calls up to this record.
        lsn: u64,
        /// Goes with it.
        table: Box<Table>,
    },
    /// Somebody's wish for a checkpoint, or for a move that is not made, is answered.
    Checkpointed {
        /// As in the wish.
        request: u64,
        /// What was made.
        made: Result<Checkpoint, Box<TaskError>>,
    },
    /// More items of a streaming call may be made.
    Credit {
        /// Which call.
        run: RunNo,
        /// How many more.
        n: u32,
    },
    /// Have the values of a call's inputs fetched; answered by [`Event::Gathered`](super::Event::Gathered).
    Gather {
        /// Comes back with the answer, and with [`Effect::Run`].
        ticket: u64,
        /// What.
        inputs: SmallVec<[ObjectId; 1]>,
    },
    /// The inputs of a call that will not run can go.
    Ungather {
        /// Which call.
        ticket: u64,
    },
    /// The incarnation is over; nothing that is asked of the host means anything from here on, but callers are still told.
    /// The process is to be ended; calls that it has are settled with [`Event::ProcessLost`](super::Event::ProcessLost).
    Over {
        /// How it ended.
        end: EndKind,
        /// Why, where that is an error.
        cause: Option<Box<TaskError>>,
        /// The log and the checkpoint are to be removed.
        forget: bool,
    },
    /// A call that runs is waited for: if it waits for one of its own, send this to the host of that.
    Probe {
        /// Which.
        run: RunNo,
        /// What.
        probe: Box<Probe>,
    },
    /// Give a call to the process.
    Run(Box<Run>),
    /// Say something to a caller.
    Say {
        /// Over this line.
        line: Line,
        /// What.
        word: ToCaller,
    },
    /// Ask a call that was given to return.
    Stop {
        /// Which.
        run: RunNo,
        /// After so long its process is killed; `None` is never.
        grace: Option<Span>,
    },
    /// Ask the process for a call back, if it has not begun it; answered by [`Event::TakenBack`](super::Event::TakenBack), or not at
    /// all.
    TakeBack {
        /// Which.
        run: RunNo,
    },
}

/// A call that is given to the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its number in this incarnation.
    pub run: RunNo,
    /// Who made it.
    pub id: CallId,
    /// What.
    pub call: Arc<Call>,
    /// Names its inputs, as in [`Effect::Gather`]. They are kept until [`Event::Ended`](super::Event::Ended) of this run, or
    /// [`Effect::Ungather`]. Those of a replay are the ones kept with its record.
    pub ticket: u64,
    /// Place of its lane.
    pub lane: u32,
    /// It is begun at once, beside what runs: a call that runs waits for it.
    pub beside: bool,
    /// Items of a streaming call that may be made before the first [`Effect::Credit`].
    pub credit: u32,
    /// It comes from the log: it may have run before.
    pub replay: bool,
    /// Number of its record in the log; 0 where there is no log.
    pub lsn: u64,
    /// What is left of the time that its caller waits.
    pub deadline: Option<Span>,
    /// How many calls of its lane were set aside for good before it: what they called has used numbers that this one does not
    /// know of.
    pub left_out: u32,
}
