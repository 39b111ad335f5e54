//! A scheduler for one test, and peers that talk to it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use bireme_core::Reason;
use bireme_core::id::{ClusterId, Epoch, SessionToken, WorkerLife, WorkerUid};
use bireme_core::link::Hello;
use bireme_core::protocol::{Address, Join};
use bireme_core::resources::{Resources, UNITS};
use bireme_daemon::Shutdown;
use bireme_daemon::auth::Bearer;
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::cluster_client::ClusterClient;
use bireme_proto::pb::fleet_client::FleetClient;
use bireme_proto::pb::session_client::SessionClient;
use bireme_scheduler::{Config, ServeError, Server};

/// No wait of a test is longer.
const GUARD: Duration = Duration::from_mins(1);

/// Waits under the guard.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, what).await.expect("it comes within the guard")
}

/// A scheduler that runs.
pub(crate) struct Scheduler {
    pub(crate) addr: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) cluster: ClusterId,
    pub(crate) bearer: Bearer,
    pub(crate) shutdown: Shutdown,
    pub(crate) running: JoinHandle<Result<(), ServeError>>,
}

pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

impl Scheduler {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let server = Server::bind(config).await.unwrap();
        let shutdown = Shutdown::manual();
        Self {
            addr: server.addr(),
            http: server.http_addr(),
            cluster: server.cluster(),
            bearer: Bearer::new(server.token()),
            shutdown: shutdown.clone(),
            running: tokio::spawn(server.run(shutdown)),
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        soon(Endpoint::new(format!("http://{}", self.addr)).unwrap().connect()).await.unwrap()
    }

    pub(crate) async fn calls(&self) -> ClusterClient<Authorized> {
        ClusterClient::with_interceptor(self.channel().await, self.bearer.clone())
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello::new(Some(self.cluster), Epoch(0))
    }

    /// Opens a session stream with this first message.
    pub(crate) async fn attach(&self, first: pb::SessionUp) -> Result<SessionStream, Status> {
        let (up, commands) = mpsc::channel(64);
        up.send(first).await.unwrap();
        let mut client = SessionClient::with_interceptor(self.channel().await, self.bearer.clone());
        let down = soon(client.attach(Request::new(ReceiverStream::new(commands)))).await?;
        Ok(Stream { up, down: down.into_inner() })
    }

    /// Opens a session as it should be.
    pub(crate) async fn session(&self, token: u128) -> SessionStream {
        let hello = Some(Greeting::new(self.hello()).into());
        let first = pb::SessionUp { hello, open: Some(open(token)), commands: Vec::new() };
        self.attach(first).await.unwrap()
    }

    /// Joins as a worker with this first message.
    pub(crate) async fn join(&self, first: pb::FleetUp) -> Result<FleetStream, Status> {
        let (up, reports) = mpsc::channel(64);
        up.send(first).await.unwrap();
        let mut client = FleetClient::with_interceptor(self.channel().await, self.bearer.clone());
        let down = soon(client.join(Request::new(ReceiverStream::new(reports)))).await?;
        Ok(Stream { up, down: down.into_inner() })
    }

    /// Joins as a worker of one cpu that holds nothing.
    pub(crate) async fn worker(&self, name: &str) -> FleetStream {
        self.admit(joining(self.hello(), name)).await
    }

    /// The same of one that listens here.
    pub(crate) async fn worker_at(&self, name: &str, at: SocketAddr) -> FleetStream {
        let mut first = joining(self.hello(), name);
        let address = Address {
            scheme: "http".to_owned(),
            host: at.ip().to_string(),
            port: at.port(),
            network: String::new(),
        };
        first.join.as_mut().unwrap().addresses = vec![address.into()];
        self.admit(first).await
    }

    async fn admit(&self, first: pb::FleetUp) -> FleetStream {
        let mut worker = self.join(first).await.unwrap();
        let first = worker.next().await.unwrap();
        assert!(first.hello.is_some() && first.joined.is_some(), "{first:?}");
        let announce = Some(pb::Announce { last: true, ..pb::Announce::default() });
        worker.up.send(pb::FleetUp { announce, ..pb::FleetUp::default() }).await.unwrap();
        worker
    }
}

/// One end of a stream.
pub(crate) struct Stream<U, D> {
    pub(crate) up: mpsc::Sender<U>,
    pub(crate) down: Streaming<D>,
}

pub(crate) type SessionStream = Stream<pb::SessionUp, pb::SessionDown>;
pub(crate) type FleetStream = Stream<pb::FleetUp, pb::FleetDown>;

impl<U, D> Stream<U, D> {
    /// The next message, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<D, Option<Status>> {
        soon(self.down.message()).await.map_err(Some)?.ok_or(None)
    }
}

impl SessionStream {
    pub(crate) async fn send(&self, command: pb::session_command::Command) {
        let commands = vec![pb::SessionCommand { command: Some(command) }];
        self.up.send(pb::SessionUp { commands, ..pb::SessionUp::default() }).await.unwrap();
    }

    /// The first report that `pick` takes; others are passed over.
    pub(crate) async fn report<T>(
        &mut self,
        mut pick: impl FnMut(pb::session_report::Report) -> Option<T>,
    ) -> T {
        loop {
            let message = self.next().await.unwrap();
            let mut reports = message.reports.into_iter().filter_map(|report| report.report);
            if let Some(found) = reports.find_map(&mut pick) {
                return found;
            }
        }
    }
}

impl FleetStream {
    pub(crate) async fn report(&self, report: pb::fleet_report::Report) {
        let reports = vec![pb::FleetReport { report: Some(report) }];
        self.up.send(pb::FleetUp { reports, ..pb::FleetUp::default() }).await.unwrap();
    }

    /// The next attempt that is to be accepted.
    pub(crate) async fn start(&mut self) -> pb::StartAttempt {
        loop {
            for order in self.next().await.unwrap().orders {
                if let Some(pb::fleet_order::Order::Start(start)) = order.order {
                    return start;
                }
            }
        }
    }
}

pub(crate) fn open(token: u128) -> pb::OpenSession {
    let token = SessionToken(token).to_bytes().to_vec().into();
    pb::OpenSession { token, ..pb::OpenSession::default() }
}

pub(crate) fn joining(hello: Hello, name: &str) -> pb::FleetUp {
    let number = name.bytes().fold(0, |number, byte| number << 8 | u128::from(byte));
    let join = Join {
        uid: WorkerUid(number),
        life: WorkerLife(number),
        name: name.to_owned(),
        resources: Resources::new(UNITS, 1 << 30),
        labels: Vec::new(),
        addresses: Vec::new(),
        machine: "here".to_owned(),
        pid: 1,
        functions: vec!["actor:Counter".to_owned(), "builtin/noop".to_owned()],
        runtimes: Vec::new(),
        previous: None,
    };
    let hello = Some(Greeting::new(hello).into());
    pb::FleetUp { hello, join: Some(join.into()), ..pb::FleetUp::default() }
}

/// A graph of one task.
pub(crate) fn one_task(submission: u8) -> pb::GraphChunk {
    pb::GraphChunk {
        submission_id: vec![submission; 16].into(),
        tasks: vec![pb::TaskSpec { key: "only".to_owned(), ..pb::TaskSpec::default() }],
        classes: vec![pb::TaskClass::default()],
        options: Some(pb::GraphOptions::default()),
        last: true,
        ..pb::GraphChunk::default()
    }
}

/// The stable name in a status.
pub(crate) fn reason(status: &Status) -> Option<Reason> {
    bireme_proto::status::refusal(status).map(|refusal| refusal.reason)
}
