//! The worker as a whole: everything that listens, decides and runs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bireme_core::graph::Runtime;
use bireme_core::protocol::{Address, Join, PreviousLife};
use bireme_core::resources::UNITS;
use bireme_core::{Resources, limits};
use bireme_daemon::auth::Gate;
use bireme_daemon::listen::ListenError;
use bireme_daemon::{Listener, Shutdown, Systemd, Task, http};
use bireme_proto::pb::actor_copies_server::ActorCopiesServer;
use bireme_proto::pb::actor_host_server::ActorHostServer;
use bireme_proto::pb::logs_server::LogsServer;
use bireme_proto::pb::store_server::StoreServer;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::transport::server::Server as Transport;

use crate::actors::{self, Actors};
use crate::birth::Birth;
use crate::blackbox::BlackBox;
use crate::builtin;
use crate::bulk::{Bulk, Quay};
use crate::clock::Clock;
use crate::config::{self, BadConfig, Config, Native};
use crate::driver::{Driver, DriverError, Parts};
use crate::environments::Environments;
use crate::executor::command::{Commands, Scratch, Shell};
use crate::executor::environment::Environment;
use crate::executor::pool::Pool;
use crate::executor::process::{Processes, Program, Setup};
use crate::executor::relay::Relay;
use crate::executor::{self, Executors, Gathering, Languages, Preparing};
use crate::host;
use crate::identity::IdentityError;
use crate::inbox::Inbox;
use crate::inheritance::{Identity, Inheritance};
use crate::logs::Logs;
use crate::machine::{self, Machine};
use crate::metrics::{self, Metrics};
use crate::own_place::own_place;
use crate::registry::{NativeActors, Registry};
use crate::rpc;
use crate::rpc::store::Door;
use crate::store::{PlaceError, Store, StoreConfig};
use crate::target::{Target, TargetError};
use crate::transfer::Transfer;
use crate::transfer::courier::Courier;

/// Why a worker cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The scheduler will not have it, or is gone for good.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// It cannot tell who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// There is no place for its values.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The process cannot be made a daemon: no runtime, no thread, no signals, nobody to tell that it is ready.
    #[error("cannot become a daemon: {0}")]
    Process(#[from] io::Error),
    /// There is no randomness to be had.
    #[error("the system has no randomness to give: {0}")]
    Random(#[from] getrandom::Error),
    /// It cannot be what was asked for.
    #[error(transparent)]
    Config(#[from] BadConfig),
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
    store: Arc<Store>,
    closing: Shutdown,
    /// Last, so that it ends after all that lives on it.
    bulk: Bulk,
}

impl Server {
    /// Finds the scheduler, opens the ports, and serves the store.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let bulk = Bulk::start()?;
        let birth = Birth::alone(&bulk, &config).await?;
        Self::new(bulk, config, birth)
    }

    /// The same for a daemon with a supervisor, whose ports are open.
    pub(crate) async fn inherit(
        config: Config,
        inheritance: Inheritance,
    ) -> Result<Self, ServeError> {
        let bulk = Bulk::start()?;
        let birth = Birth::of(&bulk, inheritance).await?;
        Self::new(bulk, config, birth)
    }

    fn new(bulk: Bulk, config: Config, birth: Birth) -> Result<Self, ServeError> {
        let target = config.scheduler.find()?;
        let Birth { identity, previous, black_box, grpc, http: pages } = birth;
        target.admits.describe(grpc.address(), pages.address());
        let (grpc_address, http_address) = (grpc.address(), pages.address());

        let join = introduce(&config, identity, previous, grpc_address);
        let name = join.name.clone();
        let (joined_sender, joined) = watch::channel(false);
        let clock = Clock::start();
        let logs = Logs::new(log_directory(&config), clock);
        let given = Given {
            target: target.clone(),
            join,
            black_box,
            clock,
            logs: Arc::clone(&logs),
            joined: joined_sender,
        };
        let parts = assemble(&bulk, config, given)?;
        let closing = Shutdown::manual();
        let quay = quay(&bulk, &parts)?;
        let grpc = grpc.with_door(quay.door());
        let strangers = grpc.strangers();
        let addresses = parts.join.addresses.iter().cloned().map(Into::into).collect();
        let (store, inbox) = (Arc::clone(&parts.store), Arc::clone(&parts.inbox));
        let door = Door::new(Arc::clone(&store), inbox, quay, addresses);
        let callers = rpc::actor_host::Door { actors: parts.actors.shared() };
        let logs = rpc::logs::Door { logs, actors: Some(parts.actors.shared()) };
        let doors = (door, callers, logs);
        bulk.handle().spawn(serve(grpc, target, doors, closing.clone()));
        let shown = metrics::pages(Arc::clone(&parts.metrics), Arc::clone(&store), strangers);
        bulk.handle().spawn(http::serve(pages, shown, closing.clone()));
        let driver = Driver::new(parts);
        let (grpc, http) = (grpc_address, http_address);
        Ok(Self { grpc, http, name, joined, driver, store, closing, bulk })
    }

    /// Has the service manager hear that it works, and when it begins to end. Otherwise nobody does.
    #[must_use]
    pub fn report_to(mut self, systemd: Systemd) -> Self {
        self.driver.report_to(systemd);
        self
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
        let Self { driver, store, closing, bulk, .. } = self;
        let outcome = Task::spawn(driver.run(shutdown)).await;
        closing.trigger();
        drop(bulk);
        // Threads that never end hold on to it.
        store.close();
        Ok(outcome?)
    }
}

/// The way in for bulk connections.
fn quay(bulk: &Bulk, parts: &Parts) -> Result<Arc<Quay>, getrandom::Error> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    Ok(Quay::new(key, Arc::clone(&parts.store), bulk.handle().clone(), parts.clock))
}

