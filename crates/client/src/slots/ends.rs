//! Which tasks have ended since somebody last asked.

use bireme_core::graph::TaskState;
use bireme_core::session::IndexRange;
use bireme_core::{ErrorClass, TaskError};

use super::{Entry, Slot, Slots};

/// What is written down of ends.
#[derive(Debug, Default)]
pub(super) enum News {
    /// Nothing: nobody asks.
    #[default]
    Unread,
    /// Tasks that have ended, each once for every time it did.
    Ended(Vec<u32>),
}

impl News {
    /// Notes the end of a task.
    pub(super) fn add(&mut self, task: u32) {
        if let Self::Ended(tasks) = self {
            tasks.push(task);
        }
    }
}

impl Slots {
    /// Has ends written down from now on.
    pub(crate) fn follow(&mut self) {
        self.news = News::Ended(Vec::new());
    }

    /// Takes the ends that were written down, and says how each task ended. When all `is_over`, the tasks that have not ended
    /// have failed, and nothing is written down any more.
    pub(crate) fn take_ends(&mut self, is_over: bool) -> Vec<(u32, TaskState)> {
        let News::Ended(ended) = &mut self.news else { return Vec::new() };
        let ended = std::mem::take(ended);
        let mut ends: Vec<_> = ended.into_iter().map(|task| (task, self.state(task))).collect();
        if is_over {
            self.news = News::Unread;
            let pending = (0..self.len()).filter(|&task| self.state(task) == TaskState::Waiting);
            ends.extend(pending.map(|task| (task, TaskState::Failed)));
        }
        ends
    }

    /// Has tasks that failed or were cancelled wait for their end once more. Returns how each of them had failed.
    pub(crate) fn retry(&mut self, tasks: &[IndexRange]) -> Vec<(u32, Box<TaskError>)> {
        let length = self.len();
        let mut failed = Vec::new();
        for task in tasks.iter().flat_map(|range| range.within(length)) {
            let Some(slot) = self.tasks.get_mut(task as usize) else { continue };
            let entry = slot.place().and_then(|place| self.entries.get(place));
            if let Some(Entry::Failed(error)) = entry {
                failed.push((task, error.clone()));
                *slot = Slot::UNASKED;
            }
        }
        failed
    }

    /// Whether every task has ended.
    pub(crate) fn have_ended(&self) -> bool {
        self.tasks.iter().all(|slot| slot.has_ended())
    }

    /// How a task ended; every state before, and that of a task that there is not, is waiting.
    pub(crate) fn state(&self, task: u32) -> TaskState {
        match self.tasks.get(task as usize) {
            Some(slot) if slot.has_ended() => {
                match slot.place().and_then(|place| self.entries.get(place)) {
                    Some(Entry::Failed(error)) if error.class == ErrorClass::Cancelled => {
                        TaskState::Cancelled
                    }
                    Some(Entry::Failed(_)) => TaskState::Failed,
                    _ => TaskState::Finished,
                }
            }
            _ => TaskState::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::Codec;
    use bytes::Bytes;
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn each_end_is_told_once_and_all_when_nothing_more_comes() {
        let mut slots = Slots::unasked(4);
        slots.finish(0, smallvec![]);
        assert_eq!(slots.take_ends(true), [], "nobody followed");
        slots.follow();
        slots.finish(1, smallvec![Entry::Plain(Codec::Raw, Bytes::new())]);
        let cancelled = TaskError::new(ErrorClass::Cancelled, "CANCELLED", "");
        slots.fail(2, Box::new(cancelled));
        let ends = [(1, TaskState::Finished), (2, TaskState::Cancelled)];
        assert_eq!(slots.take_ends(false), ends);
        assert_eq!(slots.take_ends(false), []);
        assert_eq!(slots.take_ends(true), [(3, TaskState::Failed)]);
        assert_eq!(slots.take_ends(true), []);
    }

    #[test]
    fn a_task_that_is_tried_again_is_waited_for_again() {
        let mut slots = Slots::unasked(3);
        slots.finish(0, smallvec![]);
        slots.fail(1, Box::new(TaskError::new(ErrorClass::User, "ValueError", "x")));
        let failed = slots.retry(&[IndexRange { first: 0, count: 9 }]);
        assert_eq!(failed.iter().map(|(task, _)| *task).collect::<Vec<_>>(), [1]);
        assert_eq!(
            [0, 1, 2].map(|task| slots.state(task)),
            [TaskState::Finished, TaskState::Waiting, TaskState::Waiting]
        );
        assert!(!slots.have_ended());
        slots.finish(1, smallvec![]);
        assert_eq!(slots.state(1), TaskState::Finished);
        assert!(!slots.have_ended(), "one has not");
        slots.finish(2, smallvec![]);
        assert!(slots.have_ended());
    }
}
