//! Puts values into the stores of workers.
//!
//! Workers take turns. A large value is written into files of a worker on this machine, or sent to another by a bulk
//! connection; a small one goes by a stream. Where no worker takes it, the scheduler is asked to pass it on.

mod bulk;
mod near;

use std::sync::Arc;

use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::protocol::Address;
use bireme_core::session::Put;
use bireme_core::value::Buffer;
use bireme_core::{ObjectId, Value};
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use bytes::Bytes;
use tonic::transport::Channel;

use crate::client::{Asked, Inner, fresh_id, wire};
use crate::error::{CommandError, PutError};
use crate::fetch;
use crate::object::Object;
use crate::peers::Peers;
use crate::slots::Place;

/// Workers that are asked to take a value, before the scheduler is.
const WORKERS_ASKED: usize = 3;

/// A value on its way.
#[derive(Clone, Debug)]
struct Parcel {
    head: pb::PutHead,
    buffers: Vec<Bytes>,
}

/// A worker that may take it.
struct Taker {
    worker: WorkerId,
    address: Address,
    machine: String,
}

/// Puts a value, and has the scheduler told. The worker `near` is asked first.
pub(crate) async fn put(
    client: &Arc<Inner>,
    value: Value,
    near: Option<WorkerId>,
) -> Result<Object, PutError> {
    let size = value.size;
    let mut parcel = Parcel::new(value).ok_or(PutError::NotInline)?;
    let placed = |object, worker: Option<WorkerId>| {
        let place = Place { holders: worker.into_iter().collect(), size };
        Object::new(object, place, Arc::clone(client))
    };
    let (mut object, turn) = client.number_value();
    let mut problems = Vec::new();
    let takers = takers(client, turn, near);
    for taker in &takers {
        parcel.address(object);
        let worker = taker.worker;
        match hand_over(client, taker, &parcel).await {
            Ok(()) => match client.tell_of(Put { object, size, worker, copies: 1 }).await {
                Ok(()) => return Ok(placed(object, Some(worker))),
                Err(CommandError::Lost(lost)) => return Err(lost.into()),
                Err(CommandError::Refused(refused)) => {
                    problems.push(format!("the scheduler, of {worker}: {refused}"));
                }
            },
            Err(problem) => problems.push(format!("{worker} at {}: {problem}", taker.address)),
        }
        // The worker may have it all the same: what another gets has another name.
        (object, _) = client.number_value();
    }
    parcel.address(object);
    match relay(client, &parcel).await {
        Ok(worker) => {
            // It may have chosen another than those that were silent.
            if let Some(worker) = worker {
                client.peers().reach.relayed(worker);
            }
            Ok(placed(object, worker))
        }
        Err(problem) => {
            for taker in &takers {
                client.peers().reach.lost(taker.worker);
            }
            problems.push(format!("the scheduler: {problem}"));
            Err(PutError::NotStored { size, problem: problems.join("; ") })
        }
    }
}

/// Puts a value for a call to an actor on the worker `near`. The scheduler is told, before anything that is told of the value
/// later, but its answer is not waited for: that worker does not ask it. There is none to wait for where another worker took
/// the value.
pub(crate) async fn put_for_call(
    client: &Arc<Inner>,
    value: Value,
    near: WorkerId,
) -> Result<(Object, Option<Asked>), PutError> {
    let size = value.size;
    let (object, turn) = client.number_value();
    let taker = takers(client, turn, Some(near)).into_iter().find(|taker| taker.worker == near);
    let mut parcel = Parcel::new(value.clone()).ok_or(PutError::NotInline)?;
    parcel.address(object);
    let taken = match &taker {
        Some(taker) => hand_over(client, taker, &parcel).await,
        None => Err("it is not known here".to_owned()),
    };
    if let Err(problem) = taken {
        tracing::debug!(worker = %near, problem, "the worker of an actor takes no argument");
        return Ok((put(client, value, Some(near)).await?, None));
    }
    let told = client.begin_to_tell_of(Put { object, size, worker: near, copies: 1 }).await?;
    let place = Place { holders: [near].into_iter().collect(), size };
    Ok((Object::new(object, place, Arc::clone(client)), Some(told)))
}

impl Parcel {
    /// `None` if some bytes of the value are elsewhere.
    fn new(value: Value) -> Option<Self> {
        let buffers = value.buffers.iter().map(|buffer| match buffer {
            Buffer::Inline(bytes) => Some(bytes.clone()),
            Buffer::Blob(_) | Buffer::Object(_) | Buffer::PoolFile(_) => None,
        });
        let buffers: Vec<Bytes> = buffers.collect::<Option<_>>()?;
        let buffer_lengths = buffers.iter().map(|bytes| bytes.len() as u64).collect();
        let pb::Value { codec, buffers: _, size, contains, type_hint, compression, digest } =
            Value { buffers: Vec::new(), ..value }.into();
        let head =
            pb::ValueHead { codec, buffer_lengths, size, contains, type_hint, compression, digest };
        let head = pb::PutHead { value: Some(head), ..pb::PutHead::default() };
        Some(Self { head, buffers })
    }

