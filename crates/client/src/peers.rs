//! Connections to the daemons of a cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::protocol::Address;
use bireme_proto::pb::actors_client::ActorsClient;
use bireme_proto::pb::cluster_client::ClusterClient;
use bireme_proto::pb::store_client::StoreClient;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, metadata::AsciiMetadataValue};

use crate::connect::{Target, innermost};
use crate::reach::Reach;
use crate::session::lock;

/// The scheduler's connection, and one for each worker that was asked for something.
#[derive(Debug)]
pub(crate) struct Peers {
    scheduler: Channel,
    /// Where the scheduler is.
    address: String,
    bearer: Option<AsciiMetadataValue>,
    /// With the address each was made for: a worker may come back elsewhere.
    workers: Mutex<BTreeMap<WorkerId, (Address, Connection)>>,
    /// Which workers the scheduler has to be asked for.
    pub(crate) reach: Reach,
}

/// Made once for all who ask at the same time.
type Connection = Arc<OnceCell<Channel>>;

impl Peers {
    pub(crate) fn new(scheduler: Channel, target: &Target) -> Self {
        Self {
            scheduler,
            address: target.address().to_owned(),
            bearer: target.bearer().cloned(),
            workers: Mutex::default(),
            reach: Reach::default(),
        }
    }

    /// The scheduler's store, which relays what workers hold.
    pub(crate) fn relay(&self) -> StoreClient<Channel> {
        store(self.scheduler.clone())
    }

    /// The scheduler's calls.
    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.scheduler.clone()).max_decoding_message_size(limits::CALL_BYTES)
    }

    /// The scheduler's calls about actors.
    pub(crate) fn actors(&self) -> ActorsClient<Channel> {
        ActorsClient::new(self.scheduler.clone()).max_decoding_message_size(limits::CALL_BYTES)
    }

    /// A worker's store. The connection is made by the first who asks, and kept.
    pub(crate) async fn worker(
        &self,
        worker: WorkerId,
        address: &Address,
    ) -> Result<StoreClient<Channel>, String> {
        let connection = self.connection(worker, address)?;
        let channel = connection.get_or_try_init(|| self.dial(worker, address)).await?;
        Ok(store(channel.clone()))
    }

    /// The connection that is kept. An address that is not tried does not replace another of the same worker.
    fn connection(&self, worker: WorkerId, address: &Address) -> Result<Connection, String> {
        let mut workers = lock(&self.workers);
        if let Some((known, connection)) = workers.get(&worker)
            && known == address
        {
            return Ok(Arc::clone(connection));
        }
        if let Some(why) = self.reach.silence(Instant::now(), worker, address) {
            return Err(why);
        }
        // Most are of workers that have gone; the others are made again.
        if workers.len() >= limits::WORKERS {
            workers.clear();
        }
        let connection = Connection::default();
        workers.insert(worker, (address.clone(), Arc::clone(&connection)));
        Ok(connection)
    }

    /// A new connection to a worker, unless it could not be reached of late.
    pub(crate) async fn dial(
        &self,
        worker: WorkerId,
        address: &Address,
    ) -> Result<Channel, String> {
        if let Some(why) = self.reach.silence(Instant::now(), worker, address) {
            return Err(why);
        }
        let endpoint = endpoint(&address.to_string())?;
        let connected = timeout(limits::DIRECT_WAIT.to_std(), endpoint.connect()).await;
        let why = match connected {
            Ok(Ok(channel)) => {
                self.reach.answered(worker, address);
                return Ok(channel);
            }
            Ok(Err(error)) => innermost(&error),
            Err(_) => format!("no connection within {}", limits::DIRECT_WAIT),
        };
        self.failed(worker, address, &why);
        Err(why)
    }

    /// What answers at a worker's address is silent, or somebody else.
    pub(crate) fn failed(&self, worker: WorkerId, address: &Address, why: &str) {
        self.reach.failed(Instant::now(), worker, address, why);
    }

    /// A new connection to the scheduler, for what it relays: its own stream never waits for a worker's.
    pub(crate) async fn dial_scheduler(&self) -> Result<Channel, String> {
        let connected = endpoint(&self.address)?.connect().await;
        connected.map_err(|error| format!("{}: {}", self.address, innermost(&error)))
    }

    /// A call that carries the token.
    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        authorized(message, self.bearer.as_ref())
    }
}

