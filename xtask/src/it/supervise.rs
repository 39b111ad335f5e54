//! A worker whose daemon dies, and what its supervisor makes of that.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Admin, TaskQuery, TaskStatus};
use bireme_core::Value;
use bireme_core::graph::{OnWorkerLost, TaskState};
use bireme_core::id::GraphId;

use super::graphs::{Sketch, failure, number, text};
use super::loss::{expected, tree};
use crate::cluster::{Child, Cluster, Shape, connect_options, family, guarded, until};

/// Leaves of the tree: a quarter of its tasks.
const LEAVES: u32 = 2_500;
/// Length of a value that lies in shared memory, in bytes.
const SHARED_BYTES: u32 = 1 << 20;

pub(super) async fn killed_daemon() -> Result<()> {
    let cluster = Cluster::start(Shape::new(3, 2)).await?;
    let victim = cluster.workers.first().context("there are three workers")?;
    // Something of everything that could be left: a value in shared memory, a process, and one that left its group.
    let marker = cluster.site().dir().join("runs");
    let script = format!("setsid sleep 600 & touch {}; exec sleep 600", marker.display());
    let mut beside = Sketch::new();
    beside.only_on("w1");
    beside.class.on_worker_lost = OnWorkerLost::Fail;
    beside.call("builtin/bytes", [number(SHARED_BYTES)], [])?;
    let runs = beside.script(&script)?;
    let beside = cluster.client.submit(beside.graph).await?;
    let mut stored = beside.progress();
    let stored = stored.wait_for(|it| it.counts.of(TaskState::Finished) == 1);
    guarded("a value in shared memory", stored).await??;
    until("a command that runs", || marker.exists()).await?;

    let mut sketch = Sketch::keeping_all();
    let root = tree(&mut sketch, LEAVES)?;
    let tasks = sketch.graph.len();
    ensure!(tasks == 10_000, "the graph has {tasks} tasks");
    let graph = cluster.client.submit(sketch.graph).await?;
    let mut progress = graph.progress();
    let half =
        progress.wait_for(|it| it.counts.of(TaskState::Finished) >= tasks / 2 || it.is_over());
    ensure!(!guarded("half of the tasks", half).await??.is_over(), "it was over too soon");
    let admin = Admin::connect(&connect_options(&cluster.site().access_file())?).await?;
    let safe = safe_tasks(&admin, graph.id()).await?;
    ensure!(!safe.is_empty(), "nothing was stored elsewhere before anybody was killed");
    let life = Life::of(victim)?;
    ensure!(life.below.len() >= 2, "the command's processes are not below the daemon");
    ensure!(!life.files.is_empty(), "nothing is in {}", life.directory.display());
    family::kill(life.daemon);

    let value = guarded("the result", graph.result(root)).await??;
    ensure!(value == Value::text(expected(LEAVES)), "the result is {value:?}");
    let all = tasks_of(&admin, graph.id()).await?;
    let again = all.iter().filter(|it| safe.contains(&it.task.index) && it.attempts != 1);
    let again: Vec<_> = again.map(|it| (it.task.index, it.attempts)).collect();
    ensure!(again.is_empty(), "results that survived were made again: {again:?}");
    let lost = failure(&beside, runs).await?;
    ensure!(lost.reason == "WORKER_LOST", "the command that ran failed with {lost}");
    let mut again = Sketch::new();
    again.only_on("w1");
    let task = again.call("builtin/echo", [text("back")], [])?;
    let again = cluster.client.submit(again.graph).await?;
    let value = guarded("the worker", again.result(task)).await??;
    ensure!(value == Value::text("back"), "the worker that is back says {value:?}");
    life.has_gone()?;
    ensure!(victim.daemon() != life.daemon, "its daemon is the one that was killed");
    cluster.stop().await
}

/// Tasks of a graph whose result is on a worker that nobody kills.
async fn safe_tasks(admin: &Admin, graph: GraphId) -> Result<BTreeSet<u32>> {
    let tasks = tasks_of(admin, graph).await?;
    let is_safe = |it: &TaskStatus| {
        it.state == Some(TaskState::Finished) && it.worker != "w1" && it.bytes > 0
    };
    Ok(tasks.into_iter().filter(is_safe).map(|it| it.task.index).collect())
}

/// Every task of a graph.
async fn tasks_of(admin: &Admin, graph: GraphId) -> Result<Vec<TaskStatus>> {
    let (mut tasks, mut page_token) = (Vec::new(), String::new());
    loop {
        let graph = Some(graph);
        let query = TaskQuery { graph, page_size: 1_000, page_token, ..TaskQuery::default() };
        let page = guarded("a page of tasks", admin.list_tasks(query)).await??;
        tasks.extend(page.tasks);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(tasks);
        }
    }
}

/// What a worker's daemon has made.
struct Life {
    daemon: u32,
    /// Processes below it.
    below: Vec<u32>,
    /// What the supervisor keeps for it in shared memory.
    directory: PathBuf,
    /// By number: a name may be used again.
    files: BTreeSet<u64>,
}

impl Life {
    fn of(worker: &Child) -> Result<Self> {
        let daemon = worker.daemon();
        ensure!(daemon != worker.pid(), "the worker has no supervisor");
        let directory = family::shared_memory(worker.pid());
        let directory = directory.context("the supervisor has no directory in shared memory")?;
        let files = files(&directory)?;
        Ok(Self { daemon, below: family::descendants(daemon), directory, files })
    }

    /// Whether nothing of it is left.
    fn has_gone(&self) -> Result<()> {
        let Self { daemon, below, directory, files: before } = self;
        let left: Vec<_> = below.iter().filter(|pid| family::is_alive(**pid)).collect();
        ensure!(left.is_empty() && !family::is_alive(*daemon), "processes {left:?} are left");
        let now = files(directory)?;
        let left = now.intersection(before).count();
        ensure!(left == 0, "{left} files of the dead daemon are left in {}", directory.display());
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
