//! A played worker, with an executor over a real socket.

use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bireme_executor::{Launch, Mark, Pen, Reached, Runtime, Seal, ServeError, serve};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::Order;
use bireme_proto::pb::executor_report::Report;
use bireme_proto::pb::executor_server::{Executor, ExecutorServer};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// No wait is longer.
pub(crate) const GUARD: Duration = Duration::from_mins(1);

type Said = Streaming<pb::ExecutorUp>;

struct Door(Mutex<Option<mpsc::Receiver<Result<pb::ExecutorDown, Status>>>>, mpsc::Sender<Said>);

#[tonic::async_trait]
impl Executor for Door {
    type AttachStream = ReceiverStream<Result<pb::ExecutorDown, Status>>;

    async fn attach(&self, request: Request<Said>) -> Result<Response<Self::AttachStream>, Status> {
        self.1.send(request.into_inner()).await.map_err(|_| Status::aborted("over"))?;
        let downs = self.0.lock().unwrap().take().expect("one executor comes");
        Ok(Response::new(ReceiverStream::new(downs)))
    }
}

/// The played worker, and the executor on a thread.
pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) mark: Mark,
    pub(crate) down: mpsc::Sender<Result<pb::ExecutorDown, Status>>,
    pub(crate) said: Said,
    heard: std::collections::VecDeque<Report>,
    pub(crate) first: pb::ExecutorUp,
    pub(crate) executor: JoinHandle<Result<(), ServeError>>,
}

impl Stage {
    pub(crate) async fn open<R: Runtime + Send + 'static>(runtime: R) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let (down, downs) = mpsc::channel(16);
        let (streams, mut stream) = mpsc::channel(1);
        let door = Door(Mutex::new(Some(downs)), streams);
        let listener = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
        let served = tonic::transport::Server::builder()
            .add_service(ExecutorServer::new(door))
            .serve_with_incoming(listener);
        tokio::spawn(served);
        let mark = Mark::create(&dir.path().join("mark"), Seal::new([1; 16])).unwrap();
        let theirs = Some(Pen::open(&dir.path().join("mark")).unwrap());
        let token = "secret".to_owned();
        let launch = Launch { socket, token, started_as: 7, mark: theirs, printed: None };
        let executor = thread::spawn(move || serve(launch, &runtime));
        let mut said = guarded(stream.recv()).await.unwrap();
        let first = guarded(said.message()).await.unwrap().unwrap();
        let hello = pb::Hello { protocol_min: 1, protocol_max: 1, ..pb::Hello::default() };
        let welcome = pb::Welcome {
            pool_directory: dir.path().display().to_string(),
            inline_bytes: 1_000,
            heartbeat_us: 60_000_000,
            ..pb::Welcome::default()
        };
        let stage = Self { dir, mark, down, said, heard: [].into(), first, executor };
        stage
            .send(pb::ExecutorDown {
                hello: Some(hello),
                welcome: Some(welcome),
                orders: Vec::new(),
            })
            .await;
        stage
    }

    pub(crate) async fn send(&self, down: pb::ExecutorDown) {
        self.down.send(Ok(down)).await.unwrap();
    }

    pub(crate) async fn order(&self, orders: impl IntoIterator<Item = Order>) {
        let orders = orders.into_iter().map(|order| pb::ExecutorOrder { order: Some(order) });
        self.send(pb::ExecutorDown { orders: orders.collect(), ..Default::default() }).await;
    }

    /// The next report; heartbeats and news of starts are passed over.
    pub(crate) async fn report(&mut self) -> Report {
        loop {
            while let Some(report) = self.heard.pop_front() {
                if !matches!(report, Report::Started(_) | Report::Heartbeat(_)) {
                    return report;
                }
            }
            let up = guarded(self.said.message()).await.unwrap().expect("it is still here");
            self.heard.extend(up.reports.into_iter().filter_map(|report| report.report));
        }
    }

    /// Waits until the process has come so far.
    pub(crate) async fn reached(&mut self, started: u64) {
        let mut up = 0;
        while self.mark.get().unwrap() != Some(Reached { started, runs: true }) {
            up += 1;
            self.order([Order::Ping(up)]).await;
            assert_eq!(self.report().await, Report::Pong(up));
        }
    }

    pub(crate) async fn close(self) {
        self.order([Order::Shutdown(pb::executor_order::ShutdownExecutor::default())]).await;
        drop(self.down);
        let joined = tokio::task::spawn_blocking(|| self.executor.join());
        guarded(joined).await.unwrap().unwrap().unwrap();
    }
}

pub(crate) async fn guarded<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, wait).await.expect("ended in time")
}
