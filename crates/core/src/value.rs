//! Values: bytes, and how they are to be read.

use bytes::Bytes;

use crate::id::{ActorId, Digest};
use crate::object::ObjectId;

/// How the bytes of a value are to be read.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Codec {
    /// An Arrow IPC stream.
    ArrowIpc,
    /// A function or class pickled by value by cloudpickle.
    Cloudpickle,
    /// JSON text in UTF-8.
    Json,
    /// One `MessagePack` item.
    Msgpack,
    /// No value at all.
    #[default]
    None,
    /// One array in `NumPy`'s `.npy` format.
    Npy,
    /// Pickle protocol 5: first the pickle, then its out-of-band buffers.
    Pickle5,
    /// Plain bytes.
    Raw,
    /// Text in UTF-8.
    Utf8,
}

impl Codec {
    /// Its name, as people and errors spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ArrowIpc => "arrow-ipc",
            Self::Cloudpickle => "cloudpickle",
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::None => "none",
            Self::Npy => "npy",
            Self::Pickle5 => "pickle5",
            Self::Raw => "raw",
            Self::Utf8 => "utf8",
        }
    }
}

/// How the buffers of a value are compressed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Compression {
    /// LZ4 frames.
    Lz4,
    /// As they are.
    #[default]
    None,
    /// Zstandard frames.
    Zstd,
}

/// A run of bytes, here or elsewhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Buffer {
    /// A blob.
    Blob(Digest),
    /// Here.
    Inline(Bytes),
    /// The bytes of another stored value.
    Object(ObjectId),
    /// In a file of the shared-memory pool of this machine.
    PoolFile(PoolFile),
}

/// A run of bytes of a pool file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolFile {
    /// File name within the pool's directory: one path component.
    pub name: String,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// Generation of the file when the run was written.
    pub generation: u64,
}

/// Something a value's bytes refer to; a stored value keeps it alive.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Ref {
    /// An actor.
    Actor(ActorId),
    /// A stored value.
    Object(ObjectId),
}

/// An argument, a result, or the opaque part of an error.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Value {
    /// How to read the buffers.
    pub codec: Codec,
    /// The bytes, in the order the codec asks for.
    pub buffers: Vec<Buffer>,
    /// Length of all buffers after decompression, in bytes.
    pub size: u64,
    /// What the bytes refer to.
    pub contains: Vec<Ref>,
    /// Name of the type in its language, for people.
    pub type_hint: String,
    /// How each buffer is compressed.
    pub compression: Compression,
    /// BLAKE3 of the uncompressed buffers, one after the other.
    pub digest: Option<Digest>,
}

/// How 16 bytes begin.
const MSGPACK_16_BYTES: [u8; 2] = [0xc4, 16];

impl Value {
    /// The value of a task that returns nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Bytes that are all here.
    pub fn inline(codec: Codec, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            codec,
            size: bytes.len() as u64,
            buffers: vec![Buffer::Inline(bytes)],
            ..Self::default()
        }
    }

    /// Plain bytes.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::inline(Codec::Raw, bytes)
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::inline(Codec::Utf8, text.into().into_bytes())
    }

    /// A handle of an actor: its id, as 16 bytes in `MessagePack`.
    pub fn actor(actor: ActorId) -> Self {
        let mut bytes = MSGPACK_16_BYTES.to_vec();
        bytes.extend_from_slice(&actor.0.to_be_bytes());
        let contains = vec![Ref::Actor(actor)];
        let type_hint = "Actor".to_owned();
        Self { contains, type_hint, ..Self::inline(Codec::Msgpack, bytes) }
    }

    /// The actor, if the value is a handle of one and all of it is here.
    pub fn as_actor(&self) -> Option<ActorId> {
        let bytes = self.bytes().filter(|_| self.codec == Codec::Msgpack)?;
        let id = bytes.strip_prefix(&MSGPACK_16_BYTES)?.try_into().ok()?;
        Some(ActorId(u128::from_be_bytes(id)))
    }

    /// Whether every byte is in the value itself.
    pub fn is_inline(&self) -> bool {
        self.buffers.iter().all(|buffer| matches!(buffer, Buffer::Inline(_)))
    }

    /// How many bytes are in the value itself, as they are.
    pub fn inline_bytes(&self) -> u64 {
        let lengths = self.buffers.iter().map(|buffer| match buffer {
            Buffer::Inline(bytes) => bytes.len() as u64,
            Buffer::Blob(_) | Buffer::Object(_) | Buffer::PoolFile(_) => 0,
        });
        lengths.sum()
    }

    /// All bytes in one run: no copy where there is one buffer. `None` if some are elsewhere.
    pub fn bytes(&self) -> Option<Bytes> {
        match self.buffers.as_slice() {
            [] => Some(Bytes::new()),
            [Buffer::Inline(bytes)] => Some(bytes.clone()),
            many => {
                // Not by `size`, which somebody else may have made up.
                let mut all = Vec::with_capacity(usize::try_from(self.inline_bytes()).ok()?);
                for buffer in many {
                    let Buffer::Inline(bytes) = buffer else { return None };
                    all.extend_from_slice(bytes);
                }
                Some(all.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_as_what_it_was_made_of() {
        let handle = Value::actor(ActorId(7 << 100 | 5));
        assert_eq!(handle.as_actor(), Some(ActorId(7 << 100 | 5)));
        assert_eq!(handle.contains, [Ref::Actor(ActorId(7 << 100 | 5))]);
        assert_eq!(Value::text("an actor").as_actor(), None);
        assert_eq!(Value::inline(Codec::Msgpack, &[0xc4, 1, 0][..]).as_actor(), None);
    }

    #[test]
    fn several_buffers_read_as_one_run() {
        let mut value = Value::raw("ab");
        value.buffers.push(Buffer::Inline("cd".into()));
        value.size = 4;
        assert_eq!(value.bytes().as_deref(), Some(&b"abcd"[..]));
        value.buffers.push(Buffer::Blob(Digest([0; 32])));
        assert_eq!(value.bytes(), None);
        assert_eq!(Value::none().bytes().as_deref(), Some(&b""[..]));
    }
}
