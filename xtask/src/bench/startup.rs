//! How long a cluster takes to start, and what it takes of memory while it has nothing to do.

use anyhow::Result;

use super::rows::Bench;
use crate::cluster::Cluster;
use crate::cluster::usage::{memory, now};

/// From the spawn of the scheduler until every worker has joined.
pub(super) async fn startup(bench: &mut Bench) -> Result<()> {
    let (mut seconds, mut scheduler, mut worker) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        let started = now();
        let cluster = Cluster::start(bench.shape()).await?;
        seconds.push(started.elapsed().as_secs_f64());
        scheduler.push(memory(cluster.scheduler.pid())?);
        for child in &cluster.workers {
            worker.push(memory(child.pid())?);
        }
        cluster.stop().await?;
    }
    bench.emit("", "s", seconds)?;
    for (who, memories) in [("sched", scheduler), ("worker", worker)] {
        bench.emit(&format!("_{who}_rss"), "MiB", memories.iter().map(|memory| mib(memory.rss)))?;
        bench.emit(&format!("_{who}_pss"), "MiB", memories.iter().map(|memory| mib(memory.pss)))?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
