//! Workers that run out of room for values: in shared memory, on disk, in both.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Admin, Arg, Graph};
use bireme_core::graph::TaskState;
use bireme_core::{ErrorClass, Value};

use super::beside::Beside;
use super::graphs::{Sketch, failure, number, text};
use super::store::{MIB, files_below, is_pattern};
use super::unshare;
use crate::cluster::{Child, Cluster, Shape, connect_options, guarded};

/// Values of one MiB that are several times what a small room holds.
const MANY: u32 = 64;

/// Mounts over as many directories as its first argument says, and becomes the command behind them.
const SMALL_ROOMS: &str = r#"
    count=$1; shift
    while [ "$count" -gt 0 ]; do
        mount -t tmpfs -o size=16m tmpfs "$1" || exit 1
        count=$((count - 1)); shift
    done
    exec "$@""#;

/// What holds very little.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Small {
    Both,
    Disk,
    Memory,
}

/// A cluster of one worker for which that holds very little.
async fn with_small_rooms(what: Small, flags: &[&str]) -> Result<Cluster> {
    let mut cluster = Cluster::start(Shape::new(0, 1)).await?;
    let spill = cluster.site().dir().join("spilled");
    std::fs::create_dir(&spill)?;
    let mut worker = cluster.site().worker("w1", 1);
    worker.args(flags).arg("--spill-dir").arg(&spill);
    let rooms: [(&OsStr, Small); 2] =
        [("/dev/shm".as_ref(), Small::Memory), (spill.as_ref(), Small::Disk)];
    let is_small = |room: &&(&OsStr, Small)| what == Small::Both || what == room.1;
    let small: Vec<&OsStr> = rooms.iter().filter(is_small).map(|room| room.0).collect();
    let worker = in_small_rooms(&worker, &small)?;
    cluster.add(worker, "w1").await?;
    Ok(cluster)
}

