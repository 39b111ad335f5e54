//! The scheduler as a whole: everything that listens, decides and remembers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use bireme_core::id::{ClusterId, SessionToken};
use bireme_core::limits;
use bireme_core::link::Hello;
use bireme_daemon::auth::{Access, Bearer, Gate, Latest, Token, TokenKey, Tokens, TokensError};
use bireme_daemon::listen::ListenError;
use bireme_daemon::{Listener, Shutdown, Systemd, Task, http, logging, ready, settings};
use bireme_proto::access;

use crate::blobs::{Blobs, Room};
use crate::config::{Args, Config};
use crate::driver::clock::Clock;
use crate::driver::mail::{Mail, Mailbox};
use crate::driver::{Driver, Parts};
use crate::machine::{self, Machine};
use crate::metrics::Published;
use crate::relay::{Relay, shutting_down};
use crate::rpc::{self, Door, Ending, Site};
use crate::state::{State, StateError};

/// Why a scheduler cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The access file cannot be written.
    #[error(transparent)]
    Access(#[from] access::AccessError),
    /// Another scheduler is found by the access file.
    #[error(
        "another scheduler answers at {address}, and is found by {}: stop it, or give this one a file of its own with --access-file", path.display()
    )]
    Found {
        /// The file.
        path: PathBuf,
        /// Where the other one listens.
        address: String,
    },
    /// A port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no randomness to be had.
    #[error("the system has no randomness to give: {0}")]
    Random(#[from] getrandom::Error),
    /// The process cannot be made a daemon: no runtime, no signals, nobody to tell that it is ready.
    #[error("cannot become a daemon: {0}")]
    Process(#[from] std::io::Error),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The token file cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The transport failed.
    #[error("cannot serve: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A scheduler that listens. It answers once [`Server::run`] is polled.
pub struct Server {
    grpc: Listener,
    http: Listener,
    gate: Gate,
    token: Token,
    /// What the access file says, and where it is.
    access_file: Option<(PathBuf, access::Access)>,
    door: Door,
    driver: Driver,
    published: Published,
    systemd: Systemd,
}

/// Sees to it that the access file of a scheduler that lives is not replaced. A port that both want is the listener's matter.
async fn leave_others(path: &Path, listen: &str) -> Result<(), ServeError> {
    let Ok(found) = access::read(path) else { return Ok(()) };
    let address = found.address.trim_start_matches("http://");
    let answers = TcpStream::connect(address);
    let answers = timeout(limits::ACCESS_PROBE.to_std(), answers).await;
    if address != listen && matches!(answers, Ok(Ok(_))) {
        return Err(ServeError::Found { path: path.to_owned(), address: found.address });
    }
    Ok(())
}

impl Server {
    /// Opens the ports and the state, and writes the access file.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let clock = Clock::start();
        let Config { listen, http, state_dir, access_file, token_file, insecure } = config;
        let fresh = ClusterId(random()?);
        let state = match &state_dir {
            Some(dir) => State::open(dir, fresh)?,
            None => State::in_memory(fresh),
        };
        describe(&state);
        if let Some(path) = &access_file {
            leave_others(path, &listen).await?;
        }
        let grpc = Listener::bind(&listen, limits::CONNECTIONS).await?;
        let http = Listener::bind(&http, limits::HTTP_CONNECTIONS).await?;
        let (token, access) = admit(token_file, insecure)?;
        let token_key = TokenKey::new(state.token_key(TokenKey::generate()?.reveal())?);
        if let Access::Tokens(tokens) = &access {
            tokens.seal(&token_key);
        }
        access.describe(grpc.address(), http.address());

        let hello = Hello::new(Some(state.cluster), state.epoch);
        let files = state_dir.unwrap_or_else(std::env::temp_dir);
        let site = Site {
            hello: hello.clone(),
            address: grpc.address(),
            durable: state.is_durable(),
            access: access.clone(),
            token_key,
            issued: Latest::default(),
            relay: Relay::start(Bearer::new(&token))?,
            blobs: Arc::new(Blobs::new(Room::limited(files))),
            ending: Ending::default(),
        };
        let (mailbox, inbox, bell) = Mailbox::new();
        let machine = Machine::new(machine::Config {
            epoch: state.epoch,
            seed: getrandom::u64()?,
            first_session: state.first_session().0,
            small_bytes: limits::SMALL_VALUES_BYTES,
        });
        let published = Published::default();
        let parts = Parts {
            machine,
            state,
            clock,
            hello,
            token_key: matches!(access, Access::Tokens(_)).then(|| site.token_key.for_workers()),
            seed: getrandom::u64()?,
            nobody: SessionToken(random()?),
            published: published.clone(),
        };
        let driver = Driver::new(parts, inbox, bell);
        let gate = Gate::new(access, bireme_proto::role::role_of);
        let access_file = access_file.map(|path| {
            let access = access::Access {
                address: format!("http://{}", grpc.address()),
                cluster: site.cluster(),
                token: token.reveal().to_owned(),
                http: Some(format!("http://{}", http.address())),
            };
            (path, access)
        });
        if let Some((path, access)) = &access_file {
            access::write(path, access)?;
        }
        let door = Door { site: Arc::new(site), mailbox };
        let systemd = Systemd::default();
        Ok(Self { grpc, http, gate, token, access_file, door, driver, published, systemd })
    }

    /// Has the service manager hear that it works, and when it begins to end. Otherwise nobody does.
    #[must_use]
    pub fn report_to(mut self, systemd: Systemd) -> Self {
        self.driver.report_to(systemd.clone());
        self.systemd = systemd;
        self
    }

    /// Where workers and clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.grpc.address()
    }

    /// Where `/healthz` and `/metrics` are.
    pub fn http_addr(&self) -> SocketAddr {
        self.http.address()
    }

    /// The token that grants everything. A scheduler that asks nobody for one has one all the same.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.door.site.cluster()
    }

    /// Serves until the shutdown begins, somebody calls `Cluster.Shutdown`, or the state cannot be written. Ends within
    /// [`limits::STOP_WAIT`] of it.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let Self { grpc, http, gate, token: _, access_file, door, driver, published, systemd } =
            self;
        let (closing, closed) = (Shutdown::manual(), Shutdown::manual());
        let driver = Task::spawn(driver.run());
        let (strangers, blobs) = (grpc.strangers(), Arc::clone(&door.site.blobs));
        let pages = published.pages(closing.clone(), strangers, blobs);
        let served = Task::spawn(rpc::serve(grpc, gate, door.clone(), closing.clone()));
        let pages = Task::spawn(http::serve(http, pages, closed.clone()));
        let mut driver = std::pin::pin!(driver);
        let broken = tokio::select! {
            () = shutdown.begun() => None,
            () = door.site.ending.begun() => None,
            ended = &mut driver => Some(ended),
        };
        systemd.stopping("telling workers and clients");
        if broken.is_none() {
            say_goodbye(&door).await;
        }
        door.site.relay.end_calls();
        closing.trigger();
        wind_down(served).await?;
        closed.trigger();
        pages.await;
        if let Some((path, access)) = access_file {
            access::remove_if_mine(&path, &access)?;
        }
        match broken {
            Some(ended) => ended?,
            None => driver.await?,
        }
        Ok(())
    }
}

