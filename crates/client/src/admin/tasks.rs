//! Tasks: what there are, how they stand, and why.

use std::str::FromStr;

use bireme_core::graph::TaskState;
use bireme_core::id::{AttemptId, Epoch, GraphId, NotAnId, TaskId, WorkerId};
use bireme_core::protocol::Timing;
use bireme_core::time::Span;
use bireme_core::{Resources, TaskError};
use bireme_proto::pb;

use super::{Admin, WorkerName, error, resources, state};
use crate::error::Refused;

/// Names a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TaskName {
    /// By its id.
    Id(TaskId),
    /// By its key in a graph.
    Key(GraphId, String),
}

/// Which tasks a list holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TaskQuery {
    /// Only of this graph.
    pub graph: Option<GraphId>,
    /// Only in one of these states; empty is all.
    pub states: Vec<TaskState>,
    /// Only those whose key begins so.
    pub key_prefix: String,
    /// Only those that this worker has, or had last.
    pub worker: Option<WorkerName>,
    /// Most tasks of a page, at most 1,000; 0 is the scheduler's default.
    pub page_size: u32,
    /// The page after the one that gave this token; empty is the first.
    pub page_token: String,
}

/// A page of a list of tasks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskPage {
    /// The tasks, by graph and index.
    pub tasks: Vec<TaskStatus>,
    /// For the next page; empty on the last.
    pub next_page_token: String,
}

/// What the scheduler knows of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatus {
    /// The task.
    pub task: TaskId,
    /// Its key.
    pub key: String,
    /// Its state; `None` where this version does not know it.
    pub state: Option<TaskState>,
    /// Name of the worker that has it, or had it last; empty where none had.
    pub worker: String,
    /// How many of its attempts ran, one that runs now among them.
    pub attempts: u32,
    /// Bytes of its outputs that are kept.
    pub bytes: u64,
    /// One line on its error, where it failed.
    pub error: String,
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDetails {
    /// In short.
    pub status: TaskStatus,
    /// Why it failed, where it did.
    pub error: Option<Box<TaskError>>,
    /// Its attempts that are remembered, the latest first.
    pub attempts: Vec<AttemptStatus>,
    /// What it takes while it runs.
    pub resources: Resources,
    /// The tasks whose outputs it takes; at most 1,000, and how many more there are.
    pub needs: (Vec<TaskId>, u64),
    /// The tasks that take its outputs; at most 1,000, and how many more there are.
    pub needed_by: (Vec<TaskId>, u64),
    /// Its outputs, where it finished.
    pub outputs: Vec<OutputStatus>,
    /// Its priority, with its graph's.
    pub priority: i32,
}

/// One attempt of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptStatus {
    /// Which.
    pub attempt: Option<AttemptId>,
    /// Its state.
    pub state: Option<TaskState>,
    /// Name of its worker.
    pub worker: String,
    /// Why it failed, where it did.
    pub error: Option<Box<TaskError>>,
    /// How long its parts took, where that is known.
    pub timing: Option<Timing>,
}

/// An output of a finished task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutputStatus {
    /// Its size in bytes.
    pub size: u64,
    /// Who has it.
    pub holders: Vec<WorkerId>,
}

/// Why a task is not running.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Its state.
    pub state: Option<TaskState>,
    /// One line for people.
    pub summary: String,
    /// Where it waits for inputs: some of the tasks that make them, and how many more there are.
    pub waits_for: (Vec<TaskStatus>, u64),
    /// Where it is ready: for each worker the first reason.
    pub workers: Vec<WorkerReason>,
    /// Where it waits for a retry: how long still.
    pub backoff: Span,
    /// No worker that is here could ever run it.
    pub unrunnable: bool,
}

/// Why a task is not running on a worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkerReason {
    /// Name of the worker.
    pub worker: String,
    /// One line for people.
    pub message: String,
    /// Time alone will not change it.
    pub permanent: bool,
}

/// What happened to a task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    /// The oldest first.
    pub transitions: Vec<Transition>,
    /// Older ones are not kept.
    pub truncated: bool,
}

/// One step in a task's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// How long ago.
    pub ago: Span,
    /// From this state.
    pub from: Option<TaskState>,
    /// To this one.
    pub to: Option<TaskState>,
    /// The attempt that it was about.
    pub attempt: Option<AttemptId>,
    /// Name of the worker that it was about; empty is none.
    pub worker: String,
    /// Stable name of what caused it.
    pub cause: String,
    /// One line for people.
    pub message: String,
    /// Which life of the scheduler.
    pub epoch: Epoch,
}

impl From<TaskId> for TaskName {
    fn from(task: TaskId) -> Self {
        Self::Id(task)
    }
}

impl FromStr for TaskName {
    type Err = NotAnId;

    /// Reads a task's id as it is shown, or `GRAPH/KEY`.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if let Ok(task) = text.parse() {
            return Ok(Self::Id(task));
        }
        let (graph, key) = text.split_once('/').ok_or(NotAnId)?;
        Ok(Self::Key(graph.parse()?, key.to_owned()))
    }
}

