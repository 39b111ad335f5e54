//! Reading values of workers of this machine from their files: long buffers in place, short ones copied.

mod map;

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bireme_core::object::ObjectId;
use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

use self::map::Mapped;
use super::{read_bytes, refused};
use crate::peers::Peers;

/// Boot id and host name, as workers tell theirs: with equal ones, memory may be shared.
static MACHINE: LazyLock<String> = LazyLock::new(|| {
    let read = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let name = read("/proc/sys/kernel/hostname");
    let name = if name.is_empty() { "localhost".to_owned() } else { name };
    format!("{} {name}", read("/proc/sys/kernel/random/boot_id"))
});

/// The name of this machine, as workers give theirs.
pub(crate) fn machine() -> &'static str {
    &MACHINE
}

/// Reads objects of a worker; `None` for those that it does not have.
pub(super) async fn read(
    peers: &Peers,
    store: StoreClient<Channel>,
    objects: &[ObjectId],
) -> Result<Vec<Option<Value>>, String> {
    let mut store = store.max_decoding_message_size(limits::CALL_BYTES);
    let request = pb::PoolFilesRequest {
        machine: machine().to_owned(),
        objects: objects.iter().copied().map(Into::into).collect(),
        ..pb::PoolFilesRequest::default()
    };
    let lent = store.pool_files(peers.call(request)).await.map_err(refused)?.into_inner();
    let lease = lent.lease;
    let read = spawn_blocking(move || read_all(lent)).await;
    let release = pb::ReleasePoolRequest { leases: vec![lease], ..Default::default() };
    let release = peers.call(release);
    // Nobody waits for it: without it the lease runs out.
    tokio::spawn(async move { store.release_pool(release).await });
    let values = read.map_err(|error| error.to_string())??;
    if values.len() != objects.len() {
        return Err(format!("{} values for {} objects", values.len(), objects.len()));
    }
    Ok(values)
}

fn read_all(lent: pb::PoolFilesResponse) -> Result<Vec<Option<Value>>, String> {
    let pb::PoolFilesResponse { pending, values, directory, .. } = lent;
    let Some(directory) = directory.filter(|_| !pending) else {
        return Err("has no room to lend files".to_owned());
    };
    if !is_shared(&directory) {
        return Err("shares no memory with this process".to_owned());
    }
    let directory = PathBuf::from(directory.path);
    let values = values.into_iter().map(|value| {
        let is_there = value.codec != pb::Codec::Unspecified as i32;
        is_there.then(|| read_value(&directory, value)).transpose()
    });
    values.collect()
}

/// Whether the worker's directory is one here too, and the same.
pub(crate) fn is_shared(directory: &pb::PoolDirectory) -> bool {
    let pb::PoolDirectory { path, probe_name, probe } = directory;
    let found = component(probe_name).and_then(|name| File::open(Path::new(path).join(name)).ok());
    let read = found.and_then(|file| read_bytes(file, probe.len() as u64).ok());
    !probe.is_empty() && read.as_ref() == Some(probe)
}

fn read_value(directory: &Path, value: pb::Value) -> Result<Value, String> {
    let value = Value::try_from(value);
    let mut value = value.map_err(|refusal| format!("lent an unreadable value: {refusal}"))?;
    for buffer in &mut value.buffers {
        if let Buffer::PoolFile(run) = buffer {
            let bytes = read_run(directory, run);
            *buffer = Buffer::Inline(bytes.map_err(|error| format!("{}: {error}", run.name))?);
        }
    }
    Ok(value)
}

fn read_run(directory: &Path, run: &PoolFile) -> io::Result<bytes::Bytes> {
    let name = component(&run.name).ok_or(io::ErrorKind::InvalidFilename)?;
    let path = directory.join(name);
    if run.length >= limits::MAP_BYTES
        && let Some(mapped) = Mapped::open(&path, run)?
    {
        return Ok(bytes::Bytes::from_owner(mapped));
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(run.offset))?;
    read_bytes(file, run.length)
}

/// A name that leads nowhere else.
pub(crate) fn component(name: &str) -> Option<&str> {
    (!name.is_empty() && !name.contains('/') && name != "..").then_some(name)
}
