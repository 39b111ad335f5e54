//! Reading a value from a peer.

use std::sync::Arc;

use bireme_core::id::{AttemptId, Digest};
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ObjectId, limits};
use bireme_daemon::auth::Bearer;
use bireme_proto::bulk::BulkError;
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use tokio::time::timeout;
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
    /// It sent what no correct peer sends.
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
    // What was asked for is what it has to be, whatever the peer says.
    let value = pb::ValueHead { digest: digest.or(value.digest), ..value };
    let mut assembly = Assembly::new(value, store).await?;
    while let Some(message) = patient(parts.message()).await? {
        let Some(pb::fetch_response::Part::Chunk(chunk)) = message.part else {
            return Err(malformed("chunk", "a later message carries no chunk").into());
        };
        assembly.add(chunk)?;
    }
    Ok((assembly.finish()?, made_by))
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