impl From<TaskName> for pb::TaskSelector {
    fn from(name: TaskName) -> Self {
        use pb::task_selector::By;
        let by = match name {
            TaskName::Id(task) => By::Task(task.into()),
            TaskName::Key(GraphId(graph), key) => By::Key(pb::TaskKey { graph, key }),
        };
        Self { by: Some(by) }
    }
}

impl Admin {
    /// A page of a list of tasks.
    pub async fn list_tasks(&self, query: TaskQuery) -> Result<TaskPage, Refused> {
        let TaskQuery { graph, states, key_prefix, worker, page_size, page_token } = query;
        let page = pb::PageRequest { page_size, page_token, filter: String::new() };
        let request = pb::ListTasksRequest {
            graph: graph.map_or(0, |graph| graph.0),
            states: states.into_iter().map(|state| pb::TaskState::from(state).into()).collect(),
            key_prefix,
            worker: worker.map(Into::into),
            page: Some(page),
        };
        let answer = self.cluster.clone().list_tasks(self.request(request)).await?.into_inner();
        let tasks = answer.tasks.into_iter().map(task_status).collect::<Result<_, _>>()?;
        Ok(TaskPage { tasks, next_page_token: answer.next_page_token })
    }

    /// How a task stands.
    pub async fn task(&self, task: impl Into<TaskName>) -> Result<TaskDetails, Refused> {
        let request = pb::GetTaskRequest { task: Some(task.into().into()) };
        let answer = self.cluster.clone().get_task(self.request(request)).await?.into_inner();
        let tasks = |tasks: Vec<pb::TaskId>| {
            tasks.into_iter().map(TaskId::try_from).collect::<Result<Vec<_>, _>>()
        };
        let output = |output: pb::OutputPlace| OutputStatus {
            size: output.size,
            holders: output.holders.into_iter().map(WorkerId).collect(),
        };
        Ok(TaskDetails {
            status: task_status(answer.task.unwrap_or_default())?,
            error: error(answer.error)?,
            attempts: answer.attempts.into_iter().map(attempt).collect::<Result<_, _>>()?,
            resources: resources(answer.resources)?,
            needs: (tasks(answer.needs)?, answer.needs_left_out),
            needed_by: (tasks(answer.needed_by)?, answer.needed_by_left_out),
            outputs: answer.outputs.into_iter().map(output).collect(),
            priority: answer.priority,
        })
    }

    /// Why a task is not running.
    pub async fn explain_task(&self, task: impl Into<TaskName>) -> Result<Explanation, Refused> {
        let request = pb::ExplainTaskRequest { task: Some(task.into().into()) };
        let answer = self.cluster.clone().explain_task(self.request(request)).await?.into_inner();
        let waits_for = answer.waits_for.iter().cloned().map(task_status);
        let worker = |reason: pb::WorkerReason| WorkerReason {
            worker: reason.name,
            message: reason.message,
            permanent: reason.permanent,
        };
        Ok(Explanation {
            state: state(answer.state()),
            waits_for: (waits_for.collect::<Result<_, _>>()?, answer.waits_for_left_out),
            summary: answer.summary,
            workers: answer.workers.into_iter().map(worker).collect(),
            backoff: Span(answer.backoff_us),
            unrunnable: answer.unrunnable,
        })
    }

    /// What happened to a task: at most `count` steps, the latest; 0 is all that are kept.
    pub async fn task_story(
        &self,
        task: impl Into<TaskName>,
        count: u32,
    ) -> Result<Story, Refused> {
        let request = pb::TaskStoryRequest { task: Some(task.into().into()), count };
        let answer = self.cluster.clone().task_story(self.request(request)).await?.into_inner();
        let transitions = answer.transitions.into_iter().map(transition);
        Ok(Story {
            transitions: transitions.collect::<Result<_, _>>()?,
            truncated: answer.truncated,
        })
    }
}

pub(super) fn task_status(task: pb::TaskSummary) -> Result<TaskStatus, Refused> {
    let state = state(task.state());
    Ok(TaskStatus {
        task: task.task.unwrap_or_default().try_into()?,
        key: task.key,
        state,
        worker: task.worker_name,
        attempts: task.attempts,
        bytes: task.bytes,
        error: task.error,
    })
}

fn attempt(attempt: pb::AttemptSummary) -> Result<AttemptStatus, Refused> {
    let state = state(attempt.state());
    let timing = attempt.timing.map(|timing| Timing {
        wait: Span(timing.wait_us),
        run: Span(timing.run_us),
        cpu: Span(timing.cpu_us),
        peak_bytes: timing.peak_bytes,
    });
    Ok(AttemptStatus {
        attempt: attempt.attempt.map(AttemptId::try_from).transpose()?,
        state,
        worker: attempt.worker,
        error: error(attempt.error)?,
        timing,
    })
}

fn transition(step: pb::TaskTransition) -> Result<Transition, Refused> {
    let (from, to) = (state(step.from()), state(step.to()));
    Ok(Transition {
        ago: Span(step.ago_us),
        from,
        to,
        attempt: step.attempt.map(AttemptId::try_from).transpose()?,
        worker: step.worker,
        cause: step.cause,
        message: step.message,
        epoch: Epoch(step.epoch),
    })
}
