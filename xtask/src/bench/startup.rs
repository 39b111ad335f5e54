//! How long a cluster takes to start, and what it takes of memory and time while it has nothing to do.

use std::time::Duration;

use anyhow::Result;

use super::rows::Bench;
use crate::cluster::usage::{Memory, memory, now, threads_cpu};
use crate::cluster::{Child, Cluster};

/// How long a cluster without work is watched.
const IDLE: Duration = Duration::from_secs(2);

/// A process of a cluster, by what it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Scheduler,
    /// The daemon proper.
    Worker,
    Supervisor,
}

impl Part {
    const ALL: [Self; 3] = [Self::Scheduler, Self::Worker, Self::Supervisor];

    fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "sched",
            Self::Worker => "worker",
            Self::Supervisor => "supervisor",
        }
    }
}

/// The processes of a cluster that has nothing to do.
fn parts(cluster: &Cluster) -> Vec<(Part, u32)> {
    let of_worker = |child: &Child| {
        let (supervisor, daemon) = (child.pid(), child.daemon());
        let supervisor = (supervisor != daemon).then_some((Part::Supervisor, supervisor));
        [Some((Part::Worker, daemon)), supervisor].into_iter().flatten()
    };
    let scheduler = [(Part::Scheduler, cluster.scheduler.pid())];
    scheduler.into_iter().chain(cluster.workers.iter().flat_map(of_worker)).collect()
}

/// From the spawn of the scheduler until every worker has joined.
pub(super) async fn startup(bench: &mut Bench) -> Result<()> {
    let (mut seconds, mut memories) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        let started = now();
        let cluster = Cluster::start(bench.shape()).await?;
        seconds.push(started.elapsed().as_secs_f64());
        for (part, pid) in parts(&cluster) {
            memories.push((part, memory(pid)?));
        }
        cluster.stop().await?;
    }
    bench.emit("", "s", seconds)?;
    emit_each(bench, "_rss", "MiB", &memories, |memory: Memory| mib(memory.rss))?;
    emit_each(bench, "_pss", "MiB", &memories, |memory: Memory| mib(memory.pss))
}

/// Core time for each second without work.
pub(super) async fn idle(bench: &mut Bench) -> Result<()> {
    let cluster = Cluster::start(bench.shape()).await?;
    let parts = parts(&cluster);
    let mut shares = Vec::new();
    for _ in 0..bench.repeats {
        let before = used(&parts)?;
        let started = now();
        tokio::time::sleep(IDLE).await;
        let after = used(&parts)?;
        let took = started.elapsed().as_secs_f64();
        for ((part, before), (_, after)) in before.into_iter().zip(after) {
            shares.push((part, after.saturating_sub(before).as_secs_f64() * 1e3 / took));
        }
    }
    cluster.stop().await?;
    emit_each(bench, "", "ms/s", &shares, |share| share)
}

fn used(parts: &[(Part, u32)]) -> Result<Vec<(Part, Duration)>> {
    parts.iter().map(|(part, pid)| Ok((*part, threads_cpu(*pid)?))).collect()
}

/// Notes a figure of each kind of process of which there are any.
fn emit_each<T: Copy>(
    bench: &mut Bench,
    suffix: &str,
    unit: &'static str,
    figures: &[(Part, T)],
    value: impl Fn(T) -> f64,
) -> Result<()> {
    for part in Part::ALL {
        let own = figures.iter().filter(|(other, _)| *other == part);
        let values: Vec<f64> = own.map(|(_, figure)| value(*figure)).collect();
        if !values.is_empty() {
            bench.emit(&format!("_{}{suffix}", part.name()), unit, values)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
