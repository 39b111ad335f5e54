//! What people are shown: copies of the machine's state, made when asked for.

use bireme_core::actor::place::ActorState;
use bireme_core::error::Exit;
use bireme_core::graph::{GraphCounts, TaskState};
use bireme_core::id::{AttemptId, AttemptNo, GraphId, SessionId, TaskId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Heartbeat, Join};
use bireme_core::session::Place;
use bireme_core::{Resources, Span, TaskError, Time, limits};

use super::graph::Graph;
use super::number::{GraphNo, NONE, TaskRef};
use super::task::{Edge, Phase, flag};
use super::{Machine, Timer};

/// The cluster at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// How many workers are there.
    pub workers: usize,
    /// How many of them have a stream.
    pub connected_workers: usize,
    /// All their resources together, cpus and memory.
    pub resources: Resources,
    /// How many sessions.
    pub sessions: usize,
    /// How many graphs.
    pub graphs: usize,
    /// How many objects.
    pub objects: usize,
    /// Tasks of all graphs by state.
    pub tasks: Vec<(TaskState, u64)>,
    /// Actors by state.
    pub actors: Vec<(ActorState, u64)>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerView {
    /// Its number.
    pub id: WorkerId,
    /// Who it is and what it has.
    pub join: Join,
    /// Its stream is up.
    pub connected: bool,
    /// It takes no more tasks.
    pub draining: bool,
    /// How far it is on its way out, where somebody sent it away.
    pub drain: Option<DrainView>,
    /// It is set apart for a task that may have killed another.
    pub apart: bool,
    /// What is free of its resources.
    pub free: Resources,
    /// Attempts that hold resources.
    pub reserved: usize,
    /// Attempts that wait there for resources.
    pub prefilled: u32,
    /// Attempts that wait there for inputs made there.
    pub ahead: u32,
    /// Attempts that finished there.
    pub finished: u64,
    /// Objects that it is believed to hold.
    pub objects: usize,
    /// Actors that are to live there.
    pub actors: usize,
    /// How long ago it joined.
    pub age: Span,
    /// How it was when last heard of.
    pub heartbeat: Heartbeat,
    /// How long ago that was.
    pub silent: Span,
}

impl WorkerView {
    /// Attempts that it has.
    pub fn sent(&self) -> usize {
        self.reserved + (self.prefilled + self.ahead) as usize
    }
}

/// How far a worker is on its way out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DrainView {
    /// Why, as whoever sent it away said.
    pub reason: String,
    /// How long it may stay at most.
    pub left: Option<Span>,
    /// Values that nobody else has, as far as known.
    pub values: usize,
    /// It was told to go.
    pub told: bool,
}

/// A session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// Its number.
    pub id: SessionId,
    /// For people.
    pub name: String,
    /// Its stream is up.
    pub connected: bool,
    /// How long it outlives its stream.
    pub ttl: Span,
    /// Its share, in percent.
    pub weight_percent: u32,
    /// Its graphs.
    pub graphs: usize,
    /// Tasks of its graphs by state.
    pub tasks: GraphCounts,
    /// Values that it has put and that are kept, and their bytes.
    pub values: (u64, u64),
    /// How long ago it was opened.
    pub age: Span,
    /// How long ago it was last heard of.
    pub idle: Span,
}

/// A graph.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphView {
    /// Its number.
    pub id: GraphId,
    /// For people.
    pub name: String,
    /// Whose it is.
    pub session: SessionId,
    /// Tasks by state.
    pub counts: GraphCounts,
    /// The last chunk has come.
    pub closed: bool,
    /// Every task has ended.
    pub done: bool,
    /// It outlives its session.
    pub detached: bool,
    /// When its first chunk came.
    pub created: Time,
    /// When its last task ended, where it is done.
    pub ended: Option<Time>,
    /// How long its outputs are kept from then on.
    pub ttl: Option<Span>,
    /// Why it failed as a whole.
    pub error: Option<Box<TaskError>>,
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its id.
    pub id: TaskId,
    /// Its key, or its index where it has none.
    pub key: String,
    /// Its state.
    pub state: TaskState,
    /// Its newest attempt, if there was one.
    pub attempt: Option<AttemptId>,
    /// How many of its attempts ran, one that runs now among them.
    pub ran: u32,
    /// The worker it was last sent to.
    pub worker: Option<WorkerId>,
    /// Inputs it waits for.
    pub missing: u32,
    /// What it takes.
    pub resources: Resources,
    /// Its priority, with its graph's.
    pub priority: i32,
    /// Its outputs, where they are stored.
    pub outputs: Vec<Place>,
    /// Why it failed.
    pub error: Option<Box<TaskError>>,
}

