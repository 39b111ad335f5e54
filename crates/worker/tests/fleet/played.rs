//! A scheduler that the test plays.

use std::net::SocketAddr;
use std::time::Duration;

use bireme_daemon::Listener;
use bireme_proto::pb;
use bireme_proto::pb::fleet_server::{Fleet, FleetServer};
use bireme_proto::pb::store_server::StoreServer;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::blobs::Blobs;

/// How long anything may take.
pub(crate) const GUARD: Duration = Duration::from_mins(1);

/// The token that it grants.
pub(crate) const TOKEN: &str = "0123456789abcdef";

/// A scheduler.
pub(crate) struct Scheduler {
    pub(crate) address: SocketAddr,
    pub(crate) blobs: Blobs,
    streams: mpsc::Receiver<Stream>,
}

impl Scheduler {
    pub(crate) async fn new() -> Self {
        let listener = Listener::bind("127.0.0.1:0", 16).await.expect("a port");
        let address = listener.address();
        let (sender, streams) = mpsc::channel(16);
        let blobs = Blobs::default();
        let server = tonic::transport::Server::builder()
            .add_service(FleetServer::new(Played(sender)))
            .add_service(StoreServer::new(blobs.clone()));
        tokio::spawn(server.serve_with_incoming(listener.incoming()));
        Self { address, blobs, streams }
    }

    /// The next stream that a worker opens.
    pub(crate) async fn stream(&mut self) -> Stream {
        let stream = tokio::time::timeout(GUARD, self.streams.recv()).await;
        stream.expect("the worker does not come").expect("the server lives")
    }
}

/// A stream of the worker's: what it says, and the way to answer.
pub(crate) struct Stream {
    said: Streaming<pb::FleetUp>,
    pub(crate) answer: mpsc::Sender<Result<pb::FleetDown, Status>>,
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
    pub(crate) async fn next(&mut self) -> Option<pb::FleetUp> {
        let said = tokio::time::timeout(GUARD, self.said.message()).await;
        said.expect("the worker is silent").ok().flatten()
    }

    /// The next report; heartbeats and news of starts are passed over.
    pub(crate) async fn report(&mut self) -> pb::fleet_report::Report {
        // All of it is guarded: heartbeats come however long there is nothing to report.
        let report = tokio::time::timeout(GUARD, self.next_report()).await;
        report.expect("the worker has nothing to report")
    }

    async fn next_report(&mut self) -> pb::fleet_report::Report {
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

    pub(crate) async fn answer(&self, down: pb::FleetDown) {
        let sent = tokio::time::timeout(GUARD, self.answer.send(Ok(down))).await;
        sent.expect("the worker reads").expect("the stream is up");
    }

    pub(crate) async fn order(&self, order: pb::fleet_order::Order) {
        let orders = vec![pb::FleetOrder { order: Some(order) }];
        self.answer(pb::FleetDown { orders, ..pb::FleetDown::default() }).await;
    }

    /// Lets the worker in, and returns who it says it is and the digest of what it holds.
    pub(crate) async fn admit(&mut self) -> (pb::JoinFleet, pb::Digest) {
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
                ..pb::Joined::default()
            }),
            ..pb::FleetDown::default()
        })
        .await;
        let announce = self.next().await.and_then(|said| said.announce).expect("it announces");
        (first.join.expect("it says who it is"), announce.digest.expect("digest first"))
    }
}

pub(crate) fn attempt(index: u32) -> pb::AttemptId {
    pb::AttemptId { task: Some(pb::TaskId { graph: 1 << 32 | 1, index }), epoch: 1, n: 1 }
}

pub(crate) fn start(index: u32, function: &str, json: &'static str) -> pb::fleet_order::Order {
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
