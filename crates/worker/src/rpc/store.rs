//! The bytes of values, in and out: the service that this worker offers, and the calls that it makes to its peers.

mod assembly;
pub(crate) mod fetch;

use std::sync::Arc;

use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::Buffer;
use bireme_core::{ObjectId, Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::store_server::Store as Service;
use bireme_proto::status::status;
use bytes::Bytes;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use self::assembly::{Assembly, head_of};
use crate::inbox::Inbox;
use crate::machine::Event;
use crate::store::{Store, Stored};

/// Serves what the store holds.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) store: Arc<Store>,
    pub(crate) inbox: Arc<Inbox>,
}

type Answer<T> = Result<Response<T>, Status>;
type Parts<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Door {
    type FetchStream = Parts<pb::FetchResponse>;
    type FetchBlobStream = Parts<pb::FetchBlobResponse>;

    async fn fetch(&self, request: Request<pb::FetchRequest>) -> Answer<Self::FetchStream> {
        let parts = read(&self.store, request.into_inner()).map_err(status)?;
        Ok(Response::new(Box::pin(tokio_stream::iter(parts.map(Ok)))))
    }

    async fn put(&self, request: Request<Streaming<pb::PutRequest>>) -> Answer<pb::PutResponse> {
        let mut parts = request.into_inner();
        let first = parts.message().await?.and_then(|message| message.part);
        let Some(pb::put_request::Part::Head(head)) = first else {
            return Err(status(malformed("head", "the first message carries no head")));
        };
        let (object, mut assembly) = begin(head).map_err(status)?;
        while let Some(message) = parts.message().await? {
            let Some(pb::put_request::Part::Chunk(chunk)) = message.part else {
                return Err(status(malformed("chunk", "a later message carries no chunk")));
            };
            assembly.add(chunk).map_err(status)?;
        }
        let value = assembly.finish().map_err(status)?;
        let digest = value.digest.map(Into::into);
        let size = self.store.put(object, Arc::new(value), None);
        self.inbox.tell(Event::Fetched { object, size });
        let object = Some(object.into());
        Ok(Response::new(pb::PutResponse { object, size, digest, worker: None }))
    }

    async fn stat(&self, request: Request<pb::StatRequest>) -> Answer<pb::StatResponse> {
        stat(&self.store, request.into_inner()).map(Response::new).map_err(status)
    }

    async fn put_blob(
        &self,
        _: Request<Streaming<pb::PutBlobRequest>>,
    ) -> Answer<pb::PutBlobResponse> {
        Err(not_served("PutBlob"))
    }

    async fn has_blobs(&self, _: Request<pb::HasBlobsRequest>) -> Answer<pb::HasBlobsResponse> {
        Err(not_served("HasBlobs"))
    }

    async fn fetch_blob(&self, _: Request<pb::FetchBlobRequest>) -> Answer<Self::FetchBlobStream> {
        Err(not_served("FetchBlob"))
    }

    async fn ticket(&self, _: Request<pb::TicketRequest>) -> Answer<pb::TicketResponse> {
        Err(not_served("Ticket"))
    }

    async fn put_ticket(&self, _: Request<pb::PutTicketRequest>) -> Answer<pb::PutTicketResponse> {
        Err(not_served("PutTicket"))
    }

    async fn pool_files(&self, _: Request<pb::PoolFilesRequest>) -> Answer<pb::PoolFilesResponse> {
        Err(not_served("PoolFiles"))
    }

    async fn allocate_pool(
        &self,
        _: Request<pb::AllocatePoolRequest>,
    ) -> Answer<pb::AllocatePoolResponse> {
        Err(not_served("AllocatePool"))
    }

    async fn release_pool(
        &self,
        _: Request<pb::ReleasePoolRequest>,
    ) -> Answer<pb::ReleasePoolResponse> {
        Err(not_served("ReleasePool"))
    }
}

fn not_served(method: &str) -> Status {
    let message = format!("Store.{method} is not served by this version; use Fetch and Put");
    status(Refusal::new(Reason::Unsupported, message))
}

fn malformed(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::at(Reason::Malformed, field, message)
}

fn unsupported(field: &str, message: &str) -> Refusal {
    Refusal::at(Reason::Unsupported, field, message)
}

