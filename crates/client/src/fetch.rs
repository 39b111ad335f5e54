//! Brings values that others hold.
//!
//! Those that one worker holds are asked for together. A worker of this machine lends its files, which are read; another
//! sends the bytes by a bulk connection. Small values, and those that came by neither way, come by a stream each, from the
//! holders in turn and at last from the scheduler, which relays.

mod assembly;
pub(crate) mod bulk;
pub(crate) mod near;

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::id::WorkerId;
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Address, Peer};
use bireme_core::{Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use self::assembly::Assembly;
use crate::client::Inner;
use crate::error::Refused;
use crate::peers::Peers;
use crate::slots::Place;

/// Most bytes set aside for a buffer before any of them has come.
const RESERVE_BYTES_MAX: u64 = 64 << 20;

/// A value that is to be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) object: ObjectId,
    pub(crate) place: Place,
}

/// What came of each value, in the order asked. The error tells what each holder said.
pub(crate) type Fetched = Vec<Result<Value, String>>;

/// Fetches a value.
pub(crate) async fn value(client: &Arc<Inner>, wanted: Wanted) -> Result<Value, String> {
    values(client, vec![wanted]).await.pop().unwrap_or_else(|| Err(String::new()))
}

/// Fetches values.
pub(crate) async fn values(client: &Arc<Inner>, wanted: Vec<Wanted>) -> Fetched {
    let mut fetched = vec![Err(String::new()); wanted.len()];
    let (room, mut fetches) = (Arc::new(Semaphore::new(limits::FETCHES)), JoinSet::new());
    for (holder, batch) in batches(wanted) {
        let (client, room) = (Arc::clone(client), Arc::clone(&room));
        fetches.spawn(async move {
            let _room = room.acquire_owned().await;
            let (places, wanted): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let came = batch_of(&client, holder, wanted).await;
            places.into_iter().zip(came).collect::<Vec<_>>()
        });
    }
    // Only a bug makes a fetch panic; its values keep the empty error.
    while let Some(came) = fetches.join_next().await {
        for (at, value) in came.into_iter().flatten() {
            if let Some(place) = fetched.get_mut(at) {
                *place = value;
            }
        }
    }
    fetched
}

/// Values with their places in the answer.
type Batch = Vec<(usize, Wanted)>;

/// Groups values by their first holder, as many as one fetch brings.
fn batches(wanted: Vec<Wanted>) -> Vec<(Option<WorkerId>, Batch)> {
    let mut full = Vec::new();
    let mut open: BTreeMap<Option<WorkerId>, (Batch, u64, u64)> = BTreeMap::new();
    for (at, wanted) in wanted.into_iter().enumerate() {
        let (holder, size) = (wanted.place.holders.first().copied(), wanted.place.size);
        let (batch, bytes, inline) = open.entry(holder).or_default();
        *bytes = bytes.saturating_add(size);
        *inline += if size < limits::POOL_FILE_BYTES { size } else { 0 };
        batch.push((at, wanted));
        if batch.len() >= limits::FETCH_BATCH
            || *bytes >= limits::FETCH_BATCH_BYTES
            || *inline >= limits::FETCH_INLINE_BYTES
        {
            full.push((holder, std::mem::take(batch)));
            (*bytes, *inline) = (0, 0);
        }
    }
    full.extend(open.into_iter().map(|(holder, (batch, ..))| (holder, batch)));
    full.retain(|(_, batch)| !batch.is_empty());
    full
}

async fn batch_of(client: &Inner, holder: Option<WorkerId>, wanted: Vec<Wanted>) -> Fetched {
    let objects: Vec<_> = wanted.iter().map(|wanted| wanted.object).collect();
    let together = match holder {
        Some(holder) => together(client, holder, &wanted, &objects).await,
        None => vec![None; wanted.len()],
    };
    let mut fetched = Fetched::with_capacity(wanted.len());
    for (wanted, came) in wanted.iter().zip(together) {
        fetched.push(match came {
            Some(value) => Ok(value),
            None => alone(client, wanted).await,
        });
    }
    fetched
}

/// What a worker gives of several values by the ways that are quicker than a stream; `None` for those it does not.
async fn together(
    client: &Inner,
    holder: WorkerId,
    wanted: &[Wanted],
    objects: &[ObjectId],
) -> Vec<Option<Value>> {
    let (addresses, machine) = client.session().whereabouts(holder);
    let nothing = || vec![None; objects.len()];
    let Some(address) = addresses.into_iter().find(is_plain) else { return nothing() };
    let Ok(store) = client.peers().worker(holder, &address).await else { return nothing() };
    if machine == *near::machine() {
        match near::read(client.peers(), store.clone(), objects).await {
            Ok(values) => return values,
            Err(problem) => tracing::debug!(%holder, problem, "worker lends no files"),
        }
    }
    let bytes = wanted.iter().fold(0_u64, |sum, wanted| sum.saturating_add(wanted.place.size));
    if bytes >= limits::BULK_BYTES {
        match bulk::fetch(client.peers(), store, &address, objects).await {
            Ok(values) => return values,
            Err(problem) => tracing::debug!(%holder, problem, "worker gives nothing in bulk"),
        }
    }
    nothing()
}

pub(crate) fn is_plain(address: &Address) -> bool {
    address.scheme == "http"
}