/// What the scheduler is told about this worker.
fn introduce(
    config: &Config,
    Identity { uid, life }: Identity,
    previous: Option<PreviousLife>,
    listens: SocketAddr,
) -> Join {
    let made_up = || format!("{}-{:08x}", host::name(), uid.0 >> 96);
    let mut labels = config.labels.clone();
    labels.sort_unstable();
    let mut runtimes: Vec<_> = config.runtimes.iter().map(|one| one.name.clone()).collect();
    if cfg!(feature = "wasm") {
        runtimes.push(Runtime::Wasm.name().to_owned());
    }
    runtimes.sort_unstable();
    let functions = builtin::register(config.registry.clone());
    Join {
        uid,
        life,
        name: config.name.clone().unwrap_or_else(made_up),
        resources: config.resources.clone(),
        labels,
        addresses: addresses(&config.advertise, listens),
        machine: host::machine(),
        pid: std::process::id(),
        functions: functions.told(),
        runtimes,
        previous,
    }
}

fn addresses(advertise: &[String], listens: SocketAddr) -> Vec<Address> {
    let port = listens.port();
    if !advertise.is_empty() {
        return advertise.iter().map(|text| config::address(text, port)).collect();
    }
    let host = if listens.ip().is_unspecified() { host::name() } else { listens.ip().to_string() };
    vec![config::address(&host, port)]
}

/// Where what attempts print is kept.
fn log_directory(config: &Config) -> PathBuf {
    let given = config.spill_dir.as_ref().or(config.state_dir.as_ref());
    given.cloned().unwrap_or_else(std::env::temp_dir)
}

/// What is there before the driver's parts are made.
struct Given {
    target: Target,
    join: Join,
    black_box: BlackBox,
    clock: Clock,
    logs: Arc<Logs>,
    joined: watch::Sender<bool>,
}

