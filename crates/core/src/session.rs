//! What a client and the scheduler tell each other, as domain types.

use smallvec::SmallVec;

use crate::error::TaskError;
use crate::graph::{GraphChunk, GraphCounts, TaskState};
use crate::id::{AttemptId, GraphId, SessionId, SessionToken, SubmissionId, WorkerId};
use crate::object::ObjectId;
use crate::protocol::{Output, Peer};
use crate::reason::Refusal;
use crate::time::Span;
use crate::value::Value;

/// Opens a session, or comes back to one by its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Whoever knows it is the session.
    pub token: SessionToken,
    /// For people, and to come back to the session by.
    pub name: String,
    /// Come back to the session of this name, whose token becomes `token`, rather than open one.
    pub by_name: bool,
    /// Who asks. Not on the wire: the door enters it.
    pub owner: Owner,
    /// How long it outlives a lost stream.
    pub ttl: Option<Span>,
    /// Share of the cluster relative to other sessions, in percent.
    pub weight_percent: u32,
    /// What the client knows already.
    pub known: Vec<Known>,
    /// The attempt whose code opens it, and with which it ends.
    pub parent: Option<AttemptId>,
}

impl Open {
    /// Opens a session that has nothing but a token.
    pub fn new(token: SessionToken) -> Self {
        Self {
            token,
            name: String::new(),
            by_name: false,
            owner: Owner::default(),
            ttl: None,
            weight_percent: 100,
            known: Vec::new(),
            parent: None,
        }
    }
}

/// Whose a session is, as far as the scheduler can tell: whoever shows the same bearer token is the same.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Owner {
    /// Stands for the bearer token of the call; 0 where none is asked for.
    pub key: u128,
    /// The token is an administrator's: every session is as good as his.
    pub is_admin: bool,
}

impl Owner {
    /// Whether somebody may come by name to a session that this one has opened.
    pub fn admits(self, other: Self) -> bool {
        other.is_admin || other.key == self.key
    }
}

/// What a client that comes back knows of a graph.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    /// The graph.
    pub graph: GraphId,
    /// How many of its tasks were accepted.
    pub accepted_tasks: u32,
    /// Tasks whose end it has seen.
    pub seen: Vec<IndexRange>,
}

/// The answer to [`Open`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Opened {
    /// The session's number.
    pub session: SessionId,
    /// It was there before.
    pub resumed: bool,
    /// How long it outlives a lost stream.
    pub ttl: Span,
    /// The greatest number among its graphs.
    pub last_graph: u32,
    /// The greatest number among its values.
    pub last_value: u64,
}

/// Indexes from `first` on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IndexRange {
    /// The first.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl IndexRange {
    /// The indexes that exist in a graph of so many tasks.
    pub fn within(self, tasks: u32) -> std::ops::Range<u32> {
        self.first.min(tasks)..self.first.saturating_add(self.count).min(tasks)
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Cancel tasks, all of the graph if none are named, and whatever depends on them.
    Cancel {
        /// Names the command.
        submission: SubmissionId,
        /// The graph.
        graph: GraphId,
        /// Which tasks.
        tasks: Vec<IndexRange>,
        /// How long running code may go on.
        grace: Span,
        /// Why, for people; may be empty.
        reason: String,
    },
    /// Take in a part of a graph.
    Chunk(Box<GraphChunk>),
    /// End the session.
    Close {
        /// Names the command.
        submission: SubmissionId,
    },
    /// Have workers drop replicas of values that others have too.
    DropReplicas {
        /// Names the command.
        submission: SubmissionId,
        /// The replicas; those that are not there are passed over.
        replicas: Vec<Replica>,
    },
    /// Drop a graph and all it holds.
    Forget {
        /// Names the command.
        submission: SubmissionId,
        /// The graph.
        graph: GraphId,
    },
    /// Say where objects are.
    Locate {
        /// Comes back with the answer.
        request: u64,
        /// Which.
        objects: Vec<ObjectId>,
    },
    /// Answer with the same number.
    Ping(u64),
    /// Take note of values put on workers.
    Put {
        /// Names the command.
        submission: SubmissionId,
        /// The values.
        objects: Vec<Put>,
    },
    /// Give up outputs.
    Release {
        /// Names the command.
        submission: SubmissionId,
        /// The graph.
        graph: GraphId,
        /// Tasks whose outputs are given up.
        tasks: Vec<IndexRange>,
    },
    /// Give up values that were put. Each goes when the last task that takes it has ended.
    ReleaseValues {
        /// Names the command.
        submission: SubmissionId,
        /// The values; those that are not there are passed over.
        objects: Vec<ObjectId>,
    },
    /// Try failed tasks again, all of the graph if none are named.
    Retry {
        /// Names the command.
        submission: SubmissionId,
        /// The graph.
        graph: GraphId,
        /// Which tasks.
        tasks: Vec<IndexRange>,
    },
    /// Tell when tasks end.
    Want {
        /// The graph.
        graph: GraphId,
        /// Which tasks.
        tasks: Vec<IndexRange>,
        /// Send small values along.
        values: bool,
    },
}

/// A value that a session put on a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Put {
    /// Its id.
    pub object: ObjectId,
    /// Size in bytes.
    pub size: u64,
    /// Who has it.
    pub worker: WorkerId,
    /// How many machines shall have it; more than one is refused.
    pub copies: u32,
}

/// A value where a worker has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Replica {
    /// The value.
    pub object: ObjectId,
    /// Who has it.
    pub worker: WorkerId,
}

/// What the scheduler tells a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A command was carried out, and is durable where the scheduler is.
    Accepted {
        /// The command.
        submission: SubmissionId,
        /// Its graph, if it was about one.
        graph: Option<GraphId>,
        /// How many tasks the graph has.
        tasks: u32,
    },
    /// The stream is about to end.
    Closing(Refusal),
    /// How a graph stands.
    Graph {
        /// The graph.
        graph: GraphId,
        /// How many tasks are in which state.
        counts: GraphCounts,
        /// The last chunk has come and every task has ended.
        done: bool,
        /// Why the graph failed as a whole.
        error: Option<Box<TaskError>>,
    },
    /// Where objects are.
    Places {
        /// The number the client asked with.
        request: u64,
        /// In the order asked.
        places: Vec<Place>,
    },
    /// The answer to a ping.
    Pong(u64),
    /// A command was not carried out.
    Refused {
        /// The command.
        submission: SubmissionId,
        /// Why.
        refusal: Refusal,
    },
    /// How a task ended.
    Task {
        /// The graph.
        graph: GraphId,
        /// The task and its end.
        update: TaskUpdate,
    },
    /// Something a person should know.
    Warning {
        /// The graph it is about.
        graph: Option<GraphId>,
        /// The task it is about.
        task: Option<u32>,
        /// What it is.
        refusal: Refusal,
    },
    /// Where workers are.
    Workers(Vec<(Peer, String)>),
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskUpdate {
    /// Its index.
    pub index: u32,
    /// Its state.
    pub state: TaskState,
    /// Its outputs, where it finished: each with the workers that have it.
    pub outputs: SmallVec<[(Output, SmallVec<[WorkerId; 2]>); 1]>,
    /// Why it failed, where it did.
    pub error: Option<Box<TaskError>>,
}

/// Where an object is.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The object.
    pub object: ObjectId,
    /// Size in bytes.
    pub size: u64,
    /// Who has it; none where it is gone or not made yet.
    pub holders: SmallVec<[WorkerId; 2]>,
    /// The value itself, where the scheduler has it.
    pub value: Option<Box<Value>>,
}