/// A call that carries a token, where there is one.
pub(crate) fn authorized<T>(message: T, bearer: Option<&AsciiMetadataValue>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(bearer) = bearer {
        request.metadata_mut().insert("authorization", bearer.clone());
    }
    request
}

/// How a daemon at this address is spoken to.
pub(crate) fn endpoint(address: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| error.to_string())?;
    if endpoint.uri().scheme().is_none() {
        return Err("it does not begin with http://".to_owned());
    }
    Ok(endpoint
        .connect_timeout(limits::HELLO_WAIT.to_std())
        .http2_keep_alive_interval(limits::PING.to_std())
        .keep_alive_timeout(limits::PING_WAIT.to_std())
        .keep_alive_while_idle(true)
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .tcp_nodelay(true))
}

fn store(channel: Channel) -> StoreClient<Channel> {
    StoreClient::new(channel).max_decoding_message_size(limits::STORE_CHUNK_BYTES * 2)
}

#[cfg(test)]
pub(crate) mod tests {
    use bireme_proto::pb;
    use tokio::net::TcpListener;

    use super::*;
    use crate::connect::ConnectOptions;

    /// Those of a client whose scheduler has gone.
    pub(crate) fn without_scheduler() -> Peers {
        let nowhere = "http://127.0.0.1:1";
        let options = ConnectOptions {
            scheduler: Some(nowhere.to_owned()),
            token: Some("none".to_owned()),
            ..ConnectOptions::default()
        };
        let target = Target::find(&options).unwrap();
        Peers::new(Endpoint::from_static(nowhere).connect_lazy(), &target)
    }

    /// An address on this machine.
    pub(crate) fn local(port: u16) -> Address {
        let (scheme, host) = ("http".to_owned(), "127.0.0.1".to_owned());
        Address { scheme, host, port, network: String::new() }
    }

    #[tokio::test]
    async fn a_silent_address_does_not_replace_the_one_that_answers() {
        let (peers, worker) = (without_scheduler(), WorkerId(1));
        let [silent, listener] = [0; 2].map(|port| TcpListener::bind(("127.0.0.1", port)));
        let (silent, listener) = (silent.await.unwrap(), listener.await.unwrap());
        let [away, there] = [&silent, &listener].map(|at| local(at.local_addr().unwrap().port()));
        drop(silent);
        peers.worker(worker, &away).await.unwrap_err();
        peers.worker(worker, &there).await.unwrap();
        let kept = peers.connection(worker, &there).unwrap();
        let why = peers.worker(worker, &away).await.unwrap_err();
        assert!(why.contains("not reached of late"), "{why}");
        assert!(Arc::ptr_eq(&kept, &peers.connection(worker, &there).unwrap()));
    }

    #[tokio::test]
    async fn a_worker_that_starts_again_where_it_was_is_reached_again() {
        let (peers, worker) = (without_scheduler(), WorkerId(1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let address = local(at.port());
        let mut store = peers.worker(worker, &address).await.unwrap();
        drop(listener.accept().await.unwrap());
        drop(listener);
        store.fetch(peers.call(pb::FetchRequest::default())).await.unwrap_err();

        let listener = TcpListener::bind(at).await.unwrap();
        let asks = async {
            loop {
                let mut store = peers.worker(worker, &address).await.unwrap();
                drop(store.fetch(peers.call(pb::FetchRequest::default())).await);
            }
        };
        let reached = async {
            tokio::select! {
                connected = listener.accept() => drop(connected.unwrap()),
                () = asks => {}
            }
        };
        timeout(limits::HELLO_WAIT.to_std(), reached).await.unwrap();
    }
}
