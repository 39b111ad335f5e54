//! A whole worker over real sockets, against a scheduler that the test plays.

use std::time::Duration;

use bireme_core::Resources;
use bireme_daemon::auth::Token;
use bireme_daemon::{Listener, Shutdown};
use bireme_proto::pb;
use bireme_proto::pb::fleet_server::{Fleet, FleetServer};
use bireme_worker::{Config, Registry, Scheduler, ServeError, Server};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

const GUARD: Duration = Duration::from_mins(1);

/// A stream of the worker's: what it says, and the way to answer.
struct Stream {
    said: Streaming<pb::FleetUp>,
    answer: mpsc::Sender<Result<pb::FleetDown, Status>>,
}

struct Played(mpsc::Sender<Stream>);

#[tonic::async_trait]
impl Fleet for Played {
    type JoinStream = ReceiverStream<Result<pb::FleetDown, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<pb::FleetUp>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let (answer, answers) = mpsc::channel(16);
        let stream = Stream { said: request.into_inner(), answer };
        self.0.send(stream).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl Stream {
    async fn next(&mut self) -> Option<pb::FleetUp> {
        let said = tokio::time::timeout(GUARD, self.said.message()).await;
        said.expect("the worker is silent").ok().flatten()
    }

    /// The next report; heartbeats and news of starts are passed over.
    async fn report(&mut self) -> pb::fleet_report::Report {
        loop {
            let said = self.next().await.expect("the worker has left");
            let started = |report: &_| matches!(report, pb::fleet_report::Report::Started(_));
            let reports = said.reports.into_iter().filter_map(|report| report.report);
            let mut reports = reports.filter(|report| !started(report));
            if let Some(report) = reports.next() {
                assert!(reports.next().is_none(), "one thing was asked for");
                return report;
            }
        }
    }

    async fn answer(&self, down: pb::FleetDown) {
        self.answer.send(Ok(down)).await.expect("the worker reads");
    }

    async fn order(&self, order: pb::fleet_order::Order) {
        let orders = vec![pb::FleetOrder { order: Some(order) }];
        self.answer(pb::FleetDown { orders, ..pb::FleetDown::default() }).await;
    }

    /// Lets the worker in, and returns who it says it is and the digest of what it holds.
    async fn admit(&mut self) -> (pb::JoinFleet, pb::Digest) {
        let first = self.next().await.expect("a first message");
        let hello = first.hello.expect("it greets");
        assert_eq!((hello.protocol_min, hello.protocol_max), (1, 1));
        self.answer(pb::FleetDown {
            hello: Some(pb::Hello { epoch: 1, cluster_id: vec![7; 16].into(), ..hello }),
            joined: Some(pb::Joined {
                worker: Some(pb::WorkerId { number: 1 }),
                heartbeat_us: 1_000_000,
                lost_after_us: 15_000_000,
                inline_bytes: 4_096,
                holder: 0,
            }),
            ..pb::FleetDown::default()
        })
        .await;
        let announce = self.next().await.and_then(|said| said.announce).expect("it announces");
        (first.join.expect("it says who it is"), announce.digest.expect("digest first"))
    }
}

/// A worker, and its scheduler's side.
struct Scene {
    streams: mpsc::Receiver<Stream>,
    shutdown: Shutdown,
    worker: JoinHandle<Result<(), ServeError>>,
}

impl Scene {
    async fn new() -> Self {
        let listener = Listener::bind("127.0.0.1:0", 16).await.expect("a port");
        let address = format!("http://{}", listener.address());
        let (sender, streams) = mpsc::channel(16);
        let server =
            tonic::transport::Server::builder().add_service(FleetServer::new(Played(sender)));
        tokio::spawn(server.serve_with_incoming(listener.incoming()));
        let token = Token::new("0123456789abcdef").expect("a token");
        let scheduler =
            Scheduler { address: Some(address), token: Some(token), ..Scheduler::default() };
        let config = Config {
            scheduler,
            name: Some("w".to_owned()),
            resources: Resources::new(10_000, 0),
            registry: Registry::default().task("double", |n: i64| 2 * n),
            ..Config::default()
        };
        let shutdown = Shutdown::manual();
        let server = Server::bind(config).await.expect("a worker");
        let worker = tokio::spawn(server.run(shutdown.clone()));
        Self { streams, shutdown, worker }
    }

    async fn stream(&mut self) -> Stream {
        let stream = tokio::time::timeout(GUARD, self.streams.recv()).await;
        stream.expect("the worker does not come").expect("the server lives")
    }

