//! Blobs: functions and the like, which payloads name by digest and a worker sends once.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bireme_core::id::Digest;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::{Buffer, PoolFile};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::Blob;
use bytes::Bytes;

use crate::sync::lock;

/// The blobs that a process has been sent and was not told to drop; clones are the same.
///
/// The worker bounds them: it has those dropped that were not used for long. Those that the payload of an attempt names are
/// there until it ends.
#[derive(Clone, Debug, Default)]
pub struct Blobs(Arc<Mutex<BTreeMap<Digest, Bytes>>>);

impl Blobs {
    /// The bytes of a blob, if it is here; a clone of them costs nothing.
    pub fn get(&self, digest: Digest) -> Option<Bytes> {
        lock(&self.0).get(&digest).cloned()
    }

    /// Takes a blob off the wire. One that lies in a file of the pool is copied from there: the worker may have another use
    /// for the file before this process drops the blob.
    pub(crate) fn take(&self, pool: &Path, blob: Blob) -> Result<(), Refusal> {
        let Blob { digest, bytes } = blob;
        let missing = |field| Refusal::at(Reason::Malformed, field, "it is missing");
        let digest = digest.ok_or_else(|| missing("blobs.digest"))?.try_into()?;
        let bytes = match bytes.ok_or_else(|| missing("blobs.bytes"))?.try_into()? {
            Buffer::Inline(bytes) => bytes,
            Buffer::PoolFile(place) => read(pool, &place)?,
            Buffer::Blob(_) | Buffer::Object(_) => {
                let message = "a blob is sent in the message, or in a file of the pool";
                return Err(Refusal::at(Reason::Unsupported, "blobs.bytes", message));
            }
        };
        lock(&self.0).insert(digest, bytes);
        Ok(())
    }

    /// Drops blobs.
    pub(crate) fn drop(&self, digests: Vec<pb::Digest>) {
        let digests = digests.into_iter().filter_map(|digest| digest.try_into().ok());
        let mut blobs = lock(&self.0);
        let gone: Vec<_> = digests.map(|digest: Digest| blobs.remove(&digest)).collect();
        drop(blobs); // Before those that are gone, whose memory is given back without the lock.
        drop(gone);
    }
}

impl FromIterator<(Digest, Bytes)> for Blobs {
    fn from_iter<T: IntoIterator<Item = (Digest, Bytes)>>(blobs: T) -> Self {
        Self(Arc::new(Mutex::new(blobs.into_iter().collect())))
    }
}

fn read(pool: &Path, place: &PoolFile) -> Result<Bytes, Refusal> {
    let length = usize::try_from(place.length).unwrap_or(usize::MAX);
    let read = File::open(pool.join(&place.name)).and_then(|file| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, place.offset).map(|()| bytes)
    });
    read.map(Bytes::from).map_err(|error| {
        let message = format!("a blob cannot be read from the pool: {}: {error}", place.name);
        Refusal::at(Reason::InputLost, "blobs.bytes", message)
    })
}
