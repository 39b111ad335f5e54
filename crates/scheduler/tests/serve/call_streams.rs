//! Streams of calls that the scheduler passes on, with a worker that is played.

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use bireme_core::Reason;
use bireme_core::reason::Refusal;
use bireme_proto::pb;
use bireme_proto::pb::actor_host_client::ActorHostClient;
use bireme_proto::pb::actor_host_server::{ActorHost, ActorHostServer};
use bireme_proto::status::status;

use crate::support::{FleetStream, Scheduler, reason, soon};

/// A stream that has come to the worker.
struct Taken {
    said: Streaming<pb::CallerBatch>,
    say: mpsc::Sender<Result<pb::HostBatch, Status>>,
}

/// Gives the streams of a worker to the test.
struct Host(mpsc::Sender<Taken>);

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ActorHost for Host {
    type CallsStream = ReceiverStream<Result<pb::HostBatch, Status>>;

    async fn calls(
        &self,
        request: Request<Streaming<pb::CallerBatch>>,
    ) -> Answer<Self::CallsStream> {
        let (say, waiting) = mpsc::channel(1);
        let taken = Taken { said: request.into_inner(), say };
        self.0.send(taken).await.map_err(|_| Status::cancelled("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(waiting)))
    }

    async fn call(&self, _: Request<pb::CallRequest>) -> Answer<pb::CallResponse> {
        Err(Status::unimplemented("nobody asks for it"))
    }

    async fn describe(&self, _: Request<pb::DescribeActorRequest>) -> Answer<pb::ActorStatus> {
        Err(Status::unimplemented("nobody asks for it"))
    }
}

/// A scheduler with one worker.
struct Scene {
    scheduler: Scheduler,
    worker: FleetStream,
    id: pb::WorkerId,
    taken: mpsc::Receiver<Taken>,
}

impl Scene {
    async fn new() -> Self {
        let scheduler = Scheduler::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (give, taken) = mpsc::channel(1);
        let mut server = tonic::transport::Server::builder();
        let server = server.add_service(ActorHostServer::new(Host(give)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let worker = scheduler.worker_at("w", at).await;
        let id = id_of(&scheduler, "w").await;
        Self { scheduler, worker, id, taken }
    }

    /// Opens a stream to the worker, at the scheduler. Gives both ends.
    async fn open(&mut self) -> (Caller, Taken) {
        let (caller, taken) =
            tokio::join!(Caller::open(&self.scheduler, Some(self.id)), soon(self.taken.recv()));
        let (caller, mut taken) = (caller.unwrap(), taken.unwrap());
        let first = soon(taken.said.message()).await.unwrap().unwrap();
        assert_eq!(first.worker, Some(self.id));
        (caller, taken)
    }
}

async fn id_of(scheduler: &Scheduler, name: &str) -> pb::WorkerId {
    let mut cluster = scheduler.calls().await;
    let listed = soon(cluster.list_workers(pb::ListWorkersRequest::default())).await.unwrap();
    let workers = listed.into_inner().workers;
    workers.into_iter().find(|worker| worker.name == name).unwrap().worker.unwrap()
}

/// A caller's end of a stream.
#[derive(Debug)]
struct Caller {
    say: mpsc::Sender<pb::CallerBatch>,
    said: Streaming<pb::HostBatch>,
}

impl Caller {
    async fn open(scheduler: &Scheduler, worker: Option<pb::WorkerId>) -> Result<Self, Status> {
        let channel = scheduler.channel().await;
        let mut calls = ActorHostClient::with_interceptor(channel, scheduler.bearer.clone());
        let (say, waiting) = mpsc::channel(1);
        say.send(pb::CallerBatch { worker, ..pb::CallerBatch::default() }).await.unwrap();
        let said = soon(calls.calls(ReceiverStream::new(waiting))).await?.into_inner();
        Ok(Self { say, said })
    }

    /// How the stream ends, after what is still said on it.
    async fn end(&mut self) -> Result<(), Status> {
        while soon(self.said.message()).await?.is_some() {}
        Ok(())
    }
}

/// A batch of one call.
fn call(seq: u64, bytes: usize) -> pb::CallerBatch {
    let arguments = vec![7; bytes].into();
    let call = pb::caller_message::Call { seq, arguments, ..Default::default() };
    let kind = Some(pb::caller_message::Kind::Call(call));
    let messages = vec![pb::CallerMessage { kind }];
    pb::CallerBatch { messages, ..pb::CallerBatch::default() }
}

/// A batch of one item.
fn item(n: u64, bytes: usize) -> pb::HostBatch {
    let inline = Some(pb::buffer::Place::Inline(vec![7; bytes].into()));
    let value =
        Some(pb::Value { buffers: vec![pb::Buffer { place: inline }], ..Default::default() });
    let item = pb::host_message::Item { n, value, ..Default::default() };
    let kind = Some(pb::host_message::Kind::Item(item));
    pb::HostBatch { messages: vec![pb::HostMessage { kind }], ..pb::HostBatch::default() }
}

#[tokio::test]
async fn batches_go_both_ways_as_they_are_and_either_side_ends_the_stream() {
    let mut scene = Scene::new().await;
    let (mut caller, mut host) = scene.open().await;
    for seq in 1..=50 {
        let (said, answer) = (call(seq, 100_000), item(seq, 100_000));
        soon(caller.say.send(said.clone())).await.unwrap();
        assert_eq!(soon(host.said.message()).await.unwrap(), Some(said));
        soon(host.say.send(Ok(answer.clone()))).await.unwrap();
        assert_eq!(soon(caller.said.message()).await.unwrap(), Some(answer));
    }
    drop(caller.say);
    assert_eq!(soon(host.said.message()).await.unwrap(), None, "the caller says nothing more");
    soon(host.say.send(Ok(item(51, 1)))).await.unwrap();
    assert_eq!(soon(caller.said.message()).await.unwrap(), Some(item(51, 1)), "and still hears");
    drop(host.say);
    assert_eq!(soon(caller.said.message()).await.unwrap(), None);

    let (mut caller, host) = scene.open().await;
    let why = status(Refusal::new(Reason::Busy, "full"));
    soon(host.say.send(Err(why))).await.unwrap();
    let end = caller.end().await.unwrap_err();
    assert_eq!((reason(&end), end.message()), (Some(Reason::Busy), "full"), "the worker's words");

    let (caller, mut host) = scene.open().await;
    drop(caller);
    while let Ok(Some(_)) = soon(host.said.message()).await {}
    soon(host.say.closed()).await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_no_other_up() {
    const BATCHES: u64 = 1_024;
    let mut scene = Scene::new().await;
    let (mut idle, host) = scene.open().await;
    let flood = tokio::spawn(async move {
        for n in 1..=BATCHES {
            host.say.send(Ok(item(n, 200_000))).await.unwrap();
        }
    });
    let (mut caller, mut host) = scene.open().await;
    for seq in 1..=200 {
        soon(caller.say.send(call(seq, 10_000))).await.unwrap();
        assert_eq!(soon(host.said.message()).await.unwrap(), Some(call(seq, 10_000)));
        soon(host.say.send(Ok(item(seq, 10_000)))).await.unwrap();
        assert_eq!(soon(caller.said.message()).await.unwrap(), Some(item(seq, 10_000)));
    }
    assert!(!flood.is_finished(), "{BATCHES} batches wait in the scheduler");
    for n in 1..=BATCHES {
        let batch = soon(idle.said.message()).await.unwrap().unwrap();
        assert_eq!(batch, item(n, 200_000));
    }
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_passed_on_is_refused_with_a_reason() {
    let Scene { scheduler, worker, id, taken } = Scene::new().await;
    let from = &scheduler;
    let refused = |worker| async move {
        let mut caller = match Caller::open(from, worker).await {
            Ok(caller) => caller,
            Err(error) => return error,
        };
        caller.end().await.unwrap_err()
    };
    let unnamed = refused(None).await;
    assert_eq!(reason(&unnamed), Some(Reason::Malformed));
    assert!(unnamed.message().contains("Actors.Resolve"), "{unnamed}");
    let unknown = refused(Some(pb::WorkerId { number: id.number + 1 })).await;
    assert_eq!(reason(&unknown), Some(Reason::WorkerUnknown));

    let _deaf = scheduler.worker("deaf").await;
    let deaf = refused(Some(id_of(&scheduler, "deaf").await)).await;
    assert_eq!(reason(&deaf), Some(Reason::WorkerLost));
    assert!(deaf.message().contains("deaf"), "{deaf}");

    drop((worker, taken));
    loop {
        // Until the scheduler has noticed.
        let away = refused(Some(id)).await;
        assert_eq!(reason(&away).unwrap_or(Reason::WorkerLost), Reason::WorkerLost, "{away}");
        if away.message().contains("is away") {
            break;
        }
    }
}

#[tokio::test]
async fn a_scheduler_that_ends_says_so_on_every_stream() {
    let mut scene = Scene::new().await;
    let (mut caller, mut host) = scene.open().await;
    scene.scheduler.shutdown.trigger();
    let end = caller.end().await.unwrap_err();
    assert_eq!(reason(&end), Some(Reason::ShuttingDown));
    while let Ok(Some(_)) = soon(host.said.message()).await {}
    drop((caller, scene.worker));
    soon(scene.scheduler.running).await.unwrap().unwrap();
}
