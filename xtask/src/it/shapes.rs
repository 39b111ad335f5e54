//! Shapes of graphs and what they promise: order, sharing, arrays, chains, tasks that nobody can run.

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Arg, Graph, Payload};
use bireme_core::graph::{GraphBuilder, GraphOptions, Rows, TaskArray, TaskClass, TaskSpec, Watch};
use bireme_core::resources::{Resources, UNITS};
use bireme_core::{Codec, Span};
use bireme_proto::pb;
use bireme_proto::pb::cluster_client::ClusterClient;
use tonic::Request;

use super::door::{authorize, channel};
use super::graphs::{Sketch, number};
use crate::cluster::{Cluster, Shape, guarded};

/// Tasks of the session that could starve another: far more than two cpus get through while ten are done.
const MANY: u32 = 100_000;

pub(super) async fn few_beside_many() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut many = Sketch::new();
    for _ in 0..MANY {
        many.call("builtin/sleep", [number(1)], [])?;
    }
    let many = cluster.client.submit(many.graph).await?;
    let mut progress = many.progress();
    guarded("a first end", progress.wait_for(|progress| progress.counts.ended() > 0)).await??;
    let other = cluster.site().connect().await?;
    let mut few = Sketch::new();
    for _ in 0..10 {
        few.call("builtin/noop", [], [])?;
    }
    let few = other.submit(few.graph).await?;
    let summary = guarded("the ten", few.wait()).await??;
    ensure!(summary.is_ok(), "of the ten: {:?}", summary.counts);
    let ended = progress.borrow().counts.ended();
    ensure!(ended < MANY / 2, "the ten ended after {ended} of {MANY} tasks of another session");
    guarded("the answer", many.cancel(Span::ZERO)).await??;
    cluster.stop().await
}

pub(super) async fn array_rows() -> Result<()> {
    const ROWS: u32 = 1_000;
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut graph =
        GraphBuilder::new(GraphOptions { watch: Watch::Values, ..GraphOptions::default() });
    let class = graph.class(TaskClass::default());
    let first = graph.array(TaskArray {
        key_prefix: "row".to_owned(),
        count: ROWS,
        class,
        payload: Payload::native("builtin/echo").arg(Arg::row()).encode(),
        rows: Rows::Range { start: -5, step: 3 },
        inputs: Vec::new(),
        priority: 0,
        order: 0,
    })?;
    let graph = cluster.client.submit(graph).await?;
    let values = guarded("the rows", graph.results(first..ROWS)).await??;
    ensure!(values.len() == ROWS as usize, "{} of {ROWS} rows have a value", values.len());
    for (row, value) in (0_i64..).zip(values) {
        ensure!(value.codec == Codec::Msgpack, "row {row} gave {value:?}");
        let bytes = value.bytes().context("the value is elsewhere")?;
        let number = read_number(&bytes).with_context(|| format!("row {row} gave {bytes:?}"))?;
        ensure!(number == -5 + 3 * row, "row {row} gave {number}");
    }
    cluster.stop().await
}

/// Reads a whole number in `MessagePack`.
fn read_number(bytes: &[u8]) -> Option<i64> {
    let (head, rest) = bytes.split_first()?;
    let unsigned =
        |rest: &[u8]| rest.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    match head {
        0..=0x7f => Some(i64::from(*head)),
        0xe0..=0xff => Some(i64::from(head.cast_signed())),
        0xcc..=0xcf => Some(unsigned(rest)),
        0xd0 => Some(i64::from(rest.first()?.cast_signed())),
        0xd1 => Some(i16::from_be_bytes(rest.try_into().ok()?).into()),
        0xd2 => Some(i32::from_be_bytes(rest.try_into().ok()?).into()),
        0xd3 => Some(i64::from_be_bytes(rest.try_into().ok()?)),
        _ => None,
    }
}

pub(super) async fn gpu_nobody_has() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut graph = GraphBuilder::new(GraphOptions::default());
    let resources = Resources::one_cpu().with_others([("gpu".to_owned(), UNITS)])?;
    let class = graph.class(TaskClass { resources, ..TaskClass::default() });
    let payload = Payload::native("builtin/noop").encode();
    graph.task(TaskSpec { class, payload, ..TaskSpec::default() })?;
    let graph = cluster.client.submit(graph).await?;
    warned(&graph).await?;
    let task = pb::TaskId { graph: graph.id().0, index: 0 };
    let task = pb::TaskSelector { by: Some(pb::task_selector::By::Task(task)) };
    let mut request = Request::new(pb::ExplainTaskRequest { task: Some(task) });
    authorize(cluster.site(), &mut request)?;
    let mut client = ClusterClient::new(channel(cluster.site()).await?);
    let answer = guarded("why", client.explain_task(request)).await??.into_inner();
    ensure!(answer.summary.contains("none of 2 workers"), "the summary is {:?}", answer.summary);
    let lacks = |worker: &pb::WorkerReason| worker.message.contains("0 of gpu");
    ensure!(
        answer.workers.iter().filter(|worker| lacks(worker)).count() == 2,
        "{:?}",
        answer.workers
    );
    cluster.stop().await
}

/// Waits for the warning that no worker can run the task.
async fn warned(graph: &Graph) -> Result<()> {
    let mut progress = graph.progress();
    let progress =
        guarded("a warning", progress.wait_for(|progress| !progress.warnings.is_empty()));
    let warnings = progress.await??.warnings.clone();
    ensure!(warnings.iter().any(|warning| warning.reason == "NO_WORKER"), "warned of {warnings:?}");
    Ok(())
}
