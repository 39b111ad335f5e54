//! Fetching blobs from the scheduler.

use std::sync::{Arc, Mutex};

use bireme_core::id::Digest;
use bireme_core::reason::Reason;
use bireme_core::{ErrorClass, Span, TaskError, limits};
use bireme_daemon::auth::Bearer;
use bireme_proto::status::refusal;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::failure::failure;
use crate::inbox::{Inbox, Told};
use crate::rpc::store::fetch::{self, FetchError};
use crate::store::{Store, Stored};
use crate::sync::lock;
use crate::target::{Scheduler, TargetError};

/// Fetches blobs, and keeps a connection for them.
#[derive(Debug)]
pub(crate) struct Courier {
    runtime: Handle,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    inbox: Arc<Inbox>,
    scheduler: Scheduler,
    line: Mutex<Option<(Channel, Bearer)>>,
    room: Semaphore,
}

/// Why a blob does not come.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

impl Undelivered {
    /// Whether the scheduler says that it has no such blob.
    fn is_unknown(&self) -> bool {
        match self {
            Self::Fetch(FetchError::Status(status)) => {
                refusal(status).is_some_and(|refusal| refusal.reason == Reason::BlobUnknown)
            }
            Self::Fetch(_) | Self::Target(_) | Self::Transport(_) => false,
        }
    }
}

impl Courier {
    /// `runtime` moves the bytes.
    pub(crate) fn new(
        runtime: Handle,
        store: Arc<Store>,
        inbox: Arc<Inbox>,
        scheduler: Scheduler,
    ) -> Self {
        let (line, room) = (Mutex::default(), Semaphore::new(limits::BLOB_FETCHES));
        Self { runtime, shared: Arc::new(Shared { store, inbox, scheduler, line, room }) }
    }

    /// A blob, from here or from the scheduler.
    pub(crate) async fn bring(&self, digest: Digest) -> Result<Stored, Box<TaskError>> {
        match self.shared.store.blob(digest) {
            Some(blob) => Ok(blob),
            None => self.shared.fetch(digest).await,
        }
    }

    /// Fetches a blob, and tells the inbox how that went.
    pub(crate) fn fetch(&self, digest: Digest) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let came = shared.fetch(digest).await;
            shared.inbox.push(Told::Blob(digest, came));
        });
    }
}

impl Shared {
    async fn fetch(&self, digest: Digest) -> Result<Stored, Box<TaskError>> {
        let _room = self.room.acquire().await;
        let mut pause = Span(limits::RECONNECT_MAX.0 / 100);
        let mut tries = 0;
        loop {
            let error = match self.try_fetch(digest).await {
                Ok(blob) => return Ok(blob),
                Err(error) => error,
            };
            tries += 1;
            if error.is_unknown() {
                let message = format!(
                    "neither this worker nor the scheduler has the blob {}, which the payload names: upload it again",
                    hexadecimal(digest)
                );
                return Err(failure(ErrorClass::NotFound, Reason::BlobUnknown, message));
            }
            *lock(&self.line) = None;
            if tries == limits::BLOB_TRIES {
                let message =
                    format!("the blob {} cannot be fetched: {error}", hexadecimal(digest));
                return Err(failure(ErrorClass::Reschedule, Reason::Busy, message));
            }
            tracing::warn!(?digest, %error, "blob is not fetched, trying again");
            sleep(pause.to_std()).await;
            pause = pause.doubled(limits::RECONNECT_MAX);
        }
    }

    async fn try_fetch(&self, digest: Digest) -> Result<Stored, Undelivered> {
        let kept = lock(&self.line).clone();
        let (channel, bearer) = match kept {
            Some(line) => line,
            None => self.connect().await?,
        };
        Ok(fetch::fetch_blob(channel, bearer, digest, &self.store).await?)
    }

    async fn connect(&self) -> Result<(Channel, Bearer), Undelivered> {
        let target = self.scheduler.find()?;
        let line = Endpoint::from_shared(target.address)?
            .connect_timeout(limits::FETCH_WAIT.to_std())
            .tcp_nodelay(true)
            .connect()
            .await?;
        Ok(lock(&self.line).insert((line, target.bearer)).clone())
    }
}

fn hexadecimal(digest: Digest) -> blake3::Hash {
    digest.0.into()
}
