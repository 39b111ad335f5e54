//! The blobs of a scheduler that the test plays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bireme_core::id::Digest;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::pb::store_server::Store;
use bireme_proto::status::status;
use bytes::Bytes;
use tonic::{Request, Response, Status, Streaming};

/// The blobs that it has, and how often each was fetched.
#[derive(Clone, Default)]
pub(crate) struct Blobs(Arc<Mutex<BTreeMap<Digest, (Bytes, u32)>>>);

impl Blobs {
    /// Keeps a blob.
    pub(crate) fn put(&self, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        self.0.lock().unwrap().insert(digest, (bytes, 0));
        digest
    }

    pub(crate) fn fetched(&self, digest: Digest) -> u32 {
        self.0.lock().unwrap().get(&digest).map_or(0, |(_, fetched)| *fetched)
    }
}

type Parts<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

#[tonic::async_trait]
impl Store for Blobs {
    type FetchStream = Parts<pb::FetchResponse>;
    type FetchBlobStream = Parts<pb::FetchBlobResponse>;

    async fn fetch(
        &self,
        request: Request<pb::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        use pb::fetch_request::Source;
        use pb::fetch_response::Part;
        let Some(Source::Blob(digest)) = request.into_inner().source else {
            return Err(Status::invalid_argument("only blobs are here"));
        };
        let digest = Digest::try_from(digest).unwrap();
        let mut blobs = self.0.lock().unwrap();
        let unknown = || status(Refusal::new(Reason::BlobUnknown, "no such blob"));
        let (data, fetched) = blobs.get_mut(&digest).ok_or_else(unknown)?;
        *fetched += 1;
        let size = data.len() as u64;
        let value = pb::ValueHead {
            codec: pb::Codec::Raw.into(),
            buffer_lengths: vec![size],
            size,
            ..pb::ValueHead::default()
        };
        let head = pb::FetchHead { value: Some(value), ..pb::FetchHead::default() };
        let chunk = pb::DataChunk { data: data.clone(), buffer: 0, offset: 0 };
        let parts = [Part::Head(head), Part::Chunk(chunk)];
        let parts = parts.map(|part| Ok(pb::FetchResponse { part: Some(part) }));
        Ok(Response::new(tokio_stream::iter(Vec::from(parts))))
    }

    async fn put(
        &self,
        _: Request<Streaming<pb::PutRequest>>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        Err(elsewhere())
    }

    async fn stat(
        &self,
        _: Request<pb::StatRequest>,
    ) -> Result<Response<pb::StatResponse>, Status> {
        Err(elsewhere())
    }

    async fn put_blob(
        &self,
        _: Request<Streaming<pb::PutBlobRequest>>,
    ) -> Result<Response<pb::PutBlobResponse>, Status> {
        Err(elsewhere())
    }

    async fn has_blobs(
        &self,
        _: Request<pb::HasBlobsRequest>,
    ) -> Result<Response<pb::HasBlobsResponse>, Status> {
        Err(elsewhere())
    }

    async fn fetch_blob(
        &self,
        _: Request<pb::FetchBlobRequest>,
    ) -> Result<Response<Self::FetchBlobStream>, Status> {
        Err(elsewhere())
    }

    async fn ticket(
        &self,
        _: Request<pb::TicketRequest>,
    ) -> Result<Response<pb::TicketResponse>, Status> {
        Err(elsewhere())
    }

    async fn put_ticket(
        &self,
        _: Request<pb::PutTicketRequest>,
    ) -> Result<Response<pb::PutTicketResponse>, Status> {
        Err(elsewhere())
    }

    async fn pool_files(
        &self,
        _: Request<pb::PoolFilesRequest>,
    ) -> Result<Response<pb::PoolFilesResponse>, Status> {
        Err(elsewhere())
    }

    async fn allocate_pool(
        &self,
        _: Request<pb::AllocatePoolRequest>,
    ) -> Result<Response<pb::AllocatePoolResponse>, Status> {
        Err(elsewhere())
    }

    async fn release_pool(
        &self,
        _: Request<pb::ReleasePoolRequest>,
    ) -> Result<Response<pb::ReleasePoolResponse>, Status> {
        Err(elsewhere())
    }
}

fn elsewhere() -> Status {
    Status::unimplemented("a played scheduler only gives blobs")
}
