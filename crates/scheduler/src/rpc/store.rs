//! The store as the scheduler serves it: blobs and small values from its own memory, all other values relayed from and to
//! workers, for those who cannot reach them.

mod blob;
mod relayed;

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use bireme_core::id::WorkerId;
use bireme_core::object::ObjectId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::Place;
use bireme_core::value::Buffer;
use bireme_core::{Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::store_server::Store;
use bireme_proto::status::status;

use crate::blobs::Blob;
use crate::machine::Machine;
use crate::relay::{Kind, Whereabouts};
use crate::rpc::Door;

type Answer<T> = Result<Response<T>, Status>;
type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Store for Door {
    type FetchStream = Parts<pb::FetchResponse>;
    type FetchBlobStream = Parts<pb::FetchBlobResponse>;

    async fn fetch(&self, request: Request<pb::FetchRequest>) -> Answer<Self::FetchStream> {
        self.do_fetch(request.into_inner()).await.map(Response::new)
    }

    async fn put(&self, request: Request<Streaming<pb::PutRequest>>) -> Answer<pb::PutResponse> {
        self.do_put(request).await
    }

    async fn stat(&self, request: Request<pb::StatRequest>) -> Answer<pb::StatResponse> {
        self.do_stat(request.into_inner()).await.map(Response::new)
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<pb::PutBlobRequest>>,
    ) -> Answer<pb::PutBlobResponse> {
        blob::put(&self.site.blobs, request.into_inner()).await.map(Response::new)
    }

    async fn has_blobs(
        &self,
        request: Request<pb::HasBlobsRequest>,
    ) -> Answer<pb::HasBlobsResponse> {
        let missing = blob::missing(&self.site.blobs, request.into_inner());
        missing.map(Response::new).map_err(status)
    }

    async fn fetch_blob(
        &self,
        request: Request<pb::FetchBlobRequest>,
    ) -> Answer<Self::FetchBlobStream> {
        let pb::FetchBlobRequest { digest, offset } = request.into_inner();
        let request = pb::FetchRequest { offset, ..pb::FetchRequest::default() };
        let parts = self.do_fetch_blob(digest, request).map_err(status)?;
        let parts = parts.map(move |part| part.map(|part| blob::part(part, offset)));
        Ok(Response::new(Box::pin(parts)))
    }

    async fn ticket(&self, _: Request<pb::TicketRequest>) -> Answer<pb::TicketResponse> {
        Err(not_here("Ticket", "ask a worker that holds the value, or use Fetch"))
    }

    async fn put_ticket(&self, _: Request<pb::PutTicketRequest>) -> Answer<pb::PutTicketResponse> {
        Err(not_here("PutTicket", "ask a worker, or use Put"))
    }

    async fn pool_files(&self, _: Request<pb::PoolFilesRequest>) -> Answer<pb::PoolFilesResponse> {
        Err(not_here("PoolFiles", "ask a worker on the same machine, or use Fetch"))
    }

    async fn allocate_pool(
        &self,
        _: Request<pb::AllocatePoolRequest>,
    ) -> Answer<pb::AllocatePoolResponse> {
        Err(not_here("AllocatePool", "ask a worker on the same machine, or use Put"))
    }

    async fn release_pool(
        &self,
        _: Request<pb::ReleasePoolRequest>,
    ) -> Answer<pb::ReleasePoolResponse> {
        Err(not_here("ReleasePool", "the lease is a worker's: tell that one"))
    }
}

/// A call that only workers answer.
fn not_here(method: &str, remedy: &str) -> Status {
    let message =
        format!("the scheduler has no shared memory and no bulk port for Store.{method}: {remedy}");
    status(Refusal::new(Reason::Unsupported, message))
}

/// Where a value is to be had.
enum Source {
    /// The scheduler has it.
    Here(Box<Value>),
    /// These workers do.
    There(Vec<Whereabouts>),
}

impl Source {
    /// Of what the machine knows nothing of, `worker` may know more.
    fn of(machine: &Machine, object: ObjectId, worker: Option<WorkerId>) -> Result<Self, Refusal> {
        let Some(Place { holders, value, .. }) = machine.object(object) else {
            let named = machine.workers().find(|view| Some(view.id) == worker);
            let message = format!("there is no {object}, or it was released: keep the output");
            let missing = || Refusal::at(Reason::ObjectUnknown, "object", message);
            return Ok(Self::There(vec![named.map(Whereabouts::from).ok_or_else(missing)?]));
        };
        if let Some(value) = value {
            return Ok(Self::Here(value));
        }
        let at = machine.workers().filter(|view| holders.contains(&view.id)).map(Whereabouts::from);
        Ok(Self::There(at.collect()))
    }
}

impl Door {
    async fn do_fetch(
        &self,
        request: pb::FetchRequest,
    ) -> Result<Parts<pb::FetchResponse>, Status> {
        let object = match request.source {
            Some(pb::fetch_request::Source::Object(object)) => ObjectId::try_from(object),
            Some(pb::fetch_request::Source::Blob(ref digest)) => {
                let digest = Some(digest.clone());
                return self.do_fetch_blob(digest, request).map_err(status);
            }
            None => Err(Refusal::at(Reason::Malformed, "source", "is missing: name an object")),
        };
        let object = object.map_err(status)?;
        let worker = request.worker.map(|worker| WorkerId(worker.number));
        let source =
            self.mailbox.look(move |scene| Source::of(scene.machine, object, worker)).await;
        match source.map_err(status)?.map_err(status)? {
            Source::Here(value) => {
                let parts = small(&value, &request).map_err(status)?;
                Ok(Box::pin(tokio_stream::iter(parts.into_iter().map(Ok))))
            }
            Source::There(holders) => {
                let bearer = self.site.relay.bearer();
                let relay = |sender| relayed::fetch(holders, bearer, request, sender);
                Ok(Box::pin(self.site.relay.stream(Kind::Transfer, relay).map_err(status)?))
            }
        }
    }

    /// The messages that carry a blob as a value of one buffer.
    fn do_fetch_blob(
        &self,
        digest: Option<pb::Digest>,
        request: pb::FetchRequest,
    ) -> Result<Parts<pb::FetchResponse>, Refusal> {
        match blob::find(&self.site.blobs, digest)? {
            Blob::Here(bytes) => {
                let parts = small(&Value::raw(bytes), &request)?.into_iter().map(Ok);
                Ok(Box::pin(tokio_stream::iter(parts)))
            }
            Blob::Filed(file, length) => {
                let send = move |sender| blob::send((file, length), request, sender);
                Ok(Box::pin(self.site.relay.stream(Kind::Transfer, send)?))
            }
        }
    }

    async fn do_stat(&self, request: pb::StatRequest) -> Result<pb::StatResponse, Status> {
        let pb::StatRequest { objects, blobs } = request;
        if objects.len() + blobs.len() > limits::STAT_OBJECTS {
            let message = format!(
                "{} things, the limit is {}",
                objects.len() + blobs.len(),
                limits::STAT_OBJECTS
            );
            return Err(status(Refusal::at(Reason::Malformed, "objects", message)));
        }
        let ids: Result<Vec<ObjectId>, Refusal> =
            objects.into_iter().map(ObjectId::try_from).collect();
        let ids = ids.map_err(status)?;
        let look = self.mailbox.look(move |scene| {
            ids.into_iter().map(|id| stat_of(scene.machine, id)).collect::<Vec<_>>()
        });
        let objects = look.await.map_err(status)?;
        let blobs = blobs.into_iter().map(|digest| blob::stat(&self.site.blobs, digest));
        let blobs: Result<Vec<_>, Refusal> = blobs.collect();
        Ok(pb::StatResponse { objects, blobs: blobs.map_err(status)?, totals: None })
    }
}

/// What the scheduler itself has of a value.
fn stat_of(machine: &Machine, object: ObjectId) -> pb::ObjectStat {
    let value = machine.object(object).and_then(|place| place.value);
    let residence = if value.is_some() { pb::Residence::Memory } else { pb::Residence::Absent };
    pb::ObjectStat {
        object: Some(object.into()),
        residence: residence.into(),
        stored_bytes: value.as_ref().map_or(0, |value| value.size),
        value: value.map(|value| head_of(&value)),
        ..pb::ObjectStat::default()
    }
}

/// The messages that carry a small value, from the place on that was asked for.
fn small(value: &Value, request: &pb::FetchRequest) -> Result<Vec<pb::FetchResponse>, Refusal> {
    let past = |field, what: String| Refusal::at(Reason::Malformed, field, what);
    if request.buffer as usize > value.buffers.len() {
        let message =
            format!("buffer {} of a value that has {}", request.buffer, value.buffers.len());
        return Err(past("buffer", message));
    }
    let mut room = if request.length == 0 { u64::MAX } else { request.length };
    let mut chunks = Vec::new();
    for (buffer, bytes) in (0..).zip(&value.buffers).skip(request.buffer as usize) {
        let Buffer::Inline(bytes) = bytes else {
            return Err(past("object", "its bytes are not in the value itself".to_owned()));
        };
        let offset = if buffer == request.buffer { request.offset } else { 0 };
        let start = usize::try_from(offset).ok().filter(|start| *start <= bytes.len());
        let start = start.ok_or_else(|| {
            past("offset", format!("byte {offset} of a buffer of {}", bytes.len()))
        })?;
        let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len() - start);
        room -= length as u64;
        for from in (start..start + length).step_by(limits::STORE_CHUNK_BYTES) {
            let data = bytes.slice(from..(start + length).min(from + limits::STORE_CHUNK_BYTES));
            chunks.push(pb::DataChunk { data, buffer, offset: from as u64 });
        }
    }
    let length = chunks.iter().map(|chunk| chunk.data.len() as u64).sum();
    let head = pb::FetchHead { value: Some(head_of(value)), made_by: None, length };
    let head = pb::fetch_response::Part::Head(head);
    let parts =
        std::iter::once(head).chain(chunks.into_iter().map(pb::fetch_response::Part::Chunk));
    Ok(parts.map(|part| pb::FetchResponse { part: Some(part) }).collect())
}

