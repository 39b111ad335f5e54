//! Functions and modules, which the cluster knows by their digests.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_proto::pb;
use bytes::Bytes;
use pb::put_blob_request::Part;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};

use crate::client::{Client, fresh_id, wire};
use crate::error::{CommandError, Refused};

/// Pieces of a file that are read before they are sent.
const CHUNKS_AHEAD: usize = 4;

/// Why a file is not with the cluster.
#[derive(Debug, thiserror::Error)]
pub enum PutFileError {
    /// The scheduler did not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It cannot be read, or was cut meanwhile.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Client {
    /// Has the cluster keep a blob, and sends its bytes if they are not there. Returns its digest, to be named by payloads.
    ///
    /// Every call asks the scheduler: whoever calls often remembers what it has put.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, CommandError> {
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        if self.has_blob(digest).await? {
            return Ok(digest);
        }
        let length = bytes.len() as u64;
        let starts = (0..bytes.len()).step_by(limits::STORE_CHUNK_BYTES);
        let chunks = starts.map(move |start| {
            let end = bytes.len().min(start + limits::STORE_CHUNK_BYTES);
            bytes.slice(start..end)
        });
        self.send_blob(digest, length, tokio_stream::iter(chunks.collect::<Vec<_>>())).await?;
        Ok(digest)
    }

    /// The same of a file, which is read piece by piece: first for its digest, and again if its bytes have to be sent.
    pub async fn put_blob_file(&self, path: PathBuf) -> Result<Digest, PutFileError> {
        let unreadable = |error| PutFileError::Unreadable { path: path.clone(), error };
        let opened = path.clone();
        let hashed = spawn_blocking(move || {
            let file = File::open(opened)?;
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&file)?;
            Ok((file, Digest(*hasher.finalize().as_bytes()), hasher.count()))
        });
        let hashed = hashed.await.map_err(io::Error::other).flatten();
        let (file, digest, length) = hashed.map_err(unreadable)?;
        if self.has_blob(digest).await? {
            return Ok(digest);
        }
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let read = spawn_blocking(move || read_into(&file, length, &sender));
        let sent = self.send_blob(digest, length, ReceiverStream::new(chunks)).await;
        // What cannot be read is why too little was sent.
        read.await.map_err(io::Error::other).flatten().map_err(unreadable)?;
        Ok(sent.map(|()| digest)?)
    }

    async fn has_blob(&self, digest: Digest) -> Result<bool, Refused> {
        let peers = self.inner.peers();
        let asked = pb::HasBlobsRequest { digests: vec![digest.into()] };
        let has = peers.relay().has_blobs(peers.call(asked)).await?;
        Ok(has.into_inner().missing.is_empty())
    }

    async fn send_blob(
        &self,
        digest: Digest,
        length: u64,
        chunks: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<(), Refused> {
        let peers = self.inner.peers();
        let submission_id = wire(fresh_id());
        let head = pb::PutBlobHead { submission_id, digest: Some(digest.into()), length };
        let parts = tokio_stream::once(Part::Head(head)).chain(chunks.map(Part::Data));
        let parts = parts.map(|part| pb::PutBlobRequest { part: Some(part) });
        peers.relay().put_blob(peers.call(parts)).await?;
        Ok(())
    }
}

/// Reads the first `length` bytes of a file, for as long as somebody takes them.
fn read_into(file: &File, length: u64, sender: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut offset = 0;
    while offset < length {
        let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
        let mut chunk = vec![0; left.min(limits::STORE_CHUNK_BYTES)];
        file.read_exact_at(&mut chunk, offset)?;
        offset += chunk.len() as u64;
        if sender.blocking_send(chunk.into()).is_err() {
            break;
        }
    }
    Ok(())
}
