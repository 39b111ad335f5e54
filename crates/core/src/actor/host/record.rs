//! What is kept of an actor for its next incarnations: the records of its log, and the table that goes with a checkpoint.

use std::sync::Arc;

use crate::actor::call::{Call, CallId, CallerId, Ending};
use crate::id::Incarnation;
use crate::value::Value;

/// A record of an actor's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A call is given to the process. The values of its inputs are kept with it.
    Call {
        /// Who made it.
        id: CallId,
        /// What.
        call: Arc<Call>,
        /// Place of its lane.
        lane: u32,
        /// Names its inputs, as in [`Effect::Gather`](super::Effect::Gather).
        ticket: u64,
    },
    /// A call has ended, and this is a digest of how.
    Ended {
        /// The record of the call.
        lsn: u64,
        /// Of its outcome.
        digest: u64,
    },
    /// An incarnation has begun.
    Life {
        /// Its number.
        incarnation: Incarnation,
    },
    /// A call is not to run again: it was running at too many crashes.
    Poisoned {
        /// The record of the call.
        lsn: u64,
    },
    /// A call is not to run: it waited for itself, and its caller was told so.
    Unrun {
        /// The record of the call.
        lsn: u64,
    },
    /// The process died with these calls running.
    Crash {
        /// The records of the calls.
        running: Vec<u64>,
    },
}

/// What an actor remembers of its callers; kept with each checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// One for each caller, sorted.
    pub callers: Vec<Remembered>,
    /// Callers that were forgotten while they may still have sent again what they had no reply to, the oldest first.
    pub forgotten: Vec<CallerId>,
    /// How many calls were set aside for good, by lane; lanes after the last that lost one are not named.
    pub left_out: Vec<u32>,
}

/// What an actor remembers of a caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// Who.
    pub caller: CallerId,
    /// The first incarnation since which nothing was forgotten of what this caller said.
    pub since: Incarnation,
    /// Every number up to this one is used.
    pub seen_up_to: u64,
    /// Numbers beyond that are used too, sorted.
    pub seen: Vec<u64>,
    /// The caller has the replies up to this one.
    pub processed_up_to: u64,
    /// Replies that it may not have.
    pub replies: Vec<(u64, Ending)>,
    /// Items that it may not have, of calls with such replies: the call, the number of the item, the item.
    pub items: Vec<(u64, u64, Value)>,
}

/// What was found of earlier incarnations. All of it is durable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    /// The checkpoint holds all calls up to this record.
    pub lsn: u64,
    /// As it was kept with the checkpoint.
    pub table: Table,
    /// The records after it, each one more than the last.
    pub records: Vec<Record>,
    /// The last incarnation came to rest before it went: nothing happened after the checkpoint.
    pub rested: bool,
}

impl Restored {
    /// The number of the last record.
    pub fn end(&self) -> u64 {
        self.lsn + self.records.len() as u64
    }
}
