//! What the scheduler passes on from workers to those who cannot reach them.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use bireme_core::id::{GraphId, HolderId, TaskId};
use bireme_core::{ObjectId, Reason};
use bireme_proto::pb;
use bireme_proto::pb::fleet_report::Report;
use bireme_proto::pb::logs_server::{Logs, LogsServer};
use bireme_proto::pb::store_client::StoreClient;
use bireme_proto::pb::store_server::{Store, StoreServer};

use crate::support::{Authorized, FleetStream, Scheduler, one_task, reason, soon};

/// What the value of the one task is.
const BYTES: &[u8] = b"large, or so the worker says";

/// What a worker serves, as far as relays ask for it.
#[derive(Clone, Copy)]
struct Peer;

type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Answer<T> = Result<Response<T>, Status>;

fn parts<T: Send + 'static>(parts: Vec<T>) -> Response<Parts<T>> {
    Response::new(Box::pin(tokio_stream::iter(parts).map(Ok)))
}

#[tonic::async_trait]
impl Logs for Peer {
    type ReadLogsStream = Parts<pb::ReadLogsResponse>;

    async fn read_logs(
        &self,
        request: Request<pb::ReadLogsRequest>,
    ) -> Answer<Self::ReadLogsStream> {
        let request = request.into_inner();
        let attempt = request.task.map(|task| pb::AttemptId { task: Some(task), epoch: 1, n: 1 });
        let piece = |(cursor, text): (u64, &'static [u8])| pb::ReadLogsResponse {
            attempt,
            text: text.into(),
            cursor,
            ..pb::ReadLogsResponse::default()
        };
        let all: [(u64, &[u8]); 2] = [(1, b"one"), (2, b"two")];
        Ok(parts(all.into_iter().filter(|(at, _)| *at > request.cursor).map(piece).collect()))
    }
}

#[tonic::async_trait]
impl Store for Peer {
    type FetchStream = Parts<pb::FetchResponse>;
    type FetchBlobStream = Parts<pb::FetchBlobResponse>;

    async fn fetch(&self, _: Request<pb::FetchRequest>) -> Answer<Self::FetchStream> {
        let head = pb::FetchHead { length: BYTES.len() as u64, ..pb::FetchHead::default() };
        let chunk = pb::DataChunk { data: BYTES.into(), ..pb::DataChunk::default() };
        let all = [pb::fetch_response::Part::Head(head), pb::fetch_response::Part::Chunk(chunk)];
        Ok(parts(all.into_iter().map(|part| pb::FetchResponse { part: Some(part) }).collect()))
    }

    async fn put(&self, request: Request<Streaming<pb::PutRequest>>) -> Answer<pb::PutResponse> {
        let (mut parts, mut object, mut size) = (request.into_inner(), None, 0);
        while let Some(message) = parts.message().await? {
            match message.part {
                Some(pb::put_request::Part::Head(head)) => object = head.object,
                Some(pb::put_request::Part::Chunk(chunk)) => size += chunk.data.len() as u64,
                None => {}
            }
        }
        Ok(Response::new(pb::PutResponse { object, size, digest: None, worker: None }))
    }

    async fn put_blob(
        &self,
        _: Request<Streaming<pb::PutBlobRequest>>,
    ) -> Answer<pb::PutBlobResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn has_blobs(&self, _: Request<pb::HasBlobsRequest>) -> Answer<pb::HasBlobsResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn fetch_blob(&self, _: Request<pb::FetchBlobRequest>) -> Answer<Self::FetchBlobStream> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn ticket(&self, _: Request<pb::TicketRequest>) -> Answer<pb::TicketResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn put_ticket(&self, _: Request<pb::PutTicketRequest>) -> Answer<pb::PutTicketResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn stat(&self, _: Request<pb::StatRequest>) -> Answer<pb::StatResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn pool_files(&self, _: Request<pb::PoolFilesRequest>) -> Answer<pb::PoolFilesResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn allocate_pool(
        &self,
        _: Request<pb::AllocatePoolRequest>,
    ) -> Answer<pb::AllocatePoolResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }

    async fn release_pool(
        &self,
        _: Request<pb::ReleasePoolRequest>,
    ) -> Answer<pb::ReleasePoolResponse> {
        Err(Status::unimplemented("no relay asks for it"))
    }
}

/// A peer that listens for as long as the test runs.
async fn listen() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server =
        Server::builder().add_service(LogsServer::new(Peer)).add_service(StoreServer::new(Peer));
    tokio::spawn(server.serve_with_incoming(incoming));
    at
}

/// A task that ran on a worker and left a value there. Returns its graph.
async fn one_result(scheduler: &Scheduler, worker: &mut FleetStream) -> u64 {
    let mut calls = scheduler.calls().await;
    let submit = pb::SubmitGraphRequest { chunk: Some(one_task(1)), ..Default::default() };
    let graph = soon(calls.submit_graph(submit)).await.unwrap().into_inner().graph;
    let attempt = worker.start().await.attempt;
    let output = pb::Output { size: 1 << 20, value: None };
    let finished = pb::AttemptFinished { attempt, outputs: vec![output], timing: None };
    worker.report(Report::Finished(finished)).await;
    let wait = pb::WaitGraphRequest { graph, max_wait_us: 30_000_000 };
    assert!(!soon(calls.wait_graph(wait)).await.unwrap().into_inner().pending);
    graph
}

async fn store(scheduler: &Scheduler) -> StoreClient<Authorized> {
    StoreClient::with_interceptor(scheduler.channel().await, scheduler.bearer.clone())
}

