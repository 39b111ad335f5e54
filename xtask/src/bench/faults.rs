//! What it costs when something dies half-way.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bireme_core::graph::TaskState;

use super::graphs::sleeps;
use super::rows::Bench;
use super::timed::{GRAPH_GUARD, Work};
use crate::cluster::usage::now;
use crate::cluster::{Child, Cluster, family, within};

/// n tasks of 10 ms, with and without a worker's daemon killed when half of them are done.
pub(super) async fn worker_kill(bench: &mut Bench) -> Result<()> {
    let (mut undisturbed, mut hit) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        undisturbed.push(run(bench, false).await?.as_secs_f64());
        hit.push(run(bench, true).await?.as_secs_f64());
    }
    bench.emit("_undisturbed", "s", undisturbed)?;
    bench.emit("", "s", hit)
}

/// Runs the tasks on a fresh cluster; every one must finish.
async fn run(bench: &Bench, kills: bool) -> Result<Duration> {
    let cluster = Cluster::start(bench.shape()).await?;
    let started = now();
    let Work { graph, tasks, .. } = sleeps(bench.n)?;
    let graph = cluster.client.submit(graph).await?;
    if kills {
        let mut progress = graph.progress();
        let half =
            progress.wait_for(|it| it.counts.of(TaskState::Finished) >= tasks / 2 || it.is_over());
        within(GRAPH_GUARD, "half of the tasks", half).await??;
        let victim = cluster.workers.first().map(Child::daemon).context("there are workers")?;
        family::kill(victim);
    }
    let summary = within(GRAPH_GUARD, "the end", graph.wait()).await??;
    let took = started.elapsed();
    ensure!(summary.is_ok(), "of {tasks} tasks: {:?}", summary.counts);
    Ok(took)
}
