//! Records and checkpoints as they are written. Both are protocol buffers, so that a later version reads what an earlier one
//! wrote; calls and replies are kept as they travel.

use bireme_core::Value;
use bireme_core::actor::call::{CallId, CallerId};
use bireme_core::actor::host::{Record, Remembered, Table};
use bireme_core::actor::wire::{ToCaller, ToHost};
use bireme_core::id::Incarnation;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::convert::actor::{said, told};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::Callee;
use bytes::Bytes;
use prost::Message as _;

/// A record with its number and the values of its call's inputs.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Written {
    #[prost(uint64, tag = "1")]
    lsn: u64,
    #[prost(oneof = "Kind", tags = "2, 3, 4, 5, 6, 8")]
    kind: Option<Kind>,
    #[prost(message, repeated, tag = "7")]
    inputs: Vec<pb::Value>,
}

#[expect(clippy::large_enum_variant, reason = "the large one is nearly all there are")]
#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "2")]
    Call(WrittenCall),
    #[prost(message, tag = "3")]
    Ended(WrittenEnd),
    #[prost(uint32, tag = "4")]
    Life(u32),
    #[prost(uint64, tag = "5")]
    Poisoned(u64),
    #[prost(message, tag = "6")]
    Crash(WrittenCrash),
    #[prost(uint64, tag = "8")]
    Unrun(u64),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WrittenCall {
    #[prost(message, optional, tag = "1")]
    id: Option<pb::CallId>,
    #[prost(message, optional, tag = "2")]
    call: Option<pb::CallerMessage>,
    #[prost(uint32, tag = "3")]
    lane: u32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct WrittenEnd {
    #[prost(uint64, tag = "1")]
    lsn: u64,
    #[prost(fixed64, tag = "2")]
    digest: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WrittenCrash {
    #[prost(uint64, repeated, tag = "1")]
    running: Vec<u64>,
}

/// All that a checkpoint has.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Kept {
    /// It holds all calls up to this record.
    #[prost(uint64, tag = "1")]
    pub(crate) lsn: u64,
    /// The incarnation that made it.
    #[prost(uint32, tag = "2")]
    pub(crate) incarnation: u32,
    /// The state; absent where the actor gave none.
    #[prost(message, optional, tag = "3")]
    pub(crate) state: Option<pb::Value>,
    #[prost(message, repeated, tag = "4")]
    callers: Vec<KeptCaller>,
    #[prost(message, repeated, tag = "5")]
    forgotten: Vec<pb::CallerId>,
    /// The actors that it has called.
    #[prost(message, repeated, tag = "6")]
    pub(crate) callees: Vec<Callee>,
    /// How many calls were set aside for good, by lane.
    #[prost(uint32, repeated, tag = "7")]
    left_out: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeptCaller {
    #[prost(message, optional, tag = "1")]
    caller: Option<pb::CallerId>,
    #[prost(uint32, tag = "2")]
    since: u32,
    #[prost(uint64, tag = "3")]
    seen_up_to: u64,
    #[prost(uint64, repeated, tag = "4")]
    seen: Vec<u64>,
    #[prost(uint64, tag = "5")]
    processed_up_to: u64,
    #[prost(message, repeated, tag = "6")]
    replies: Vec<pb::HostMessage>,
}

/// Stands for caller and actor where words are kept that travel under a number of their own.
const OPEN: u32 = 1;

impl Written {
    /// A record as it is written.
    pub(super) fn new(lsn: u64, record: &Record, inputs: Vec<pb::Value>) -> Self {
        let kind = match record {
            Record::Call { id, call, lane, ticket: _ } => {
                let word = ToHost::Call {
                    seq: id.seq,
                    call: std::sync::Arc::clone(call),
                    incarnation: Incarnation(1),
                };
                let call = Some(said::say(OPEN, word));
                Kind::Call(WrittenCall { id: Some((*id).into()), call, lane: *lane })
            }
            Record::Ended { lsn, digest } => Kind::Ended(WrittenEnd { lsn: *lsn, digest: *digest }),
            Record::Life { incarnation } => Kind::Life(incarnation.0),
            Record::Poisoned { lsn } => Kind::Poisoned(*lsn),
            Record::Crash { running } => Kind::Crash(WrittenCrash { running: running.clone() }),
            Record::Unrun { lsn } => Kind::Unrun(*lsn),
        };
        Self { lsn, kind: Some(kind), inputs }
    }

    /// Reads a record: its number, what it says, and the values of its call's inputs.
    pub(super) fn read(frame: Bytes) -> Result<(u64, Record, Vec<Value>), Refusal> {
        let written = Self::decode(frame).map_err(|error| broken(error.to_string()))?;
        let inputs = written.inputs.into_iter().map(Value::try_from).collect::<Result<_, _>>()?;
        let record = match written.kind.ok_or_else(|| broken("a record says nothing"))? {
            Kind::Call(WrittenCall { id, call, lane }) => {
                let missing = || broken("a record has no call");
                let id: CallId = id.ok_or_else(missing)?.try_into()?;
                let (_, words) =
                    said::heard(call.ok_or_else(missing)?).map_err(|misheard| misheard.refusal)?;
                let call = words.into_iter().find_map(|word| match word {
                    ToHost::Call { call, .. } => Some(call),
                    _ => None,
                });
                Record::Call { id, call: call.ok_or_else(missing)?, lane, ticket: 0 }
            }
            Kind::Ended(WrittenEnd { lsn, digest }) => Record::Ended { lsn, digest },
            Kind::Life(incarnation) => Record::Life { incarnation: Incarnation(incarnation) },
            Kind::Poisoned(lsn) => Record::Poisoned { lsn },
            Kind::Crash(WrittenCrash { running }) => Record::Crash { running },
            Kind::Unrun(lsn) => Record::Unrun { lsn },
        };
        Ok((written.lsn, record, inputs))
    }
}

impl Kept {
    /// A checkpoint as it is kept.
    pub(crate) fn new(
        lsn: u64,
        incarnation: Incarnation,
        state: Option<pb::Value>,
        table: Table,
        callees: Vec<Callee>,
    ) -> Self {
        let callers = table.callers.into_iter().map(|remembered| KeptCaller {
            caller: Some(remembered.caller.into()),
            since: remembered.since.0,
            seen_up_to: remembered.seen_up_to,
            seen: remembered.seen,
            processed_up_to: remembered.processed_up_to,
            replies: remembered
                .replies
                .into_iter()
                .map(|(seq, ending)| {
                    told::tell(OPEN, ToCaller::Reply { seq, ending: Box::new(ending) })
                })
                .chain(remembered.items.into_iter().map(|(seq, n, value)| {
                    told::tell(OPEN, ToCaller::Item { seq, n, value: Box::new(value) })
                }))
                .collect(),
        });
        let callers = callers.collect();
        let forgotten = table.forgotten.into_iter().map(Into::into).collect();
        let (incarnation, left_out) = (incarnation.0, table.left_out);
        Self { lsn, incarnation, state, callers, forgotten, callees, left_out }
    }

    /// Reads what [`Self::encode_to_vec`] wrote.
    pub(crate) fn read(bytes: Bytes) -> Result<Self, Refusal> {
        Self::decode(bytes).map_err(|error| broken(error.to_string()))
    }

    /// The table that is kept with it.
    pub(crate) fn take_table(&mut self) -> Result<Table, Refusal> {
        let callers = std::mem::take(&mut self.callers).into_iter().map(|kept| {
            let caller: CallerId =
                kept.caller.ok_or_else(|| broken("a caller has no id"))?.try_into()?;
            let (mut replies, mut items) = (Vec::new(), Vec::new());
            for (_, word) in told::heard(kept.replies)?.words {
                match word {
                    ToCaller::Item { seq, n, value } => items.push((seq, n, *value)),
                    ToCaller::Reply { seq, ending } => replies.push((seq, *ending)),
                    _ => {}
                }
            }
            Ok(Remembered {
                caller,
                since: Incarnation(kept.since),
                seen_up_to: kept.seen_up_to,
                seen: kept.seen,
                processed_up_to: kept.processed_up_to,
                replies,
                items,
            })
        });
        let callers = callers.collect::<Result<_, Refusal>>()?;
        let forgotten = std::mem::take(&mut self.forgotten).into_iter().map(TryInto::try_into);
        let forgotten = forgotten.collect::<Result<_, _>>()?;
        Ok(Table { callers, forgotten, left_out: std::mem::take(&mut self.left_out) })
    }
}

fn broken(message: impl Into<String>) -> Refusal {
    Refusal::at(Reason::Malformed, "log", message.into())
}