/// Why a task is where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The task.
    pub task: TaskView,
    /// In one line.
    pub summary: String,
    /// What speaks against each worker.
    pub workers: Vec<Obstacle>,
    /// Where it waits for a retry: how long still.
    pub backoff: Span,
    /// No worker that is here could ever run it.
    pub unrunnable: bool,
    /// Inputs that are not stored, some of them: the task that makes each, its key and its state.
    pub missing: Vec<(TaskId, String, TaskState)>,
    /// How many more there are.
    pub missing_left_out: u64,
}

/// The first reason why a worker does not run a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Obstacle {
    /// The worker.
    pub worker: WorkerId,
    /// Its name.
    pub name: String,
    /// The reason; `None` where nothing speaks against it.
    pub reason: Option<String>,
    /// Time alone will not change it.
    pub permanent: bool,
}

/// The tasks around one: some of them, and how many more there are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Neighbours {
    /// Those whose outputs it takes, in the order of its inputs.
    pub needs: (Vec<TaskId>, u64),
    /// Those of its graph that take its outputs, the newest first.
    pub needed_by: (Vec<TaskId>, u64),
}

/// Missing inputs that an explanation names.
const EXPLAINED_INPUTS: usize = 10;

impl Machine {
    /// The cluster at a glance.
    pub fn status(&self) -> Status {
        let mut resources = Resources::none();
        for worker in self.workers.values() {
            resources.cpu_units += worker.join.resources.cpu_units;
            resources.memory_bytes += worker.join.resources.memory_bytes;
        }
        Status {
            workers: self.workers.len(),
            connected_workers: self.workers.values().filter(|worker| worker.conn.is_some()).count(),
            resources,
            sessions: self.sessions.len(),
            graphs: self.graph_numbers.len(),
            objects: self.objects.len(),
            tasks: TaskState::ALL.iter().map(|state| (*state, self.count(*state))).collect(),
            actors: self.actor_counts(),
        }
    }

