//! A value off a stream: a head, then chunks in order.

use bireme_core::Value;
use bireme_proto::pb;
use bytes::{Bytes, BytesMut};

use super::{RESERVE_BYTES_MAX, value_of};

/// A value whose bytes are coming.
#[derive(Debug)]
pub(super) struct Assembly {
    head: pb::ValueHead,
    buffers: Vec<Bytes>,
    /// The buffer that is being filled: the one after `buffers`.
    filling: BytesMut,
}

impl Assembly {
    pub(super) fn new(head: pb::FetchHead) -> Result<Self, String> {
        let head = head.value.ok_or("sent a head without a value")?;
        let mut assembly = Self { head, buffers: Vec::new(), filling: BytesMut::new() };
        assembly.close_full_buffers();
        Ok(assembly)
    }

    /// Length of the buffer that is being filled; `None` once all are full.
    fn length(&self) -> Option<u64> {
        self.head.buffer_lengths.get(self.buffers.len()).copied()
    }

    pub(super) fn add(&mut self, chunk: pb::DataChunk) -> Result<(), String> {
        let pb::DataChunk { data, buffer, offset } = chunk;
        let length = self.length().ok_or("sent more bytes than it announced")?;
        let filled = self.filling.len() as u64;
        if buffer as usize != self.buffers.len() || offset != filled {
            return Err(format!(
                "sent byte {offset} of buffer {buffer}, expected byte {filled} of buffer {}",
                self.buffers.len()
            ));
        }
        if filled + data.len() as u64 > length {
            return Err(format!("sent more than the {length} bytes of buffer {buffer}"));
        }
        if data.len() as u64 == length {
            self.buffers.push(data);
        } else {
            if self.filling.is_empty() {
                let reserve = usize::try_from(length.min(RESERVE_BYTES_MAX)).unwrap_or(0);
                self.filling.reserve(reserve);
            }
            self.filling.extend_from_slice(&data);
        }
        self.close_full_buffers();
        Ok(())
    }

    fn close_full_buffers(&mut self) {
        while self.length() == Some(self.filling.len() as u64) {
            self.buffers.push(std::mem::take(&mut self.filling).freeze());
        }
    }

    pub(super) fn finish(self) -> Result<Value, String> {
        if let Some(length) = self.length() {
            let (filled, buffer) = (self.filling.len(), self.buffers.len());
            return Err(format!("ended after {filled} of the {length} bytes of buffer {buffer}"));
        }
        value_of(self.head, self.buffers)
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::Codec;

    use super::*;

    fn assembly(lengths: &[u64]) -> Assembly {
        let value = pb::ValueHead {
            codec: pb::Codec::Raw.into(),
            buffer_lengths: lengths.to_vec(),
            size: lengths.iter().sum(),
            ..pb::ValueHead::default()
        };
        Assembly::new(pb::FetchHead { value: Some(value), ..pb::FetchHead::default() }).unwrap()
    }

    fn chunk(buffer: u32, offset: u64, data: &'static str) -> pb::DataChunk {
        pb::DataChunk { data: data.into(), buffer, offset }
    }

    #[test]
    fn chunks_become_the_buffers_that_were_announced() {
        let mut assembly = assembly(&[0, 5, 0, 2, 0]);
        assembly.add(chunk(1, 0, "abc")).unwrap();
        assembly.add(chunk(1, 3, "de")).unwrap();
        assembly.add(chunk(3, 0, "fg")).unwrap();
        let value = assembly.finish().unwrap();
        assert_eq!((value.codec, value.buffers.len()), (Codec::Raw, 5));
        assert_eq!(value.bytes().as_deref(), Some(&b"abcdefg"[..]));
    }

    #[test]
    fn a_holder_that_sends_what_it_did_not_announce_is_found_out() {
        assert!(assembly(&[4]).add(chunk(0, 1, "bcd")).unwrap_err().contains("expected byte 0"));
        assert!(assembly(&[4]).add(chunk(1, 0, "abcd")).unwrap_err().contains("of buffer 0"));
        assert!(assembly(&[4]).add(chunk(0, 0, "abcde")).unwrap_err().contains("more than the 4"));
        assert!(assembly(&[]).add(chunk(0, 0, "a")).unwrap_err().contains("more bytes than"));
        let mut short = assembly(&[4]);
        short.add(chunk(0, 0, "abc")).unwrap();
        assert!(short.finish().unwrap_err().contains("ended after 3 of the 4"));
    }
}
