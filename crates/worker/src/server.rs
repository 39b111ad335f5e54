//! The worker as a whole: everything that listens, decides and runs.

use std::net::SocketAddr;
use std::sync::Arc;

use bireme_core::limits;
use bireme_core::protocol::{Address, Join};
use bireme_core::resources::BadResources;
use bireme_daemon::auth::Gate;
use bireme_daemon::listen::ListenError;
use bireme_daemon::{Listener, Shutdown, http};
use bireme_proto::pb::store_server::StoreServer;
use tokio::sync::watch;
use tonic::transport::server::Server as Transport;

use crate::builtin;
use crate::bulk::Bulk;
use crate::clock::Clock;
use crate::config::{self, Config, Native};
use crate::driver::{Driver, DriverError, Parts};
use crate::executor::Executors;
use crate::executor::command::Commands;
use crate::executor::pool::Pool;
use crate::executor::relay::Relay;
use crate::host;
use crate::identity::{self, IdentityError};
use crate::inbox::Inbox;
use crate::machine::{self, Machine};
use crate::metrics::{self, Metrics};
use crate::rpc::store::Door;
use crate::store::Store;
use crate::target::{Target, TargetError};
use crate::transfer::Transfer;

/// Why a worker cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The scheduler will not have it, or is gone for good.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// It cannot tell who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The process cannot be made a daemon: no runtime, no thread, no signals, nobody to tell that it is ready.
    #[error("cannot become a daemon: {0}")]
    Process(#[from] std::io::Error),
    /// There is no randomness to be had.
    #[error("the system has no randomness to give: {0}")]
    Random(#[from] getrandom::Error),
    /// It cannot have what it was given.
    #[error(transparent)]
    Resources(#[from] BadResources),
    /// The scheduler cannot be found.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// A worker that listens. It joins its scheduler once [`Server::run`] is polled.
#[derive(Debug)]
pub struct Server {
    grpc: SocketAddr,
    http: SocketAddr,
    name: String,
    joined: watch::Receiver<bool>,
    driver: Driver,
    closing: Shutdown,
    /// Last, so that it ends after all that lives on it.
    bulk: Bulk,
}

impl Server {
    /// Finds the scheduler, opens the ports, and serves the store.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let target = config.scheduler.find()?;
        let bulk = Bulk::start()?;
        let (grpc, pages) = listen(&bulk, &config).await?;
        target.admits.describe(grpc.address(), pages.address());
        let (grpc_address, http_address) = (grpc.address(), pages.address());

        let join = introduce(&config, grpc_address)?;
        let name = join.name.clone();
        let (joined_sender, joined) = watch::channel(false);
        let parts = assemble(&bulk, config, target.clone(), join, joined_sender)?;
        let closing = Shutdown::manual();
        let door = Door { store: Arc::clone(&parts.store), inbox: Arc::clone(&parts.inbox) };
        bulk.handle().spawn(serve(grpc, target, door, closing.clone()));
        let shown = metrics::pages(Arc::clone(&parts.metrics), Arc::clone(&parts.store));
        bulk.handle().spawn(http::serve(pages, shown, closing.clone()));
        let driver = Driver::new(parts);
        Ok(Self { grpc: grpc_address, http: http_address, name, joined, driver, closing, bulk })
    }

    /// Where peers and clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.grpc
    }

    /// Where `/healthz` and `/metrics` are.
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// The name by which the cluster knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Resolves when the scheduler has accepted this worker for the first time; never if it does not.
    pub fn joined(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut joined = self.joined.clone();
        async move {
            if joined.wait_for(|joined| *joined).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Joins, and works until the shutdown begins or somebody sends the worker away; what runs then may finish within
    /// [`limits::DRAIN_WAIT`].
    pub async fn run(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let Self { driver, closing, bulk, .. } = self;
        let outcome = driver.run(shutdown).await;
        closing.trigger();
        drop(bulk);
        Ok(outcome?)
    }
}

/// Opens the ports on the runtime that serves them.
async fn listen(bulk: &Bulk, config: &Config) -> Result<(Listener, Listener), ListenError> {
    let (grpc, http) = (config.listen.clone(), config.http.clone());
    let open = async move {
        let grpc = Listener::bind(&grpc, limits::CONNECTIONS).await?;
        Ok((grpc, Listener::bind(&http, limits::HTTP_CONNECTIONS).await?))
    };
    bulk.run(open).await
}

/// What the scheduler is told about this worker.
fn introduce(config: &Config, listens: SocketAddr) -> Result<Join, ServeError> {
    let uid = identity::uid(config.state_dir.as_deref())?;
    let made_up = || format!("{}-{:08x}", host::name(), uid.0 >> 96);
    let mut labels = config.labels.clone();
    labels.sort_unstable();
    let functions = builtin::register(config.registry.clone());
    Ok(Join {
        uid,
        life: identity::life()?,
        name: config.name.clone().unwrap_or_else(made_up),
        resources: config.resources.clone(),
        labels,
        addresses: addresses(&config.advertise, listens),
        machine: host::machine(),
        pid: std::process::id(),
        functions: functions.names().map(str::to_owned).collect(),
        runtimes: Vec::new(),
        previous: None,
    })
}

fn addresses(advertise: &[String], listens: SocketAddr) -> Vec<Address> {
    let port = listens.port();
    if !advertise.is_empty() {
        return advertise.iter().map(|text| config::address(text, port)).collect();
    }
    let host = if listens.ip().is_unspecified() { host::name() } else { listens.ip().to_string() };
    vec![config::address(&host, port)]
}

/// Makes everything that the driver drives.
fn assemble(
    bulk: &Bulk,
    config: Config,
    target: Target,
    join: Join,
    joined: watch::Sender<bool>,
) -> Result<Parts, ServeError> {
    let clock = Clock::start();
    let (inbox, store) = (Arc::new(Inbox::default()), Arc::new(Store::new(getrandom::u64()?)));
    let relay = Relay::new(Arc::clone(&inbox), Arc::clone(&store), join.name.clone());
    let relay = Arc::new(relay);
    let registry = Arc::new(builtin::register(config.registry));
    let native = match config.native {
        Native::InProcess => Pool::new(Arc::clone(&relay), registry, clock),
    };
    let runtime = bulk.handle().clone();
    let commands = Commands::new(Arc::clone(&relay), runtime.clone(), clock);
    let transfer =
        Transfer::new(runtime, Arc::clone(&store), Arc::clone(&inbox), target.bearer.clone());
    let machine = Machine::new(machine::Config {
        resources: config.resources,
        followers: limits::FOLLOWERS,
        seed: getrandom::u64()?,
    });
    Ok(Parts {
        machine,
        clock,
        seed: getrandom::u64()?,
        executors: Executors::new(Arc::clone(&relay), native, commands),
        relay,
        inbox,
        store,
        transfer,
        metrics: Arc::new(Metrics::default()),
        scheduler: config.scheduler,
        join,
        joined,
        idle_timeout: config.idle_timeout,
        time_limit: config.time_limit,
    })
}

async fn serve(listener: Listener, target: Target, door: Door, closing: Shutdown) {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<StoreServer<Door>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(bireme_proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are checked when they are generated");
    let store = StoreServer::new(door)
        .max_decoding_message_size(limits::STORE_CHUNK_BYTES + limits::MESSAGE_BYTES);
    let served = Transport::builder()
        .http2_keepalive_interval(Some(limits::PING_IDLE.to_std()))
        .http2_keepalive_timeout(Some(limits::PING_WAIT.to_std()))
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .layer(Gate::new(target.admits, bireme_proto::role::role_of))
        .add_service(store)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(listener.incoming(), closing.begun())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the store is served no more");
    }
}
