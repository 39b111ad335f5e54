//! Blobs, in and out.

use std::sync::Arc;

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::status::status;
use bytes::Bytes;
use tonic::{Status, Streaming};

use super::assembly::Assembly;
use super::malformed;
use super::read::Reading;
use crate::store::Store;

/// Stores a blob whose bytes follow.
pub(super) async fn put(
    store: &Arc<Store>,
    mut parts: Streaming<pb::PutBlobRequest>,
) -> Result<pb::PutBlobResponse, Status> {
    let first = parts.message().await?.and_then(|message| message.part);
    let Some(pb::put_blob_request::Part::Head(head)) = first else {
        return Err(status(malformed("head", "the first message carries no head")));
    };
    let pb::PutBlobHead { submission_id: _, digest, length } = head;
    let named = begin(digest, length).map_err(status)?;
    let answer = |existed| pb::PutBlobResponse { digest: Some(named.into()), length, existed };
    if store.blob(named).is_some() {
        return Ok(answer(true));
    }
    let head = pb::ValueHead {
        codec: pb::Codec::Raw.into(),
        buffer_lengths: vec![length],
        size: length,
        digest: Some(named.into()),
        ..pb::ValueHead::default()
    };
    let mut assembly = Assembly::new(head, store).await.map_err(status)?;
    let mut offset = 0;
    while let Some(message) = parts.message().await? {
        let Some(pb::put_blob_request::Part::Data(data)) = message.part else {
            return Err(status(malformed("data", "a later message carries no bytes")));
        };
        let came = data.len() as u64;
        assembly.add(pb::DataChunk { data, buffer: 0, offset }).map_err(status)?;
        offset += came;
    }
    let arrived = assembly.finish().map_err(status)?;
    arrived.store_blob(store, named).map_err(status)?;
    Ok(answer(false))
}

fn begin(digest: Option<pb::Digest>, length: u64) -> Result<Digest, Refusal> {
    if length > limits::BLOBS_BYTES {
        let message = format!("the blob is larger than {} bytes", limits::BLOBS_BYTES);
        return Err(Refusal::at(Reason::ValueTooLarge, "head.length", message));
    }
    digest.ok_or_else(|| malformed("head.digest", "the digest is missing"))?.try_into()
}

/// Which blobs would have to be sent.
pub(super) fn missing(
    store: &Store,
    request: pb::HasBlobsRequest,
) -> Result<pb::HasBlobsResponse, Refusal> {
    let pb::HasBlobsRequest { digests } = request;
    if digests.len() > limits::STAT_OBJECTS {
        let message = format!("more than {} blobs are asked about", limits::STAT_OBJECTS);
        return Err(malformed("digests", message));
    }
    let mut missing = Vec::new();
    for digest in digests {
        if store.blob(digest.clone().try_into()?).is_none() {
            missing.push(digest);
        }
    }
    Ok(pb::HasBlobsResponse { missing })
}

/// What answers a fetch of a blob.
pub(super) fn read(store: &Store, request: pb::FetchBlobRequest) -> Result<Reading, Refusal> {
    let pb::FetchBlobRequest { digest, offset } = request;
    let digest = digest.ok_or_else(|| malformed("digest", "the digest is missing"))?;
    let source = Some(pb::fetch_request::Source::Blob(digest));
    Reading::new(store, pb::FetchRequest { source, offset, ..pb::FetchRequest::default() })
}

/// Turns a message of a fetch into one of a fetch of a blob from an offset on.
pub(super) fn part(message: pb::FetchResponse, from: u64) -> pb::FetchBlobResponse {
    match message.part {
        Some(pb::fetch_response::Part::Chunk(pb::DataChunk { data, offset, .. })) => {
            pb::FetchBlobResponse { data, offset, length: 0 }
        }
        Some(pb::fetch_response::Part::Head(pb::FetchHead { value, .. })) => {
            let length = value.map_or(0, |value| value.size);
            pb::FetchBlobResponse { data: Bytes::new(), offset: from, length }
        }
        None => pb::FetchBlobResponse::default(),
    }
}
