//! What a worker and the scheduler tell each other, as domain types. The simulation speaks it too.
//!
//! Both sides are level-triggered: what is told is state, named by attempt numbers and object ids, so that telling it twice
//! is harmless and a lost connection is mended by announcing everything held.

mod announce;

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::actor::place::{ActorOrder, ActorReport, Hosted};
use crate::error::{Exit, TaskError};
use crate::graph::{Row, Runtime};
use crate::id::{AttemptId, AttemptNo, WorkerId, WorkerLife, WorkerUid};
use crate::object::ObjectId;
use crate::resources::Resources;
use crate::time::Span;
use crate::value::Value;

/// Who a worker is and what it has.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The same after a restart of the daemon.
    pub uid: WorkerUid,
    /// New with each start of the daemon.
    pub life: WorkerLife,
    /// Unique among live workers.
    pub name: String,
    /// All it has.
    pub resources: Resources,
    /// Its labels, sorted.
    pub labels: Vec<(String, String)>,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// Boot id and host name.
    pub machine: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Names of its native functions, sorted; native classes of actors with [`CLASS_PREFIX`](crate::actor::CLASS_PREFIX).
    pub functions: Vec<String>,
    /// Names of the language runtimes it can start, sorted.
    pub runtimes: Vec<String>,
    /// How the daemon's last life ended, where its supervisor saw that.
    pub previous: Option<PreviousLife>,
}

/// How an earlier life of a worker's daemon ended.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviousLife {
    /// Which.
    pub life: WorkerLife,
    /// How its process ended.
    pub exit: Exit,
    /// Attempts whose user code had started and not ended, sorted: only they can be to blame.
    pub started: Vec<AttemptId>,
}

/// The answer to [`Join`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Joined {
    /// The worker's number.
    pub worker: WorkerId,
    /// How often a heartbeat is due.
    pub heartbeat: Span,
    /// After how long a silence the worker counts as lost.
    pub lost_after: Span,
    /// Values up to this size, in bytes, are to be sent along with their report.
    pub inline_bytes: u64,
    /// What the worker knows issued tokens by; `None` where the scheduler asks for no tokens.
    pub token_key: Option<Secret>,
}

/// Bytes that are shown by nothing.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a peer can be reached.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    /// `http`, `https` or `unix`.
    pub scheme: String,
    /// Host name, IP address or path.
    pub host: String,
    /// Port; 0 for `unix`.
    pub port: u16,
    /// Name of the network it can be reached from; empty is any.
    pub network: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme.as_str() {
            "unix" => write!(f, "unix:{}", self.host),
            scheme if self.host.contains(':') => {
                write!(f, "{scheme}://[{}]:{}", self.host, self.port)
            }
            scheme => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// What the scheduler tells a worker.
#[expect(clippy::large_enum_variant, reason = "the large one is nearly all there are")]
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Something about an actor.
    Actor(ActorOrder),
    /// End an attempt; running code may go on for `grace`.
    Cancel {
        /// Which.
        attempt: AttemptId,
        /// How long.
        grace: Span,
    },
    /// Accept no more, finish what runs, leave.
    Drain {
        /// When to leave all the same.
        deadline: Option<Span>,
    },
    /// An object that the worker looks for is nowhere, and nothing makes it again: calls that take it end.
    Gone {
        /// Which.
        object: ObjectId,
        /// What became of it.
        error: Box<TaskError>,
    },
    /// Where workers are; no address where one has gone.
    Peers(Vec<Peer>),
    /// Where inputs can be had.
    Places(Vec<Input>),
    /// Drop a replica.
    Release(ObjectId),
    /// Make a replica.
    Replicate(Vec<Input>),
    /// Give an attempt back if it has not started.
    Retract(AttemptId),
    /// The end of this attempt is known: it need not be told again.
    Settle(AttemptId),
    /// Accept an attempt.
    Start(Start),
    /// End now.
    Stop,
}

/// Where a worker is.
#[derive(Clone, Debug, PartialEq)]
pub struct Peer {
    /// Its number.
    pub worker: WorkerId,
    /// Where it listens; empty where it has gone.
    pub addresses: Vec<Address>,
    /// Boot id and host name.
    pub machine: String,
}