    async fn ended(self) -> Result<(), ServeError> {
        let ended = tokio::time::timeout(GUARD, self.worker).await;
        ended.expect("the worker stays").expect("it does not panic")
    }
}

fn attempt(index: u32) -> pb::AttemptId {
    pb::AttemptId { task: Some(pb::TaskId { graph: 1 << 32 | 1, index }), epoch: 1, n: 1 }
}

fn start(index: u32, function: &str, json: &'static str) -> pb::fleet_order::Order {
    let buffer = pb::Buffer { place: Some(pb::buffer::Place::Inline(json.into())) };
    let value = pb::Value {
        codec: pb::Codec::Json.into(),
        size: json.len() as u64,
        buffers: vec![buffer],
        ..pb::Value::default()
    };
    let native = pb::Native { name: function.to_owned() };
    let payload = pb::Payload {
        work: Some(pb::payload::Work::Native(native)),
        args: vec![pb::Arg { kind: Some(pb::arg::Kind::Value(value)) }],
        named_args: Vec::new(),
    };
    pb::fleet_order::Order::Start(pb::StartAttempt {
        attempt: Some(attempt(index)),
        payload: payload.encode_to_vec().into(),
        key: index.to_string(),
        ..pb::StartAttempt::default()
    })
}

#[tokio::test]
async fn it_joins_works_and_leaves_when_told() {
    let mut scene = Scene::new().await;
    let mut stream = scene.stream().await;
    let (join, _) = stream.admit().await;
    assert_eq!((join.name.as_str(), join.uid.len(), join.incarnation.len()), ("w", 16, 16));
    assert!(join.functions.contains(&"double".to_owned()));
    assert!(join.functions.contains(&"builtin/noop".to_owned()));
    let announce_reply = Some(pb::AnnounceReply { equal: true });
    stream.answer(pb::FleetDown { announce_reply, ..pb::FleetDown::default() }).await;

    stream.order(start(0, "double", "21")).await;
    let pb::fleet_report::Report::Finished(finished) = stream.report().await else {
        panic!("it did not finish")
    };
    assert_eq!(finished.attempt, Some(attempt(0)));
    let value = finished.outputs[0].value.clone().expect("it is small");
    let Some(pb::buffer::Place::Inline(bytes)) = value.buffers[0].place.clone() else {
        panic!("it is not inline")
    };
    assert_eq!(bytes.as_ref(), [42], "a msgpack integer");

    stream.order(start(1, "double", "no number")).await;
    let pb::fleet_report::Report::Failed(failed) = stream.report().await else {
        panic!("it did not fail")
    };
    let error = failed.error.expect("it says why");
    assert_eq!((error.reason.as_str(), error.worker.as_str()), ("MALFORMED", "w"));

    stream.order(pb::fleet_order::Order::Drain(pb::Drain { deadline_us: 0 })).await;
    assert!(matches!(stream.report().await, pb::fleet_report::Report::Draining(_)));
    assert!(stream.next().await.is_none_or(|said| said.reports.is_empty()));
    drop(stream);
    scene.ended().await.unwrap();
}

#[tokio::test]
async fn it_comes_back_and_says_what_it_holds() {
    let mut scene = Scene::new().await;
    let mut stream = scene.stream().await;
    let (first, empty) = stream.admit().await;
    stream.order(start(0, "double", "4")).await;
    assert!(matches!(stream.report().await, pb::fleet_report::Report::Finished(_)));
    drop(stream);

    let mut stream = scene.stream().await;
    let (again, digest) = stream.admit().await;
    assert_eq!((again.uid, again.incarnation), (first.uid, first.incarnation));
    assert_ne!(digest, empty);
    let announce_reply = Some(pb::AnnounceReply { equal: false });
    stream.answer(pb::FleetDown { announce_reply, ..pb::FleetDown::default() }).await;
    let part = loop {
        if let Some(part) = stream.next().await.expect("it announces").announce {
            break part;
        }
    };
    assert!(part.last && part.objects.len() == 1, "{part:?}");

    scene.shutdown.trigger();
    assert!(matches!(stream.report().await, pb::fleet_report::Report::Draining(_)));
    drop(stream);
    scene.ended().await.unwrap();
}

#[tokio::test]
async fn a_final_refusal_ends_it() {
    use bireme_core::reason::{Reason, Refusal};
    let mut scene = Scene::new().await;
    let stream = scene.stream().await;
    let refusal = Refusal::new(Reason::WorkerNameTaken, "another worker is called w");
    stream.answer.send(Err(bireme_proto::status::status(refusal))).await.unwrap();
    let error = scene.ended().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the scheduler refuses this worker: WORKER_NAME_TAKEN: another worker is called w"
    );
}

#[tokio::test]
async fn nobody_to_join_does_not_keep_it_from_leaving() {
    let scene = Scene::new().await;
    scene.shutdown.trigger();
    scene.ended().await.unwrap();
}
