//! Fetching blobs from the scheduler.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{fmt, fs, io};

use bireme_core::id::Digest;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ErrorClass, Span, TaskError, limits};
use bireme_daemon::auth::Bearer;
use bireme_proto::status::refusal;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::failure::failure;
use crate::inbox::{Inbox, Told};
use crate::rpc::store::fetch::{self, FetchError};
use crate::store::Store;
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

    /// What is said of a blob that is larger than all that is kept.
    fn too_large(&self) -> Option<&Refusal> {
        match self {
            Self::Fetch(FetchError::Refused(refusal)) => {
                Some(refusal).filter(|refusal| refusal.reason == Reason::ValueTooLarge)
            }
            Self::Fetch(_) | Self::Target(_) | Self::Transport(_) => None,
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

    /// Writes a blob into a file, from here or from the scheduler. What comes from there is not kept besides.
    pub(crate) async fn bring(&self, digest: Digest, into: &Path) -> Result<(), Box<TaskError>> {
        let Some(blob) = self.shared.store.blob(digest) else {
            let fetch = |channel, bearer| async {
                Ok(fetch::fetch_blob_into(channel, bearer, digest, into).await?)
            };
            return self.shared.persist(digest, fetch).await;
        };
        let into = into.to_owned();
        let write = move || fs::write(into, blob.load()?.bytes().unwrap_or_default());
        let written = spawn_blocking(write).await.map_err(io::Error::other).flatten();
        written.map_err(|error| undelivered(digest, &error))
    }

    /// Fetches a blob, and tells the inbox how that went.
    pub(crate) fn fetch(&self, digest: Digest) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let fetch = |channel, bearer| async {
                Ok(fetch::fetch_blob(channel, bearer, digest, &shared.store).await?)
            };
            let came = shared.persist(digest, fetch).await;
            shared.inbox.push(Told::Blob(digest, came));
        });
    }
}

impl Shared {
    /// Fetches a blob by `fetch`, as often as makes sense.
    async fn persist<T, F: Future<Output = Result<T, Undelivered>>>(
        &self,
        digest: Digest,
        mut fetch: impl FnMut(Channel, Bearer) -> F,
    ) -> Result<T, Box<TaskError>> {
        let _room = self.room.acquire().await;
        let mut pause = Span(limits::RECONNECT_MAX.0 / 100);
        let mut tries = 0;
        loop {
            let came = match self.line().await {
                Ok((channel, bearer)) => fetch(channel, bearer).await,
                Err(error) => Err(error),
            };
            let error = match came {
                Ok(came) => return Ok(came),
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
            if let Some(refusal) = error.too_large() {
                return Err(failure(ErrorClass::NotFound, refusal.reason, refusal.message.clone()));
            }
            *lock(&self.line) = None;
            if tries == limits::BLOB_TRIES {
                return Err(undelivered(digest, &error));
            }
            tracing::warn!(?digest, %error, "blob is not fetched, trying again");
            sleep(pause.to_std()).await;
            pause = pause.doubled(limits::RECONNECT_MAX);
        }
    }

    async fn line(&self) -> Result<(Channel, Bearer), Undelivered> {
        let kept = lock(&self.line).clone();
        match kept {
            Some(line) => Ok(line),
            None => self.connect().await,
        }
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

/// Why a blob is not here. Another worker may have it.
fn undelivered(digest: Digest, problem: &dyn fmt::Display) -> Box<TaskError> {
    let message = format!("the blob {} cannot be fetched: {problem}", hexadecimal(digest));
    failure(ErrorClass::Reschedule, Reason::Busy, message)
}

fn hexadecimal(digest: Digest) -> blake3::Hash {
    digest.0.into()
}
