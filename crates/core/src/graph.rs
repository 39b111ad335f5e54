//! The model of work: graphs of tasks, streamed in chunks.
//!
//! Tasks are numbered from 0 in submission order. A chunk may depend on its own tasks and on those of earlier chunks, so
//! [`GraphChunk::check`] judges each alone, and no cycle spans two.

mod builder;
mod check;
mod order;

use bytes::Bytes;
use smallvec::SmallVec;

pub use builder::{Chunks, GraphBuilder};
pub use check::GraphSoFar;
pub use order::{Producers, order};

use crate::id::{Digest, GraphId, SubmissionId};
use crate::object::ObjectId;
use crate::resources::Resources;
use crate::retry::RetryPolicy;
use crate::time::Span;

/// A part of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphChunk {
    /// Names the chunk: the same one again gets the same answer.
    pub submission: SubmissionId,
    /// The graph; `None` asks the scheduler to number a new one.
    pub graph: Option<GraphId>,
    /// Index of the first task: how many the chunks before held.
    pub first_index: u32,
    /// Tasks, numbered from `first_index`.
    pub tasks: Vec<TaskSpec>,
    /// Task arrays, numbered after `tasks`.
    pub arrays: Vec<TaskArray>,
    /// Classes added to the graph's table.
    pub classes: Vec<TaskClass>,
    /// Values from outside added to the graph's table.
    pub externals: Vec<ObjectId>,
    /// Tasks whose outputs are kept, with [`Outputs::Listed`].
    pub outputs: Vec<u32>,
    /// Settings of the graph, in its first chunk.
    pub options: Option<GraphOptions>,
    /// No further chunk follows.
    pub last: bool,
}

/// One task. What tasks have in common stands in their class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskSpec {
    /// Unique in the graph; empty stands for the index in decimal.
    pub key: String,
    /// Place of the class in the graph's table.
    pub class: u32,
    /// Outputs of tasks that this one takes: its first inputs.
    pub deps: SmallVec<[Dep; 2]>,
    /// Places in the graph's table of externals: its further inputs.
    pub externals: SmallVec<[u32; 1]>,
    /// An encoded `Payload`, which only the worker decodes.
    pub payload: Bytes,
    /// Greater runs earlier.
    pub priority: i32,
    /// Among equal priorities, smaller runs earlier.
    pub order: u32,
}

/// An output of a task that another takes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Dep {
    /// Index of the task.
    pub task: u32,
    /// Which of its outputs.
    pub output: u16,
}

impl From<u32> for Dep {
    /// Output 0 of a task.
    fn from(task: u32) -> Self {
        Self { task, output: 0 }
    }
}

/// One template and many rows: one record for all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskArray {
    /// Keys are this and `[ROW]`.
    pub key_prefix: String,
    /// How many rows, each a task.
    pub count: u32,
    /// Place of the class in the graph's table.
    pub class: u32,
    /// An encoded `Payload`, the same for every row.
    pub payload: Bytes,
    /// The rows' own arguments.
    pub rows: Rows,
    /// Inputs of the rows.
    pub inputs: Vec<ArrayInput>,
    /// Greater runs earlier.
    pub priority: i32,
    /// Among equal priorities, smaller runs earlier; the first row has this, the others follow.
    pub order: u32,
}

/// The argument of each row of an array.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rows {
    /// `start`, `start + step` and so on.
    Range {
        /// Argument of row 0.
        start: i64,
        /// Added from row to row.
        step: i64,
    },
    /// One encoded `Value` each.
    Values(Vec<Bytes>),
}

/// The own argument of one row.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Row {
    /// The task is no row.
    #[default]
    None,
    /// A whole number, of a range.
    Number(i64),
    /// An encoded `Value`.
    Value(Bytes),
}

impl Rows {
    /// The argument of a row.
    pub fn argument(&self, row: u32) -> Row {
        match self {
            Self::Range { start, step } => {
                Row::Number(start.wrapping_add(step.wrapping_mul(row.into())))
            }
            Self::Values(values) => values.get(row as usize).cloned().map_or(Row::None, Row::Value),
        }
    }
}

/// One input of every row: row `r` takes `output` of task `first + r * stride`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ArrayInput {
    /// The task that row 0 depends on.
    pub first: u32,
    /// Added from row to row.
    pub stride: u32,
    /// Which output.
    pub output: u16,
}

impl ArrayInput {
    /// The task that a row depends on.
    pub fn of_row(&self, row: u32) -> u32 {
        self.first.saturating_add(row.saturating_mul(self.stride))
    }
}

