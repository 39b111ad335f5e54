//! Functions and modules, which the cluster knows by their digests.

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_proto::pb;
use bytes::Bytes;
use pb::put_blob_request::Part;

use crate::client::{Client, fresh_id, wire};
use crate::error::CommandError;
use crate::error::Refused;

impl Client {
    /// Has the cluster keep a blob, and sends its bytes if they are not there. Returns its digest, to be named by payloads.
    ///
    /// Every call asks the scheduler: whoever calls often remembers what it has put.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, CommandError> {
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        let peers = self.inner.peers();
        let mut store = peers.relay();
        let asked = pb::HasBlobsRequest { digests: vec![digest.into()] };
        let has = store.has_blobs(peers.call(asked)).await.map_err(Refused::from)?;
        if has.into_inner().missing.is_empty() {
            return Ok(digest);
        }
        let head = pb::PutBlobHead {
            submission_id: wire(fresh_id()),
            digest: Some(digest.into()),
            length: bytes.len() as u64,
        };
        let starts = (0..bytes.len()).step_by(limits::STORE_CHUNK_BYTES);
        let chunks = starts.map(move |start| {
            let end = bytes.len().min(start + limits::STORE_CHUNK_BYTES);
            Part::Data(bytes.slice(start..end))
        });
        let parts = std::iter::once(Part::Head(head)).chain(chunks);
        let parts = parts.map(|part| pb::PutBlobRequest { part: Some(part) });
        let put = peers.call(tokio_stream::iter(parts.collect::<Vec<_>>()));
        store.put_blob(put).await.map_err(Refused::from)?;
        Ok(digest)
    }
}
