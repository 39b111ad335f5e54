//! The work of a run: who the workers and sessions are and what is submitted, all from the seed and before anything runs.

mod abroad;
mod arrays;
mod extras;
mod fleet;
mod graphs;
mod job;
mod shape;

use bireme_core::graph::{
    ArrayInput, Dep, GraphChunk, GraphOptions, OnWorkerLost, Outputs, Row, Rows, TaskArray,
    TaskClass, TaskSpec,
};
use bireme_core::id::{GraphId, SessionToken, SubmissionId, WorkerUid};
use bireme_core::{ObjectId, Resources, Span, Time};

pub(crate) use job::{Act, Job, Size};

use crate::rng::Rng;

/// The whole work of a run.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) workers: Vec<WorkerPlan>,
    pub(crate) sessions: Vec<SessionPlan>,
}

/// A worker.
#[derive(Debug)]
pub(crate) struct WorkerPlan {
    pub(crate) uid: WorkerUid,
    pub(crate) name: String,
    pub(crate) resources: Resources,
    pub(crate) labels: Vec<(String, String)>,
    /// As [`bireme_worker::machine::Config::followers`].
    pub(crate) followers: usize,
    /// Memory for values; 0 is without end.
    pub(crate) store_bytes: u64,
    /// When its first life starts.
    pub(crate) joins: Time,
}

/// A session.
#[derive(Debug)]
pub(crate) struct SessionPlan {
    pub(crate) token: SessionToken,
    pub(crate) weight_percent: u32,
    pub(crate) ttl: Span,
    pub(crate) opens: Time,
    /// When all is done its client leaves, and comes back by its name after so long.
    pub(crate) leaves: Option<Span>,
    /// The client names the numbers of its graphs, and need not wait for the answer to the first chunk.
    pub(crate) numbers_graphs: bool,
    pub(crate) graphs: Vec<GraphPlan>,
}

/// A graph.
#[derive(Debug)]
pub(crate) struct GraphPlan {
    pub(crate) options: GraphOptions,
    pub(crate) classes: Vec<TaskClass>,
    pub(crate) tasks: Vec<TaskPlan>,
    /// How many tasks the chunks have, in order.
    pub(crate) chunks: Vec<u32>,
    /// Runs of tasks that are submitted as arrays, each at the end of its chunk or before another.
    pub(crate) arrays: Vec<ArrayPlan>,
    /// With [`Outputs::Listed`].
    pub(crate) listed: Vec<u32>,
    pub(crate) externals: Vec<External>,
    /// Values that the session puts for the graph; among the graph's externals they come last.
    pub(crate) values: Vec<ValuePlan>,
    /// It gives those up once the whole graph was accepted.
    pub(crate) releases_values: bool,
    /// What the session does while it runs, and how long after the first chunk.
    pub(crate) deeds: Vec<(Span, Deed)>,
    /// It is forgotten when its results are there; otherwise it ends with its session.
    pub(crate) forget: bool,
}

/// An array, whose rows are tasks of the plan.
#[derive(Debug)]
pub(crate) struct ArrayPlan {
    /// Index of its first row.
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) rows: Rows,
    pub(crate) inputs: Vec<ArrayInput>,
}

/// A task.
#[derive(Debug)]
pub(crate) struct TaskPlan {
    pub(crate) key: String,
    pub(crate) class: u32,
    pub(crate) deps: Vec<Dep>,
    pub(crate) externals: Vec<u32>,
    pub(crate) job: Job,
    /// Its own argument, if it is a row.
    pub(crate) row: Row,
    pub(crate) priority: i32,
    pub(crate) order: u32,
}

/// An output of a graph that was planned before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct External {
    pub(crate) session: usize,
    pub(crate) graph: usize,
    pub(crate) task: u32,
    pub(crate) output: u16,
}

/// A value that a session puts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ValuePlan {
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// What an external of a graph is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Output(External),
    Value(ValuePlan),
}

/// What a session does to a graph that runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deed {
    /// Cancels so many tasks from the first named on; all of the graph if that is 0.
    Cancel {
        first: u32,
        count: u32,
        grace: Span,
    },
    Forget,
    /// Asks where the outputs of a task are.
    Locate {
        task: u32,
    },
    Ping,
    /// Gives up the outputs of so many tasks.
    Release {
        first: u32,
        count: u32,
    },
    /// Tries what failed or was cancelled again.
    Retry,
    /// Asks for something that cannot be.
    Rude,
    Want {
        first: u32,
        count: u32,
    },
}

impl Load {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let workers = fleet::workers(rng);
        let sessions = graphs::sessions(rng, &workers);
        Self { workers, sessions }
    }

    pub(crate) fn graph(&self, session: usize, graph: usize) -> &GraphPlan {
        self.session(session).graphs.get(graph).expect("graphs are named by place")
    }

    fn graph_mut(&mut self, session: usize, graph: usize) -> &mut GraphPlan {
        let session = self.sessions.get_mut(session).expect("sessions are named by place");
        session.graphs.get_mut(graph).expect("graphs are named by place")
    }

    pub(crate) fn session(&self, session: usize) -> &SessionPlan {
        self.sessions.get(session).expect("sessions are named by place")
    }
}

impl SessionPlan {
    /// Whether it puts nothing: a chunk that names a lost value is refused.
    pub(crate) fn has_no_values(&self) -> bool {
        self.graphs.iter().all(|graph| graph.values.is_empty())
    }
}

