//! Fetching objects from other workers.
//!
//! What is wanted from a peer waits in the peer's queue; a few fetches at a time take from it as much as has gathered, so
//! that many small objects cost one call together. There are three ways, the quickest first: a peer on this machine lends
//! its files, which get names here too; a bulk connection brings the bytes from file to file; a gRPC stream brings them in
//! chunks. Where one way fails the next is tried, then the next holder.

pub(crate) mod courier;
mod peers;

use std::sync::{Arc, Mutex};

use bireme_core::id::WorkerId;
use bireme_core::protocol::Peer;
use bireme_core::{ObjectId, limits};
use bireme_daemon::auth::Bearer;
use clap::ValueEnum;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use smallvec::SmallVec;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use self::peers::{Line, Peers, Wanted};
use crate::inbox::Inbox;
use crate::machine::Event;
use crate::rpc::store::adopt::{self, Adopted};
use crate::rpc::store::fetch::{self, FetchError};
use crate::rpc::store::haul;
use crate::store::Store;
use crate::sync::lock;

/// How objects are fetched from other workers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Way {
    /// The quickest that there is.
    #[default]
    Auto,
    /// By bulk connections, from workers of the same machine too.
    Socket,
    /// By gRPC streams alone.
    Stream,
}

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
    peers: Mutex<Peers>,
    room: Semaphore,
    way: Way,
}

/// What became of the objects of a fetch.
#[derive(Debug, Default)]
struct Came {
    /// In order: the size in bytes of each that came.
    sizes: Vec<Option<u64>>,
    /// There was no room here for one of them: its holder is not to blame.
    full: bool,
}

impl Transfer {
    /// `runtime` moves the bytes; `bearer` is what peers are shown.
    pub(crate) fn new(
        runtime: Handle,
        store: Arc<Store>,
        inbox: Arc<Inbox>,
        bearer: Bearer,
        way: Way,
    ) -> Self {
        let (bearer, peers) = (Mutex::new(bearer), Mutex::default());
        let room = Semaphore::new(limits::FETCHES);
        Self { runtime, shared: Arc::new(Shared { store, inbox, bearer, peers, room, way }) }
    }

    /// Shows peers another token from now on.
    pub(crate) fn set_bearer(&self, bearer: Bearer) {
        *lock(&self.shared.bearer) = bearer;
    }

    /// Takes note of where peers are; of those without an address, that they are gone.
    pub(crate) fn know(&self, peers: Vec<Peer>) {
        let left = lock(&self.shared.peers).know(peers);
        for wanted in left {
            self.fetch_from_next(wanted);
        }
    }

    /// Forgets every peer: their numbers will mean others.
    pub(crate) fn forget(&self) {
        let left = lock(&self.shared.peers).forget();
        for wanted in left {
            self.fetch_from_next(wanted);
        }
    }

    /// Fetches an object of a size in bytes from the first of its holders that gives it, and tells the inbox how that went.
    pub(crate) fn fetch(&self, object: ObjectId, size: u64, holders: SmallVec<[WorkerId; 2]>) {
        self.fetch_from_next(Wanted { object, size, holders, asked: 0 });
    }

    fn fetch_from_next(&self, wanted: Wanted) {
        Shared::want(&self.shared, &self.runtime, wanted);
    }
}

impl Shared {
    /// Has the next holder of an object that can be asked give it; tells the inbox if there is none.
    fn want(shared: &Arc<Self>, runtime: &Handle, wanted: Wanted) {
        let queued = lock(&shared.peers).queue(wanted);
        match queued {
            Ok(Some(peer)) => {
                runtime.spawn(Self::work(Arc::clone(shared), runtime.clone(), peer));
            }
            Ok(None) => {}
            Err(Wanted { object, holders, .. }) => {
                shared.inbox.tell(Event::FetchFailed { object, asked: holders });
            }
        }
    }