    /// All workers, by number.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> {
        self.workers.values().map(|worker| WorkerView {
            id: worker.id,
            join: Join::clone(&worker.join),
            connected: worker.conn.is_some(),
            draining: worker.draining,
            drain: worker.drain.as_ref().map(|drain| drain.view(self.now)),
            apart: worker.alone.is_some(),
            free: worker.free.clone(),
            reserved: worker.sent.len().saturating_sub((worker.prefilled + worker.ahead) as usize),
            prefilled: worker.prefilled,
            ahead: worker.ahead,
            finished: worker.finished,
            objects: worker.held.len(),
            actors: worker.actors.len(),
            age: self.now.since(worker.joined),
            heartbeat: worker.heartbeat,
            silent: self.now.since(worker.heard),
        })
    }

    /// All sessions, by number.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView> {
        self.sessions.values().map(|session| SessionView {
            id: session.id,
            name: session.name.clone(),
            connected: session.conn.is_some(),
            ttl: session.ttl,
            weight_percent: session.weight_percent,
            graphs: session.graphs.len(),
            tasks: self.counts_of(&session.graphs),
            values: self.values_of(session.id),
            age: self.now.since(session.opened),
            idle: if session.conn.is_some() { Span::ZERO } else { self.now.since(session.left) },
        })
    }

    fn counts_of(&self, graphs: &std::collections::BTreeSet<GraphNo>) -> GraphCounts {
        let mut counts = GraphCounts::default();
        for no in graphs {
            let graph = self.graph(*no);
            for state in TaskState::ALL {
                *counts.of_mut(state) += graph.counts.of(state);
            }
        }
        counts
    }

    /// All graphs, in the order they came.
    pub fn graphs(&self) -> impl Iterator<Item = GraphView> {
        self.graphs.iter().flatten().map(|graph| view_of(graph))
    }

    /// One graph.
    pub fn find_graph(&self, id: GraphId) -> Option<GraphView> {
        self.graph_numbers.get(&id).map(|no| view_of(self.graph(*no)))
    }

    /// A session by its token.
    pub fn session_of(&self, token: bireme_core::id::SessionToken) -> Option<SessionId> {
        self.tokens.get(&token).copied()
    }

    /// The tasks of a graph from `first` on, by index.
    pub fn tasks_from(&self, graph: GraphId, first: u32) -> impl Iterator<Item = TaskView> {
        let no = self.graph_numbers.get(&graph).copied();
        let end = no.map_or(0, |no| self.graph(no).len());
        (first..end).filter_map(move |index| Some(self.task_view(TaskRef { graph: no?, index })))
    }

    /// One task.
    pub fn find_task_view(&self, id: TaskId) -> Option<TaskView> {
        let task = self.producer_of(ObjectId::output(id, 0))?;
        Some(self.task_view(task))
    }

    /// The task of a graph that was given this key.
    pub fn task_by_key(&self, graph: GraphId, key: &str) -> Option<TaskId> {
        let no = self.graph_numbers.get(&graph)?;
        let graph = self.graph(*no);
        Some(graph.id_of(graph.find(&self.hasher, key)?))
    }

    /// Where an object is; `None` if it is not stored.
    pub fn object(&self, id: ObjectId) -> Option<Place> {
        self.find_object(id)
            .map(|_| self.place_of(id))
            .filter(|place| place.value.is_some() || !place.holders.is_empty())
    }

    fn task_view(&self, task: TaskRef) -> TaskView {
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        let no = AttemptNo { epoch: self.config.epoch, n: record.attempt };
        let id = graph.id_of(task.index);
        TaskView {
            id,
            key: graph.name(task.index),
            state: record.state(),
            attempt: (record.attempt > 0).then_some(AttemptId { task: id, no }),
            ran: u32::from(record.ran) + u32::from(record.state() == TaskState::Running),
            worker: (record.attempt > 0 && record.worker > 0).then_some(WorkerId(record.worker)),
            missing: if record.phase == Phase::Waiting { record.missing } else { 0 },
            resources: self.classes.get(record.class).spec.resources.clone(),
            priority: record.priority.saturating_add(graph.options.priority),
            outputs: (0..record.outputs)
                .filter(|output| graph.object(task.index, *output).is_some())
                .map(|output| self.place_of(ObjectId::output(id, output)))
                .collect(),
            error: Self::error_of(graph, task.index),
        }
    }

    /// The tasks that one needs and those that need it, at most [`limits::TASK_NEIGHBOURS`] each.
    pub fn neighbours(&self, id: TaskId) -> Neighbours {
        let Some(task) = self.producer_of(ObjectId::output(id, 0)) else {
            return Neighbours::default();
        };
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        let needs = graph.inputs(record).iter().filter_map(|edge| {
            if !edge.external {
                return Some(graph.id_of(edge.producer));
            }
            match graph.externals.get(edge.producer as usize)? {
                ObjectId::Output { task, .. } => Some(*task),
                ObjectId::Held { .. } => None,
            }
        });
        let link = |at: u32| (at != NONE).then(|| graph.edge(at));
        let edges = std::iter::successors(link(record.dependents), |edge| link(edge.next));
        let needed_by = edges.map(|edge| graph.id_of(edge.consumer));
        Neighbours { needs: some_of(needs), needed_by: some_of(needed_by) }
    }

    /// How long a task waits still for its retry.
    fn backoff_of(&self, task: TaskRef) -> Span {
        if self.task(task).phase != Phase::Backoff {
            return Span::ZERO;
        }
        let attempt = self.task(task).attempt;
        let due = self.timers.iter().find(|(_, timer)| *timer == Timer::Retry(task, attempt));
        due.map_or(Span::ZERO, |(due, _)| due.since(self.now))
    }

    /// Why a task is where it is, and for each worker what speaks against running it there.
    pub fn explain(&self, id: TaskId) -> Option<Explanation> {
        let task = self.producer_of(ObjectId::output(id, 0))?;
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        let spec = &self.classes.get(record.class).spec;
        // What has ended waits for nothing, and wants no worker.
        let is_over = record.phase.is_final();
        let runs = record.phase.is_sent() && record.has(flag::STARTED);
        // What it has itself is in its way nowhere.
        let is_placed = is_over || runs || record.phase == Phase::Reserved;
        let workers: Vec<_> = self
            .workers
            .values()
            .map(|worker| {
                let (refused, name) = (worker.refuses(spec), worker.join.name.clone());
                let permanent = refused.is_some();
                let reason = refused.or_else(|| worker.is_busy_for(spec)).filter(|_| !is_placed);
                Obstacle { worker: worker.id, name, reason, permanent }
            })
            .collect();
        let is_missing = |edge: &&Edge| !is_over && !edge.external && !self.is_ready(task, edge);
        let mut absent = graph.inputs(record).iter().filter(is_missing);
        let missing = absent
            .by_ref()
            .take(EXPLAINED_INPUTS)
            .map(|edge| {
                let producer = TaskId { index: edge.producer, ..id };
                (producer, graph.name(edge.producer), graph.task(edge.producer).state())
            })
            .collect();
        let missing_left_out = absent.count() as u64;
        let able = self.workers.values().filter(|worker| worker.refuses(spec).is_none()).count();
        let summary = match record.phase {
            _ if runs => "runs".to_owned(),
            Phase::Waiting => format!("waits for {} inputs", record.missing),
            Phase::Backoff => format!("waits for its retry {}", record.retries),
            Phase::Ready if self.workers.is_empty() => "is ready; there are no workers".to_owned(),
            Phase::Ready if let Some(missing) = self.nobody_has(spec) => {
                format!("is ready; {missing}")
            }
            Phase::Ready if able == 0 => {
                format!("is ready; none of {} workers can ever run it", workers.len())
            }
            Phase::Ready => format!("is ready; each of the {able} workers that can run it is busy"),
            Phase::Suspect => {
                "is ready; it may have killed the worker it ran on, and waits for one of its own"
                    .to_owned()
            }
            Phase::Reserved => "is sent to a worker with resources held for it".to_owned(),
            Phase::Prefilled => "is sent to a worker and waits there for resources".to_owned(),
            Phase::Ahead => "is sent to the worker that makes its inputs".to_owned(),
            Phase::Finished => "has finished".to_owned(),
            Phase::Failed => "has failed".to_owned(),
            Phase::Cancelled => "was cancelled".to_owned(),
        };
        Some(Explanation {
            task: self.task_view(task),
            summary,
            workers,
            backoff: self.backoff_of(task),
            unrunnable: able == 0 && !is_over,
            missing,
            missing_left_out,
        })
    }
}

fn some_of(mut tasks: impl Iterator<Item = TaskId>) -> (Vec<TaskId>, u64) {
    let some = tasks.by_ref().take(limits::TASK_NEIGHBOURS).collect();
    (some, tasks.count() as u64)
}

fn view_of(graph: &Graph) -> GraphView {
    GraphView {
        id: graph.id,
        name: graph.options.name.clone(),
        session: graph.session,
        counts: graph.counts,
        closed: graph.closed,
        done: graph.is_done(),
        detached: graph.options.detached,
        created: graph.created,
        ended: graph.ended,
        ttl: graph.options.ttl,
        error: graph.error.clone(),
    }
}

/// How a process ended, in words.
pub(crate) fn end_of(Exit { code, signal }: Exit) -> String {
    if signal == 0 {
        format!("exited with {code}")
    } else {
        format!("was killed by signal {signal}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_signal_or_else_its_code() {
        assert_eq!(end_of(Exit { code: 0, signal: 11 }), "was killed by signal 11");
        assert_eq!(end_of(Exit { code: 3, signal: 0 }), "exited with 3");
    }
}
