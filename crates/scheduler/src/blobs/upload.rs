//! A blob on its way in.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bireme_core::id::Digest;
use bireme_core::reason::{Reason, Refusal};
use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use super::{Blob, BlobFile, not_written};

/// A blob of which some bytes have come.
#[derive(Debug)]
pub(crate) struct Upload {
    length: u64,
    came: u64,
    hasher: Box<blake3::Hasher>,
    to: Place,
    room: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Place {
    Memory(BytesMut),
    File(Arc<BlobFile>),
}

impl Upload {
    pub(super) fn to_memory(length: u64, room: OwnedSemaphorePermit) -> Self {
        Self { length, came: 0, hasher: Box::default(), to: Place::Memory(BytesMut::new()), room }
    }

    pub(super) fn to_file(length: u64, room: OwnedSemaphorePermit, file: BlobFile) -> Self {
        let to = Place::File(Arc::new(file));
        Self { length, came: 0, hasher: Box::default(), to, room }
    }

    /// Takes the bytes that follow.
    pub(crate) async fn add(&mut self, data: Bytes) -> Result<(), Refusal> {
        let (offset, length) = (self.came, self.length);
        self.came += data.len() as u64;
        if self.came > length {
            let message = format!("more than the {length} bytes announced");
            return Err(Refusal::at(Reason::Malformed, "data", message));
        }
        self.hasher.update(&data);
        match &mut self.to {
            Place::Memory(bytes) => bytes.extend_from_slice(&data),
            Place::File(file) => {
                let file = Arc::clone(file);
                let written = spawn_blocking(move || file.write_all_at(&data, offset)).await;
                let written = written.map_err(io::Error::other).flatten();
                written.map_err(|error| not_written(&error))?;
            }
        }
        Ok(())
    }

    /// The digest and the blob, if all of it has come, and its room.
    pub(super) fn finish(self) -> Result<(Digest, Blob, OwnedSemaphorePermit), Refusal> {
        let Self { length, came, hasher, to, room } = self;
        if came != length {
            let message = format!("ended after {came} of {length} bytes: send it again");
            return Err(Refusal::at(Reason::Malformed, "data", message));
        }
        let blob = match to {
            Place::Memory(bytes) => Blob::Here(bytes.freeze()),
            Place::File(file) => Blob::Filed(file, length),
        };
        Ok((Digest(*hasher.finalize().as_bytes()), blob, room))
    }
}