pub(super) async fn full_shared_memory() -> Result<()> {
    let cluster = with_small_rooms(Small::Memory, &[]).await?;
    let beside = Beside::begin(&cluster).await?;
    let mut sketch = Sketch::new();
    for _ in 0..MANY {
        sketch.call("builtin/bytes", [number(MIB)], [])?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let summary = guarded("the values", graph.wait()).await??;
    ensure!(summary.is_ok(), "{:?}", summary.counts);
    let spilled = files_below(&cluster.site().dir().join("spilled"));
    ensure!(spilled > 0, "nothing was spilled");
    for task in 0..MANY {
        let value = guarded("a value", graph.result(task)).await??;
        ensure!(is_pattern(&value, MIB), "value {task} is not what it was");
    }
    beside.finishes().await?;
    cluster.stop().await
}

pub(super) async fn full_disk() -> Result<()> {
    let cluster = with_small_rooms(Small::Both, &[]).await?;
    let daemon = cluster.workers.first().map(Child::daemon).context("there is one worker")?;
    let beside = Beside::begin(&cluster).await?;
    let mut sketch = Sketch::new();
    for _ in 0..MANY {
        sketch.call("builtin/bytes", [number(MIB)], [])?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let counts = guarded("the values", graph.wait()).await??.counts;
    let (failed, finished) = (counts.of(TaskState::Failed), counts.of(TaskState::Finished));
    ensure!(failed > 0 && finished > 0 && failed + finished == MANY, "{counts:?}");
    for (task, error) in graph.failures(MANY as usize) {
        ensure!(
            error.reason == "STORE_FULL" && error.message.contains("--spill-dir"),
            "task {task} failed with {error}"
        );
    }
    let failures: Vec<_> =
        graph.failures(MANY as usize).into_iter().map(|(task, _)| task).collect();
    for task in (0..MANY).filter(|task| !failures.contains(task)) {
        let value = guarded("a value", graph.result(task)).await??;
        ensure!(is_pattern(&value, MIB), "value {task} is not what it was");
    }
    beside.finishes().await?;
    guarded("the answer", graph.forget()).await??;
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/bytes", [number(MIB)], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("a value after that", graph.result(task)).await??;
    ensure!(is_pattern(&value, MIB), "the value after that is another");
    let supervisor = cluster.workers.first().context("there is one worker")?;
    ensure!(supervisor.daemon() == daemon, "the daemon died of it");
    cluster.stop().await
}

/// A worker stops starting tasks above its pause mark, and goes on when values are released.
pub(super) async fn paused() -> Result<()> {
    const HELD: u32 = 8;
    let cluster = with_small_rooms(Small::Disk, &["--memory", "32MiB"]).await?;
    let mut sketch = Sketch::new();
    for _ in 0..MANY {
        sketch.call("builtin/bytes", [number(MIB)], [])?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let admin = Admin::connect(&connect_options(&cluster.site().access_file())?).await?;
    let mut released = 0;
    let mut pauses = 0;
    while released < MANY - HELD {
        let ended = guarded("a paused worker", stopped(&admin, &graph)).await??;
        ensure!(ended >= released, "{ended} values were made, {released} released");
        if ended == MANY {
            break;
        }
        pauses += 1;
        let next = ended.min(MANY - HELD);
        guarded("the answer", graph.release(released..next)).await??;
        released = next;
    }
    ensure!(pauses > 0, "the worker was never paused");
    let summary = guarded("the end", graph.wait()).await??;
    ensure!(summary.is_ok(), "{:?}", summary.counts);
    for task in MANY - HELD..MANY {
        let value = guarded("a value", graph.result(task)).await??;
        ensure!(is_pattern(&value, MIB), "value {task} is not what it was");
    }
    cluster.stop().await
}

/// Waits until the worker says that it is paused, or the graph is over. Returns how many tasks have ended.
async fn stopped(admin: &Admin, graph: &Graph) -> Result<u32> {
    let mut progress = graph.progress();
    loop {
        let workers = admin.workers().await?;
        let ended = progress.borrow_and_update().counts.ended();
        if workers.iter().any(|worker| worker.state == "paused") || ended == graph.tasks() {
            return Ok(ended);
        }
        // Its heartbeat tells, which nobody tells of.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn no_room() -> Result<()> {
    let cluster = with_small_rooms(Small::Both, &[]).await?;
    let daemon = cluster.workers.first().map(Child::daemon).context("there is one worker")?;
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/bytes", [number(64 * MIB)], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, task).await?;
    ensure!(
        error.reason == "STORE_FULL" && error.class == ErrorClass::Store,
        "it failed as {:?}: {error}",
        error.class
    );
    let supervisor = cluster.workers.first().context("there is one worker")?;
    ensure!(supervisor.daemon() == daemon, "the daemon died of it");
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/echo", [text("still here")], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("a result after that", graph.result(task)).await??;
    ensure!(value == Value::text("still here"), "the result is {value:?}");
    cluster.stop().await
}

/// What is fetched into a full store waits for room, and costs no attempt.
pub(super) async fn fetch_into_full() -> Result<()> {
    const INPUT: u32 = 4 * MIB;
    let mut cluster = with_small_rooms(Small::Both, &["--transfer", "socket"]).await?;
    cluster.add(cluster.site().worker("w2", 1), "w2").await?;
    let mut sketch = Sketch::new();
    sketch.only_on("w1");
    for _ in 0..MANY {
        sketch.call("builtin/bytes", [number(MIB)], [])?;
    }
    let filler = cluster.client.submit(sketch.graph).await?;
    let counts = guarded("a full store", filler.wait()).await??.counts;
    ensure!(counts.of(TaskState::Failed) > 0, "the store is not full: {counts:?}");

    let mut sketch = Sketch::new();
    sketch.only_on("w2");
    let made = sketch.call("builtin/bytes", [number(INPUT)], [])?;
    sketch.only_on("w1");
    let copy = sketch.call("builtin/concat", [Arg::input(0)], [made])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let mut progress = graph.progress();
    let sent = progress.wait_for(|it| it.counts.of(TaskState::Sent) == 1);
    guarded("a task whose input has no room", sent).await??;
    guarded("the answer", filler.forget()).await??;
    let value = guarded("the copy", graph.result(copy)).await??;
    ensure!(is_pattern(&value, INPUT), "the copy is of {} bytes", value.size);
    let effort = cluster.site().admin().await?.effort(graph.id()).await?;
    ensure!(effort.attempts == 2, "it took {effort:?}");
    cluster.stop().await
}

/// The same command, for which a file system that holds very little is in place of each directory.
fn in_small_rooms(command: &Command, directories: &[&OsStr]) -> Result<Command> {
    let count = directories.len().to_string();
    let mut given = vec![OsStr::new(&count)];
    given.extend(directories);
    unshare::mounted(command, SMALL_ROOMS, &given)
}
