//! How much memory attempts take, where they said how much they will.
//!
//! What counts is memory of processes of their own: inputs and results in shared memory are in the account of the store.

use std::fmt;

use bireme_core::{ErrorClass, Reason, Span, TaskError, Time, limits};

use crate::failure::failure;
use crate::host;

/// More memory than an attempt may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Bloat {
    /// What it took, in bytes.
    pub(crate) taken: u64,
    /// What it stated, in bytes.
    pub(crate) limit: u64,
}

impl Bloat {
    /// What the attempt fails with; `what` took the memory.
    pub(crate) fn error(self, what: impl fmt::Display) -> Box<TaskError> {
        let Self { taken, limit } = self;
        let message = format!(
            "{what} took {taken} bytes of memory, the attempt stated {limit}: state more, or split the work"
        );
        failure(ErrorClass::OutOfMemory, Reason::OutOfMemory, message)
    }
}

/// Weighs a process, together with what it has started, every now and then.
#[derive(Debug)]
pub(crate) struct Scales {
    pid: u32,
    limit: u64,
    due: Time,
}

impl Scales {
    /// For a process that may take `limit` bytes; none where 0 says that it may take any.
    pub(crate) fn new(pid: u32, limit: u64, now: Time) -> Option<Self> {
        (limit > 0).then(|| Self { pid, limit, due: now + limits::EXECUTOR_WEIGHED })
    }

    /// When to weigh next, from now on.
    pub(crate) fn wait(&self, now: Time) -> Span {
        self.due.since(now)
    }

    /// Weighs, if that is due: what is too much.
    pub(crate) fn weigh(&mut self, now: Time) -> Option<Bloat> {
        if now < self.due {
            return None;
        }
        self.due = now + limits::EXECUTOR_WEIGHED;
        let (taken, limit) = (host::private_bytes_of_all(self.pid), self.limit);
        (taken > limit).then_some(Bloat { taken, limit })
    }
}