    /// Fetches what is wanted of a peer until there is nothing.
    async fn work(shared: Arc<Self>, runtime: Handle, peer: WorkerId) {
        loop {
            let _room = shared.room.acquire().await;
            let batch = lock(&shared.peers).take(peer);
            if batch.is_empty() {
                return;
            }
            let freed = shared.store.freed();
            let Came { sizes, full } = shared.fetch_batch(peer, &batch).await;
            if full {
                let _ = timeout(limits::ROOM_WAIT.to_std(), freed).await;
            }
            let all = sizes.into_iter().chain(std::iter::repeat(None));
            for (wanted, came) in batch.into_iter().zip(all) {
                let object = wanted.object;
                match came {
                    Some(size) => shared.inbox.tell(Event::Fetched { object, size }),
                    // Nobody was asked in vain: the scheduler says again where it is.
                    None if full => {
                        let asked = SmallVec::new();
                        shared.inbox.tell(Event::FetchFailed { object, asked });
                    }
                    None => Self::want(&shared, &runtime, wanted),
                }
            }
        }
    }

    /// Fetches by the quickest way that there is, and by the others what it does not bring.
    async fn fetch_batch(&self, peer: WorkerId, batch: &[Wanted]) -> Came {
        let line = match self.line(peer).await {
            Ok(Some(line)) => line,
            Ok(None) => return Came::default(),
            Err(error) => {
                tracing::warn!(%peer, %error, "holder cannot be reached");
                return Came::default();
            }
        };
        if self.way == Way::Auto && line.is_near {
            match self.adopt(&line, batch).await {
                Ok(Adopted::Done(sizes)) => return Came { sizes, full: false },
                Ok(Adopted::Apart) => lock(&self.peers).set_apart(peer),
                Err(error) => tracing::warn!(%peer, %error, "holder lends no files"),
            }
        }
        let bytes = batch.iter().fold(0_u64, |sum, wanted| sum.saturating_add(wanted.size));
        if self.way != Way::Stream && bytes >= limits::BULK_BYTES {
            match self.haul(&line, batch).await {
                Ok(sizes) => return Came { sizes, full: false },
                Err(error) if error.is_full() => return Came { sizes: Vec::new(), full: true },
                Err(error) => tracing::warn!(%peer, %error, "holder gives nothing in bulk"),
            }
        }
        let fetched = batch.iter().map(|wanted| self.stream(peer, &line, wanted.object));
        let fetched: Vec<_> = fetched.collect::<FuturesOrdered<_>>().collect().await;
        let full = fetched.iter().any(|came| came.as_ref().is_err_and(FetchError::is_full));
        Came { sizes: fetched.into_iter().map(Result::ok).collect(), full }
    }

    async fn adopt(&self, line: &Line, batch: &[Wanted]) -> Result<Adopted, FetchError> {
        let store = Arc::clone(&self.store);
        let lender = (line.channel.clone(), line.returns.clone());
        adopt::adopt(lender, self.bearer(), store, objects(batch)).await
    }

    async fn haul(&self, line: &Line, batch: &[Wanted]) -> Result<haul::Hauled, FetchError> {
        let (channel, address) = (line.channel.clone(), line.address.clone());
        let store = Arc::clone(&self.store);
        haul::haul(channel, address, self.bearer(), store, objects(batch)).await
    }

    async fn stream(
        &self,
        peer: WorkerId,
        line: &Line,
        object: ObjectId,
    ) -> Result<u64, FetchError> {
        let fetched = fetch::fetch(line.channel.clone(), self.bearer(), object, &self.store).await;
        if matches!(fetched, Err(FetchError::Silent | FetchError::Transport(_))) {
            lock(&self.peers).hang_up(peer);
        }
        let stored = fetched
            .and_then(|(arrived, made_by)| Ok(arrived.store(&self.store, object, made_by)?));
        stored.inspect_err(|error| {
            tracing::warn!(%object, %peer, %error, "object is not fetched");
        })
    }

    /// The connection to a peer: the one there is, or a new one to the first of its addresses that answers.
    async fn line(&self, peer: WorkerId) -> Result<Option<Line>, FetchError> {
        let addresses = match lock(&self.peers).line(peer) {
            Ok(line) => return Ok(Some(line)),
            Err(addresses) => addresses,
        };
        let mut failed = None;
        for address in addresses {
            match fetch::connect(&address).await {
                Ok(channel) => return Ok(lock(&self.peers).connected(peer, address, channel)),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), |error| Err(error.into()))
    }

    fn bearer(&self) -> Bearer {
        lock(&self.bearer).clone()
    }
}

fn objects(batch: &[Wanted]) -> Vec<ObjectId> {
    batch.iter().map(|wanted| wanted.object).collect()
}