/// Tells every peer that the scheduler is about to end.
async fn say_goodbye(door: &Door) {
    let (reply, told) = oneshot::channel();
    let why = shutting_down();
    let workers = door.site.ending.ends_workers();
    // A driver that has ended has nobody left to tell.
    if door.mailbox.send(Mail::Stop { why, workers, reply }).await.is_ok() {
        let _ = told.await;
    }
}

/// Waits until the last messages are read, but not for those who do not read.
async fn wind_down(served: Task<Result<(), tonic::transport::Error>>) -> Result<(), ServeError> {
    let Ok(ended) = timeout(limits::STOP_WAIT.to_std(), served).await else {
        tracing::warn!("some peers did not read their last messages");
        return Ok(());
    };
    Ok(ended?)
}

/// Who is let in, and the token to show to others.
fn admit(token_file: Option<PathBuf>, insecure: bool) -> Result<(Token, Access), ServeError> {
    let (token, tokens) = if let Some(path) = token_file {
        Tokens::read(&path)?
    } else {
        let token = Token::generate()?;
        let tokens = Tokens::one(&token);
        (token, tokens)
    };
    let access = if insecure { Access::Everybody } else { Access::Tokens(tokens) };
    Ok((token, access))
}

/// Says at start what a restart will lose.
fn describe(state: &State) {
    let (cluster, epoch) = (state.cluster, state.epoch.0);
    if state.is_durable() {
        tracing::info!(%cluster, epoch, "cluster and epoch are kept; sessions and graphs are not yet");
    } else {
        tracing::warn!(%cluster, "no --state-dir: a restart loses the cluster, its sessions and all graphs");
    }
}

fn random() -> Result<u128, getrandom::Error> {
    Ok(u128::from(getrandom::u64()?) << 64 | u128::from(getrandom::u64()?))
}

/// The daemon: settings, logs, ports, until a signal.
pub fn main() -> ExitCode {
    let args: Args = settings::settle("scheduler");
    if let Err(error) = logging::start(&args.common.log, args.common.log_format) {
        return fail(&error);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served =
        runtime.map_err(ServeError::Process).and_then(|runtime| runtime.block_on(daemon(args)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn daemon(args: Args) -> Result<(), ServeError> {
    let shutdown = Shutdown::on_signals()?;
    let systemd = Systemd::from_env();
    let server = Server::bind(args.into()).await?;
    ready::announce(server.addr(), server.http_addr(), &systemd)?;
    server.report_to(systemd).run(shutdown).await
}

#[expect(clippy::print_stderr, reason = "the last word of a process that cannot go on")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
