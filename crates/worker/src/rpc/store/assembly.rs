//! Values as they travel: a head, then chunks in order.

use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::Compression;
use bireme_core::{Value, limits};
use bireme_proto::pb;
use bytes::{Bytes, BytesMut};

use super::malformed;

/// What a value is, without its bytes.
pub(super) fn head_of(value: &Value) -> pb::ValueHead {
    let lengths = value.buffers.iter().map(|buffer| match buffer {
        bireme_core::value::Buffer::Inline(bytes) => bytes.len() as u64,
        bireme_core::value::Buffer::PoolFile(file) => file.length,
        bireme_core::value::Buffer::Blob(_) | bireme_core::value::Buffer::Object(_) => 0,
    });
    let buffer_lengths = lengths.collect();
    let pb::Value { codec, buffers: _, size, contains, type_hint, compression, digest } =
        Value { buffers: Vec::new(), ..value.clone() }.into();
    pb::ValueHead { codec, buffer_lengths, size, contains, type_hint, compression, digest }
}

/// A value of which some bytes have come.
pub(crate) struct Assembly {
    head: pb::ValueHead,
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Assembly {
    /// Begins with the head. Memory is taken for bytes that have come, and little more.
    pub(super) fn new(head: pb::ValueHead) -> Result<Self, Refusal> {
        let total = head.buffer_lengths.iter().try_fold(0_u64, |sum, next| sum.checked_add(*next));
        if total.is_none_or(|total| total > limits::VALUE_BYTES) {
            let message = format!("the value is larger than {} bytes", limits::VALUE_BYTES);
            return Err(Refusal::at(Reason::ValueTooLarge, "value.buffer_lengths", message));
        }
        if head.buffer_lengths.len() > limits::VALUE_BUFFERS {
            let message = format!("the value has more than {} buffers", limits::VALUE_BUFFERS);
            return Err(malformed("value.buffer_lengths", message));
        }
        let mut assembly = Self { head, done: Vec::new(), open: BytesMut::new() };
        assembly.make_room();
        assembly.close_full();
        Ok(assembly)
    }

    /// The length of the buffer that is being filled; `None` when all are full.
    fn wanted(&self) -> Option<u64> {
        self.head.buffer_lengths.get(self.done.len()).copied()
    }

    fn make_room(&mut self) {
        let room = self.wanted().unwrap_or(0).min(limits::FETCH_ROOM_BYTES);
        self.open.reserve(usize::try_from(room).unwrap_or(0));
    }

    fn close_full(&mut self) {
        while self.wanted() == Some(self.open.len() as u64) {
            self.done.push(std::mem::take(&mut self.open).freeze());
            self.make_room();
        }
    }

    /// Takes the bytes that follow.
    pub(super) fn add(&mut self, chunk: pb::DataChunk) -> Result<(), Refusal> {
        let pb::DataChunk { data, buffer, offset } = chunk;
        let place = (self.done.len() as u64, self.open.len() as u64);
        if (u64::from(buffer), offset) != place {
            let message = format!(
                "bytes of buffer {buffer} from {offset} on came where {} from {} on was awaited",
                place.0, place.1
            );
            return Err(malformed("chunk.offset", message));
        }
        let left = self.wanted().unwrap_or(0).saturating_sub(offset);
        if data.len() as u64 > left {
            let message =
                format!("{} bytes came for buffer {buffer}, which lacks {left}", data.len());
            return Err(malformed("chunk.data", message));
        }
        if self.open.is_empty() && data.len() as u64 == left {
            self.done.push(data);
            self.make_room();
        } else {
            self.open.extend_from_slice(&data);
        }
        self.close_full();
        Ok(())
    }

    /// The value, if every byte has come and they are what the head's digest says.
    pub(super) fn finish(self) -> Result<Value, Refusal> {
        if let Some(length) = self.wanted() {
            let (n, have) = (self.done.len(), self.open.len());
            let message = format!("the stream ended at byte {have} of {length} of buffer {n}");
            return Err(malformed("chunk", message));
        }
        let pb::ValueHead {
            codec,
            buffer_lengths: _,
            size,
            contains,
            type_hint,
            compression,
            digest,
        } = self.head;
        let stored: u64 = self.done.iter().map(|bytes| bytes.len() as u64).sum();
        let buffers = self
            .done
            .into_iter()
            .map(|bytes| pb::Buffer { place: Some(pb::buffer::Place::Inline(bytes)) });
        let buffers = buffers.collect();
        let value = Value::try_from(pb::Value {
            codec,
            buffers,
            size,
            contains,
            type_hint,
            compression,
            digest,
        })?;
        if value.compression == Compression::None {
            check(&value, stored)?;
        }
        Ok(value)
    }
}

fn check(value: &Value, stored: u64) -> Result<(), Refusal> {
    if value.size != stored {
        let message = format!("size is {}, the buffers have {stored} bytes", value.size);
        return Err(malformed("value.size", message));
    }
    let Some(digest) = value.digest else { return Ok(()) };
    let mut hasher = blake3::Hasher::new();
    for buffer in &value.buffers {
        if let bireme_core::value::Buffer::Inline(bytes) = buffer {
            hasher.update(bytes);
        }
    }
    if *hasher.finalize().as_bytes() != digest.0 {
        return Err(Refusal::at(
            Reason::DigestMismatch,
            "value.digest",
            "the bytes have another digest",
        ));
    }
    Ok(())
}
