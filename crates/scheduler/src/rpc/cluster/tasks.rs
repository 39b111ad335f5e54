//! Calls that look at tasks.

use tonic::{Request, Response, Status};

use bireme_core::graph::TaskState;
use bireme_core::id::{AttemptId, AttemptNo, GraphId, TaskId};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::pb::task_selector::By;
use bireme_proto::pb::worker_selector::By as WorkerBy;
use bireme_proto::status::status;

use super::graphs::group_of;
use super::page::Page;
use super::work::present;
use super::{fleet, show};
use crate::driver::Scene;
use crate::machine::Machine;
use crate::machine::story::Turn;
use crate::machine::view::{Explanation, Neighbours, Obstacle, TaskView};
use crate::rpc::Door;

impl Door {
    pub(super) async fn do_list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Result<Response<pb::ListTasksResponse>, Status> {
        let pb::ListTasksRequest { graph, states, key_prefix, worker, page } = request.into_inner();
        let page: Page<TaskId> = Page::read(page, &["session", "group"])?;
        let worker = worker.map(|worker| present(worker.by, "worker.by")).transpose()?;
        let list = List { states, key_prefix, worker };
        let first = page.after.map_or(TaskId { graph: GraphId(graph), index: 0 }, |after| TaskId {
            index: after.index.saturating_add(1),
            ..after
        });
        // Long lists are gone through piece by piece, so that nothing else has to wait.
        let (list, page) = (std::sync::Arc::new(list), std::sync::Arc::new(page));
        let mut found: Vec<pb::TaskSummary> = Vec::new();
        let mut from = Some(first);
        while let Some(start) = from
            && found.len() <= page.size()
        {
            let (list, page) = (list.clone(), page.clone());
            let look = self.mailbox.look(move |scene| {
                let (tasks, next) = scan(scene.machine, start, graph > 0);
                let passing = tasks.filter(|task| list.passes(scene.machine, &page, task));
                let shown = passing.map(|task| show::task(scene.machine, task));
                (shown.take(page.size() + 1).collect::<Vec<_>>(), next)
            });
            let (more, next) = look.await.map_err(status)?;
            found.extend(more);
            from = next;
        }
        let key = |task: &pb::TaskSummary| {
            let id = task.task.unwrap_or_default();
            TaskId { graph: GraphId(id.graph), index: id.index }
        };
        let (tasks, next_page_token) = page.cut(found.into_iter(), key);
        Ok(Response::new(pb::ListTasksResponse { tasks, next_page_token }))
    }

    pub(super) async fn do_task(
        &self,
        request: Request<pb::GetTaskRequest>,
    ) -> Result<Response<pb::GetTaskResponse>, Status> {
        let task = request.into_inner().task;
        let shown = self.with_task(task, |scene, task| {
            let Neighbours { needs, needed_by } = scene.machine.neighbours(task.id);
            pb::GetTaskResponse {
                needs: needs.0.into_iter().map(Into::into).collect(),
                needs_left_out: needs.1,
                needed_by: needed_by.0.into_iter().map(Into::into).collect(),
                needed_by_left_out: needed_by.1,
                priority: task.priority,
                error: task.error.as_deref().cloned().map(Into::into),
                resources: Some(task.resources.clone().into()),
                outputs: show::outputs(task.outputs.clone(), false),
                attempts: attempts(scene.machine, &task),
                task: Some(show::task(scene.machine, task)),
            }
        });
        shown.await.map(Response::new)
    }

    pub(super) async fn do_explain_task(
        &self,
        request: Request<pb::ExplainTaskRequest>,
    ) -> Result<Response<pb::ExplainTaskResponse>, Status> {
        let task = request.into_inner().task;
        let explained = self.with_task(task, |scene, task| {
            scene.machine.explain(task.id).map(explanation).unwrap_or_default()
        });
        explained.await.map(Response::new)
    }

    /// Looks at the task that a selector names.
    pub(super) async fn with_task<T: Send + 'static>(
        &self,
        selector: Option<pb::TaskSelector>,
        show: impl FnOnce(&Scene<'_>, TaskView) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let by = present(selector.and_then(|selector| selector.by), "task")?;
        let look = self.mailbox.look(move |scene| {
            let id = resolve(scene.machine, &by)?;
            let task = scene.machine.find_task_view(id).ok_or_else(unknown)?;
            Ok(show(scene, task))
        });
        let found: Result<T, Refusal> = look.await.map_err(status)?;
        found.map_err(status)
    }
}

/// Which tasks a list holds, besides what its filter says.
struct List {
    states: Vec<i32>,
    key_prefix: String,
    worker: Option<WorkerBy>,
}

