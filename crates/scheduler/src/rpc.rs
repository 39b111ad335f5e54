//! The doors: gRPC services over the driver's mailbox. The only place, with its children, that knows generated types.

pub(crate) mod actors;
pub(crate) mod cluster;
pub(crate) mod fleet;
pub(crate) mod hello;
pub(crate) mod pipe;
pub(crate) mod session;
pub(crate) mod store;
pub(crate) mod unread;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic::Request;
use tonic::transport::Server;

use bireme_core::id::ClusterId;
use bireme_core::limits;
use bireme_core::link::Hello;
use bireme_daemon::auth::{Access, Gate, Latest, TokenKey};
use bireme_daemon::{Listener, Shutdown};
use bireme_proto::pb::actor_host_server::ActorHostServer;
use bireme_proto::pb::actors_server::ActorsServer;
use bireme_proto::pb::cluster_server::ClusterServer;
use bireme_proto::pb::fleet_server::FleetServer;
use bireme_proto::pb::session_server::SessionServer;
use bireme_proto::pb::store_server::StoreServer;

use self::actors::calls::Calls;
use crate::blobs::Blobs;
use crate::driver::mail::Mailbox;
use crate::relay::Relay;

/// What a daemon is, as far as it stays the same for its whole life.
#[derive(Debug)]
pub(crate) struct Site {
    /// How it greets; its cluster and epoch.
    pub(crate) hello: Hello,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// A restart remembers what `--state-dir` keeps.
    pub(crate) durable: bool,
    /// Who is let in.
    pub(crate) access: Access,
    /// What it makes tokens for others with.
    pub(crate) token_key: TokenKey,
    /// Those that it issued of late.
    pub(crate) issued: Latest,
    /// Passes on what workers have to those who cannot reach them.
    pub(crate) relay: Relay,
    /// What was uploaded under its digest.
    pub(crate) blobs: Arc<Blobs>,
    /// Whether somebody asked for the end.
    pub(crate) ending: Ending,
}

impl Site {
    /// The cluster.
    pub(crate) fn cluster(&self) -> ClusterId {
        self.hello.cluster.expect("a scheduler knows its cluster")
    }
}

/// The end of the daemon, as asked for by a call.
#[derive(Debug)]
pub(crate) struct Ending {
    shutdown: Shutdown,
    workers: AtomicBool,
}

impl Default for Ending {
    fn default() -> Self {
        Self { shutdown: Shutdown::manual(), workers: AtomicBool::new(false) }
    }
}

impl Ending {
    /// Begins it; with `workers`, they end too.
    pub(crate) fn begin(&self, workers: bool) {
        self.workers.fetch_or(workers, Ordering::SeqCst);
        self.shutdown.trigger();
    }

    /// Whether the workers end too.
    pub(crate) fn ends_workers(&self) -> bool {
        self.workers.load(Ordering::SeqCst)
    }

    /// Resolves when it begins.
    pub(crate) fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        self.shutdown.begun()
    }
}

/// Every service: what it knows, and the way to the machine.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// The daemon.
    pub(crate) site: Arc<Site>,
    /// The way to the machine.
    pub(crate) mailbox: Mailbox,
}

/// Answers calls until the shutdown begins, and then until the last stream has ended.
pub(crate) async fn serve(
    listener: Listener,
    gate: Gate,
    door: Door,
    shutdown: Shutdown,
) -> Result<(), tonic::transport::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<SessionServer<Door>>().await;
    health.set_serving::<FleetServer<Door>>().await;
    health.set_serving::<ClusterServer<Door>>().await;
    health.set_serving::<StoreServer<Door>>().await;
    health.set_serving::<ActorsServer<Door>>().await;
    health.set_serving::<ActorHostServer<Door>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(bireme_proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are checked when they are generated");
    let session = SessionServer::new(door.clone())
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    let fleet = FleetServer::new(door.clone())
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    let store = StoreServer::new(door.clone())
        .max_decoding_message_size(limits::STORE_CHUNK_BYTES + limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::STORE_CHUNK_BYTES + limits::MESSAGE_BYTES);
    let actors = ActorsServer::new(door.clone())
        .max_decoding_message_size(limits::CALL_BYTES)
        .max_encoding_message_size(limits::CALL_BYTES);
    let calls = Calls::new(door.clone());
    let cluster = ClusterServer::new(door)
        .max_decoding_message_size(limits::CALL_BYTES)
        .max_encoding_message_size(limits::CALL_BYTES);
    Server::builder()
        .http2_keepalive_interval(Some(limits::PING_IDLE.to_std()))
        .http2_keepalive_timeout(Some(limits::PING_WAIT.to_std()))
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .layer(gate)
        .add_service(session)
        .add_service(fleet)
        .add_service(cluster)
        .add_service(store)
        .add_service(actors)
        .add_service(calls)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(listener.incoming(), shutdown.begun())
        .await
}

/// Where a request comes from, for people.
fn origin<T>(request: &Request<T>) -> String {
    request.remote_addr().map_or_else(String::new, |address| address.to_string())
}