fn output(graph: u64) -> pb::ObjectId {
    let task = TaskId { graph: GraphId(graph), index: 0 };
    ObjectId::output(task, 0).into()
}

fn logs_of(graph: u64, cursor: &str) -> pb::TaskLogsRequest {
    let by = pb::task_selector::By::Task(pb::TaskId { graph, index: 0 });
    let task = Some(pb::TaskSelector { by: Some(by) });
    pb::TaskLogsRequest { task, cursor: cursor.to_owned(), follow: true, ..Default::default() }
}

#[tokio::test]
async fn what_a_task_printed_is_passed_on_and_read_on_from_a_cursor() {
    let scheduler = Scheduler::start().await;
    let mut worker = scheduler.worker_at("a", listen().await).await;
    let graph = one_result(&scheduler, &mut worker).await;
    let mut calls = scheduler.calls().await;
    let mut logs = soon(calls.task_logs(logs_of(graph, ""))).await.unwrap().into_inner();
    let first = soon(logs.message()).await.unwrap().unwrap();
    assert_eq!((&first.text[..], first.worker.as_str()), (&b"one"[..], "a"));
    assert_eq!(soon(logs.message()).await.unwrap().unwrap().text, "two");
    assert!(soon(logs.message()).await.unwrap().is_none(), "the task has ended");
    let mut rest = soon(calls.task_logs(logs_of(graph, &first.cursor))).await.unwrap().into_inner();
    assert_eq!(soon(rest.message()).await.unwrap().unwrap().text, "two");
}

#[tokio::test]
async fn logs_of_a_worker_that_cannot_be_reached_end_with_its_name() {
    let scheduler = Scheduler::start().await;
    let mut worker = scheduler.worker("nowhere").await;
    let graph = one_result(&scheduler, &mut worker).await;
    let mut calls = scheduler.calls().await;
    let mut logs = soon(calls.task_logs(logs_of(graph, ""))).await.unwrap().into_inner();
    let ended = soon(logs.message()).await.unwrap_err();
    assert!(ended.message().contains("nowhere"), "{ended}");
    assert_eq!(reason(&ended), Some(Reason::WorkerLost));
}

#[tokio::test]
async fn a_value_is_passed_on_from_whoever_holds_it() {
    let scheduler = Scheduler::start().await;
    let mut worker = scheduler.worker_at("a", listen().await).await;
    let graph = one_result(&scheduler, &mut worker).await;
    let mut store = store(&scheduler).await;
    let source = Some(pb::fetch_request::Source::Object(output(graph)));
    let fetch = pb::FetchRequest { source, ..pb::FetchRequest::default() };
    let mut parts = soon(store.fetch(fetch)).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = soon(parts.message()).await.unwrap() {
        if let Some(pb::fetch_response::Part::Chunk(chunk)) = message.part {
            bytes.extend_from_slice(&chunk.data);
        }
    }
    assert_eq!(bytes, BYTES);
    let source = Some(pb::fetch_request::Source::Object(output(graph + 1)));
    let mut fetch = pb::FetchRequest { source, ..pb::FetchRequest::default() };
    let refused = soon(store.fetch(fetch.clone())).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::ObjectUnknown));
    fetch.worker = Some(pb::WorkerId { number: 1 });
    let mut parts = soon(store.fetch(fetch.clone())).await.unwrap().into_inner();
    assert!(soon(parts.message()).await.unwrap().is_some(), "the worker was not asked");
    fetch.worker = Some(pb::WorkerId { number: 2 });
    let refused = soon(store.fetch(fetch)).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::ObjectUnknown));
}

#[tokio::test]
async fn a_value_that_is_put_is_kept_by_a_worker_and_known_to_the_scheduler() {
    let scheduler = Scheduler::start().await;
    let _worker = scheduler.worker_at("a", listen().await).await;
    let mut session = scheduler.session(7).await;
    let opened = session.next().await.unwrap().opened.unwrap();
    let holder = HolderId(u64::from(opened.session.unwrap().number));
    let object: pb::ObjectId = ObjectId::Held { holder, n: 1 }.into();
    let head = pb::PutHead {
        submission_id: vec![3; 16].into(),
        object: Some(object),
        session: 7_u128.to_be_bytes().to_vec().into(),
        ..pb::PutHead::default()
    };
    let chunk = pb::DataChunk { data: BYTES.into(), ..pb::DataChunk::default() };
    let all = [pb::put_request::Part::Head(head), pb::put_request::Part::Chunk(chunk)];
    let all = all.map(|part| pb::PutRequest { part: Some(part) });
    let put = soon(store(&scheduler).await.put(tokio_stream::iter(all))).await.unwrap();
    assert_eq!(put.into_inner().size, BYTES.len() as u64);
    let locate = pb::LocateObjects { objects: vec![object], ..pb::LocateObjects::default() };
    let locate = pb::LocateObjectsRequest { locate: Some(locate) };
    let found = soon(scheduler.calls().await.locate_objects(locate)).await.unwrap().into_inner();
    assert_eq!(found.workers.len(), 1);
}

#[tokio::test]
async fn what_only_a_worker_has_is_refused_with_a_remedy() {
    let scheduler = Scheduler::start().await;
    let mut store = store(&scheduler).await;
    let refused = soon(store.pool_files(pb::PoolFilesRequest::default())).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::Unsupported));
    assert!(refused.message().contains("Fetch"), "{refused}");
}
