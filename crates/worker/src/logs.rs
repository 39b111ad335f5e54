//! What attempts printed, kept within bounds and readable while they run.
//!
//! Everything that is printed on a worker goes, in the order of printing, into one file after another; the oldest is
//! dropped when there are too many. Bytes are known by their *position* in all that was ever printed here, which is also
//! what readers go on from. The files have no names: they go with the worker's life, however that ends.
//!
//! An attempt that prints nothing costs a line in a small table while it runs, and nothing else.

mod read;
mod segment;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bireme_core::id::TaskId;
use bireme_core::{AttemptId, Time, limits};
use tokio::sync::{Notify, Semaphore};

pub(crate) use self::read::{Piece, Query, Reader};
pub(crate) use self::segment::Stream;
use self::segment::{Bounds, Printed, Segments};
use crate::clock::Clock;
use crate::sync::lock;

/// What attempts of a worker printed.
#[derive(Debug)]
pub(crate) struct Logs {
    clock: Clock,
    /// Held while a piece is written, by those that print and on threads that may wait for a disk.
    segments: Mutex<Segments>,
    /// How many writers each task has; never held for long.
    running: Mutex<BTreeMap<TaskId, u32>>,
    /// Something was printed, or a writer is gone.
    news: Notify,
    readers: Arc<Semaphore>,
}

impl Logs {
    /// Keeps what is printed in files under `directory`, which is made when it is needed.
    pub(crate) fn new(directory: PathBuf, clock: Clock) -> Arc<Self> {
        Self::with_bounds(directory, clock, Bounds::default())
    }

    fn with_bounds(directory: PathBuf, clock: Clock, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            clock,
            segments: Mutex::new(Segments::new(directory, bounds)),
            running: Mutex::default(),
            news: Notify::new(),
            readers: Arc::new(Semaphore::new(limits::LOG_READERS)),
        })
    }

    /// Where an attempt that starts now prints to. Its readers wait for more until this is dropped.
    pub(crate) fn open(self: &Arc<Self>, attempt: AttemptId) -> Writer {
        *lock(&self.running).entry(attempt.task).or_default() += 1;
        let (logs, started) = (Arc::clone(self), self.clock.now());
        Writer { logs, attempt, started, last: AtomicU64::new(0) }
    }

    fn is_running(&self, task: TaskId) -> bool {
        lock(&self.running).contains_key(&task)
    }

    fn close(&self, task: TaskId) {
        let mut running = lock(&self.running);
        if let Some(writers) = running.get_mut(&task) {
            *writers -= 1;
            if *writers == 0 {
                running.remove(&task);
            }
        }
        drop(running);
        self.news.notify_waiters();
    }
}

/// Where one attempt prints to.
#[derive(Debug)]
pub(crate) struct Writer {
    logs: Arc<Logs>,
    attempt: AttemptId,
    started: Time,
    /// Position after what it printed last.
    last: AtomicU64,
}

impl Writer {
    /// Keeps what was printed. Blocks while a disk does. What cannot be written is lost: an attempt does not fail because
    /// its talk has no room, and readers are told that something is missing.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let since = self.logs.clock.now().since(self.started);
        for bytes in bytes.chunks(limits::LOG_CHUNK_BYTES) {
            let mut segments = lock(&self.logs.segments);
            let before = self.last.load(Ordering::Relaxed);
            let printed = Printed { attempt: self.attempt, stream, since, before };
            let (last, written) = segments.append(printed, bytes);
            self.last.store(last, Ordering::Relaxed);
            drop(segments);
            if let Err(error) = written {
                tracing::warn!(attempt = %self.attempt, %error, "what an attempt printed is lost");
            }
        }
        self.logs.news.notify_waiters();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.logs.close(self.attempt.task);
    }
}

#[cfg(test)]
mod tests;
