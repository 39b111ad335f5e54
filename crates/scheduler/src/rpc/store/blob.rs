//! Blobs that the scheduler keeps, in and out.

use bytes::{Bytes, BytesMut};
use tonic::{Status, Streaming};

use bireme_core::Value;
use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::pb::put_blob_request::Part;
use bireme_proto::status::status;

use super::small;
use crate::blobs::Blobs;

/// Keeps a blob whose bytes follow.
pub(super) async fn put(
    blobs: &Blobs,
    mut parts: Streaming<pb::PutBlobRequest>,
) -> Result<pb::PutBlobResponse, Status> {
    let first = parts.message().await?.and_then(|message| message.part);
    let Some(Part::Head(pb::PutBlobHead { submission_id: _, digest, length })) = first else {
        return Err(malformed("head", "the first message carries no head"));
    };
    let digest = named(digest).map_err(status)?;
    let answer = |existed| pb::PutBlobResponse { digest: Some(digest.into()), length, existed };
    if blobs.length(digest) == Some(length) {
        return Ok(answer(true));
    }
    let _room = blobs.enter(length).map_err(status)?;
    let mut bytes = BytesMut::new();
    while let Some(message) = parts.message().await? {
        let Some(Part::Data(data)) = message.part else {
            return Err(malformed("data", "a later message carries no bytes"));
        };
        if (bytes.len() + data.len()) as u64 > length {
            return Err(malformed("data", &format!("more than the {length} bytes announced")));
        }
        bytes.extend_from_slice(&data);
    }
    if bytes.len() as u64 != length {
        let message = format!("ended after {} of {length} bytes: send it again", bytes.len());
        return Err(malformed("data", &message));
    }
    blobs.put(digest, bytes.freeze()).map_err(status)?;
    Ok(answer(false))
}

/// Which blobs would have to be sent.
pub(super) fn missing(
    blobs: &Blobs,
    request: pb::HasBlobsRequest,
) -> Result<pb::HasBlobsResponse, Refusal> {
    let pb::HasBlobsRequest { digests } = request;
    if digests.len() > limits::STAT_OBJECTS {
        let message = format!("{} blobs, the limit is {}", digests.len(), limits::STAT_OBJECTS);
        return Err(Refusal::at(Reason::Malformed, "digests", message));
    }
    let mut missing = Vec::new();
    for digest in digests {
        if blobs.length(digest.clone().try_into()?).is_none() {
            missing.push(digest);
        }
    }
    Ok(pb::HasBlobsResponse { missing })
}

/// How large a blob is.
pub(super) fn stat(blobs: &Blobs, digest: pb::Digest) -> Result<pb::BlobStat, Refusal> {
    let length = blobs.length(digest.clone().try_into()?);
    let residence = if length.is_some() { pb::Residence::Memory } else { pb::Residence::Absent };
    let (digest, residence) = (Some(digest), residence.into());
    Ok(pb::BlobStat { digest, residence, length: length.unwrap_or_default() })
}

/// The bytes of a blob.
pub(super) fn find(blobs: &Blobs, digest: Option<pb::Digest>) -> Result<Bytes, Refusal> {
    let digest = named(digest)?;
    blobs.get(digest).ok_or_else(|| {
        let message = format!("the scheduler has no blob {digest:?}: upload it");
        Refusal::at(Reason::BlobUnknown, "digest", message)
    })
}

/// The messages that carry a blob from an offset on.
pub(super) fn read(
    blobs: &Blobs,
    request: pb::FetchBlobRequest,
) -> Result<Vec<pb::FetchBlobResponse>, Refusal> {
    use pb::fetch_response::Part;
    let pb::FetchBlobRequest { digest, offset: from } = request;
    let bytes = find(blobs, digest)?;
    let length = bytes.len() as u64;
    let whole = pb::FetchRequest { offset: from, ..pb::FetchRequest::default() };
    let parts = small(&Value::raw(bytes), &whole)?.into_iter().filter_map(|message| {
        Some(match message.part? {
            Part::Head(_) => pb::FetchBlobResponse { data: Bytes::new(), offset: from, length },
            Part::Chunk(pb::DataChunk { data, offset, .. }) => {
                pb::FetchBlobResponse { data, offset, length: 0 }
            }
        })
    });
    Ok(parts.collect())
}

fn named(digest: Option<pb::Digest>) -> Result<Digest, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "digest", "the digest is missing");
    digest.ok_or_else(missing)?.try_into()
}

fn malformed(field: &str, message: &str) -> Status {
    status(Refusal::at(Reason::Malformed, field, message))
}