/// Makes everything that the driver drives.
fn assemble(bulk: &Bulk, config: Config, given: Given) -> Result<Parts, ServeError> {
    let Given { target, join, black_box, clock, logs, joined } = given;
    let (inbox, store) = (Arc::new(Inbox::default()), Arc::new(store(&config)?));
    store.tell_losses(Arc::clone(&inbox));
    let relay = Relay::new(Arc::clone(&inbox), Arc::clone(&store), join.name.clone());
    let relay = Arc::new(relay.with_black_box(black_box));
    let runtime = bulk.handle().clone();
    let environment = Arc::new(Environment::new(join.name.clone(), &config.resources));
    let setup = |program| Setup {
        relay: Arc::clone(&relay),
        store: Arc::clone(&store),
        logs: Arc::clone(&logs),
        bulk: runtime.clone(),
        clock,
        program,
        warm: warm(&config.resources),
        tasks: config.runtime_tasks,
        growth: config.runtime_memory_growth,
        waiting: config.waiting_executors,
        scheduler: config.scheduler.clone(),
        worker: join.name.clone(),
        environment: Arc::clone(&environment),
    };
    let bearer = target.bearer.clone();
    let courier = || {
        let (source, told) = (config.scheduler.clone(), Arc::clone(&inbox));
        Courier::new(runtime.clone(), Arc::clone(&store), told, source)
    };
    let (place, limit) = (config.environments_directory(), config.environment_bytes);
    let environments = Arc::new(Environments::new(place, limit, courier(), clock));
    let shared = (&inbox, &store, &environment, &environments);
    let actors = actors(&config, &join, (&runtime, clock, &logs), shared)?;
    let native = match config.native {
        Native::InProcess => in_process(&relay, &config, clock),
        Native::Isolated => isolated(config.executor_program, setup)?,
    };
    let preparing = preparing(config.runtimes.clone(), environments, (&inbox, &logs, &runtime));
    let languages = Languages::open(Arc::clone(&relay), setup, preparing)?;
    let commands = Commands::new(Arc::clone(&relay), shell(clock, environment, &logs)?);
    let executors = Executors::new(Arc::clone(&relay), native, commands);
    let mut executors = executors.with_blobs(Gathering::new(Arc::clone(&store), courier()));
    if let Some(languages) = languages {
        executors = executors.with_languages(languages);
    }
    #[cfg(feature = "wasm")]
    {
        let (relay, logs) = (Arc::clone(&relay), Arc::clone(&logs));
        executors = executors.with_wasm(executor::wasm::Wasm::new(relay, logs, clock)?);
    }
    let transfer =
        Transfer::new(runtime, Arc::clone(&store), Arc::clone(&inbox), bearer, config.transfer);
    Ok(Parts {
        machine: machine(config.resources)?,
        clock,
        seed: getrandom::u64()?,
        executors,
        actors,
        relay,
        inbox,
        store,
        transfer,
        metrics: Arc::new(Metrics::default()),
        scheduler: config.scheduler,
        admits: target.admits.clone(),
        join,
        joined,
        idle_timeout: config.idle_timeout,
        time_limit: config.time_limit,
    })
}

/// What decides.
fn machine(resources: Resources) -> Result<Machine, ServeError> {
    let seed = getrandom::u64()?;
    Ok(Machine::new(machine::Config { resources, followers: limits::FOLLOWERS, seed }))
}

/// What runs native functions on threads of the daemon.
fn in_process(relay: &Arc<Relay>, config: &Config, clock: Clock) -> executor::Native {
    let registry = Arc::new(builtin::register(config.registry.clone()));
    let scheduler = config.scheduler.clone();
    executor::Native::InProcess(Pool::new(Arc::clone(relay), registry, scheduler, clock))
}

/// What runs native functions in processes of their own.
fn isolated(
    program: Option<PathBuf>,
    setup: impl FnOnce(Program) -> Setup,
) -> Result<executor::Native, ServeError> {
    let program = Program::Native(program.unwrap_or_else(|| config::THIS_PROGRAM.into()));
    let setup = Setup { tasks: 0, growth: 0, ..setup(program) };
    Ok(executor::Native::Isolated(Processes::open(setup)?))
}

/// What languages are prepared with.
fn preparing(
    languages: Vec<config::LanguageRuntime>,
    environments: Arc<Environments>,
    (inbox, logs, bulk): (&Arc<Inbox>, &Arc<Logs>, &Handle),
) -> Preparing {
    let (inbox, logs, bulk) = (Arc::clone(inbox), Arc::clone(logs), bulk.clone());
    Preparing { languages, environments, inbox, logs, bulk }
}

/// What commands run in.
fn shell(
    clock: Clock,
    environment: Arc<Environment>,
    logs: &Arc<Logs>,
) -> Result<Shell, ServeError> {
    let scratch = Scratch::create(&std::env::temp_dir())?;
    Ok(Shell { clock, environment, logs: Arc::clone(logs), scratch })
}

