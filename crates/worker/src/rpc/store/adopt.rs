//! Taking over values of another worker of this machine: their files get names in our own pool too, and no byte moves.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bireme_core::reason::Refusal;
use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{ObjectId, Value, limits};
use bireme_daemon::auth::Bearer;
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use tokio::time::sleep;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::fetch::{FetchError, patient};
use super::haul::Hauled;
use super::malformed;
use crate::host;
use crate::store::Store;
use crate::sync::lock;

/// How taking over went.
#[derive(Debug)]
pub(crate) enum Adopted {
    /// As told.
    Done(Hauled),
    /// The peer shares no memory with us, whatever its machine is called.
    Apart,
}

/// Leases that a peer is to be given back, together: each message costs both sides a wake-up. A peer gives a bounded number
/// of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returns(Arc<Mutex<Vec<u64>>>);

impl Returns {
    /// Adds a lease. Whether it is the first, so that somebody has to give them back.
    fn add(&self, lease: u64) -> bool {
        let mut leases = lock(&self.0);
        leases.push(lease);
        leases.len() == 1
    }

    fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// Takes objects over into the store.
pub(crate) async fn adopt(
    (channel, returns): (Channel, Returns),
    bearer: Bearer,
    store: Arc<Store>,
    objects: Vec<ObjectId>,
) -> Result<Adopted, FetchError> {
    let mut client = StoreClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(limits::CALL_BYTES);
    let request = pb::PoolFilesRequest {
        machine: host::machine(),
        objects: objects.iter().copied().map(Into::into).collect(),
        ..pb::PoolFilesRequest::default()
    };
    let lent = patient(client.pool_files(request)).await?.into_inner();
    let lease = lent.lease;
    let adopted = take_over(&store, &objects, lent);
    if returns.add(lease) {
        release(client, returns);
    }
    Ok(adopted?)
}

/// Gives leases back, a while later and without anybody's waiting for it: what we took has names of its own.
fn release(mut client: StoreClient<InterceptedService<Channel, Bearer>>, returns: Returns) {
    tokio::spawn(async move {
        sleep(limits::FLUSH_LATE.to_std()).await;
        let release = pb::ReleasePoolRequest { leases: returns.take(), ..Default::default() };
        if let Err(error) = patient(client.release_pool(release)).await {
            tracing::debug!(%error, "leases of pool files not given back, they will run out");
        }
    });
}

fn take_over(
    store: &Store,
    objects: &[ObjectId],
    lent: pb::PoolFilesResponse,
) -> Result<Adopted, Refusal> {
    let pb::PoolFilesResponse { pending, values, directory, .. } = lent;
    if pending {
        return Ok(Adopted::Done(vec![None; objects.len()]));
    }
    let directory = directory.ok_or_else(|| malformed("directory", "the directory is missing"))?;
    if values.len() != objects.len() {
        let message = format!("{} values for {} objects", values.len(), objects.len());
        return Err(malformed("values", message));
    }
    if !is_shared(&directory) {
        return Ok(Adopted::Apart);
    }
    let path = Path::new(&directory.path);
    let mut sizes = Hauled::with_capacity(objects.len());
    for (&object, value) in objects.iter().zip(values) {
        let is_here = value.codec != pb::Codec::Unspecified as i32;
        sizes.push(is_here.then(|| link(store, path, object, value)).transpose()?);
    }
    Ok(Adopted::Done(sizes))
}

/// Whether the peer's directory is a directory here too, and the same one.
fn is_shared(directory: &pb::PoolDirectory) -> bool {
    let pb::PoolDirectory { path, probe_name, probe } = directory;
    let is_name = !probe_name.is_empty() && !probe_name.contains('/');
    let mut read = Vec::new();
    let found = File::open(Path::new(path).join(probe_name))
        .and_then(|file| file.take(probe.len() as u64 + 1).read_to_end(&mut read));
    is_name && found.is_ok() && !probe.is_empty() && read == *probe
}

/// Gives a value's files names here, and puts the value.
fn link(
    store: &Store,
    directory: &Path,
    object: ObjectId,
    value: pb::Value,
) -> Result<u64, Refusal> {
    let mut value = Value::try_from(value)?;
    let run_of = |buffer: &Buffer| match buffer {
        Buffer::PoolFile(run) => Some(run.clone()),
        _ => None,
    };
    let runs: Vec<PoolFile> = value.buffers.iter().filter_map(run_of).collect();
    let draft = store.link(directory, &runs).map_err(|error| {
        malformed("values", format!("the files of {object} cannot be linked: {error}"))
    })?;
    let mut ours = draft.runs().iter().cloned();
    for buffer in &mut value.buffers {
        if let Buffer::PoolFile(run) = buffer
            && let Some(own) = ours.next()
        {
            *run = own;
        }
    }
    Ok(store.put_written(object, value, std::iter::once(&draft), None)?)
}
