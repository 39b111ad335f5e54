//! Writing a value into files that a worker of this machine lends.

mod fill;

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use bytes::Bytes;
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

use super::{Parcel, conclude};
use crate::fetch::near::{component, is_shared, machine};
use crate::fetch::refused;
use crate::peers::Peers;

/// Bytes that are written on the thread that puts them: to have another do so takes as long. A MiB, and what a pickle of one has
/// beside it.
const WRITTEN_HERE: u64 = (1 << 20) + (4 << 10);

/// Has a worker store a value of which we write the bytes.
pub(super) async fn put(
    peers: &Peers,
    mut store: StoreClient<Channel>,
    parcel: &Parcel,
) -> Result<(), String> {
    let head = parcel.head.clone();
    let lengths = parcel.buffers.iter().map(|bytes| bytes.len() as u64).collect();
    let request = pb::AllocatePoolRequest {
        submission_id: head.submission_id.clone(),
        machine: machine().to_owned(),
        lengths,
        ..pb::AllocatePoolRequest::default()
    };
    let lent = store.allocate_pool(peers.call(request)).await.map_err(refused)?.into_inner();
    let (lease, pool_files, buffers) = (lent.lease, lent.files.clone(), parcel.buffers.clone());
    let written = if parcel.bytes() <= WRITTEN_HERE {
        Ok(write_all(&lent, &buffers))
    } else {
        spawn_blocking(move || write_all(&lent, &buffers)).await
    };
    let put = match written {
        Ok(Ok(())) => conclude(peers, &mut store, pb::PutHead { pool_files, ..head }).await,
        Ok(Err(problem)) => Err(problem),
        Err(error) => Err(error.to_string()),
    };
    if put.is_err() {
        let release = pb::ReleasePoolRequest { leases: vec![lease], ..Default::default() };
        let release = peers.call(release);
        // Nobody waits for it: without it the lease runs out.
        tokio::spawn(async move { store.release_pool(release).await });
    }
    put
}

fn write_all(lent: &pb::AllocatePoolResponse, buffers: &[Bytes]) -> Result<(), String> {
    let directory = lent.directory.as_ref().filter(|_| !lent.pending);
    let directory = directory.ok_or("has no room for the value")?;
    if !is_shared(directory) {
        return Err("shares no memory with this process".to_owned());
    }
    if lent.files.len() != buffers.len() {
        return Err(format!("{} files for {} buffers", lent.files.len(), buffers.len()));
    }
    let path = PathBuf::from(&directory.path);
    for (file, bytes) in lent.files.iter().zip(buffers) {
        write(&path, file, bytes).map_err(|error| format!("{}: {error}", file.name))?;
    }
    Ok(())
}

fn write(directory: &Path, file: &pb::buffer::PoolFile, bytes: &[u8]) -> io::Result<()> {
    let name = component(&file.name).ok_or(io::ErrorKind::InvalidFilename)?;
    let open = OpenOptions::new().read(true).write(true).open(directory.join(name))?;
    fill::fill(&open, file.offset, bytes)
}