/// What hosts actors.
fn actors(
    config: &Config,
    join: &Join,
    (runtime, clock, logs): (&Handle, Clock, &Arc<Logs>),
    (inbox, store, environment, environments): (
        &Arc<Inbox>,
        &Arc<Store>,
        &Arc<Environment>,
        &Arc<Environments>,
    ),
) -> Result<Actors, ServeError> {
    let native = config.executor_program.clone();
    let native = native.map(|program| (String::new(), Program::Native(program)));
    let languages = config
        .runtimes
        .iter()
        .map(|language| (language.name.clone(), Program::language(language.clone())));
    let (source, told) = (config.scheduler.clone(), Arc::clone(inbox));
    let courier = Courier::new(runtime.clone(), Arc::clone(store), told, source);
    Ok(Actors::open(actors::Setup {
        store: Arc::clone(store),
        inbox: Arc::clone(inbox),
        clock,
        bulk: runtime.clone(),
        programs: native.into_iter().chain(languages).collect(),
        inside: (config.native == Native::InProcess).then(|| native_actors(&config.registry)),
        worker: join.name.clone(),
        uid: join.uid,
        environment: Arc::clone(environment),
        environments: Arc::clone(environments),
        scheduler: config.scheduler.clone(),
        courier,
        logs: Arc::clone(logs),
        directory: actors::directory(&actor_directory(config)?, join.uid),
    })?)
}

fn native_actors(registry: &Registry) -> Arc<dyn bireme_executor::Actors> {
    Arc::new(NativeActors(builtin::register(registry.clone())))
}

/// Where logs and checkpoints of actors are: what is kept across starts goes first.
fn actor_directory(config: &Config) -> io::Result<PathBuf> {
    let given = config.state_dir.as_ref().or(config.spill_dir.as_ref());
    given.map_or_else(own_place, |given| Ok(given.clone()))
}

/// How many executor processes are kept: as many as there are cpus.
fn warm(resources: &Resources) -> usize {
    let cpus = resources.cpu_units.div_ceil(UNITS).max(1);
    usize::try_from(cpus).unwrap_or(limits::EXECUTORS).min(limits::EXECUTORS)
}

fn store(config: &Config) -> Result<Store, ServeError> {
    let spill = config.spill_dir.clone().unwrap_or_else(|| match &config.state_dir {
        Some(state) => state.join("spill"),
        None => std::env::temp_dir(),
    });
    let store = Store::new(StoreConfig {
        seed: getrandom::u64()?,
        directory: config.pool_dir.clone(),
        limit_bytes: config.resources.memory_bytes,
        spill: Some(spill),
        spill_bytes: u64::MAX,
    })?;
    let spill = store.spill_directory().map(|path| path.display().to_string());
    tracing::info!(pool = %store.directory().display(), spill, "values have their place");
    Ok(store)
}

async fn serve(
    listener: Listener,
    target: Target,
    (door, callers, logs): (Door, rpc::actor_host::Door, rpc::logs::Door),
    closing: Shutdown,
) {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<StoreServer<Door>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(bireme_proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are checked when they are generated");
    let copies = rpc::actor_copies::Door { actors: Arc::clone(&callers.actors) };
    let copies = ActorCopiesServer::new(copies).max_decoding_message_size(limits::MESSAGE_BYTES);
    let callers = ActorHostServer::new(callers).max_decoding_message_size(limits::MESSAGE_BYTES);
    let store = StoreServer::new(door)
        .max_decoding_message_size(limits::STORE_CHUNK_BYTES + limits::MESSAGE_BYTES);
    let served = Transport::builder()
        .http2_keepalive_interval(Some(limits::PING_IDLE.to_std()))
        .http2_keepalive_timeout(Some(limits::PING_WAIT.to_std()))
        .initial_stream_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .layer(Gate::new(target.admits, bireme_proto::role::role_of))
        .add_service(store)
        .add_service(callers)
        .add_service(copies)
        .add_service(LogsServer::new(logs))
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(listener.incoming(), closing.begun())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the store is served no more");
    }
}
