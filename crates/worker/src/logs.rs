//! What attempts and actors printed, kept within bounds and readable while they run.
//!
//! Everything that is printed on a worker goes, in the order of printing, into one file after another; the oldest is
//! dropped when there are too many. Bytes are known by their *position* in all that was ever printed here, which is also
//! what readers go on from. The files have no names: they go with the worker's life, however that ends.
//!
//! An attempt that prints nothing costs a line in a small table while it runs, and nothing else.

mod author;
mod read;
mod segment;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bireme_core::{Time, limits};
use tokio::sync::{Notify, Semaphore};

pub(crate) use self::author::{Author, Subject};
pub(crate) use self::read::{Piece, Query, Reader};
pub(crate) use self::segment::Stream;
use self::segment::{Bounds, Printed, Segments};
use crate::clock::Clock;
use crate::sync::lock;

/// What attempts and actors of a worker printed.
#[derive(Debug)]
pub(crate) struct Logs {
    clock: Clock,
    /// Held while a piece is written, by those that print and on threads that may wait for a disk.
    segments: Mutex<Segments>,
    /// How many writers each subject has; never held for long.
    running: Mutex<BTreeMap<Subject, u32>>,
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

    /// Where an attempt or an incarnation that starts now prints to. Its readers wait for more until this is dropped.
    pub(crate) fn open(self: &Arc<Self>, author: impl Into<Author>) -> Writer {
        let author = author.into();
        *lock(&self.running).entry(author.subject).or_default() += 1;
        let (logs, started) = (Arc::clone(self), self.clock.now());
        Writer { logs, author, started, last: AtomicU64::new(0) }
    }

    fn is_running(&self, subject: Subject) -> bool {
        lock(&self.running).contains_key(&subject)
    }

    fn close(&self, subject: Subject) {
        let mut running = lock(&self.running);
        if let Some(writers) = running.get_mut(&subject) {
            *writers -= 1;
            if *writers == 0 {
                running.remove(&subject);
            }
        }
        drop(running);
        self.news.notify_waiters();
    }
}

/// Where one attempt or incarnation prints to.
#[derive(Debug)]
pub(crate) struct Writer {
    logs: Arc<Logs>,
    author: Author,
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
            let printed = Printed { author: self.author, stream, since, before };
            let (last, written) = segments.append(printed, bytes);
            self.last.store(last, Ordering::Relaxed);
            drop(segments);
            if let Err(error) = written {
                tracing::warn!(author = ?self.author, %error, "what was printed is lost");
            }
        }
        self.logs.news.notify_waiters();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.logs.close(self.author.subject);
    }
}

#[cfg(test)]
mod tests;
