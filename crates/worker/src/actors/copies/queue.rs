//! What waits to be sent to a copy, and since when the copy owes an answer.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Mutex;

use bireme_core::{Time, limits};
use tokio::sync::Notify;

use crate::actors::log::Batch;
use crate::sync::lock;

/// What a part takes up besides its records, about.
const PART_BYTES: usize = 128;

/// Something for a copy.
#[derive(Debug)]
pub(crate) enum Part {
    /// A checkpoint that holds all calls up to a record.
    Checkpoint {
        /// As it was written here.
        file: File,
        /// The record.
        lsn: u64,
    },
    /// Records that were written here.
    Records(Batch),
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Checkpoint { .. } => PART_BYTES,
            Self::Records(batch) => batch.frames.len() + PART_BYTES,
        }
    }
}

/// What a copy has, or is to have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owed {
    /// The last record.
    pub(crate) lsn: u64,
    /// The record up to which the checkpoint goes.
    pub(crate) checkpoint: u64,
    /// All that there was when the stream began.
    pub(crate) whole: bool,
}

/// A queue with an end: a copy that is [`limits::COPY_BYTES`] behind gets nothing more.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug)]
struct State {
    parts: VecDeque<Part>,
    bytes: usize,
    owed: Owed,
    /// When it was last heard of, or something became owed while nothing was.
    since: Option<Time>,
}

impl Queue {
    /// The queue of a copy that owes everything up to a record from now on.
    pub(crate) fn new(now: Time, lsn: u64) -> Self {
        let owed = Owed { lsn, checkpoint: 0, whole: true };
        let state = State { parts: VecDeque::new(), bytes: 0, owed, since: Some(now) };
        Self { state: Mutex::new(state), filled: Notify::new() }
    }

    /// Appends something; or does not, if the copy is too far behind. Of checkpoints that wait only the last is sent: it holds
    /// what the others do, and they would take up the disk for as long as they wait.
    pub(crate) fn push(&self, now: Time, part: Part) -> bool {
        let mut state = lock(&self.state);
        match &part {
            Part::Checkpoint { lsn, .. } => {
                state.owed.checkpoint = *lsn;
                state.parts.retain(|part| matches!(part, Part::Records(_)));
                state.bytes = state.parts.iter().map(Part::bytes).sum();
            }
            Part::Records(batch) => state.owed.lsn = batch.last,
        }
        state.bytes += part.bytes();
        if state.bytes > limits::COPY_BYTES {
            return false;
        }
        state.since.get_or_insert(now);
        state.parts.push_back(part);
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Takes the first thing, once there is one.
    pub(crate) async fn next(&self) -> Part {
        loop {
            if let Some(part) = self.take() {
                return part;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Option<Part> {
        let mut state = lock(&self.state);
        let part = state.parts.pop_front()?;
        state.bytes -= part.bytes();
        Some(part)
    }

    /// The copy has told what it has.
    pub(crate) fn kept(&self, now: Time, has: Owed) {
        let mut state = lock(&self.state);
        let Owed { lsn, checkpoint, whole } = state.owed;
        let is_even = has.lsn >= lsn && has.checkpoint >= checkpoint && has.whole >= whole;
        state.since = (!is_even).then_some(now);
    }

    /// Whether the copy has been silent for too long.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        lock(&self.state).since.is_some_and(|since| now >= since + limits::COPY_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn records(last: u64, bytes: usize) -> Part {
        Part::Records(Batch { file: 1, frames: Bytes::from(vec![0; bytes]), last })
    }

    #[test]
    fn only_a_copy_that_owes_something_is_overdue() {
        let late = Time(1) + limits::COPY_WAIT;
        let queue = Queue::new(Time(1), 3);
        assert!(queue.is_overdue(late), "it has to become whole");
        queue.kept(Time(2), Owed { lsn: 3, checkpoint: 0, whole: true });
        assert!(!queue.is_overdue(late + limits::COPY_WAIT));
        assert!(queue.push(late, records(4, 10)));
        assert!(!queue.is_overdue(late));
        queue.kept(late, Owed { lsn: 3, checkpoint: 0, whole: true });
        assert!(queue.is_overdue(late + limits::COPY_WAIT));
        queue.kept(late, Owed { lsn: 4, checkpoint: 0, whole: true });
        assert!(!queue.is_overdue(late + limits::COPY_WAIT));
    }

    #[test]
    fn a_queue_has_an_end() {
        let queue = Queue::new(Time(1), 0);
        assert!(queue.push(Time(1), records(1, limits::COPY_BYTES - PART_BYTES)));
        assert!(!queue.push(Time(1), records(2, 1)));
    }

    #[test]
    fn of_checkpoints_only_the_last_waits() {
        let queue = Queue::new(Time(1), 0);
        for lsn in 1..=3 {
            assert!(queue.push(Time(1), records(lsn, 10)));
            let file = tempfile::tempfile().unwrap();
            assert!(queue.push(Time(1), Part::Checkpoint { file, lsn }));
        }
        let mut sent = Vec::new();
        while let Some(part) = queue.take() {
            sent.push(match part {
                Part::Checkpoint { lsn, .. } => (lsn, "checkpoint"),
                Part::Records(batch) => (batch.last, "records"),
            });
        }
        assert_eq!(sent, [(1, "records"), (2, "records"), (3, "records"), (3, "checkpoint")]);
        assert_eq!(lock(&queue.state).bytes, 0);
    }
}
