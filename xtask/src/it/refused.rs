//! Graphs and values that are refused: with a stable name, the field that is wrong and its value, and at nobody else's cost.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Admin, Payload, TaskName};
use bireme_core::graph::{TaskClass, TaskSpec};
use bireme_core::{ErrorClass, limits};
use bireme_proto::pb::store_client::StoreClient;
use bireme_proto::{pb, status};
use bytes::Bytes;
use pb::session_command::Command;
use tonic::{Request, Status};

use super::beside::Beside;
use super::door::{authorize, channel};
use super::graphs::{Sketch, failure};
use super::wire::Session;
use crate::cluster::{Cluster, Shape, connect_options, guarded};

/// What a refusal must say.
#[derive(Clone, Copy)]
struct Expected {
    reason: &'static str,
    field: &'static str,
    /// Part of the message: the value.
    says: &'static str,
}

pub(super) async fn duplicate_key() -> Result<()> {
    let expected = Expected { reason: "KEY_DUPLICATE", field: "tasks[2].key", says: "\"twice\"" };
    refuses(chunk(["twice", "once", "twice"].map(task)), expected).await
}

pub(super) async fn unknown_dependency() -> Result<()> {
    let lost = pb::TaskSpec { deps: vec![7], ..task("lost") };
    let expected =
        Expected { reason: "DEPENDENCY_UNKNOWN", field: "tasks[1].deps", says: "task 7" };
    refuses(chunk([task("first"), lost]), expected).await
}

pub(super) async fn self_dependency() -> Result<()> {
    let ring = pb::TaskSpec { deps: vec![1], ..task("ring") };
    let expected = Expected { reason: "DEPENDENCY_SELF", field: "tasks[1].deps", says: "\"ring\"" };
    refuses(chunk([task("first"), ring]), expected).await?;
    let around = |key, dep| pb::TaskSpec { deps: vec![dep], ..task(key) };
    let expected = Expected { reason: "GRAPH_CYCLE", field: "tasks[0].deps", says: "\"a\"" };
    refuses(chunk([around("a", 1), around("b", 0)]), expected).await
}

pub(super) async fn oversize_payload() -> Result<()> {
    let payload = Bytes::from(vec![0; limits::PAYLOAD_BYTES + 1]);
    let large = pb::TaskSpec { payload, ..task("large") };
    let expected =
        Expected { reason: "PAYLOAD_TOO_LARGE", field: "tasks[0].payload", says: "65537 bytes" };
    refuses(chunk([large]), expected).await
}

pub(super) async fn graph_above_limits() -> Result<()> {
    let many = vec![pb::TaskSpec::default(); limits::CHUNK_TASKS + 1];
    let expected = Expected { reason: "GRAPH_TOO_LARGE", field: "tasks", says: "16385" };
    refuses(pb::GraphChunk { tasks: many, ..chunk([]) }, expected).await?;
    let array = pb::TaskArray { count: limits::GRAPH_TASKS + 1, ..pb::TaskArray::default() };
    let expected = Expected { reason: "GRAPH_TOO_LARGE", field: "tasks", says: "268435457" };
    refuses(pb::GraphChunk { arrays: vec![array], ..chunk([]) }, expected).await
}

/// Sends a chunk that is refused as expected, ends its graph and nothing else: the session goes on, and so do others.
async fn refuses(bad: pb::GraphChunk, expected: Expected) -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let mut session = Session::open(cluster.site(), 1).await?;
    let (first, second) = (session.graph(1), session.graph(2));
    session.send(Command::Chunk(pb::GraphChunk { graph: first, ..bad })).await?;
    let pb::Refused { reason, field, message, submission_id } = session.refused().await?;
    ensure!(
        reason == expected.reason && field == expected.field && message.contains(expected.says),
        "refused as {reason} at {field:?}: {message}"
    );
    ensure!(submission_id == SUBMISSION.as_slice(), "the refusal is of {submission_id:?}");
    let submission_id = vec![2; 16].into();
    let good = pb::GraphChunk { graph: second, submission_id, ..chunk([task("good")]) };
    session.send(Command::Chunk(good)).await?;
    let over = session.over(second).await?;
    ensure!(over.counts.is_some_and(|counts| counts.finished == 1), "{over:?}");
    beside.finishes().await?;
    cluster.stop().await
}

/// Of the chunk that is refused.
const SUBMISSION: [u8; 16] = [1; 16];

