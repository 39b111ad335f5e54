//! Reading a value from a peer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bireme_core::id::{AttemptId, Digest};
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ObjectId, limits};
use bireme_daemon::auth::Bearer;
use bireme_proto::bulk::BulkError;
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use super::assembly::{Arrived, Assembly};
use super::malformed;
use crate::store::{Store, Stored};

/// Why a peer could not give a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The connection for its bytes came to nothing.
    #[error(transparent)]
    Bulk(#[from] BulkError),
    /// The file that its bytes are for cannot be written.
    #[error("it cannot be written: {0}")]
    File(#[from] io::Error),
    /// It sent what no correct peer sends, or what is too large to be kept.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It said no, or went away.
    #[error("{}", .0.message())]
    Status(Box<tonic::Status>),
    /// It is silent.
    #[error("silent for {}", limits::FETCH_WAIT)]
    Silent,
    /// It cannot be reached.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

impl FetchError {
    /// Whether there was no room here: what the peer says comes as a status.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Bulk(BulkError::Refused(refusal)) | Self::Refused(refusal) => {
                refusal.reason == Reason::StoreFull
            }
            Self::Bulk(BulkError::Broken(_))
            | Self::File(_)
            | Self::Status(_)
            | Self::Silent
            | Self::Transport(_) => false,
        }
    }
}

impl From<tonic::Status> for FetchError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// A connection to a peer.
pub(crate) async fn connect(address: &Address) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(address.to_string())?
        .connect_timeout(limits::FETCH_WAIT.to_std())
        .tcp_nodelay(true)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .connect()
        .await
}

/// Reads a value; also says which attempt made it.
pub(crate) async fn fetch(
    channel: Channel,
    bearer: Bearer,
    object: ObjectId,
    store: &Arc<Store>,
) -> Result<(Arrived, Option<AttemptId>), FetchError> {
    fetch_source(channel, bearer, pb::fetch_request::Source::Object(object.into()), store).await
}

/// Reads a blob, which is what its digest says, into the store.
pub(crate) async fn fetch_blob(
    channel: Channel,
    bearer: Bearer,
    digest: Digest,
    store: &Arc<Store>,
) -> Result<Stored, FetchError> {
    let source = pb::fetch_request::Source::Blob(digest.into());
    let (arrived, _) = fetch_source(channel, bearer, source, store).await?;
    Ok(arrived.store_blob(store, digest)?)
}

/// Writes a blob, which is what its digest says, into a file that is made for it. It may be larger than the store.
pub(crate) async fn fetch_blob_into(
    channel: Channel,
    bearer: Bearer,
    digest: Digest,
    path: &Path,
) -> Result<(), FetchError> {
    let file = Arc::new(File::create(path)?);
    let source = pb::fetch_request::Source::Blob(digest.into());
    let (_, head, mut parts) = open(channel, bearer, source).await?;
    let (mut hasher, mut came) = (blake3::Hasher::new(), 0);
    while let Some(chunk) = next_chunk(&mut parts).await? {
        if chunk.offset != came {
            return Err(malformed("chunk.offset", "bytes are missing before these").into());
        }
        hasher.update(&chunk.data);
        came += chunk.data.len() as u64;
        let file = Arc::clone(&file);
        let write = move || file.write_all_at(&chunk.data, chunk.offset);
        spawn_blocking(write).await.map_err(io::Error::other)??;
    }
    if came != head.size {
        let message = format!("the stream ended at byte {came} of {}", head.size);
        return Err(malformed("chunk", message).into());
    }
    if *hasher.finalize().as_bytes() != digest.0 {
        let message = "the bytes have another digest";
        return Err(Refusal::at(Reason::DigestMismatch, "value.digest", message).into());
    }
    Ok(())
}

async fn fetch_source(
    channel: Channel,
    bearer: Bearer,
    source: pb::fetch_request::Source,
    store: &Arc<Store>,
) -> Result<(Arrived, Option<AttemptId>), FetchError> {
    let digest = match &source {
        pb::fetch_request::Source::Blob(digest) => Some(digest.clone()),
        pb::fetch_request::Source::Object(_) => None,
    };
    let (made_by, value, mut parts) = open(channel, bearer, source).await?;
    if digest.is_some() && value.size > limits::BLOBS_BYTES {
        let message = format!(
            "the blob has {} bytes, and workers keep at most {}",
            value.size,
            limits::BLOBS_BYTES
        );
        return Err(Refusal::at(Reason::ValueTooLarge, "value.size", message).into());
    }
    // What was asked for is what it has to be, whatever the peer says.
    let value = pb::ValueHead { digest: digest.or(value.digest), ..value };
    let mut assembly = Assembly::new(value, store).await?;
    while let Some(chunk) = next_chunk(&mut parts).await? {
        assembly.add(chunk)?;
    }
    Ok((assembly.finish()?, made_by))
}

/// Begins to read: which attempt made it, what it is, and what follows.
async fn open(
    channel: Channel,
    bearer: Bearer,
    source: pb::fetch_request::Source,
) -> Result<(Option<AttemptId>, pb::ValueHead, Streaming<pb::FetchResponse>), FetchError> {
    let request = pb::FetchRequest { source: Some(source), ..pb::FetchRequest::default() };
    let mut client = StoreClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(limits::STORE_CHUNK_BYTES + limits::MESSAGE_BYTES);
    let mut parts = patient(client.fetch(request)).await?.into_inner();
    let first = patient(parts.message()).await?.and_then(|message| message.part);
    let Some(pb::fetch_response::Part::Head(head)) = first else {
        return Err(malformed("head", "the first message carries no head").into());
    };
    let made_by = head.made_by.map(TryInto::try_into).transpose()?;
    let missing = || malformed("head.value", "the value's head is missing");
    let value = head.value.ok_or_else(missing)?;
    Ok((made_by, value, parts))
}

async fn next_chunk(
    parts: &mut Streaming<pb::FetchResponse>,
) -> Result<Option<pb::DataChunk>, FetchError> {
    let Some(message) = patient(parts.message()).await? else { return Ok(None) };
    let Some(pb::fetch_response::Part::Chunk(chunk)) = message.part else {
        return Err(malformed("chunk", "a later message carries no chunk").into());
    };
    Ok(Some(chunk))
}

/// An answer, unless the peer takes too long for it.
pub(super) async fn patient<T>(
    answer: impl Future<Output = Result<T, tonic::Status>>,
) -> Result<T, FetchError> {
    match timeout(limits::FETCH_WAIT.to_std(), answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(FetchError::Silent),
    }
}
