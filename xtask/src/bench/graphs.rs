//! Rows that run a graph of a certain shape.

use anyhow::Result;
use bireme_client::Payload;
use bireme_core::graph::{GraphBuilder, GraphOptions, TaskClass, TaskSpec, Watch};
use bireme_core::reason::Refusal;
use bireme_core::{Codec, Value};
use bytes::Bytes;

use super::rows::Bench;
use super::timed::{self, Awaited, Work};

/// Inputs of one task of a merge. A task may have more, but a message that names 100,000 would be too long.
const FAN_IN: u32 = 1_000;
/// How long a task of `sleep_map` sleeps, in microseconds.
const SLEEP_US: u32 = 10_000;

/// n tasks that do nothing, every result awaited.
pub(super) async fn throughput(bench: &mut Bench) -> Result<()> {
    per_task(bench, |n| Ok(Work { graph: flat(n, &noop())?, tasks: n, awaited: Awaited::All }))
        .await
}

/// n tasks, then one that needs them all, over as many in between as that takes.
pub(super) async fn merge(bench: &mut Bench) -> Result<()> {
    per_task(bench, |n| {
        let mut shape = Shape::new();
        let mut level: Vec<u32> = (0..n).map(|_| shape.task([])).collect::<Result<_, _>>()?;
        while level.len() > 1 {
            let fan_in = usize::try_from(FAN_IN).unwrap_or(usize::MAX);
            let parts = level.chunks(fan_in).map(|part| shape.task(part.iter().copied()));
            level = parts.collect::<Result<_, _>>()?;
        }
        Ok(shape.into_work(n))
    })
    .await
}

/// A binary tree over n leaves: 2n - 1 tasks.
pub(super) async fn tree(bench: &mut Bench) -> Result<()> {
    per_task(bench, |n| {
        let mut shape = Shape::new();
        let mut level: Vec<u32> = (0..n).map(|_| shape.task([])).collect::<Result<_, _>>()?;
        while level.len() > 1 {
            let pairs = level.chunks(2).map(|pair| shape.task(pair.iter().copied()));
            level = pairs.collect::<Result<_, _>>()?;
        }
        let tasks = shape.graph.len();
        Ok(shape.into_work(tasks))
    })
    .await
}

/// n tasks, each of which needs the one before.
pub(super) async fn chain(bench: &mut Bench) -> Result<()> {
    per_task(bench, |n| {
        let mut shape = Shape::new();
        for task in 0..n {
            shape.task(task.checked_sub(1))?;
        }
        Ok(shape.into_work(n))
    })
    .await
}

/// n times n tasks, each of which needs the one above and the one to the left.
pub(super) async fn stencil(bench: &mut Bench) -> Result<()> {
    per_task(bench, |n| {
        let mut shape = Shape::new();
        for row in 0..n {
            for column in 0..n {
                let above = (row > 0).then(|| (row - 1) * n + column);
                let left = (column > 0).then(|| row * n + column - 1);
                shape.task(above.into_iter().chain(left))?;
            }
        }
        Ok(shape.into_work(n * n))
    })
    .await
}

/// n tasks that sleep for 10 ms, against the time that they would take on all cpus without a pause.
pub(super) async fn sleep_map(bench: &mut Bench) -> Result<()> {
    let all = timed::run(bench, sleeps).await?;
    let cpus = f64::from(bench.topo.workers * bench.topo.cpus);
    let ideal = f64::from(bench.n) * f64::from(SLEEP_US) / 1e6 / cpus;
    bench.emit("", "s", all.iter().map(|took| took.wall.as_secs_f64()))?;
    let efficiency = all.iter().map(|took| ideal / took.wall.as_secs_f64() * 100.0);
    bench.emit("_efficiency", "%", efficiency)?;
    timed::emit_cpu(bench, &all)
}

/// n tasks that sleep for 10 ms.
fn sleeps(n: u32) -> Result<Work, Refusal> {
    let us = Value::inline(Codec::Json, SLEEP_US.to_string());
    let payload = Payload::native("builtin/sleep").arg(us).encode();
    Ok(Work { graph: flat(n, &payload)?, tasks: n, awaited: Awaited::All })
}

async fn per_task(bench: &mut Bench, make: timed::Make) -> Result<()> {
    let all = timed::run(bench, make).await?;
    timed::emit_per_task(bench, &all)
}

/// What a task that does nothing carries.
pub(super) fn noop() -> Bytes {
    Payload::native("builtin/noop").encode()
}

/// Settings under which small results come without being asked for.
pub(super) fn with_values() -> GraphOptions {
    GraphOptions { watch: Watch::Values, ..GraphOptions::default() }
}

/// Equal tasks that do not need each other.
fn flat(n: u32, payload: &Bytes) -> Result<GraphBuilder, Refusal> {
    let mut graph = GraphBuilder::new(with_values());
    let class = graph.class(TaskClass::default());
    for _ in 0..n {
        graph.task(TaskSpec { class, payload: payload.clone(), ..TaskSpec::default() })?;
    }
    Ok(graph)
}

/// A graph of tasks that do nothing, but need each other.
struct Shape {
    graph: GraphBuilder,
    class: u32,
    payload: Bytes,
}

impl Shape {
    fn new() -> Self {
        let mut graph = GraphBuilder::new(with_values());
        let class = graph.class(TaskClass::default());
        Self { graph, class, payload: noop() }
    }

    fn task(&mut self, needs: impl IntoIterator<Item = u32>) -> Result<u32, Refusal> {
        self.graph.task(TaskSpec {
            class: self.class,
            deps: needs.into_iter().map(Into::into).collect(),
            payload: self.payload.clone(),
            ..TaskSpec::default()
        })
    }

    /// The graph, which ends with its last task.
    fn into_work(self, tasks: u32) -> Work {
        let last = self.graph.len().saturating_sub(1);
        Work { graph: self.graph, tasks, awaited: Awaited::One(last) }
    }
}