/// What tasks have in common.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TaskClass {
    /// What a task takes while it runs.
    pub resources: Resources,
    /// Which kind of executor runs the payload.
    pub runtime: Runtime,
    /// Names of the workers that may run it; empty is any.
    pub workers: Vec<String>,
    /// `workers` is a preference: others run it where none of the named has room, or where it may wait there for long and
    /// another is idle.
    pub allow_other_workers: bool,
    /// Labels the worker must carry.
    pub labels: Vec<(String, String)>,
    /// What happens after a failure.
    pub retry: RetryPolicy,
    /// Longest run of one attempt.
    pub timeout: Option<Span>,
    /// Whether an attempt may be made again when its worker is lost.
    pub on_worker_lost: OnWorkerLost,
    /// How many outputs a task has.
    pub outputs: u16,
    /// The function that the payloads call, where it is said: only workers that have it are given them.
    pub function: Option<String>,
}

impl Default for TaskClass {
    fn default() -> Self {
        Self {
            resources: Resources::one_cpu(),
            runtime: Runtime::Native,
            workers: Vec::new(),
            allow_other_workers: false,
            labels: Vec::new(),
            retry: RetryPolicy::default(),
            timeout: None,
            on_worker_lost: OnWorkerLost::Rerun,
            outputs: 1,
            function: None,
        }
    }
}

/// Which kind of executor runs a payload.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Runtime {
    /// A process of its own.
    Command,
    /// A language executor.
    External {
        /// Name of the runtime.
        name: String,
        /// Blob of the environment it needs.
        environment: Option<Digest>,
        /// Each attempt has a process of its own, new for it.
        fresh_process: bool,
    },
    /// Functions registered in the worker's binary.
    Native,
    /// A WebAssembly module.
    Wasm,
}

impl Runtime {
    /// A language as workers have it installed, in processes that are used again.
    pub fn external(name: impl Into<String>) -> Self {
        Self::External { name: name.into(), environment: None, fresh_process: false }
    }

    /// The kind, as people and errors spell it.
    pub fn name(&self) -> &str {
        match self {
            Self::Command => "command",
            Self::External { name, .. } => name,
            Self::Native => "native",
            Self::Wasm => "wasm",
        }
    }
}

/// Whether an attempt may be made again when its worker is lost.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum OnWorkerLost {
    /// Never sent twice once sent, and a lost result never computed again.
    Fail,
    /// Run again elsewhere.
    Rerun,
}

/// Which outputs live on after their consumers have run.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Outputs {
    /// Those of every task.
    All,
    /// Those of the tasks listed.
    Listed,
    /// None.
    None,
    /// Those of tasks that nothing in the graph depends on.
    #[default]
    Sinks,
}

/// What a session is told of a graph's tasks without asking.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Watch {
    /// How the graph stands.
    #[default]
    Graph,
    /// Also the end of each task whose outputs are kept, and of each that fails.
    Outputs,
    /// The same, with small values.
    Values,
}

/// Settings of a whole graph.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct GraphOptions {
    /// For people.
    pub name: String,
    /// Which outputs are kept.
    pub outputs: Outputs,
    /// What the session is told.
    pub watch: Watch,
    /// How long the outputs are kept once every task has ended; until they are released unless given.
    pub ttl: Option<Span>,
    /// Cancel the rest when more tasks than this have failed.
    pub max_failures: Option<u32>,
    /// Added to the priority of every task.
    pub priority: i32,
    /// The graph outlives its session.
    pub detached: bool,
}

/// What is known of a task. The first four have not ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TaskState {
    /// For inputs, or for a retry's back-off.
    Waiting,
    /// No worker has room, or none is able to.
    Ready,
    /// Sent to a worker and not known to have started.
    Sent,
    /// An attempt runs.
    Running,
    /// Its outputs are stored, or were until they were released.
    Finished,
    /// Its last attempt failed, or a task it needs did.
    Failed,
    /// Somebody cancelled it, or a task it needs.
    Cancelled,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Ready,
        Self::Sent,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether nothing more will happen unless somebody asks.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }

    /// As people and `--output json` spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How many tasks are in each state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GraphCounts([u32; 7]);

impl GraphCounts {
    /// How many are in this state.
    pub fn of(&self, state: TaskState) -> u32 {
        TaskState::ALL
            .iter()
            .zip(self.0)
            .find(|(other, _)| **other == state)
            .map_or(0, |(_, count)| count)
    }

    /// Mutable access to the number in this state.
    pub fn of_mut(&mut self, state: TaskState) -> &mut u32 {
        let [waiting, ready, sent, running, finished, failed, cancelled] = &mut self.0;
        match state {
            TaskState::Waiting => waiting,
            TaskState::Ready => ready,
            TaskState::Sent => sent,
            TaskState::Running => running,
            TaskState::Finished => finished,
            TaskState::Failed => failed,
            TaskState::Cancelled => cancelled,
        }
    }

    /// All tasks.
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    /// Tasks that have ended.
    pub fn ended(&self) -> u32 {
        TaskState::ALL
            .iter()
            .zip(self.0)
            .filter(|(state, _)| state.is_final())
            .map(|(_, count)| count)
            .sum()
    }
}
