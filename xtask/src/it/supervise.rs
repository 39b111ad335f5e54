//! A worker whose daemon or supervisor dies: what is left of it, and whether it comes back.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::Graph;
use bireme_core::Value;
use bireme_core::graph::{OnWorkerLost, TaskState};
use rustix::process::Signal;

use super::graphs::{Sketch, failure, number, text};
use super::store::MIB;
use crate::cluster::{Child, Cluster, Shape, family, guarded, until};

/// The supervisor sweeps up after its daemon, and starts another.
pub(super) async fn killed_daemon() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 2)).await?;
    let busy = Busy::begin(&cluster).await?;
    let [worker, other] = cluster.workers.as_slice() else { bail!("there are two workers") };
    let (life, others) = (Life::of(worker)?, Life::of(other)?);
    life.is_full()?;
    family::kill(life.daemon);
    busy.lost().await?;
    ensure!(says(&cluster, "w1").await? == Value::text("w1"), "the worker that is back is dumb");
    life.has_gone()?;
    others.goes_on(other)?;
    ensure!(worker.daemon() != life.daemon, "its daemon is the one that was killed");
    cluster.stop().await
}

/// The daemon sweeps up after its supervisor, and ends.
pub(super) async fn killed_supervisor() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(2, 2)).await?;
    let busy = Busy::begin(&cluster).await?;
    let mut worker = cluster.workers.remove(0);
    let other = cluster.workers.first().context("there are two workers")?;
    let (life, others) = (Life::of(&worker)?, Life::of(other)?);
    life.is_full()?;
    worker.signal(Signal::KILL)?;
    worker.exit().await?;
    until("the end of its daemon", || !family::is_alive(life.daemon)).await?;
    until("the end of all below it", || life.processes().is_empty()).await?;
    until("the end of its shared memory", || !life.directory.exists()).await?;
    busy.lost().await?;
    ensure!(says(&cluster, "w2").await? == Value::text("w2"), "the other worker is dumb");
    others.goes_on(other)?;
    cluster.stop().await
}

/// What a worker answers when it is asked for its name.
async fn says(cluster: &Cluster, worker: &str) -> Result<Value> {
    let mut sketch = Sketch::new();
    sketch.only_on(worker);
    let task = sketch.call("builtin/echo", [text(worker)], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    Ok(guarded("an answer", graph.result(task)).await??)
}

/// Something of everything that a dead worker could leave behind: values in shared memory, a process, and one that left
/// its group.
struct Busy {
    graph: Graph,
    /// The command that runs.
    runs: u32,
}

impl Busy {
    /// Occupies the first of two workers, and has the other store something too.
    async fn begin(cluster: &Cluster) -> Result<Self> {
        let marker = cluster.site().dir().join("runs");
        let script = format!("setsid sleep 600 & touch {}; exec sleep 600", marker.display());
        let mut sketch = Sketch::new();
        sketch.class.on_worker_lost = OnWorkerLost::Fail;
        for worker in ["w2", "w1"] {
            sketch.only_on(worker);
            sketch.call("builtin/bytes", [number(MIB)], [])?;
        }
        let runs = sketch.script(&script)?;
        let graph = cluster.client.submit(sketch.graph).await?;
        let mut stored = graph.progress();
        let stored = stored.wait_for(|it| it.counts.of(TaskState::Finished) == 2);
        guarded("values in shared memory", stored).await??;
        until("a command that runs", || marker.exists()).await?;
        Ok(Self { graph, runs })
    }

    /// Waits until the scheduler says that the worker is gone.
    async fn lost(self) -> Result<()> {
        let lost = failure(&self.graph, self.runs).await?;
        ensure!(lost.reason == "WORKER_LOST", "the command that ran failed with {lost}");
        Ok(())
    }
}

/// What a worker's daemon has made.
pub(super) struct Life {
    pub(super) daemon: u32,
    /// Processes below it.
    below: Vec<u32>,
    /// What the supervisor keeps for it in shared memory.
    directory: PathBuf,
    /// By number: a name may be used again.
    files: BTreeSet<u64>,
}

impl Life {
    pub(super) fn of(worker: &Child) -> Result<Self> {
        let daemon = worker.daemon();
        ensure!(daemon != worker.pid(), "the worker has no supervisor");
        let directory = family::shared_memory(worker.pid());
        let directory = directory.context("the supervisor has no directory in shared memory")?;
        let files = files(&directory)?;
        Ok(Self { daemon, below: family::descendants(daemon), directory, files })
    }

    /// Whether something of it is in shared memory.
    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Whether there is something to be left behind.
    fn is_full(&self) -> Result<()> {
        ensure!(self.below.len() >= 2, "the command's processes are not below the daemon");
        ensure!(self.has_files(), "nothing is in {}", self.directory.display());
        Ok(())
    }

    /// The processes below the daemon that have not ended.
    fn processes(&self) -> Vec<u32> {
        self.below.iter().copied().filter(|pid| family::is_alive(*pid)).collect()
    }

    /// Whether nothing of it is left.
    pub(super) fn has_gone(&self) -> Result<()> {
        let left = self.processes();
        ensure!(left.is_empty() && !family::is_alive(self.daemon), "processes {left:?} are left");
        let now = files(&self.directory)?;
        let (left, directory) = (now.intersection(&self.files).count(), self.directory.display());
        ensure!(left == 0, "{left} files of the dead daemon are left in {directory}");
        Ok(())
    }

    /// Whether the death of another was none of its business.
    pub(super) fn goes_on(&self, worker: &Child) -> Result<()> {
        ensure!(worker.daemon() == self.daemon, "the daemon of another worker died too");
        let now = files(&self.directory)?;
        let directory = self.directory.display();
        ensure!(now.is_superset(&self.files), "files of another worker are gone from {directory}");
        Ok(())
    }
}

/// The numbers of the files in a directory.
fn files(directory: &Path) -> Result<BTreeSet<u64>> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("cannot list {}", directory.display()))?;
    let numbers = entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|it| it.ino());
    Ok(numbers.collect())
}