/// Asks the holders of a value one after the other, then the scheduler.
async fn alone(client: &Inner, wanted: &Wanted) -> Result<Value, String> {
    let holders = wanted.place.holders.iter().map(|&worker| {
        let (addresses, machine) = client.session().whereabouts(worker);
        Peer { worker, addresses, machine }
    });
    from_holders(client.peers(), wanted.object, &holders.collect::<Vec<_>>()).await
}

/// The same, of a value whose holders are known. The error tells what each said.
pub(crate) async fn from_holders(
    peers: &Peers,
    object: ObjectId,
    holders: &[Peer],
) -> Result<Value, String> {
    let mut problems = Vec::new();
    for Peer { worker, addresses, machine: _ } in holders {
        for address in addresses.iter().filter(|address| is_plain(address)) {
            let store = peers.worker(*worker, address).await;
            match stream(peers, store, request(object)).await {
                Ok(value) => return Ok(value),
                Err(problem) => problems.push(format!("{worker} at {address}: {problem}")),
            }
        }
    }
    // The scheduler knows of more holders, but not of what a worker keeps for a single call.
    let worker = holders.first().map(|holder| holder.worker.into());
    let relayed = pb::FetchRequest { worker, ..request(object) };
    match stream(peers, Ok(peers.relay()), relayed).await {
        Ok(value) => {
            for holder in holders {
                peers.reach.relayed(holder.worker);
            }
            Ok(value)
        }
        Err(problem) => {
            for holder in holders {
                peers.reach.lost(holder.worker);
            }
            problems.push(format!("the scheduler: {problem}"));
            Err(problems.join("; "))
        }
    }
}

async fn stream(
    peers: &Peers,
    store: Result<StoreClient<Channel>, String>,
    request: pb::FetchRequest,
) -> Result<Value, String> {
    use pb::fetch_response::Part;
    let request = peers.call(request);
    let mut parts = store?.fetch(request).await.map_err(refused)?.into_inner();
    let mut assembly = None;
    while let Some(pb::FetchResponse { part }) = parts.message().await.map_err(refused)? {
        match (part, &mut assembly) {
            (Some(Part::Head(head)), None) => assembly = Some(Assembly::new(head)?),
            (Some(Part::Chunk(chunk)), Some(assembly)) => assembly.add(chunk)?,
            _ => return Err("sent a message that does not belong there".into()),
        }
    }
    assembly.ok_or("sent nothing")?.finish()
}

fn request(object: ObjectId) -> pb::FetchRequest {
    let source = Some(pb::fetch_request::Source::Object(object.into()));
    pb::FetchRequest { source, ..pb::FetchRequest::default() }
}

pub(crate) fn refused(status: tonic::Status) -> String {
    Refused::from(status).to_string()
}

/// The value that a head tells of, with all its bytes.
fn value_of(head: pb::ValueHead, buffers: Vec<Bytes>) -> Result<Value, String> {
    let pb::ValueHead { codec, buffer_lengths: _, size, contains, type_hint, compression, digest } =
        head;
    let inline = |bytes| pb::Buffer { place: Some(pb::buffer::Place::Inline(bytes)) };
    let buffers = buffers.into_iter().map(inline).collect();
    let value = pb::Value { codec, buffers, size, contains, type_hint, compression, digest };
    Value::try_from(value).map_err(|refusal| format!("sent an unreadable value: {refusal}"))
}

/// Reads exactly so many bytes, setting memory aside as they come.
fn read_bytes(from: impl std::io::Read, length: u64) -> std::io::Result<Bytes> {
    use std::io::Read as _;
    let reserve = usize::try_from(length.min(RESERVE_BYTES_MAX)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(reserve);
    if from.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use bireme_core::id::{GraphId, TaskId};
    use smallvec::smallvec;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;
    use crate::peers::tests::{local, without_scheduler};

    #[test]
    fn what_one_worker_holds_is_asked_for_together_within_bounds() {
        let wanted = |index: u32, holder: u32, size| Wanted {
            object: ObjectId::output(TaskId { graph: GraphId(1), index }, 0),
            place: Place { holders: smallvec![WorkerId(holder)], size },
        };
        let small = (0..600).map(|n| wanted(n, n % 2, 10));
        let large = (600..603).map(|n| wanted(n, 0, limits::FETCH_BATCH_BYTES));
        let batches = batches(small.chain(large).collect());
        let mut lengths: Vec<_> = batches.iter().map(|(_, batch)| batch.len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [1, 1, 44, 45, 256, 256]);
        let mut places: Vec<_> =
            batches.iter().flat_map(|(_, batch)| batch).map(|one| one.0).collect();
        places.sort_unstable();
        assert!(places.into_iter().eq(0..603));
    }

    #[tokio::test]
    async fn a_holder_that_the_scheduler_does_not_reach_either_may_be_back_at_any_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = local(listener.local_addr().unwrap().port());
        drop(listener);
        let (peers, worker) = (without_scheduler(), WorkerId(1));
        peers.dial(worker, &address).await.unwrap_err();
        let silence = || peers.reach.silence(Instant::now(), worker, &address);
        assert!(silence().is_some());
        let object = ObjectId::output(TaskId { graph: GraphId(1), index: 0 }, 0);
        let addresses = [address.clone()].into_iter().collect();
        let holder = Peer { worker, addresses, machine: String::new() };
        let problem = from_holders(&peers, object, &[holder]).await.unwrap_err();
        assert!(problem.contains("not reached of late") && problem.contains("the scheduler"));
        assert_eq!(silence(), None);
    }
}
