//! The files, and where in them each piece lies.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bireme_core::id::AttemptNo;
use bireme_core::{Span, limits};
use smallvec::SmallVec;

use super::author::{Author, Subject};

/// Where something was printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The language's own logging.
    Record,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of one file.
    pub(super) bytes: u64,
    /// Pieces in one file.
    pub(super) records: usize,
    /// Files.
    pub(super) segments: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: limits::LOG_SEGMENT_BYTES,
            records: limits::LOG_SEGMENT_RECORDS,
            segments: limits::LOG_SEGMENTS,
        }
    }
}

/// What is said of a piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printed {
    pub(super) author: Author,
    pub(super) stream: Stream,
    /// How long after the author's start.
    pub(super) since: Span,
    /// Position after what the author printed before.
    pub(super) before: u64,
}

/// A piece of what somebody printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) no: AttemptNo,
    pub(super) stream: Stream,
    pub(super) since: Span,
    /// Position after what the subject printed before. A reader that has not come so far has missed something.
    pub(super) before: u64,
    /// Position of its first byte.
    pub(super) start: u64,
    /// Position after its last byte.
    pub(super) end: u64,
}

/// A piece and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) record: Record,
    file: Arc<File>,
    /// Position of the file's first byte.
    base: u64,
}

impl Found {
    /// Its bytes from a position in it on.
    pub(super) fn read(&self, from: u64) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.record.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(limits::LOG_CHUNK_BYTES)];
        self.file.read_exact_at(&mut bytes, from - self.base)?;
        Ok(bytes)
    }
}

/// What is kept, the oldest first.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    bounds: Bounds,
    kept: VecDeque<Segment>,
    /// Position after everything printed so far.
    end: u64,
}

/// One file.
#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    /// Position of its first byte.
    start: u64,
    /// How many records there are.
    records: usize,
    by_subject: BTreeMap<Subject, SmallVec<[Record; 1]>>,
}

impl Segments {
    pub(super) fn new(directory: PathBuf, bounds: Bounds) -> Self {
        Self { directory, bounds, kept: VecDeque::new(), end: 0 }
    }

    /// Writes a piece of at most [`limits::LOG_CHUNK_BYTES`]. Also returns the position after it, which moves on even if
    /// nothing could be written, so that the gap is seen.
    pub(super) fn append(&mut self, printed: Printed, bytes: &[u8]) -> (u64, io::Result<()>) {
        let start = self.end;
        self.end += bytes.len() as u64;
        let end = self.end;
        let before = self.last(printed.author.subject).max(printed.before);
        let Printed { author, stream, since, .. } = printed;
        let record = Record { no: author.no, stream, since, before, start, end };
        let written = self.room(start, end).and_then(|segment| {
            segment.file.write_all_at(bytes, start - segment.start)?;
            segment.note(author.subject, record);
            Ok(())
        });
        (end, written)
    }

    /// The pieces of a subject that end after a position, in order.
    pub(super) fn of(&self, subject: Subject, from: u64) -> impl DoubleEndedIterator<Item = Found> {
        self.kept.iter().flat_map(move |segment| {
            let records = segment.by_subject.get(&subject).map_or(&[][..], SmallVec::as_slice);
            let first = records.partition_point(|record| record.end <= from);
            let found = |record: &Record| Found {
                record: *record,
                file: Arc::clone(&segment.file),
                base: segment.start,
            };
            records.iter().skip(first).map(found)
        })
    }

    /// How many files there are.
    #[cfg(test)]
    pub(super) fn files(&self) -> usize {
        self.kept.len()
    }

    /// Position after what is kept of a subject; 0 if nothing is.
    fn last(&self, subject: Subject) -> u64 {
        let mut lists =
            self.kept.iter().rev().filter_map(|segment| segment.by_subject.get(&subject));
        lists.next().and_then(|records| records.last()).map_or(0, |record| record.end)
    }

    /// The file for what comes from `start` to `end`.
    fn room(&mut self, start: u64, end: u64) -> io::Result<&mut Segment> {
        let Bounds { bytes, records, segments } = self.bounds;
        let full = |last: &Segment| end - last.start > bytes || last.records >= records;
        if self.kept.back().is_none_or(full) {
            fs::create_dir_all(&self.directory)?;
            let file = Arc::new(tempfile::tempfile_in(&self.directory)?);
            if self.kept.len() >= segments {
                self.kept.pop_front();
            }
            self.kept.push_back(Segment { file, start, records: 0, by_subject: BTreeMap::new() });
        }
        Ok(self.kept.back_mut().expect("there is one, or it was just made"))
    }
}

impl Segment {
    /// Notes a piece; what follows another one at once becomes a part of it.
    fn note(&mut self, subject: Subject, record: Record) {
        let records = self.by_subject.entry(subject).or_default();
        if let Some(last) = records.last_mut()
            && (last.no, last.stream, last.end) == (record.no, record.stream, record.start)
            && record.end - last.start <= limits::LOG_CHUNK_BYTES as u64
            && Span(record.since.0.saturating_sub(last.since.0)) < limits::LOG_MERGE
        {
            last.end = record.end;
            return;
        }
        records.push(record);
        self.records += 1;
    }
}
