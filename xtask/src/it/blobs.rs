//! Blobs, in and out of each daemon that keeps some.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_core::id::Digest;
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use bytes::Bytes;
use pb::put_blob_request::Part;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::door::{authorize, reason};
use crate::cluster::{Cluster, Shape, Site, guarded};

/// Length of the blob in bytes, which are 0 to 250 again and again.
const LENGTH: u32 = 102_400;
/// The BLAKE3 of that, as the test vectors of BLAKE3 have it.
const DIGEST: &str = "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085";
/// Bytes that go in one message.
const CHUNK: usize = 40_000;

pub(super) async fn in_and_out() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let status = cluster.site().admin().await?;
    let worker = guarded("the worker", status.worker("w1")).await??;
    let worker = worker.addresses.into_iter().next().context("the worker listens nowhere")?;
    for (daemon, address) in [("scheduler", status.status().await?.address), ("worker", worker)] {
        let daemon = format!("the {daemon}");
        guarded(&daemon, one(cluster.site(), address)).await?.context(daemon)?;
    }
    cluster.stop().await
}

/// Brings a blob to a daemon and reads it there.
async fn one(site: &Site, address: String) -> Result<()> {
    let channel = Endpoint::from_shared(address)?.connect().await?;
    let mut store = Store { site, client: StoreClient::new(channel) };
    let bytes: Bytes = (0..=250_u8).cycle().take(LENGTH as usize).collect::<Vec<_>>().into();
    ensure!(!store.has().await?, "it is there before it was sent");
    let unknown = refusal(store.read(0).await)?;
    ensure!(reason(&unknown) == "BLOB_UNKNOWN", "what is not there: {unknown}");
    let cut = refusal(store.put(bytes.slice(1..)).await)?;
    ensure!(cut.code() == Code::InvalidArgument, "a blob that ends too soon: {cut}");
    let mut changed = bytes.to_vec();
    changed.rotate_left(1);
    let changed = refusal(store.put(changed.into()).await)?;
    ensure!(reason(&changed) == "DIGEST_MISMATCH", "a blob of another digest: {changed}");
    ensure!(!store.has().await?, "what was refused is there");
    ensure!(!store.put(bytes.clone()).await?, "it was there before it was sent");
    ensure!(store.put(bytes.clone()).await?, "it is not there after it was sent");
    ensure!(store.has().await?, "it is not there");
    for from in [0, 1, LENGTH as usize / 2] {
        let read = store.read(from).await?;
        ensure!(read == bytes.slice(from..), "from {from} on it is {} other bytes", read.len());
    }
    Ok(())
}

/// A daemon's store, of which the blob is asked.
struct Store<'a> {
    site: &'a Site,
    client: StoreClient<Channel>,
}

impl Store<'_> {
    async fn has(&mut self) -> Result<bool> {
        let digests = vec![named()?];
        let request = self.call(pb::HasBlobsRequest { digests })?;
        Ok(self.client.has_blobs(request).await?.into_inner().missing.is_empty())
    }

    /// Sends bytes under the blob's name. Returns whether it was there before.
    async fn put(&mut self, bytes: Bytes) -> Result<bool> {
        let submission_id = vec![7; 16].into();
        let (digest, length) = (Some(named()?), LENGTH.into());
        let head = Part::Head(pb::PutBlobHead { submission_id, digest, length });
        let chunks = bytes.chunks(CHUNK).map(|chunk| Part::Data(bytes.slice_ref(chunk)));
        let parts: Vec<_> = [head].into_iter().chain(chunks).collect();
        let parts = parts.into_iter().map(|part| pb::PutBlobRequest { part: Some(part) });
        let request = self.call(tokio_stream::iter(parts.collect::<Vec<_>>()))?;
        Ok(self.client.put_blob(request).await?.into_inner().existed)
    }

    async fn read(&mut self, from: usize) -> Result<Bytes> {
        let (digest, offset) = (Some(named()?), from as u64);
        let request = self.call(pb::FetchBlobRequest { digest, offset })?;
        let mut parts = self.client.fetch_blob(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = parts.message().await? {
            ensure!(part.offset == (from + bytes.len()) as u64, "a part is at {}", part.offset);
            bytes.extend_from_slice(&part.data);
        }
        Ok(bytes.into())
    }

    fn call<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        authorize(self.site, &mut request)?;
        Ok(request)
    }
}

/// What a daemon refused, which it must have.
fn refusal<T>(answer: Result<T>) -> Result<Status> {
    match answer {
        Ok(_) => bail!("what must be refused was done"),
        Err(error) => error.downcast(),
    }
}

fn named() -> Result<pb::Digest> {
    Ok(Digest(digest()?).into())
}

fn digest() -> Result<[u8; 32]> {
    let number = |at: usize| DIGEST.get(at..at + 2).map(|two| u8::from_str_radix(two, 16));
    let mut digest = [0; 32];
    for (place, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *place = number(at).context("the digest is too short")??;
    }
    Ok(digest)
}
