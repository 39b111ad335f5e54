//! Reading over a real socket.

use std::time::Duration;

use bireme_core::id::{AttemptNo, Epoch, GraphId};
use bireme_daemon::Listener;
use bireme_proto::pb::logs_client::LogsClient;
use bireme_proto::pb::logs_server::LogsServer;
use bireme_proto::status::refusal;
use tempfile::TempDir;
use tonic::transport::{Channel, Server};

use super::*;
use crate::clock::Clock;

const GUARD: Duration = Duration::from_mins(1);

/// Logs that are served.
struct Site {
    logs: Arc<Logs>,
    client: LogsClient<Channel>,
    _directory: TempDir,
}

impl Site {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::new(directory.path().to_owned(), Clock::start());
        let listener = Listener::bind("127.0.0.1:0", 16).await.unwrap();
        let url = format!("http://{}", listener.address());
        let service = LogsServer::new(Door { logs: logs.clone(), actors: None });
        let served = Server::builder().add_service(service);
        tokio::spawn(served.serve_with_incoming(listener.incoming()));
        let client = LogsClient::connect(url).await.unwrap();
        Self { logs, client, _directory: directory }
    }

    async fn ask(
        &mut self,
        request: pb::ReadLogsRequest,
    ) -> Result<tonic::Streaming<pb::ReadLogsResponse>, Status> {
        let asked = tokio::time::timeout(GUARD, self.client.read_logs(request));
        Ok(asked.await.expect("no answer")?.into_inner())
    }
}

fn attempt(index: u32) -> AttemptId {
    let task = TaskId { graph: GraphId(1), index };
    AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: 1 } }
}

fn of(index: u32) -> pb::ReadLogsRequest {
    let task = Some(attempt(index).task.into());
    pb::ReadLogsRequest { task, ..pb::ReadLogsRequest::default() }
}

#[tokio::test]
async fn what_is_printed_arrives_and_the_stream_ends_with_the_attempt() {
    let mut site = Site::new().await;
    let writer = site.logs.open(attempt(0));
    let mut answer = site.ask(pb::ReadLogsRequest { follow: true, ..of(0) }).await.unwrap();
    let mut next = async || {
        tokio::time::timeout(GUARD, answer.message()).await.expect("nothing comes").unwrap()
    };
    writer.write(logs::Stream::Stdout, b"one");
    let first = next().await.unwrap();
    assert_eq!((first.text.as_ref(), first.lagged), (&b"one"[..], false));
    assert_eq!(first.attempt, Some(attempt(0).into()));
    writer.write(logs::Stream::Stderr, b"two");
    drop(writer);
    assert_eq!(next().await.unwrap().stream(), pb::LogStream::Stderr);
    assert_eq!(next().await, None);
    let cursor = pb::ReadLogsRequest { cursor: first.cursor, ..of(0) };
    let rest = site.ask(cursor).await.unwrap().message().await.unwrap();
    assert_eq!(rest.unwrap().text, "two");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let mut site = Site::new().await;
    for (request, field) in [
        (pb::ReadLogsRequest { task: None, ..of(0) }, "task"),
        (pb::ReadLogsRequest { attempt: Some(attempt(1).into()), ..of(0) }, "attempt"),
        (pb::ReadLogsRequest { stream: 99, ..of(0) }, "stream"),
    ] {
        let status = site.ask(request).await.unwrap_err();
        let refused = refusal(&status).expect("it says why");
        assert_eq!((refused.reason, refused.field.as_str()), (Reason::Malformed, field));
    }
}
