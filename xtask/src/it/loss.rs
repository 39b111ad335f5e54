//! Workers that die.

use anyhow::{Context as _, Result, ensure};
use bireme_client::Arg;
use bireme_core::Value;
use bireme_core::graph::TaskState;
use bireme_core::reason::Refusal;
use rustix::process::Signal;

use super::graphs::{Sketch, number, text};
use crate::cluster::{Cluster, Shape, family, guarded, until};

/// Leaves of the tree.
const LEAVES: u32 = 500;
/// How long the task behind each leaf and node sleeps, in microseconds.
const SLEEP_US: u32 = 4_000;

pub(super) async fn killed_worker() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(2, 2)).await?;
    let mut sketch = Sketch::new();
    let root = tree(&mut sketch, LEAVES)?;
    let tasks = sketch.graph.len();
    ensure!(tasks == 2_000, "the graph has {tasks} tasks");
    let graph = cluster.client.submit(sketch.graph).await?;
    let mut progress = graph.progress();
    let half =
        progress.wait_for(|it| it.counts.of(TaskState::Finished) >= tasks / 2 || it.is_over());
    let at_half = guarded("half of the tasks", half).await??.clone();
    ensure!(!at_half.is_over(), "it was over before anybody was killed: {at_half:?}");
    let victim = cluster.workers.first_mut().context("there are two workers")?;
    let below = family::descendants(victim.pid());
    victim.signal(Signal::KILL)?;
    victim.exit().await?;
    until("the end of all below it", || !below.iter().any(|pid| family::is_alive(*pid))).await?;
    let value = guarded("the result", graph.result(root)).await??;
    ensure!(value == Value::text(expected(LEAVES)), "the result is {value:?}");
    let summary = guarded("the end", graph.wait()).await??;
    ensure!(summary.is_ok(), "{:?}", summary.counts);
    for survivor in cluster.workers.iter_mut().skip(1) {
        survivor.stop().await?;
    }
    cluster.scheduler.stop().await
}

/// A binary tree that writes down its leaves in order. Each leaf and node waits for a sleep of its own, so that the graph
/// lasts long enough to be hit half-way. The two copies at the end make it four tasks for each leaf.
pub(super) fn tree(sketch: &mut Sketch, leaves: u32) -> Result<u32, Refusal> {
    let mut level = Vec::new();
    for leaf in 0..leaves {
        let sleep = sketch.call("builtin/sleep", [number(SLEEP_US)], [])?;
        level.push(sketch.call("builtin/echo", [text(&format!("{leaf};"))], [sleep])?);
    }
    while level.len() > 1 {
        let mut above = Vec::new();
        for pair in level.chunks(2) {
            let [left, right] = *pair else {
                above.extend_from_slice(pair);
                continue;
            };
            let sleep = sketch.call("builtin/sleep", [number(SLEEP_US)], [left])?;
            let both = [Arg::input(0), Arg::input(1)];
            above.push(sketch.call("builtin/concat", both, [left, right, sleep])?);
        }
        level = above;
    }
    let top = level.first().copied().unwrap_or_default();
    let copy = sketch.call("builtin/echo", [Arg::input(0)], [top])?;
    sketch.call("builtin/echo", [Arg::input(0)], [copy])
}

/// What the tree must have written.
pub(super) fn expected(leaves: u32) -> String {
    (0..leaves).map(|leaf| format!("{leaf};")).collect::<Vec<_>>().concat()
}
