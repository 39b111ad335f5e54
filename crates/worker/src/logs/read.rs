//! Reading what was printed, and waiting for more.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bireme_core::Span;
use bireme_core::id::AttemptNo;
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use super::Logs;
use super::author::{Author, Subject};
use super::segment::{Found, Record, Stream};
use crate::sync::lock;

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    /// Whose.
    pub(crate) subject: Subject,
    /// Only of this attempt, or of this incarnation.
    pub(crate) no: Option<AttemptNo>,
    /// Only what was printed there.
    pub(crate) stream: Option<Stream>,
    /// Only the last so many lines; 0 is all.
    pub(crate) tail_lines: u32,
    /// Wait for more until nobody is left who could print.
    pub(crate) follow: bool,
    /// From this position on.
    pub(crate) cursor: u64,
}

impl Query {
    fn wants(&self, record: &Record) -> bool {
        self.no.is_none_or(|no| no == record.no)
            && self.stream.is_none_or(|stream| stream == record.stream)
    }
}

/// A piece of what was printed, at most [`limits::LOG_CHUNK_BYTES`].
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// By whom.
    pub(crate) author: Author,
    /// Where it was printed.
    pub(crate) stream: Stream,
    /// The bytes as printed.
    pub(crate) text: Bytes,
    /// How long after its start.
    pub(crate) since: Span,
    /// Position after it.
    pub(crate) cursor: u64,
    /// Something before it is not kept.
    pub(crate) lagged: bool,
}

/// Reads what was printed, piece by piece.
#[derive(Debug)]
pub(crate) struct Reader {
    logs: Arc<Logs>,
    query: Query,
    /// How far it has come.
    place: Place,
    /// Read, and not asked for yet.
    ready: VecDeque<Piece>,
    _turn: OwnedSemaphorePermit,
}

/// How far a reader has come.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Position; `None` until the tail's first line has been found.
    at: Option<u64>,
    /// Something was missed since the last piece.
    lagged: bool,
}

impl Logs {
    /// A reader; `None` while there are [`limits::LOG_READERS`].
    pub(crate) fn read(self: &Arc<Self>, query: Query) -> Option<Reader> {
        let turn = Arc::clone(&self.readers).try_acquire_owned().ok()?;
        let (logs, place) = (Arc::clone(self), Place::default());
        Some(Reader { logs, query, place, ready: VecDeque::new(), _turn: turn })
    }

    /// The next pieces, some at a time; blocks while a disk does.
    fn pieces(&self, query: &Query, place: &mut Place) -> io::Result<VecDeque<Piece>> {
        let mut at = match place.at {
            Some(at) => at,
            None => self.first(query)?,
        };
        let mut pieces = VecDeque::new();
        loop {
            let found: Vec<_> = self.found(query.subject, at);
            for found in &found {
                place.lagged |= found.record.before > at;
                if query.wants(&found.record) {
                    let lagged = std::mem::take(&mut place.lagged);
                    pieces.push_back(piece(query.subject, found, at, lagged)?);
                }
                at = found.record.end;
            }
            place.at = Some(at);
            if found.is_empty() || !pieces.is_empty() {
                return Ok(pieces);
            }
        }
    }

    /// The first pieces of a subject after a position.
    fn found(&self, subject: Subject, at: u64) -> Vec<Found> {
        /// Together at most a megabyte.
        const PIECES: usize = 16;
        lock(&self.segments).of(subject, at).take(PIECES).collect()
    }

    /// Where to begin.
    fn first(&self, query: &Query) -> io::Result<u64> {
        let mut lines = query.tail_lines;
        if lines == 0 {
            return Ok(query.cursor);
        }
        let all: Vec<_> = lock(&self.segments).of(query.subject, query.cursor).collect();
        let mut is_last = true;
        for found in all.iter().rev().filter(|found| query.wants(&found.record)) {
            let from = found.record.start.max(query.cursor);
            let text = found.read(from)?;
            for (n, byte) in text.iter().enumerate().rev() {
                // The very last byte ends a line, and begins none.
                if *byte == b'\n' && !is_last {
                    lines -= 1;
                    if lines == 0 {
                        return Ok(from + n as u64 + 1);
                    }
                }
                is_last = false;
            }
        }
        Ok(query.cursor)
    }
}

impl Reader {
    /// The next piece, once there is one; `None` at the end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            let logs = Arc::clone(&self.logs);
            let news = logs.news.notified();
            tokio::pin!(news);
            // From here on nothing is missed.
            news.as_mut().enable();
            let may_come = self.query.follow && logs.is_running(self.query.subject);
            self.fill().await?;
            if self.ready.is_empty() {
                if !may_come {
                    return Ok(None);
                }
                news.await;
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let (logs, query, mut place) = (Arc::clone(&self.logs), self.query, self.place);
        let read = spawn_blocking(move || {
            let pieces = logs.pieces(&query, &mut place)?;
            Ok((pieces, place))
        });
        (self.ready, self.place) =
            read.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(())
    }
}

fn piece(subject: Subject, found: &Found, at: u64, lagged: bool) -> io::Result<Piece> {
    let Record { no, stream, since, start, end, .. } = found.record;
    let text = found.read(start.max(at))?.into();
    Ok(Piece { author: Author { subject, no }, stream, text, since, cursor: end, lagged })
}
