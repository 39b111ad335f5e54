//! Values as they arrive: a head, then chunks in order.

use std::sync::Arc;

use bireme_core::id::{AttemptId, Digest};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::{Buffer, Compression};
use bireme_core::{ObjectId, Value, limits};
use bireme_proto::pb;
use bytes::{Bytes, BytesMut};

use super::malformed;
use crate::store::{Draft, Store, Stored};

/// What a value is, without its bytes.
pub(crate) fn head_of(value: &Value) -> pb::ValueHead {
    let lengths = value.buffers.iter().map(|buffer| match buffer {
        Buffer::Inline(bytes) => bytes.len() as u64,
        Buffer::PoolFile(file) => file.length,
        Buffer::Blob(_) | Buffer::Object(_) => 0,
    });
    let buffer_lengths = lengths.collect();
    let pb::Value { codec, buffers: _, size, contains, type_hint, compression, digest } =
        Value { buffers: Vec::new(), ..value.clone() }.into();
    pb::ValueHead { codec, buffer_lengths, size, contains, type_hint, compression, digest }
}

/// The value of a head, with these buffers.
pub(crate) fn value_of(head: pb::ValueHead, buffers: Vec<pb::Buffer>) -> Result<Value, Refusal> {
    let pb::ValueHead { codec, buffer_lengths, size, contains, type_hint, compression, digest } =
        head;
    let value = pb::Value { codec, buffers, size, contains, type_hint, compression, digest };
    let value = Value::try_from(value)?;
    let stored: u64 = buffer_lengths.iter().sum();
    if value.compression == Compression::None && value.size != stored {
        let message = format!("size is {}, the buffers have {stored} bytes", value.size);
        return Err(malformed("value.size", message));
    }
    Ok(value)
}

/// Checks what a head says of the buffers.
pub(crate) fn check_lengths(lengths: &[u64]) -> Result<(), Refusal> {
    let total = lengths.iter().try_fold(0_u64, |sum, next| sum.checked_add(*next));
    if total.is_none_or(|total| total > limits::VALUE_BYTES) {
        let message = format!("the value is larger than {} bytes", limits::VALUE_BYTES);
        return Err(Refusal::at(Reason::ValueTooLarge, "value.buffer_lengths", message));
    }
    if lengths.len() > limits::VALUE_BUFFERS {
        let message = format!("the value has more than {} buffers", limits::VALUE_BUFFERS);
        return Err(malformed("value.buffer_lengths", message));
    }
    Ok(())
}

/// Those of these lengths that belong in files.
pub(crate) fn long_lengths(lengths: &[u64]) -> Vec<u64> {
    lengths.iter().copied().filter(|length| is_long(*length)).collect()
}

fn is_long(length: u64) -> bool {
    length >= limits::POOL_FILE_BYTES
}

/// A value of which some bytes have come. Those of long buffers are in files already.
#[derive(Debug)]
pub(crate) struct Assembly {
    head: pb::ValueHead,
    /// For the long buffers.
    draft: Draft,
    done: Vec<pb::Buffer>,
    /// How many of `done` are long.
    written: usize,
    /// How much of the next buffer has come.
    filled: u64,
    /// That, where it is short.
    open: BytesMut,
    /// Of what has come; `None` where the head has no digest to compare with.
    hasher: Option<Box<blake3::Hasher>>,
}

/// A value that is all there and in no store yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// The value.
    pub(crate) value: Value,
    draft: Draft,
}

impl Arrived {
    /// Puts it into the store in which it was assembled; its size in bytes.
    pub(crate) fn store(
        self,
        store: &Store,
        object: ObjectId,
        made_by: Option<AttemptId>,
    ) -> Result<u64, Refusal> {
        Ok(store.put_written(object, self.value, std::iter::once(&self.draft), made_by)?)
    }

    /// Keeps it there as the blob that it is.
    pub(super) fn store_blob(self, store: &Store, digest: Digest) -> Result<Stored, Refusal> {
        let drafts = std::iter::once(&self.draft);
        let blob = Stored::gather(self.value, drafts, None)?;
        store.put_blob(digest, blob.clone());
        Ok(blob)
    }
}

impl Assembly {
    /// Begins with the head, and has room made in the store for what it announces.
    pub(super) async fn new(head: pb::ValueHead, store: &Arc<Store>) -> Result<Self, Refusal> {
        check_lengths(&head.buffer_lengths)?;
        let draft = store.make_room(long_lengths(&head.buffer_lengths)).await?;
        let plain = head.compression() == pb::Compression::Unspecified;
        let hasher = (plain && head.digest.is_some()).then(Box::default);
        let (done, open) = (Vec::new(), BytesMut::new());
        let mut assembly = Self { head, draft, done, written: 0, filled: 0, open, hasher };
        assembly.close_full();
        Ok(assembly)
    }

    /// The length of the buffer that is being filled; `None` when all are full.
    fn wanted(&self) -> Option<u64> {
        self.head.buffer_lengths.get(self.done.len()).copied()
    }

    fn close_full(&mut self) {
        while let Some(length) = self.wanted()
            && length == self.filled
        {
            let place = if is_long(length) {
                let run = self.draft.runs().get(self.written).cloned();
                self.written += 1;
                run.map(|run| pb::buffer::Place::PoolFile(run.into()))
            } else {
                Some(pb::buffer::Place::Inline(std::mem::take(&mut self.open).freeze()))
            };
            self.done.push(pb::Buffer { place });
            self.filled = 0;
        }
    }

    /// Takes the bytes that follow.
    pub(super) fn add(&mut self, chunk: pb::DataChunk) -> Result<(), Refusal> {
        let pb::DataChunk { data, buffer, offset } = chunk;
        let place = (self.done.len() as u64, self.filled);
        if (u64::from(buffer), offset) != place {
            let message = format!(
                "bytes of buffer {buffer} from {offset} on came where {} from {} on was awaited",
                place.0, place.1
            );
            return Err(malformed("chunk.offset", message));
        }
        let length = self.wanted().unwrap_or(0);
        let left = length.saturating_sub(offset);
        if data.len() as u64 > left {
            let message =
                format!("{} bytes came for buffer {buffer}, which lacks {left}", data.len());
            return Err(malformed("chunk.data", message));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&data);
        }
        self.filled += data.len() as u64;
        self.write(length, offset, data)?;
        self.close_full();
        Ok(())
    }

    fn write(&mut self, length: u64, offset: u64, data: Bytes) -> Result<(), Refusal> {
        if is_long(length) {
            self.draft.write(self.written, offset, &data).map_err(|error| {
                let message = format!("the value cannot be written to its file: {error}");
                Refusal::new(Reason::StoreFull, message)
            })?;
        } else {
            self.open.extend_from_slice(&data);
        }
        Ok(())
    }

    /// The value, if every byte has come and they are what the head's digest says.
    pub(super) fn finish(self) -> Result<Arrived, Refusal> {
        if let Some(length) = self.wanted() {
            let (n, have) = (self.done.len(), self.filled);
            let message = format!("the stream ended at byte {have} of {length} of buffer {n}");
            return Err(malformed("chunk", message));
        }
        let value = value_of(self.head, self.done)?;
        let digest = self.hasher.map(|hasher| *hasher.finalize().as_bytes());
        if let (Some(digest), Some(announced)) = (digest, value.digest)
            && digest != announced.0
        {
            let message = "the bytes have another digest";
            return Err(Refusal::at(Reason::DigestMismatch, "value.digest", message));
        }
        Ok(Arrived { value, draft: self.draft })
    }
}
