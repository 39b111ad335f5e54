//! Files of the pool that somebody cuts: executors may write them, so one of them could.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Arg, ResultError};
use bireme_core::ErrorClass;
use bireme_core::graph::OnWorkerLost;

use super::beside::Beside;
use super::graphs::{Sketch, failure, number};
use super::store::{MIB, is_pattern};
use crate::cluster::{Child, Cluster, Shape, family, guarded};

/// A script that cuts every file in a worker's pool.
fn cuts(cluster: &Cluster) -> Result<String> {
    let supervisor = cluster.workers.first().map(Child::pid).context("there is one worker")?;
    let pool: PathBuf = family::shared_memory(supervisor).context("it has no shared memory")?;
    let names = format!("{}/*.[0-9]*", pool.display());
    Ok(format!("ls {names} >/dev/null && truncate -s 0 {names}"))
}

/// A value that was cut is made again for whoever takes it, a task or a client.
pub(super) async fn made_again() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let daemon = cluster.workers.first().map(Child::daemon).context("there is one worker")?;
    let beside = Beside::begin(&cluster).await?;
    let cuts = cuts(&cluster)?;
    let mut sketch = Sketch::new();
    let made = sketch.call("builtin/bytes", [number(MIB)], [])?;
    sketch.graph.keep(made);
    let cut = sketch.script_after(&cuts, [made])?;
    let copy = sketch.call("builtin/concat", [Arg::input(0)], [made, cut])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("a copy of what was cut", graph.result(copy)).await??;
    ensure!(is_pattern(&value, MIB), "the copy is of {} bytes", value.size);
    let value = guarded("what was cut", graph.result(made)).await??;
    ensure!(is_pattern(&value, MIB), "what was cut is of {} bytes", value.size);
    beside.finishes().await?;
    let supervisor = cluster.workers.first().context("there is one worker")?;
    ensure!(supervisor.daemon() == daemon, "the daemon died of it");
    cluster.stop().await
}

/// A value that was cut and may not be made again is missed by name.
pub(super) async fn lost() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let cuts = cuts(&cluster)?;
    let mut sketch = Sketch::new();
    sketch.class.on_worker_lost = OnWorkerLost::Fail;
    let made = sketch.call("builtin/bytes", [number(MIB)], [])?;
    let cut = sketch.script_after(&cuts, [made])?;
    let copy = sketch.call("builtin/concat", [Arg::input(0)], [made, cut])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = match guarded("the failure", graph.result(copy)).await? {
        Err(ResultError::Task { error, .. }) => error,
        Err(error) => return Err(error.into()),
        Ok(value) => bail!("what was cut has a copy of {} bytes", value.size),
    };
    let root = error.cause.as_ref().unwrap_or(&error);
    ensure!(
        root.reason == "INPUT_LOST" && root.class == ErrorClass::InputLost,
        "it failed as {:?}: {error}",
        error.class
    );
    failure(&graph, made).await?;
    beside.finishes().await?;
    cluster.stop().await
}
