//! Values, and where their bytes are.

use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::{Buffer, Codec, Compression, PoolFile, Ref, Value};

use crate::convert::Unknown;
use crate::convert::enums::{commanded, number};
use crate::convert::field::{Within as _, list, malformed, no_arm, optional, sent};
use crate::pb;

/// A small value that rides along with a report. One that this version cannot read is passed over: whoever wants it asks
/// a holder.
pub(crate) fn inline(
    message: Option<pb::Value>,
    unknown: &mut Unknown,
) -> Result<Option<Box<Value>>, Refusal> {
    match message.map(Value::try_from).transpose() {
        Ok(value) => Ok(value.map(Box::new)),
        Err(refusal) if refusal.reason == Reason::Unsupported => {
            unknown.0 += 1;
            Ok(None)
        }
        Err(refusal) => Err(refusal),
    }
}

impl TryFrom<pb::Value> for Value {
    type Error = Refusal;

    fn try_from(message: pb::Value) -> Result<Self, Refusal> {
        let pb::Value { codec, buffers, size, contains, type_hint, compression, digest } = message;
        let buffers: Vec<Buffer> = list(buffers, "buffers")?;
        let codec = match (codec, buffers.as_slice()) {
            // The object's own codec reads it.
            (0, [Buffer::Object(_)]) => Codec::None,
            _ => commanded(codec, "codec")?,
        };
        let mut value = Self {
            codec,
            buffers,
            size,
            contains: list(contains, "contains")?,
            type_hint,
            compression: commanded(compression, "compression")?,
            digest: optional(digest, "digest")?,
        };
        if value.compression == Compression::None && value.is_inline() {
            // Reckoned rather than believed.
            value.size = value.inline_bytes();
        }
        Ok(value)
    }
}

impl From<Value> for pb::Value {
    fn from(value: Value) -> Self {
        let Value { codec, buffers, size, contains, type_hint, compression, digest } = value;
        let codec = match (codec, buffers.as_slice()) {
            (Codec::None, [Buffer::Object(_)]) => pb::Codec::Unspecified.into(),
            _ => number(codec),
        };
        Self {
            codec,
            buffers: sent(buffers),
            size,
            contains: sent(contains),
            type_hint,
            compression: number(compression),
            digest: digest.map(Into::into),
        }
    }
}

impl TryFrom<pb::Buffer> for Buffer {
    type Error = Refusal;

    fn try_from(pb::Buffer { place }: pb::Buffer) -> Result<Self, Refusal> {
        match place.ok_or_else(|| no_arm("place"))? {
            pb::buffer::Place::Inline(bytes) => Ok(Self::Inline(bytes)),
            pb::buffer::Place::PoolFile(file) => {
                file.try_into().map(Self::PoolFile).within("pool_file")
            }
            pb::buffer::Place::Object(object) => {
                object.try_into().map(Self::Object).within("object")
            }
            pb::buffer::Place::Blob(digest) => digest.try_into().map(Self::Blob).within("blob"),
        }
    }
}

impl From<Buffer> for pb::Buffer {
    fn from(buffer: Buffer) -> Self {
        let place = match buffer {
            Buffer::Blob(digest) => pb::buffer::Place::Blob(digest.into()),
            Buffer::Inline(bytes) => pb::buffer::Place::Inline(bytes),
            Buffer::Object(object) => pb::buffer::Place::Object(object.into()),
            Buffer::PoolFile(file) => pb::buffer::Place::PoolFile(file.into()),
        };
        Self { place: Some(place) }
    }
}

impl TryFrom<pb::buffer::PoolFile> for PoolFile {
    type Error = Refusal;

    fn try_from(message: pb::buffer::PoolFile) -> Result<Self, Refusal> {
        let pb::buffer::PoolFile { name, offset, length, generation } = message;
        // Whoever opens it joins it to a directory.
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(malformed("name", format!("name {name:?} is not a plain file name")));
        }
        if offset.checked_add(length).is_none() {
            let message = format!("length {length} from offset {offset} is beyond any file");
            return Err(malformed("length", message));
        }
        Ok(Self { name, offset, length, generation })
    }
}

impl From<PoolFile> for pb::buffer::PoolFile {
    fn from(PoolFile { name, offset, length, generation }: PoolFile) -> Self {
        Self { name, offset, length, generation }
    }
}

impl TryFrom<pb::Ref> for Ref {
    type Error = Refusal;

    fn try_from(pb::Ref { target }: pb::Ref) -> Result<Self, Refusal> {
        match target.ok_or_else(|| no_arm("target"))? {
            pb::r#ref::Target::Object(object) => {
                object.try_into().map(Self::Object).within("object")
            }
            pb::r#ref::Target::Actor(actor) => actor.try_into().map(Self::Actor).within("actor"),
        }
    }
}

impl From<Ref> for pb::Ref {
    fn from(reference: Ref) -> Self {
        let target = match reference {
            Ref::Actor(actor) => pb::r#ref::Target::Actor(actor.into()),
            Ref::Object(object) => pb::r#ref::Target::Object(object.into()),
        };
        Self { target: Some(target) }
    }
}
