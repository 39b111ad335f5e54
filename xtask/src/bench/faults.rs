//! What it costs when something dies half-way.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Admin, Graph, Payload};
use bireme_core::graph::{GraphBuilder, TaskClass, TaskSpec, TaskState};
use bireme_core::reason::Refusal;
use bireme_core::{Codec, Value};
use bytes::Bytes;

use super::graphs::with_values;
use super::rows::Bench;
use super::timed::GRAPH_GUARD;
use crate::cluster::usage::now;
use crate::cluster::{Child, Cluster, family, guarded, within};

/// How long a task that sleeps does so.
const SLEEP: Duration = Duration::from_millis(10);
/// Chains of tasks beside each other, at most: several times as many as there are cpus.
const LANES: usize = 100;
/// How often is looked whether the worker is back.
const LOOK: Duration = Duration::from_millis(5);

/// A graph of n tasks that take each other's results, with and without a worker's daemon killed when half of them are done.
pub(super) async fn worker_kill(bench: &mut Bench) -> Result<()> {
    let (mut undisturbed, mut hit) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        undisturbed.push(run(bench, false).await?);
        hit.push(run(bench, true).await?);
    }
    bench.emit("", "s", hit.iter().map(|run| run.makespan.as_secs_f64()))?;
    bench.emit("_undisturbed", "s", undisturbed.iter().map(|run| run.makespan.as_secs_f64()))?;
    let kills = || hit.iter().filter_map(|run| Some((run, run.kill?)));
    let ratios = kills().map(|(run, kill)| run.makespan.as_secs_f64() / kill.ideal(bench));
    bench.emit("_ratio", "x", ratios.collect::<Vec<_>>())?;
    bench.emit("_back", "s", kills().map(|(_, kill)| kill.absent.as_secs_f64()).collect::<Vec<_>>())
}

/// How a graph ran.
struct Run {
    /// From its submission to the result of its last task.
    makespan: Duration,
    kill: Option<Kill>,
}

/// The death of a worker's daemon.
#[derive(Clone, Copy)]
struct Kill {
    /// When it came, after the submission.
    after: Duration,
    /// Tasks that sleep and were not done by then.
    left: u32,
    /// How long it took until the scheduler had the worker back.
    absent: Duration,
}

impl Kill {
    /// When the graph would have ended if no cpu had been idle for a moment, in seconds after its submission: what is left
    /// is done by the cpus of the others, and by those of the worker too from its return on.
    fn ideal(self, bench: &Bench) -> f64 {
        let Self { after, left, absent } = self;
        let (workers, cpus) = (f64::from(bench.topo.workers), f64::from(bench.topo.cpus));
        let (all, others) = (workers * cpus, (workers - 1.0) * cpus);
        let work = f64::from(left) * SLEEP.as_secs_f64();
        let meanwhile = others * absent.as_secs_f64();
        let rest = if work <= meanwhile {
            work / others
        } else {
            absent.as_secs_f64() + (work - meanwhile) / all
        };
        after.as_secs_f64() + rest
    }
}

/// Runs the graph on a fresh cluster; its result must be right.
async fn run(bench: &Bench, kills: bool) -> Result<Run> {
    let cluster = Cluster::start(bench.shape()).await?;
    let admin = cluster.site().admin().await?;
    let Lattice { graph, sleeps, last, result } = Lattice::new(bench.n)?;
    let started = now();
    let graph = cluster.client.submit(graph).await?;
    let ends = async {
        let value = within(GRAPH_GUARD, "the result", graph.result(last)).await??;
        ensure!(value == Value::text(result), "the result is of {} bytes", value.size);
        Ok(started.elapsed())
    };
    let dies = async {
        if !kills {
            return Ok(None);
        }
        within(GRAPH_GUARD, "half of the tasks", half(&graph)).await??;
        let victim = cluster.workers.first().map(Child::daemon).context("there are workers")?;
        // The tasks that sleep and those that pass on are done in turns.
        let done = admin.graph(graph.id()).await?.status.counts.of(TaskState::Finished);
        let killed = now();
        family::kill(victim);
        guarded("the worker", returned(&admin, killed)).await??;
        let left = sleeps.saturating_sub(done.div_ceil(2));
        Ok(Some(Kill { after: killed - started, left, absent: killed.elapsed() }))
    };
    let (makespan, kill) = tokio::try_join!(ends, dies)?;
    cluster.stop().await?;
    Ok(Run { makespan, kill })
}

/// Waits until half of the tasks are done.
async fn half(graph: &Graph) -> Result<()> {
    let (mut progress, tasks) = (graph.progress(), graph.tasks());
    let half =
        progress.wait_for(|it| it.counts.of(TaskState::Finished) >= tasks / 2 || it.is_over());
    half.await?;
    Ok(())
}

/// Waits until a worker has joined since then.
async fn returned(admin: &Admin, killed: Instant) -> Result<()> {
    let mut looks = tokio::time::interval(LOOK);
    while !admin.workers().await?.iter().any(|it| it.age.to_std() < killed.elapsed()) {
        looks.tick().await;
    }
    Ok(())
}

/// Chains beside each other whose links take what their own chain and the one beside it made: for each link one task that
/// sleeps and one that passes the text of its chain on. A last task joins all texts.
struct Lattice {
    graph: GraphBuilder,
    /// How many tasks sleep.
    sleeps: u32,
    last: u32,
    /// What the last task makes.
    result: String,
}

impl Lattice {
    /// A lattice of about n tasks.
    fn new(n: u32) -> Result<Self, Refusal> {
        let sleeps = (n as usize / 2).max(1);
        let lanes = LANES.min(sleeps);
        let links = sleeps / lanes;
        let mut graph = GraphBuilder::new(with_values());
        let class = graph.class(TaskClass::default());
        let mut task = |payload: Bytes, deps: &[u32]| {
            let deps = deps.iter().copied().map(Into::into).collect();
            graph.task(TaskSpec { class, payload, deps, ..TaskSpec::default() })
        };
        let us = Value::inline(Codec::Json, SLEEP.as_micros().to_string());
        let sleep = Payload::native("builtin/sleep").arg(us).encode();
        let pass = Payload::native("builtin/echo").input(0).encode();
        let text = |lane: usize| format!("lane {lane};");
        let mut front = Vec::new();
        for lane in 0..lanes {
            let slept = task(sleep.clone(), &[])?;
            let begin = Payload::native("builtin/echo").arg(Value::text(text(lane))).encode();
            front.push(task(begin, &[slept])?);
        }
        for _ in 1..links {
            let beside = front.iter().cycle().skip(1);
            let pairs: Vec<_> = front.iter().copied().zip(beside.copied()).collect();
            front.clear();
            for (own, beside) in pairs {
                let slept = task(sleep.clone(), &[own, beside])?;
                front.push(task(pass.clone(), &[own, slept])?);
            }
        }
        let join = Payload::native("builtin/concat");
        let join = (0..).zip(&front).fold(join, |join, (input, _)| join.input(input)).encode();
        let last = task(join, &front)?;
        Ok(Self { sleeps: graph.len() / 2, last, result: (0..lanes).map(text).collect(), graph })
    }
}
