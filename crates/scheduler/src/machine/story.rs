//! What went otherwise than expected with tasks, for people: failures, losses, cancels, runs made again.
//!
//! What happens to every task is not written down, so that it costs nothing; a task's record tells where it stands.

use std::collections::VecDeque;

use bireme_core::graph::TaskState;
use bireme_core::id::TaskId;
use bireme_core::{Time, limits};

use super::Machine;
use super::number::TaskRef;

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// When.
    pub at: Time,
    /// To which.
    pub task: TaskId,
    /// The number of the attempt that it was about; 0 is none.
    pub attempt: u32,
    /// Name of the attempt's worker; empty is none.
    pub worker: String,
    /// From this state.
    pub from: TaskState,
    /// To this one.
    pub to: TaskState,
    /// Stable name of the cause.
    pub cause: String,
    /// One line for people.
    pub message: String,
}

/// The latest turns of all tasks, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Stories {
    turns: VecDeque<Turn>,
    /// Older ones were dropped.
    truncated: bool,
}

/// A task before something happens to it.
pub(super) struct Before {
    task: TaskRef,
    attempt: u32,
    worker: String,
    pub(super) state: TaskState,
}

impl Machine {
    /// A task as it stands, to be compared with what becomes of it.
    pub(super) fn before(&self, task: TaskRef) -> Before {
        let record = self.task(task);
        let worker = self.workers.get(bireme_core::id::WorkerId(record.worker));
        Before {
            task,
            attempt: record.attempt,
            worker: worker.map(|worker| worker.join.name.clone()).unwrap_or_default(),
            state: record.state(),
        }
    }

    /// Writes down what became of a task, and why.
    pub(super) fn tell_story(&mut self, before: Before, cause: &str, message: &str) {
        let Before { task, attempt, worker, state } = before;
        let mut end = message.len().min(limits::STORY_MESSAGE_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let turn = Turn {
            at: self.now,
            task: self.graph(task.graph).id_of(task.index),
            attempt,
            worker,
            from: state,
            to: self.task(task).state(),
            cause: cause.to_owned(),
            message: message.get(..end).unwrap_or_default().to_owned(),
        };
        if self.stories.turns.len() >= limits::STORY_TURNS {
            self.stories.turns.pop_front();
            self.stories.truncated = true;
        }
        self.stories.turns.push_back(turn);
    }

    /// What is remembered of a task, the oldest first, and whether older turns of any were dropped.
    pub fn story(&self, task: TaskId) -> (Vec<Turn>, bool) {
        let turns = self.stories.turns.iter().filter(|turn| turn.task == task).cloned();
        (turns.collect(), self.stories.truncated)
    }
}
