//! Values that a client puts here.

use std::net::IpAddr;
use std::sync::Arc;

use bireme_core::reason::Refusal;
use bireme_core::value::PoolFile;
use bireme_core::{ObjectId, Value};
use bireme_proto::pb;
use bireme_proto::status::status;
use tonic::{Status, Streaming};

use super::assembly::{Assembly, check_lengths, value_of};
use super::leases::Leases;
use super::{malformed, ticket, unsupported};
use crate::bulk::Quay;
use crate::store::{Store, StoreError};

/// A value whose bytes are all here.
pub(super) struct Landed {
    pub(super) object: ObjectId,
    pub(super) size: u64,
    pub(super) digest: Option<pb::Digest>,
}

/// How the bytes of a put may have come otherwise than with it.
pub(super) struct Ways<'a> {
    pub(super) leases: &'a Leases,
    pub(super) quay: &'a Quay,
    /// Who calls, if that can be told.
    pub(super) peer: Result<IpAddr, Refusal>,
}

/// Stores a value under the id that its session chose: its bytes follow, or have been written into the pool.
pub(super) async fn put(
    store: &Arc<Store>,
    ways: Ways<'_>,
    mut parts: Streaming<pb::PutRequest>,
) -> Result<Landed, Status> {
    let first = parts.message().await?.and_then(|message| message.part);
    let Some(pb::put_request::Part::Head(mut head)) = first else {
        return Err(status(malformed("head", "the first message carries no head")));
    };
    if !head.ticket.is_empty() {
        return put_bulk(store, ways, head).map_err(status);
    }
    let pool_files = std::mem::take(&mut head.pool_files);
    let (object, value) = begin(head).map_err(status)?;
    if !pool_files.is_empty() {
        return put_files(store, ways.leases, object, value, pool_files).map_err(status);
    }
    let mut assembly = Assembly::new(value, store).await.map_err(status)?;
    while let Some(message) = parts.message().await? {
        let Some(pb::put_request::Part::Chunk(chunk)) = message.part else {
            return Err(status(malformed("chunk", "a later message carries no chunk")));
        };
        assembly.add(chunk).map_err(status)?;
    }
    let arrived = assembly.finish().map_err(status)?;
    let digest = arrived.value.digest.map(Into::into);
    let size = arrived.store(store, object, None).map_err(status)?;
    Ok(Landed { object, size, digest })
}

/// What a put begins with.
pub(super) fn begin(head: pb::PutHead) -> Result<(ObjectId, pb::ValueHead), Refusal> {
    let pb::PutHead { object, value, durable_uri, .. } = head;
    if !durable_uri.is_empty() {
        return Err(unsupported("durable_uri", "not served by this version; leave it out"));
    }
    let object = object.ok_or_else(|| malformed("head.object", "the object is missing"))?;
    let object = ObjectId::try_from(object)?;
    if object.task().is_some() {
        let message = format!("{object} is an output of a task; put a value that a session holds");
        return Err(malformed("head.object", message));
    }
    let value = value.ok_or_else(|| malformed("head.value", "the value's head is missing"))?;
    Ok((object, value))
}

/// Stores a value whose bytes have come by a bulk connection. A digest is kept and not compared: the bytes went from socket
/// to file without a look at them, and to hash them would cost several times what moving them does.
fn put_bulk(store: &Store, ways: Ways<'_>, head: pb::PutHead) -> Result<Landed, Refusal> {
    let (object, draft) = ticket::written(ways.quay, ways.peer?, &head)?;
    let (_, value) = begin(head)?;
    let place = |run: &PoolFile| pb::Buffer {
        place: Some(pb::buffer::Place::PoolFile(run.clone().into())),
    };
    let value = value_of(value, draft.runs().iter().map(place).collect())?;
    let digest = value.digest.map(Into::into);
    let size = store.put_written(object, value, std::iter::once(&draft), None)?;
    Ok(Landed { object, size, digest })
}

/// Stores a value that its client has written into files that it had leased. A digest is kept and not compared: the files stay
/// writable for whoever wrote them, so that to have hashed them would promise nothing.
fn put_files(
    store: &Store,
    leases: &Leases,
    object: ObjectId,
    head: pb::ValueHead,
    files: Vec<pb::buffer::PoolFile>,
) -> Result<Landed, Refusal> {
    check_lengths(&head.buffer_lengths)?;
    if !files.iter().map(|file| &file.length).eq(&head.buffer_lengths) {
        let message = "the files have other lengths than the value's buffers";
        return Err(malformed("head.pool_files", message));
    }
    let runs: Vec<PoolFile> =
        files.iter().cloned().map(TryInto::try_into).collect::<Result<_, Refusal>>()?;
    let place = |file| pb::Buffer { place: Some(pb::buffer::Place::PoolFile(file)) };
    let value: Value = value_of(head, files.into_iter().map(place).collect())?;
    let digest = value.digest.map(Into::into);
    let put = leases.with_drafts(&runs, |drafts| store.put_written(object, value, drafts, None));
    let size = put.map_err(|error| match error {
        StoreError::NotAllocated(_) => malformed("head.pool_files", error.to_string()),
        error => error.into(),
    })?;
    Ok(Landed { object, size, digest })
}
