//! Blobs that the scheduler keeps, in and out.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tonic::{Status, Streaming};

use bireme_core::Value;
use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::pb::put_blob_request::Part;
use bireme_proto::status::status;

use super::head_of;
use crate::blobs::{Blob, BlobFile, Blobs};
use crate::relay::Sender;

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
    if blobs.length(digest).is_some_and(|(kept, _)| kept == length) {
        return Ok(answer(true));
    }
    let mut upload = blobs.begin(length).await.map_err(status)?;
    while let Some(message) = parts.message().await? {
        let Some(Part::Data(data)) = message.part else {
            return Err(malformed("data", "a later message carries no bytes"));
        };
        upload.add(data).await.map_err(status)?;
    }
    blobs.put(digest, upload).map_err(status)?;
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
    let (length, residence) = match blobs.length(digest.clone().try_into()?) {
        Some((length, true)) => (length, pb::Residence::Memory),
        Some((length, false)) => (length, pb::Residence::Spilled),
        None => (0, pb::Residence::Absent),
    };
    Ok(pb::BlobStat { digest: Some(digest), residence: residence.into(), length })
}

/// A blob that is kept.
pub(super) fn find(blobs: &Blobs, digest: Option<pb::Digest>) -> Result<Blob, Refusal> {
    let digest = named(digest)?;
    blobs.get(digest).ok_or_else(|| {
        let message = format!("the scheduler has no blob {digest:?}: upload it");
        Refusal::at(Reason::BlobUnknown, "digest", message)
    })
}

/// Sends the messages that carry a blob in a file, as a value of one buffer, from the place on that was asked for.
pub(super) async fn send(
    (file, whole): (Arc<BlobFile>, u64),
    request: pb::FetchRequest,
    sender: Sender<pb::FetchResponse>,
) -> Result<(), Status> {
    use pb::fetch_response::Part;
    let pb::FetchRequest { buffer, offset, length, .. } = request;
    if buffer > 0 || offset > whole {
        let message = format!("byte {offset} of buffer {buffer} of a blob of {whole} bytes");
        return Err(malformed("offset", &message));
    }
    let left = whole - offset;
    let end = offset + if length == 0 { left } else { length.min(left) };
    let value = Value::raw(Bytes::new());
    let head = pb::ValueHead { buffer_lengths: vec![whole], size: whole, ..head_of(&value) };
    let head = pb::FetchHead { value: Some(head), made_by: None, length: end - offset };
    let mut part = Part::Head(head);
    let mut from = offset;
    while sender.send(Ok(pb::FetchResponse { part: Some(part) })).await.is_ok() && from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX);
        let (length, file) = (length.min(limits::STORE_CHUNK_BYTES), Arc::clone(&file));
        let data = spawn_blocking(move || file.read(from, length)).await;
        let data = data.map_err(io::Error::other).flatten().map_err(|error| {
            let message = format!("the blob's file cannot be read: {error}: upload it again");
            status(Refusal::new(Reason::BlobUnknown, message))
        })?;
        part = Part::Chunk(pb::DataChunk { data, buffer: 0, offset: from });
        from += length as u64;
    }
    Ok(())
}

/// A message of a fetch as one of a fetch of a blob from an offset on.
pub(super) fn part(message: pb::FetchResponse, from: u64) -> pb::FetchBlobResponse {
    use pb::fetch_response::Part;
    match message.part {
        Some(Part::Chunk(pb::DataChunk { data, offset, .. })) => {
            pb::FetchBlobResponse { data, offset, length: 0 }
        }
        Some(Part::Head(pb::FetchHead { value, .. })) => {
            let length = value.map_or(0, |value| value.size);
            pb::FetchBlobResponse { data: Bytes::new(), offset: from, length }
        }
        None => pb::FetchBlobResponse::default(),
    }
}

fn named(digest: Option<pb::Digest>) -> Result<Digest, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "digest", "the digest is missing");
    digest.ok_or_else(missing)?.try_into()
}

fn malformed(field: &str, message: &str) -> Status {
    status(Refusal::at(Reason::Malformed, field, message))
}
