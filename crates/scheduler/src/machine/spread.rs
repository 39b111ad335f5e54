//! What the end of a task does to those that need it: they are taken back, fail or are cancelled with it.

use std::sync::Arc;

use bireme_core::Span;
use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::id::WorkerId;
use bireme_core::reason::Reason;

use super::Machine;
use super::number::{GraphNo, NONE, TaskRef};
use super::task::{Failure, Phase, flag};
use super::worker::Errand;

impl Machine {
    /// Takes a task that was sent away from its worker, and with it those sent ahead that depend on it.
    pub(super) fn take_back(&mut self, task: TaskRef) {
        let worker = WorkerId(self.task(task).worker);
        self.detach(task);
        self.set_phase(task, Phase::Waiting);
        self.take_back_followers(task, worker);
    }

    /// Takes back what was sent to a worker ahead of a task's outputs.
    pub(super) fn take_back_followers(&mut self, task: TaskRef, worker: WorkerId) {
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            let mut at = self.task(task).dependents;
            while at != NONE {
                let edge = *self.graph(task.graph).edge(at);
                at = edge.next;
                let follower = TaskRef { graph: task.graph, index: edge.consumer };
                let record = self.task(follower);
                if record.phase == Phase::Ahead && record.worker == worker.0 {
                    self.call_off(follower);
                    open.push(follower);
                }
            }
        }
    }

    /// Takes back a task that was sent and cannot have started; it waits again.
    pub(super) fn call_off(&mut self, task: TaskRef) {
        let (attempt, worker) = (self.attempt_id(task), WorkerId(self.task(task).worker));
        let told = self.task(task).has(flag::TOLD);
        self.detach(task);
        self.set_phase(task, Phase::Waiting);
        if told {
            self.errand(worker, Errand::Retract(attempt));
        } else {
            self.drop_strays(worker, attempt.task);
        }
    }

    /// Fails a task that no worker has, and every task that needs it. What it made before, if it was to be made again, is of
    /// no use then.
    pub(super) fn fail_from(&mut self, task: TaskRef, failure: Failure) {
        let first = task.graph;
        // Said once: behind all that fail here is the same error, and it may be large.
        let mut abroad = None;
        let (mut open, mut failed) = (vec![(task, failure)], Vec::new());
        while let Some((task, failure)) = open.pop() {
            if self.task(task).phase.is_final() {
                continue;
            }
            if self.task(task).phase.is_sent() {
                self.call_off(task);
            }
            let root = match &failure {
                Failure::Own(_) | Failure::Elsewhere(_) => task.index,
                Failure::Of(root) => *root,
            };
            self.set_phase(task, Phase::Failed);
            self.graph_mut(task.graph).note_failure(task.index, failure);
            self.consume_inputs(task);
            self.note_end(task);
            open.extend(self.dependents_of(task).into_iter().map(|task| (task, Failure::Of(root))));
            for taker in self.takers_of(task) {
                let failure = abroad.get_or_insert_with(|| self.failed_elsewhere(task));
                open.push((taker, failure.clone()));
            }
            failed.push(task);
        }
        // When no task takes them any more: one that leaves would bring them back.
        for task in failed {
            self.release_outputs(task);
        }
        self.enforce_max_failures(first);
    }

    /// The failure of tasks of other graphs that need a task which failed or was cancelled.
    pub(super) fn failed_elsewhere(&self, task: TaskRef) -> Failure {
        let graph = self.graph(task.graph);
        let root = match graph.failures.get(&task.index) {
            Some(Failure::Of(root)) => *root,
            _ => task.index,
        };
        let cause = match graph.failures.get(&root) {
            // Not one behind the other: a chain of graphs would tell all of it.
            Some(failure @ Failure::Elsewhere(_)) => return failure.clone(),
            Some(Failure::Own(cause)) => Some(cause.clone()),
            Some(Failure::Of(_)) | None => None,
        };
        let is_cancelled = graph.task(task.index).phase == Phase::Cancelled;
        let how = if is_cancelled { "was cancelled" } else { "failed" };
        let (name, id) = (graph.name(root), graph.id);
        let message = format!("task {name:?} of graph {id}, which this one needs, {how}");
        let reason = Reason::DependencyFailed.name();
        let error = TaskError::new(ErrorClass::Dependency, reason, message);
        Failure::Elsewhere(Arc::new(TaskError { cause, ..error }))
    }

    /// Cancels a task and every task of its graph that needs it; running code may go on for `grace`. Those of other graphs
    /// fail. `why` may be empty.
    pub(super) fn cancel_from(&mut self, task: TaskRef, grace: Span, why: &str) {
        let (mut takers, mut cancelled) = (Vec::new(), Vec::new());
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            let record = self.task(task);
            if record.phase.is_final() {
                continue;
            }
            let sent = record.phase.is_sent();
            let (worker, told) = (WorkerId(record.worker), record.has(flag::TOLD));
            let before = sent.then(|| self.before(task));
            if sent {
                self.detach(task);
            }
            self.set_phase(task, Phase::Cancelled);
            if let Some(before) = before {
                let because = if why.is_empty() { "" } else { ": " };
                let message = format!("the attempt was cancelled{because}{why}");
                self.tell_story(before, Reason::Cancelled.name(), &message);
            }
            if sent && told {
                self.errand(worker, Errand::Cancel(self.attempt_id(task), grace));
            } else if sent {
                self.drop_strays(worker, self.graph(task.graph).id_of(task.index));
            }
            self.consume_inputs(task);
            self.note_end(task);
            self.fold(task);
            cancelled.push(task);
            open.extend(self.dependents_of(task));
            takers.extend(self.takers_of(task).into_iter().map(|taker| (taker, task)));
        }
        for (taker, producer) in takers {
            self.fail_from(taker, self.failed_elsewhere(producer));
        }
        for task in cancelled {
            self.release_outputs(task);
        }
    }

    /// Tasks of other graphs that take an output of this one and have not ended.
    pub(super) fn takers_of(&self, task: TaskRef) -> Vec<TaskRef> {
        let graph = self.graph(task.graph);
        let objects = (0..graph.task(task.index).outputs)
            .filter_map(|output| self.objects.get(graph.object(task.index, output)?));
        objects.flat_map(|object| object.takers().iter().copied()).collect()
    }

    /// Tasks of the same graph that take an output of this one.
    pub(super) fn dependents_of(&self, task: TaskRef) -> Vec<TaskRef> {
        let graph = self.graph(task.graph);
        let link = |at: u32| (at != NONE).then(|| graph.edge(at));
        std::iter::successors(link(graph.task(task.index).dependents), |edge| link(edge.next))
            .map(|edge| TaskRef { graph: task.graph, index: edge.consumer })
            .collect()
    }

    fn enforce_max_failures(&mut self, no: GraphNo) {
        let graph = self.graph(no);
        let failed = graph.own_failures;
        if let Some(max) = graph.options.max_failures
            && graph.error.is_none()
            && failed > max
        {
            let message = format!("{failed} tasks failed, {max} may");
            let error = TaskError::new(ErrorClass::User, Reason::TooManyFailures.name(), message);
            self.end_graph(no, error);
        }
    }
}