/// An attempt to be accepted. It runs when its inputs are here and its resources free, smallest rank first.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Which.
    pub attempt: AttemptId,
    /// An encoded `Payload`.
    pub payload: Bytes,
    /// Its inputs, in the payload's order.
    pub inputs: SmallVec<[Input; 2]>,
    /// What it takes.
    pub resources: Resources,
    /// How many outputs it has.
    pub outputs: u16,
    /// The task's key.
    pub key: String,
    /// Longest run.
    pub timeout: Option<Span>,
    /// The row's own argument, in a task array.
    pub row: Row,
    /// Smaller runs earlier.
    pub rank: u64,
    /// Inputs are still being made by attempts this worker accepted earlier.
    pub ahead: bool,
    /// Which kind of executor runs the payload.
    pub runtime: Runtime,
}

/// An input of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The object.
    pub object: ObjectId,
    /// Workers that have it; none where it is here or still being made here.
    pub holders: SmallVec<[WorkerId; 2]>,
    /// Size in bytes, where known.
    pub size: u64,
    /// The value itself, where it is small.
    pub value: Option<Box<Value>>,
    /// The attempt that made what the holders have, where it is the output of a task.
    pub made_by: Option<AttemptNo>,
}

/// What a worker tells the scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// Something about an actor.
    Actor(ActorReport),
    /// The worker leaves when its attempts have ended.
    Draining {
        /// It stays for a while after that, until it is sent away: values that only it has can be copied to others.
        waits: bool,
    },
    /// An attempt failed.
    Failed {
        /// Which.
        attempt: AttemptId,
        /// Why.
        error: Box<TaskError>,
        /// How long it took.
        timing: Timing,
    },
    /// An attempt finished; its outputs are stored.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// Its outputs.
        outputs: SmallVec<[Output; 1]>,
        /// How long it took.
        timing: Timing,
    },
    /// An input cannot be had from any holder named.
    InputMissing {
        /// The object.
        object: ObjectId,
        /// Who was asked.
        asked: SmallVec<[WorkerId; 2]>,
        /// As it came with their names: what another attempt has made since is not missing.
        made_by: Option<AttemptNo>,
    },
    /// An attempt that gave its cpus back wants them again, before any that has not started; or has them.
    Rejoined(AttemptId),
    /// A replica was made.
    ReplicaAdded {
        /// The object.
        object: ObjectId,
        /// Size in bytes.
        size: u64,
    },
    /// A replica is gone.
    ReplicaLost(ObjectId),
    /// An attempt was given back before it started.
    Retracted(AttemptId),
    /// An attempt waits for tasks of its own, and has given its cpus back.
    Seceded(AttemptId),
    /// User code of an attempt has started and not ended.
    Started(AttemptId),
}

/// An output of a finished attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Size in bytes.
    pub size: u64,
    /// The value itself, where it is small.
    pub value: Option<Box<Value>>,
}

/// How long the parts of an attempt took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timing {
    /// From acceptance to start.
    pub wait: Span,
    /// From start to end of user code.
    pub run: Span,
    /// Cpu time of user code, where known.
    pub cpu: Span,
    /// Peak of resident memory in bytes, where known.
    pub peak_bytes: u64,
}

/// An object that a worker holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Held {
    /// The object.
    pub object: ObjectId,
    /// Size in bytes.
    pub size: u64,
    /// The attempt that made it, where that ran here. One of which every output is announced has finished.
    pub made_by: Option<AttemptNo>,
}

/// Everything a worker holds; a large one comes in parts. [`Announce::sort`] puts it in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announce {
    /// Objects held.
    pub objects: Vec<Held>,
    /// Attempts accepted and not ended; `true` where user code has started.
    pub attempts: Vec<(AttemptId, bool)>,
    /// Actors hosted.
    pub actors: Vec<Hosted>,
    /// Ends of attempts and of incarnations of actors that are not settled.
    pub ended: Vec<Report>,
    /// The announcement is complete.
    pub last: bool,
}

/// How a worker is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Heartbeat {
    /// Bytes of values in memory.
    pub stored_bytes: u64,
    /// Bytes of values on disk.
    pub spilled_bytes: u64,
    /// Resident memory of the daemon.
    pub resident_bytes: u64,
    /// Resident memory of executor processes.
    pub executors_bytes: u64,
    /// Attempts running.
    pub running: u32,
    /// Attempts accepted and not started.
    pub queued: u32,
    /// Nothing starts for now: memory is above the pause mark.
    pub paused: bool,
    /// The event loop is behind by this much.
    pub loop_lag: Span,
    /// Share of the machine's cpus in use, in percent of one cpu.
    pub cpu_percent: u32,
}