    /// Names it for one more try.
    fn address(&mut self, object: ObjectId) {
        self.head.submission_id = wire(fresh_id());
        self.head.object = Some(object.into());
    }

    /// How many bytes are to be moved.
    fn bytes(&self) -> u64 {
        self.buffers.iter().map(|bytes| bytes.len() as u64).sum()
    }
}

/// The workers whose turn it is, after the one that is wanted.
fn takers(client: &Inner, turn: u64, near: Option<WorkerId>) -> Vec<Taker> {
    let takers =
        client.session().workers().into_iter().filter_map(|(worker, addresses, machine)| {
            let address = addresses.into_iter().find(fetch::is_plain)?;
            Some(Taker { worker, address, machine })
        });
    let mut takers: Vec<Taker> = takers.collect();
    let count = takers.len().max(1) as u64;
    takers.rotate_left(usize::try_from(turn % count).unwrap_or_default());
    takers.sort_by_key(|taker| near.is_some_and(|near| near != taker.worker));
    takers.truncate(WORKERS_ASKED);
    takers
}

/// Has a worker store a value, by the quickest way that works.
async fn hand_over(client: &Inner, taker: &Taker, parcel: &Parcel) -> Result<(), String> {
    let peers = client.peers();
    let store = peers.worker(taker.worker, &taker.address).await?;
    if parcel.bytes() >= limits::BULK_BYTES {
        if taker.machine == *fetch::near::machine() {
            match near::put(peers, store.clone(), parcel).await {
                Ok(()) => return Ok(()),
                Err(problem) => tracing::debug!(problem, "worker lends no files to write"),
            }
        }
        match bulk::put(peers, store.clone(), &taker.address, parcel).await {
            Ok(()) => return Ok(()),
            Err(problem) => tracing::debug!(problem, "worker takes nothing in bulk"),
        }
    }
    stream(peers, store, parcel.clone()).await.map(|_| ())
}

/// Has the scheduler pass a value on to a worker, and take note of it. Returns which worker that is.
async fn relay(client: &Inner, parcel: &Parcel) -> Result<Option<WorkerId>, String> {
    let mut parcel = parcel.clone();
    parcel.head.session = client.token();
    let answer = stream(client.peers(), client.peers().relay(), parcel).await?;
    Ok(answer.worker.map(|worker| WorkerId(worker.number)))
}

/// Sends a value chunk by chunk.
async fn stream(
    peers: &Peers,
    mut store: StoreClient<Channel>,
    parcel: Parcel,
) -> Result<pb::PutResponse, String> {
    use pb::put_request::Part;
    let Parcel { head, buffers } = parcel;
    let chunks = (0..).zip(buffers).flat_map(|(buffer, bytes)| {
        let starts = (0..bytes.len()).step_by(limits::STORE_CHUNK_BYTES);
        starts.map(move |start| {
            let end = bytes.len().min(start + limits::STORE_CHUNK_BYTES);
            let data = bytes.slice(start..end);
            Part::Chunk(pb::DataChunk { data, buffer, offset: start as u64 })
        })
    });
    let parts = std::iter::once(Part::Head(head)).chain(chunks);
    let parts = parts.map(|part| pb::PutRequest { part: Some(part) });
    let answer = store.put(peers.call(tokio_stream::iter(parts))).await;
    Ok(answer.map_err(fetch::refused)?.into_inner())
}

/// Ends a put whose bytes have gone another way.
async fn conclude(
    peers: &Peers,
    store: &mut StoreClient<Channel>,
    head: pb::PutHead,
) -> Result<(), String> {
    let part = Some(pb::put_request::Part::Head(head));
    let parts = tokio_stream::once(pb::PutRequest { part });
    store.put(peers.call(parts)).await.map(|_| ()).map_err(fetch::refused)
}

#[cfg(test)]
mod tests {
    use bireme_core::id::Digest;

    use super::*;

    #[test]
    fn only_values_that_are_whole_can_be_put() {
        let parcel = Parcel::new(Value::text("abc")).unwrap();
        let head = parcel.head.value.as_ref().unwrap();
        assert_eq!((head.size, &head.buffer_lengths[..], parcel.bytes()), (3, &[3][..], 3));
        let elsewhere = Value { buffers: vec![Buffer::Blob(Digest([0; 32]))], ..Value::raw("") };
        assert!(Parcel::new(elsewhere).is_none());
    }
}