/// A whole graph.
fn chunk<const N: usize>(tasks: [pb::TaskSpec; N]) -> pb::GraphChunk {
    pb::GraphChunk {
        submission_id: SUBMISSION.to_vec().into(),
        tasks: tasks.into(),
        classes: vec![pb::TaskClass::default()],
        options: Some(pb::GraphOptions::default()),
        last: true,
        ..pb::GraphChunk::default()
    }
}

/// A task that does nothing.
fn task(key: &str) -> pb::TaskSpec {
    let payload = Payload::native("builtin/noop").encode();
    pb::TaskSpec { key: key.to_owned(), payload, ..pb::TaskSpec::default() }
}

pub(super) async fn unknown_key() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let mut sketch = Sketch::new();
    sketch.call("builtin/noop", [], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    guarded("the end", graph.wait()).await??;
    let admin = Admin::connect(&connect_options(&cluster.site().access_file())?).await?;
    let name = TaskName::Key(graph.id(), "nobody".to_owned());
    match guarded("an answer", admin.task(name)).await? {
        Ok(task) => bail!("a task that was never submitted is shown: {task:?}"),
        Err(refused) => ensure!(
            refused.reason == "TASK_UNKNOWN" && refused.message.contains("\"nobody\""),
            "refused as {} at {:?}: {}",
            refused.reason,
            refused.field,
            refused.message
        ),
    }
    beside.finishes().await?;
    cluster.stop().await
}

pub(super) async fn oversize_value() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let session = Session::open(cluster.site(), 3).await?;
    let held = pb::object_id::Held { holder: session.graph(0) >> 32, n: 1 };
    let length = limits::VALUE_BYTES + 1;
    let head = pb::PutHead {
        submission_id: vec![3; 16].into(),
        object: Some(pb::ObjectId { producer: Some(pb::object_id::Producer::Held(held)) }),
        value: Some(pb::ValueHead { buffer_lengths: vec![length], ..Default::default() }),
        session: vec![3; 16].into(),
        ..pb::PutHead::default()
    };
    let part = Some(pb::put_request::Part::Head(head));
    let mut request = Request::new(tokio_stream::iter([pb::PutRequest { part }]));
    authorize(cluster.site(), &mut request)?;
    let mut store = StoreClient::new(channel(cluster.site()).await?);
    let Err(refused) = guarded("an answer", store.put(request)).await? else {
        bail!("a value of {length} bytes was stored");
    };
    is_refused(&refused, "VALUE_TOO_LARGE", "value.buffer_lengths")?;
    beside.finishes().await?;
    cluster.stop().await
}

/// Whether a call ended so.
fn is_refused(status: &Status, reason: &str, field: &str) -> Result<()> {
    let refusal = status::refusal(status).with_context(|| format!("no reason in {status}"))?;
    ensure!(
        refusal.reason.name() == reason && refusal.field == field,
        "refused as {} at {:?}: {}",
        refusal.reason,
        refusal.field,
        refusal.message
    );
    Ok(())
}

pub(super) async fn missing_command() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let mut sketch = Sketch::new();
    let class = TaskClass { runtime: bireme_core::graph::Runtime::Command, ..TaskClass::default() };
    let class = sketch.graph.class(class);
    let payload = Payload::command(["no-such-program", "x"]).encode();
    let task = sketch.graph.task(TaskSpec { class, payload, ..TaskSpec::default() })?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, task).await?;
    ensure!(
        error.class == ErrorClass::NotFound
            && error.reason == "COMMAND_MISSING"
            && error.message.contains("no-such-program"),
        "it failed as {:?}: {error}",
        error.class
    );
    beside.finishes().await?;
    cluster.stop().await
}

pub(super) async fn malformed_payload() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let mut sketch = Sketch::new();
    let class = sketch.graph.class(TaskClass::default());
    let payload = Bytes::from_static(&[0xff; 64]);
    let task = sketch.graph.task(TaskSpec { class, payload, ..TaskSpec::default() })?;
    let after = sketch.call("builtin/noop", [], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, task).await?;
    ensure!(
        error.class == ErrorClass::Malformed && error.reason == "MALFORMED",
        "it failed as {:?}: {error}",
        error.class
    );
    guarded("the task after it", graph.result(after)).await??;
    beside.finishes().await?;
    cluster.stop().await
}
