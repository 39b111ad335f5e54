//! Connections to the daemons of a cluster.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::protocol::Address;
use bireme_proto::pb::actors_client::ActorsClient;
use bireme_proto::pb::cluster_client::ClusterClient;
use bireme_proto::pb::store_client::StoreClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, metadata::AsciiMetadataValue};

use crate::connect::Target;
use crate::session::lock;

/// The scheduler's connection, and one for each worker that was asked for something.
#[derive(Debug)]
pub(crate) struct Peers {
    scheduler: Channel,
    bearer: Option<AsciiMetadataValue>,
    /// With the address each was made for: a worker may come back elsewhere.
    workers: Mutex<BTreeMap<WorkerId, (Address, Channel)>>,
}

impl Peers {
    pub(crate) fn new(scheduler: Channel, target: &Target) -> Self {
        Self { scheduler, bearer: target.bearer().cloned(), workers: Mutex::default() }
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

    /// A worker's store. The connection is made with the first call.
    pub(crate) fn worker(
        &self,
        worker: WorkerId,
        address: &Address,
    ) -> Result<StoreClient<Channel>, String> {
        let mut workers = lock(&self.workers);
        if let Some((known, channel)) = workers.get(&worker)
            && known == address
        {
            return Ok(store(channel.clone()));
        }
        let channel = endpoint(&address.to_string())?.connect_lazy();
        workers.insert(worker, (address.clone(), channel.clone()));
        Ok(store(channel))
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
