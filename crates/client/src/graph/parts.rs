//! Some tasks of a graph, or of several.

use bireme_core::Value;
use bireme_core::graph::TaskState;
use bireme_core::id::TaskId;
use bireme_core::session::IndexRange;
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::pb::session_command::Command;

use super::{Cell, Found, Graph};
use crate::client::{Client, fresh_id, ranges, wire};
use crate::error::{CommandError, ResultError};
use crate::fetch;
use crate::session::lock;
use crate::slots::Look;

impl Graph {
    /// Cancels these tasks and whatever depends on them; running code may go on for `grace`.
    pub async fn cancel_tasks(
        &self,
        tasks: Vec<IndexRange>,
        grace: Span,
    ) -> Result<(), CommandError> {
        if tasks.is_empty() {
            return Ok(());
        }
        self.handle.client.cancel(self.id(), tasks, grace).await
    }

    /// Tries tasks that failed or were cancelled again. Those that failed because of them are tried again too; until they have
    /// ended once more, what is known of those here is how they failed.
    pub async fn retry_tasks(&self, tasks: Vec<IndexRange>) -> Result<(), CommandError> {
        // Before the command: an end may be told before the answer.
        let failed = lock(&self.cell().slots).retry(&tasks);
        if failed.is_empty() {
            return Ok(());
        }
        let submission = fresh_id();
        let retry = pb::RetryTasks {
            submission_id: wire(submission),
            graph: self.id().0,
            tasks: ranges(tasks),
        };
        let retried = self.handle.client.ask(submission, Command::Retry(retry)).await;
        if retried.is_err() {
            self.cell().update(|slots| {
                for (task, error) in failed {
                    slots.fail(task, error);
                }
            });
        }
        retried
    }

    /// Gives up the outputs of these tasks.
    pub async fn release_tasks(&self, tasks: Vec<IndexRange>) -> Result<(), CommandError> {
        if tasks.is_empty() {
            return Ok(());
        }
        self.handle.client.release(self.id(), tasks.clone()).await?;
        let mut slots = lock(&self.cell().slots);
        for range in tasks {
            slots.release(range);
        }
        Ok(())
    }

    /// How a task ended, as far as this session was told; [`TaskState::Waiting`] stands for every state before.
    pub fn state(&self, task: u32) -> TaskState {
        match lock(&self.cell().slots).state(task) {
            TaskState::Waiting if self.failure().is_some() => TaskState::Failed,
            state => state,
        }
    }

    /// Whether all tasks have ended, as far as this session was told: of tasks of which nothing is told it is not.
    pub fn has_ended(&self) -> bool {
        lock(&self.cell().slots).have_ended() || self.failure().is_some()
    }

    /// Why there is no result of a task that has ended; `None` if there is, or it has not.
    pub fn error(&self, task: u32) -> Option<ResultError> {
        let id = self.task(task);
        match self.cell().look(task, 0) {
            Look::Failed(error) => Some(ResultError::Task { task: id, error }),
            Look::NoTask => Some(ResultError::NoTask { task: id }),
            Look::NotKept => Some(ResultError::NotKept { task: id, output: 0 }),
            Look::Pending { .. } => self.failure().map(Into::into),
            Look::Placed(_) | Look::Value(_) => None,
        }
    }
}

impl Client {
    /// Waits for tasks, of any of this session's graphs, and brings their first outputs together. What each came to is in its
    /// place.
    pub async fn outputs(&self, tasks: &[(Graph, u32)]) -> Vec<Result<Value, ResultError>> {
        let mut values = Vec::with_capacity(tasks.len());
        let (mut wanted, mut places) = (Vec::new(), Vec::new());
        for (graph, task) in tasks {
            values.push(match graph.locate(*task, 0).await {
                Ok(Found::Value(value)) => Ok(value),
                Ok(Found::Placed(one)) => {
                    wanted.push(one);
                    places.push((values.len(), graph.task(*task)));
                    Ok(Value::none())
                }
                Err(error) => Err(error),
            });
        }
        let fetched = fetch::values(&self.inner, wanted).await;
        for ((at, task), value) in places.into_iter().zip(fetched) {
            if let Some(place) = values.get_mut(at) {
                *place = value.map_err(|problem| ResultError::Fetch { task, problem });
            }
        }
        values
    }
}

impl Cell {
    /// Tasks that have ended since this was last asked, if that is written down. Once the graph has come to nothing, all have.
    pub(crate) fn take_ends(&self) -> Vec<(TaskId, TaskState)> {
        let is_over = self.failure().is_some();
        let ends = lock(&self.slots).take_ends(is_over);
        ends.into_iter().map(|(index, state)| (TaskId { graph: self.id, index }, state)).collect()
    }
}