/// The messages that answer a fetch. The bytes are shared with the store, not copied.
fn read(
    store: &Store,
    request: pb::FetchRequest,
) -> Result<impl Iterator<Item = pb::FetchResponse> + use<>, Refusal> {
    let pb::FetchRequest { source, buffer, offset, length, made_by } = request;
    let object: ObjectId = match source {
        Some(pb::fetch_request::Source::Object(object)) => object.try_into()?,
        Some(pb::fetch_request::Source::Blob(_)) => {
            return Err(unsupported("blob", "blobs are not kept by this version"));
        }
        None => return Err(malformed("source", "the source is missing; name an object")),
    };
    let Stored { value, made_by: maker } = store.get(object).ok_or_else(|| {
        Refusal::new(Reason::ObjectUnknown, format!("object {object} is not on this worker"))
    })?;
    if let Some(asked) = made_by
        && Some(asked.try_into()?) != maker
    {
        let message =
            format!("object {object} was made by another attempt; fetch it from the start");
        return Err(Refusal::at(Reason::ReplicaChanged, "made_by", message));
    }
    let runs = runs(&value, buffer as usize, offset, length)?;
    let length = runs.iter().map(|(_, _, bytes)| bytes.len() as u64).sum();
    let (made_by, value) = (maker.map(Into::into), Some(head_of(&value)));
    let head = pb::fetch_response::Part::Head(pb::FetchHead { value, made_by, length });
    let chunks = runs.into_iter().flat_map(cut).map(pb::fetch_response::Part::Chunk);
    Ok(std::iter::once(head).chain(chunks).map(|part| pb::FetchResponse { part: Some(part) }))
}

/// A run of a value's bytes: of which buffer, and from where in it.
type Run = (u32, u64, Bytes);

/// The bytes from an offset in a buffer on, at most `length` unless that is 0.
fn runs(value: &Value, first: usize, offset: u64, length: u64) -> Result<Vec<Run>, Refusal> {
    if first > value.buffers.len() {
        let message = format!("buffer {first} of a value that has {}", value.buffers.len());
        return Err(malformed("buffer", message));
    }
    let mut room = if length == 0 { u64::MAX } else { length };
    let mut runs = Vec::new();
    for (n, buffer) in (0_u32..).zip(&value.buffers).skip(first) {
        let Buffer::Inline(bytes) = buffer else {
            return Err(unsupported("object", "bytes of the value are not in the value itself"));
        };
        let start = if n as usize == first { offset } else { 0 };
        let end = (bytes.len() as u64).min(start.saturating_add(room));
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let Some((from, to)) = range.filter(|(from, to)| from <= to) else {
            let message = format!("offset {start} of a buffer of {} bytes", bytes.len());
            return Err(malformed("offset", message));
        };
        room -= end - start;
        runs.push((n, start, bytes.slice(from..to)));
    }
    Ok(runs)
}

/// Cuts a run into chunks.
fn cut((buffer, offset, mut bytes): Run) -> impl Iterator<Item = pb::DataChunk> {
    let mut offset = offset;
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let data = bytes.split_to(bytes.len().min(limits::STORE_CHUNK_BYTES));
        let chunk = pb::DataChunk { buffer, offset, data };
        offset += chunk.data.len() as u64;
        Some(chunk)
    })
}

/// What a put begins with.
fn begin(head: pb::PutHead) -> Result<(ObjectId, Assembly), Refusal> {
    let pb::PutHead { object, value, pool_files, ticket, durable_uri, .. } = head;
    for (given, field) in [
        (!pool_files.is_empty(), "pool_files"),
        (!ticket.is_empty(), "ticket"),
        (!durable_uri.is_empty(), "durable_uri"),
    ] {
        if given {
            return Err(unsupported(field, "not served by this version; send chunks"));
        }
    }
    let object = object.ok_or_else(|| malformed("head.object", "the object is missing"))?;
    let object = ObjectId::try_from(object)?;
    if object.task().is_some() {
        let message = format!("{object} is an output of a task; put a value that a session holds");
        return Err(malformed("head.object", message));
    }
    let value = value.ok_or_else(|| malformed("head.value", "the value's head is missing"))?;
    Ok((object, Assembly::new(value)?))
}

fn stat(store: &Store, request: pb::StatRequest) -> Result<pb::StatResponse, Refusal> {
    const MOST: usize = 1_000;
    let pb::StatRequest { objects, blobs } = request;
    if objects.len() + blobs.len() > MOST {
        return Err(malformed("objects", format!("more than {MOST} things are asked about")));
    }
    let objects = objects.into_iter().map(|object| {
        let stored = store.get(object.try_into()?);
        Ok(stat_of(object, stored))
    });
    let objects = objects.collect::<Result<_, Refusal>>()?;
    let absent = pb::Residence::Absent.into();
    let blobs = blobs
        .into_iter()
        .map(|digest| pb::BlobStat { digest: Some(digest), residence: absent, length: 0 })
        .collect();
    let totals = store.totals();
    let totals = pb::StoreTotals {
        objects: totals.objects,
        memory_bytes: totals.bytes,
        ..pb::StoreTotals::default()
    };
    Ok(pb::StatResponse { objects, blobs, totals: Some(totals) })
}

fn stat_of(object: pb::ObjectId, stored: Option<Stored>) -> pb::ObjectStat {
    let residence = if stored.is_some() { pb::Residence::Memory } else { pb::Residence::Absent };
    pb::ObjectStat {
        object: Some(object),
        residence: residence.into(),
        stored_bytes: stored.as_ref().map_or(0, |stored| stored.value.size),
        value: stored.as_ref().map(|stored| head_of(&stored.value)),
        made_by: stored.and_then(|stored| stored.made_by).map(Into::into),
        ..pb::ObjectStat::default()
    }
}

#[cfg(test)]
mod tests;
