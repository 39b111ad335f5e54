//! Fetching objects from other workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bireme_core::id::WorkerId;
use bireme_core::protocol::{Address, Peer};
use bireme_core::{ObjectId, limits};
use bireme_daemon::auth::Bearer;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tonic::transport::Channel;

use crate::inbox::Inbox;
use crate::machine::Event;
use crate::rpc::store::fetch::{self, FetchError};
use crate::store::Store;
use crate::sync::lock;

/// Fetches objects, and keeps connections to the peers that had some.
#[derive(Debug)]
pub(crate) struct Transfer {
    runtime: Handle,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    inbox: Arc<Inbox>,
    bearer: Mutex<Bearer>,
    peers: Mutex<BTreeMap<WorkerId, Known>>,
    room: Semaphore,
}

/// What is known of a peer.
#[derive(Debug)]
struct Known {
    addresses: Vec<Address>,
    channel: Option<Channel>,
}

impl Transfer {
    /// `runtime` moves the bytes; `bearer` is what peers are shown.
    pub(crate) fn new(
        runtime: Handle,
        store: Arc<Store>,
        inbox: Arc<Inbox>,
        bearer: Bearer,
    ) -> Self {
        let (bearer, peers) = (Mutex::new(bearer), Mutex::default());
        let room = Semaphore::new(limits::FETCHES);
        Self { runtime, shared: Arc::new(Shared { store, inbox, bearer, peers, room }) }
    }

    /// Shows peers another token from now on.
    pub(crate) fn set_bearer(&self, bearer: Bearer) {
        *lock(&self.shared.bearer) = bearer;
    }

    /// Takes note of where peers are; of those without an address, that they are gone.
    pub(crate) fn know(&self, peers: Vec<Peer>) {
        let mut known = lock(&self.shared.peers);
        for Peer { worker, addresses, machine: _ } in peers {
            if addresses.is_empty() {
                known.remove(&worker);
            } else if known.get(&worker).is_none_or(|known| known.addresses != addresses) {
                known.insert(worker, Known { addresses, channel: None });
            }
        }
    }

    /// Forgets every peer: their numbers will mean others.
    pub(crate) fn forget(&self) {
        lock(&self.shared.peers).clear();
    }

    /// Fetches an object from the first of its holders that gives it, and tells the inbox how that went.
    pub(crate) fn fetch(&self, object: ObjectId, holders: SmallVec<[WorkerId; 2]>) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let _room = shared.room.acquire().await;
            let event = match shared.fetch_from_any(object, &holders).await {
                Some(size) => Event::Fetched { object, size },
                None => Event::FetchFailed { object, asked: holders },
            };
            shared.inbox.tell(event);
        });
    }
}

impl Shared {
    /// The size of the object, in bytes, if any holder gave it.
    async fn fetch_from_any(&self, object: ObjectId, holders: &[WorkerId]) -> Option<u64> {
        for &holder in holders {
            match self.fetch_from(object, holder).await {
                Ok(Some(size)) => return Some(size),
                Ok(None) => tracing::debug!(%object, %holder, "holder has no address"),
                Err(error) => tracing::warn!(%object, %holder, %error, "holder gives no object"),
            }
        }
        None
    }

    async fn fetch_from(
        &self,
        object: ObjectId,
        holder: WorkerId,
    ) -> Result<Option<u64>, FetchError> {
        let Some(channel) = self.channel(holder).await? else { return Ok(None) };
        let bearer = lock(&self.bearer).clone();
        let fetched = fetch::fetch(channel, bearer, object).await;
        if matches!(fetched, Err(FetchError::Silent | FetchError::Transport(_))) {
            self.hang_up(holder);
        }
        let (value, made_by) = fetched?;
        Ok(Some(self.store.put(object, Arc::new(value), made_by)))
    }

    /// The connection to a peer: the one there is, or a new one to the first of its addresses that answers.
    async fn channel(&self, worker: WorkerId) -> Result<Option<Channel>, FetchError> {
        let addresses = match lock(&self.peers).get(&worker) {
            None => return Ok(None),
            Some(Known { channel: Some(channel), .. }) => return Ok(Some(channel.clone())),
            Some(Known { addresses, .. }) => addresses.clone(),
        };
        let mut failed = None;
        for address in &addresses {
            match fetch::connect(address).await {
                Ok(channel) => {
                    if let Some(known) = lock(&self.peers).get_mut(&worker) {
                        known.channel = Some(channel.clone());
                    }
                    return Ok(Some(channel));
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), |error| Err(error.into()))
    }

    fn hang_up(&self, worker: WorkerId) {
        if let Some(known) = lock(&self.peers).get_mut(&worker) {
            known.channel = None;
        }
    }
}