impl GraphPlan {
    pub(crate) fn task(&self, index: u32) -> &TaskPlan {
        self.tasks.get(index as usize).expect("tasks are named by index")
    }

    pub(crate) fn class(&self, task: &TaskPlan) -> &TaskClass {
        self.classes.get(task.class as usize).expect("classes are named by place")
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.tasks.len()).expect("graphs are small here")
    }

    /// Whether the outputs of a task outlive their consumers, as long as the session does nothing.
    pub(crate) fn keeps(&self, index: u32) -> bool {
        match self.options.outputs {
            Outputs::All => true,
            Outputs::Listed => self.listed.contains(&index),
            Outputs::None => false,
            Outputs::Sinks => {
                let feeds = |task: &TaskPlan| task.deps.iter().any(|dep| dep.task == index);
                self.listed.contains(&index) || !self.tasks.iter().any(feeds)
            }
        }
    }

    /// Whether what becomes of each task is known beforehand, as far as the session is concerned.
    pub(crate) fn is_calm(&self) -> bool {
        !self.may_be_cancelled() && !self.may_be_lost() && !self.gives_up()
    }

    /// Whether its session drops the graph, or asks for what cannot be.
    fn may_be_lost(&self) -> bool {
        self.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Forget | Deed::Rude))
    }

    /// Whether its session gives outputs up.
    fn gives_up(&self) -> bool {
        self.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Release { .. }))
    }

    /// Whether the outputs of a task are there once it has finished, as long as nothing goes wrong: otherwise whoever comes
    /// late has it run again.
    pub(crate) fn stays(&self, index: u32) -> bool {
        self.keeps(index) && !self.gives_up()
    }

    /// Whether its session, or a failure too many, may cancel tasks of it.
    pub(crate) fn may_be_cancelled(&self) -> bool {
        let cancels = |deed: &Deed| matches!(deed, Deed::Cancel { .. });
        self.options.max_failures.is_some() || self.deeds.iter().any(|(_, deed)| cancels(deed))
    }

    /// Whether all of it may run again, from what lasts.
    fn may_run_again(&self) -> bool {
        let reruns = |class: &TaskClass| class.on_worker_lost == OnWorkerLost::Rerun;
        self.values.is_empty() && self.classes.iter().all(reruns)
    }

    /// Whether a lost worker may make this task fail.
    pub(crate) fn is_fragile(&self, index: u32) -> bool {
        let class = self.class(self.task(index));
        class.on_worker_lost == OnWorkerLost::Fail
            || class.retry.max_crashes < 10
            || self.takes_value(index)
    }

    /// The external in this place.
    pub(crate) fn source(&self, place: u32) -> Source {
        let place = place as usize;
        let output = self.externals.get(place).copied().map(Source::Output);
        let value = || self.values.get(place - self.externals.len()).copied().map(Source::Value);
        output.or_else(value).expect("externals are named by place")
    }

    /// Whether a task takes a value that its session puts, which nobody can make again.
    pub(crate) fn takes_value(&self, index: u32) -> bool {
        let is_value = |place: &u32| *place as usize >= self.externals.len();
        self.task(index).externals.iter().any(is_value)
    }

    /// The `n`th chunk. `external` says which object is meant, and `values` which those are that were put.
    pub(crate) fn chunk(
        &self,
        n: usize,
        submission: SubmissionId,
        graph: Option<GraphId>,
        external: impl Fn(External) -> ObjectId,
        values: &[ObjectId],
    ) -> GraphChunk {
        let first_index: u32 = self.chunks.iter().take(n).sum();
        let count = self.chunks.get(n).copied().expect("chunks are named by place");
        let range = first_index as usize..(first_index + count) as usize;
        let tasks = self.tasks.get(range).expect("the chunks cover the tasks");
        let tasks = tasks.iter().filter(|task| task.row == Row::None);
        let arrays = self
            .arrays
            .iter()
            .filter(|array| (first_index..first_index + count).contains(&array.first));

        let (is_first, last) = (n == 0, n + 1 == self.chunks.len());
        let is_listed = |index: &&u32| (first_index..first_index + count).contains(*index);
        GraphChunk {
            submission,
            graph,
            first_index,
            tasks: tasks.map(TaskPlan::spec).collect(),
            arrays: arrays.map(|array| self.array(array)).collect(),
            classes: if is_first { self.classes.clone() } else { Vec::new() },
            externals: if is_first {
                let outputs = self.externals.iter().copied().map(external);
                outputs.chain(values.iter().copied()).collect()
            } else {
                Vec::new()
            },
            outputs: self.listed.iter().filter(is_listed).copied().collect(),
            options: is_first.then(|| self.options.clone()),
            last,
        }
    }
}

impl GraphPlan {
    fn array(&self, plan: &ArrayPlan) -> TaskArray {
        let row = self.task(plan.first);
        TaskArray {
            key_prefix: row.key.clone(),
            count: plan.count,
            class: row.class,
            payload: row.job.encode(),
            rows: plan.rows.clone(),
            inputs: plan.inputs.clone(),
            priority: row.priority,
            order: row.order,
        }
    }
}

impl TaskPlan {
    fn spec(&self) -> TaskSpec {
        TaskSpec {
            key: self.key.clone(),
            class: self.class,
            deps: self.deps.iter().copied().collect(),
            externals: self.externals.iter().copied().collect(),
            payload: self.job.encode(),
            priority: self.priority,
            order: self.order,
        }
    }
}