impl List {
    fn passes(&self, machine: &Machine, page: &Page<TaskId>, task: &TaskView) -> bool {
        let at = |by: &WorkerBy| {
            let worker = fleet::find(machine, by).map(|worker| worker.id);
            worker.is_some() && worker == task.worker
        };
        (self.states.is_empty() || self.states.contains(&show::state(task.state)))
            && task.key.starts_with(&self.key_prefix)
            && page.passes("session", task.id.graph.session().0)
            && page.passes("group", group_of(&task.key))
            && self.worker.as_ref().is_none_or(at)
    }
}

/// A piece of the list of tasks from `first` on, and where the next piece begins. Goes on to the next graph unless it is to
/// `stay`.
pub(super) fn scan(
    machine: &Machine,
    first: TaskId,
    stay: bool,
) -> (impl Iterator<Item = TaskView>, Option<TaskId>) {
    let found = machine.find_graph(first.graph);
    let len = found.map_or(0, |graph| graph.counts.total());
    let end = first.index.saturating_add(u32::try_from(limits::WATCH_TASKS).unwrap_or(u32::MAX));
    let next = if end < len {
        Some(TaskId { index: end, ..first })
    } else if stay {
        None
    } else {
        let ids = machine.graphs().map(|graph| graph.id).filter(|id| *id > first.graph);
        ids.min().map(|graph| TaskId { graph, index: 0 })
    };
    let count = end.min(len).saturating_sub(first.index) as usize;
    (machine.tasks_from(first.graph, first.index).take(count), next)
}

/// The task that a selector names.
pub(super) fn resolve(machine: &Machine, by: &By) -> Result<TaskId, Refusal> {
    match by {
        By::Task(id) => (*id).try_into(),
        By::Key(pb::TaskKey { graph, key }) => {
            machine.task_by_key(GraphId(*graph), key).ok_or_else(|| {
                let message = format!(
                    "graph {} has no task of key {key:?}: list those it has",
                    GraphId(*graph)
                );
                Refusal::at(Reason::TaskUnknown, "task.key", message)
            })
        }
    }
}

/// There is no such task.
pub(super) fn unknown() -> Refusal {
    let message = "there is no such task: list those of the graph";
    Refusal::at(Reason::TaskUnknown, "task", message)
}

/// The newest attempt, and the older ones whose end is remembered: those that went as expected are not.
fn attempts(machine: &Machine, task: &TaskView) -> Vec<pb::AttemptSummary> {
    let Some(newest) = task.attempt else { return Vec::new() };
    let worker = machine.workers().find(|worker| Some(worker.id) == task.worker);
    let mut attempts = vec![pb::AttemptSummary {
        attempt: Some(newest.into()),
        state: show::state(task.state),
        worker: worker.map_or_else(String::new, |worker| worker.join.name),
        error: task.error.as_deref().cloned().map(Into::into),
        ..pb::AttemptSummary::default()
    }];
    let mut last = newest.no.n;
    for turn in machine.story(task.id).0.into_iter().rev() {
        if turn.attempt == 0 || turn.attempt >= last || attempts.len() >= limits::TASK_ATTEMPTS {
            continue; // Another turn of an attempt that is listed.
        }
        last = turn.attempt;
        let no = AttemptNo { n: turn.attempt, ..newest.no };
        attempts.push(ended(AttemptId { no, ..newest }, turn));
    }
    attempts
}

/// An attempt that the task has not been content with.
fn ended(attempt: AttemptId, turn: Turn) -> pb::AttemptSummary {
    let Turn { worker, to, cause, message, .. } = turn;
    let cancelled = to == TaskState::Cancelled;
    let error = pb::TaskError { reason: cause, message, ..pb::TaskError::default() };
    pb::AttemptSummary {
        attempt: Some(attempt.into()),
        state: show::state(if cancelled { to } else { TaskState::Failed }),
        worker,
        error: Some(error),
        ..pb::AttemptSummary::default()
    }
}

fn explanation(explanation: Explanation) -> pb::ExplainTaskResponse {
    let Explanation { task, summary, workers, backoff, unrunnable, missing, missing_left_out } =
        explanation;
    let waits_for = missing.into_iter().map(|(task, key, state)| pb::TaskSummary {
        task: Some(task.into()),
        key,
        state: show::state(state),
        ..pb::TaskSummary::default()
    });
    let workers = workers.into_iter().filter_map(|Obstacle { worker, name, reason, permanent }| {
        let (worker, reason) = (Some(worker.into()), reason?);
        Some(pb::WorkerReason { worker, name, message: reason, permanent })
    });
    pb::ExplainTaskResponse {
        state: show::state(task.state),
        summary,
        waits_for: waits_for.collect(),
        workers: workers.collect(),
        backoff_us: backoff.0,
        unrunnable,
        waits_for_left_out: missing_left_out,
    }
}
