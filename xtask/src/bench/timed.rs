//! A graph on a cluster, timed: how long from its first task to its results, and who worked how long for it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bireme_client::{Client, Graph};
use bireme_core::graph::GraphBuilder;
use bireme_core::reason::Refusal;

use super::rows::Bench;
use crate::cluster::usage::{cpu, now, own_cpu, tree_cpu};
use crate::cluster::{Child, Cluster, within};

/// Tasks of the run that warms everything up, at most.
const WARM_UP: u32 = 1_000;

/// How long a graph may take.
pub(super) const GRAPH_GUARD: Duration = Duration::from_mins(10);

/// Makes a graph of a given size, and says which results are waited for.
pub(super) type Make = fn(u32) -> Result<Work, Refusal>;

/// A graph, and how far it has to be followed.
pub(super) struct Work {
    pub(super) graph: GraphBuilder,
    /// How many tasks the time is divided by.
    pub(super) tasks: u32,
    pub(super) awaited: Awaited,
}

/// Which results end the measurement.
pub(super) enum Awaited {
    /// That of every task.
    All,
    /// That of one task, which needs all others.
    One(u32),
}

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) wall: Duration,
    scheduler: Duration,
    /// Of all workers.
    workers: Duration,
    client: Duration,
    tasks: u32,
}

impl Took {
    /// From the start to the last result, in microseconds for each task.
    pub(super) fn wall_us(self) -> f64 {
        self.per_task_us(self.wall)
    }

    fn per_task_us(self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / f64::from(self.tasks)
    }
}

/// Runs a graph as often as is asked for, on one cluster, after a small one that warms it up.
pub(super) async fn run(bench: &Bench, make: Make) -> Result<Vec<Took>> {
    let _pin = bench.pin_client()?;
    let cluster = warm(bench, make).await?;
    let mut all = Vec::new();
    for _ in 0..bench.repeats {
        all.push(once(&cluster, make, bench.n).await?);
    }
    cluster.stop().await?;
    Ok(all)
}

/// A cluster that has run a small graph of this kind.
pub(super) async fn warm(bench: &Bench, make: Make) -> Result<Cluster> {
    let cluster = Cluster::start(bench.shape()).await?;
    once(&cluster, make, bench.n.min(WARM_UP)).await.context("while warming up")?;
    Ok(cluster)
}

/// Notes wall time and core time for each task.
pub(super) fn emit_per_task(bench: &mut Bench, all: &[Took]) -> Result<()> {
    bench.emit("", "us/task", all.iter().map(|took| took.per_task_us(took.wall)))?;
    emit_cpu(bench, all)
}

/// Notes core time for each task.
pub(super) fn emit_cpu(bench: &mut Bench, all: &[Took]) -> Result<()> {
    let mut emit = |suffix: &str, part: fn(&Took) -> Duration| {
        bench.emit(suffix, "us/task", all.iter().map(|took| took.per_task_us(part(took))))
    };
    emit("_sched_cpu", |took| took.scheduler)?;
    emit("_worker_cpu", |took| took.workers)?;
    emit("_client_cpu", |took| took.client)
}

/// Runs a graph once.
pub(super) async fn once(cluster: &Cluster, make: Make, n: u32) -> Result<Took> {
    let before = Used::by(cluster)?;
    let started = now();
    let Work { graph, tasks, awaited } = make(n)?;
    let graph = submitted(&cluster.client, graph, &awaited).await?;
    let wall = started.elapsed();
    let after = Used::by(cluster)?;
    // Not part of the measurement, but the next one starts with empty tables.
    graph.forget().await?;
    Ok(Took {
        wall,
        scheduler: after.scheduler.saturating_sub(before.scheduler),
        workers: after.workers.saturating_sub(before.workers),
        client: after.client.saturating_sub(before.client),
        tasks,
    })
}

/// Submits a graph and waits for its results.
async fn submitted(client: &Client, graph: GraphBuilder, awaited: &Awaited) -> Result<Graph> {
    let graph = client.submit(graph).await?;
    let results = async {
        match *awaited {
            Awaited::One(task) => drop(graph.result(task).await?),
            Awaited::All => {
                for task in 0..graph.tasks() {
                    graph.result(task).await?;
                }
            }
        }
        anyhow::Ok(())
    };
    within(GRAPH_GUARD, "the results", results).await??;
    Ok(graph)
}

/// Core time used so far.
struct Used {
    scheduler: Duration,
    workers: Duration,
    client: Duration,
}

impl Used {
    fn by(cluster: &Cluster) -> Result<Self> {
        let workers = cluster.workers.iter().map(Child::pid).map(tree_cpu);
        Ok(Self {
            scheduler: cpu(cluster.scheduler.pid())?,
            workers: workers.sum::<Result<Duration>>()?,
            client: own_cpu(),
        })
    }
}
