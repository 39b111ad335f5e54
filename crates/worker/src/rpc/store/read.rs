//! What a fetch is to read: found in the store, and not read yet.

use std::sync::Arc;

use bireme_core::ObjectId;
use bireme_core::id::{AttemptId, Digest};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::Buffer;
use bireme_proto::pb;
use bytes::Bytes;

use super::assembly::head_of;
use super::{malformed, unsupported};
use crate::store::{File, Store, Stored};

/// What a fetch reads. The value is pinned as long as this lives.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What is told first.
    pub(crate) head: pb::FetchHead,
    /// What follows, in order.
    pub(crate) runs: Vec<Run>,
    /// Keeps files in place.
    _stored: Stored,
}

/// A run of bytes of one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Which buffer, from 0.
    pub(crate) buffer: u32,
    /// Where in the buffer it starts.
    pub(crate) offset: u64,
    /// How many bytes it has.
    pub(crate) length: u64,
    /// Where they are.
    pub(crate) source: Source,
}

/// Where the bytes of a run are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// In a file, from this byte on.
    File(Arc<File>, u64),
    /// Here.
    Inline(Bytes),
}

impl Reading {
    /// Finds what is asked for.
    pub(crate) fn new(store: &Store, request: pb::FetchRequest) -> Result<Self, Refusal> {
        let pb::FetchRequest { source, buffer, offset, length, made_by, worker: _ } = request;
        let stored = match source {
            Some(pb::fetch_request::Source::Object(id)) => {
                let asked = made_by.map(TryInto::try_into).transpose()?;
                object(store, id.try_into()?, asked)?
            }
            Some(pb::fetch_request::Source::Blob(digest)) => blob(store, digest.try_into()?)?,
            None => {
                return Err(malformed("source", "the source is missing; name an object or a blob"));
            }
        };
        let runs = runs(&stored, buffer as usize, offset, length)?;
        let head = pb::FetchHead {
            value: Some(head_of(&stored.value)),
            made_by: stored.made_by.map(Into::into),
            length: runs.iter().map(|run| run.length).sum(),
        };
        Ok(Self { head, runs, _stored: stored })
    }
}

impl Run {
    /// Takes the first bytes away, `most` at most.
    pub(super) fn split(&mut self, most: u64) -> Self {
        let length = self.length.min(most);
        let source = match &mut self.source {
            Source::File(file, from) => {
                let first = Source::File(Arc::clone(file), *from);
                *from += length;
                first
            }
            Source::Inline(bytes) => Source::Inline(bytes.split_to(size(length))),
        };
        let first = Self { buffer: self.buffer, offset: self.offset, length, source };
        self.length -= length;
        self.offset += length;
        first
    }
}

/// A length that is that of a chunk, or of bytes in memory.
pub(super) fn size(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

fn object(store: &Store, object: ObjectId, asked: Option<AttemptId>) -> Result<Stored, Refusal> {
    let stored = store.get(object).ok_or_else(|| {
        Refusal::new(Reason::ObjectUnknown, format!("object {object} is not on this worker"))
    })?;
    // One that was cut is found out here, before a byte of it is promised.
    if !store.examine(object) {
        let message = format!("files of object {object} were cut; fetch it when it was made again");
        return Err(Refusal::new(Reason::ObjectUnknown, message));
    }
    if asked.is_none() || asked == stored.made_by {
        return Ok(stored);
    }
    let message = format!("object {object} was made by another attempt; fetch it from the start");
    Err(Refusal::at(Reason::ReplicaChanged, "made_by", message))
}

/// A blob as a value of one raw buffer.
fn blob(store: &Store, digest: Digest) -> Result<Stored, Refusal> {
    store.blob(digest).ok_or_else(|| {
        Refusal::new(Reason::BlobUnknown, format!("blob {digest:?} is not on this worker"))
    })
}

/// The bytes from an offset in a buffer on, at most `length` unless that is 0.
fn runs(stored: &Stored, first: usize, offset: u64, length: u64) -> Result<Vec<Run>, Refusal> {
    let buffers = &stored.value.buffers;
    if first > buffers.len() {
        let message = format!("buffer {first} of a value that has {}", buffers.len());
        return Err(malformed("buffer", message));
    }
    let mut room = if length == 0 { u64::MAX } else { length };
    let mut runs = Vec::new();
    for (n, buffer) in (0_u32..).zip(buffers).skip(first) {
        let (source, length) = source_of(stored, buffer)?;
        let start = if n as usize == first { offset } else { 0 };
        if start > length {
            let message = format!("offset {start} of a buffer of {length} bytes");
            return Err(malformed("offset", message));
        }
        let mut run = Run { buffer: n, offset: 0, length, source };
        run.split(start);
        let run = run.split(room);
        room -= run.length;
        runs.push(run);
    }
    Ok(runs)
}

fn source_of(stored: &Stored, buffer: &Buffer) -> Result<(Source, u64), Refusal> {
    match buffer {
        Buffer::Inline(bytes) => Ok((Source::Inline(bytes.clone()), bytes.len() as u64)),
        Buffer::PoolFile(run) => {
            let lost = |error| Refusal::new(Reason::ObjectUnknown, format!("{error}"));
            let file = stored.file(run).map_err(lost)?;
            Ok((Source::File(Arc::clone(file), run.offset), run.length))
        }
        Buffer::Blob(_) | Buffer::Object(_) => {
            Err(unsupported("object", "bytes of the value are those of another; fetch that"))
        }
    }
}