/// What a value is, without its bytes.
fn head_of(value: &Value) -> pb::ValueHead {
    let buffer_lengths = value.buffers.iter().map(|buffer| match buffer {
        Buffer::Inline(bytes) => bytes.len() as u64,
        _ => 0,
    });
    let buffer_lengths = buffer_lengths.collect();
    let pb::Value { codec, size, contains, type_hint, compression, digest, .. } =
        value.clone().into();
    pb::ValueHead { codec, buffer_lengths, size, contains, type_hint, compression, digest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_value_is_read_from_anywhere_in_it() {
        let value = Value::raw(b"0123456789".to_vec());
        let read = |buffer, offset, length| {
            let request = pb::FetchRequest { buffer, offset, length, ..Default::default() };
            let parts = small(&value, &request).map_err(|refusal| refusal.field)?;
            let chunks = parts.into_iter().filter_map(|message| match message.part {
                Some(pb::fetch_response::Part::Chunk(chunk)) => Some(chunk.data),
                _ => None,
            });
            Ok::<_, String>(chunks.flatten().collect::<Vec<u8>>())
        };
        assert_eq!(read(0, 0, 0), Ok(b"0123456789".to_vec()));
        assert_eq!(read(0, 3, 4), Ok(b"3456".to_vec()));
        assert_eq!(read(0, 10, 0), Ok(Vec::new()));
        assert_eq!(read(0, 11, 0), Err("offset".to_owned()));
        assert_eq!(read(2, 0, 0), Err("buffer".to_owned()));
    }
}
