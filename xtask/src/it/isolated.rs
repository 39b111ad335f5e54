//! Native functions in processes of their own.

use anyhow::{Context as _, Result, ensure};
use bireme_client::Arg;
use bireme_core::graph::TaskState;
use bireme_core::resources::{Resources, UNITS};
use bireme_core::{ErrorClass, Exit, RetryPolicy, TaskError};

use super::graphs::{Sketch, failure, number, text};
use crate::cluster::{Cluster, Shape, guarded};

/// Tasks beside the one that ends its process.
const NEIGHBOURS: u32 = 40;
/// How long each of them sleeps, in microseconds.
const SLEEP_US: u32 = 10_000;
/// Ways for a process to end, as `builtin/exit` is told, with the exit that is reported and a word of the message.
const ENDS: [(End, Exit, &str); 5] = [
    (End::Code(3), Exit { code: 3, signal: 0 }, "exit code 3"),
    (End::Signal("KILL"), Exit { code: 0, signal: 9 }, "signal 9"),
    (End::Signal("SEGV"), Exit { code: 0, signal: 11 }, "signal 11"),
    (End::Signal("ABRT"), Exit { code: 0, signal: 6 }, "signal 6"),
    (End::Signal("overflow"), Exit { code: 0, signal: 6 }, "signal 6"),
];

#[derive(Clone, Copy)]
enum End {
    Code(u32),
    Signal(&'static str),
}

impl End {
    fn arg(self) -> Arg {
        match self {
            Self::Code(code) => number(code),
            Self::Signal(name) => text(name),
        }
    }
}

pub(super) async fn ends_fail_alone() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let worker = cluster.workers.first().context("there is one worker")?;
    let before = worker.daemon();
    for (end, exit, says) in ENDS {
        let error = end_alone(&cluster, end).await?;
        ensure!(
            error.class == ErrorClass::ProcessDied && error.reason == "PROCESS_DIED",
            "it failed as {:?}: {error}",
            error.class
        );
        ensure!(error.exit == Some(exit), "it ended with {:?}, not {exit:?}", error.exit);
        ensure!(error.message.contains(says), "{error}");
    }
    ensure!(worker.daemon() == before, "the daemon died too");
    cluster.stop().await
}

/// Has a process end among others; returns how its attempt failed.
async fn end_alone(cluster: &Cluster, end: End) -> Result<TaskError> {
    let mut sketch = Sketch::new();
    let neighbours = |sketch: &mut Sketch| -> Result<()> {
        for _ in 0..NEIGHBOURS / 2 {
            sketch.call("builtin/sleep", [number(SLEEP_US)], [])?;
        }
        Ok(())
    };
    neighbours(&mut sketch)?;
    sketch.class.retry = RetryPolicy { max_crashes: 0, ..RetryPolicy::default() };
    let exits = sketch.call("builtin/exit", [end.arg()], [])?;
    sketch.class.retry = RetryPolicy::default();
    neighbours(&mut sketch)?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, exits).await?;
    let counts = guarded("the end", graph.wait()).await??.counts;
    let (failed, finished) = (counts.of(TaskState::Failed), counts.of(TaskState::Finished));
    ensure!((failed, finished) == (1, NEIGHBOURS), "{counts:?}");
    Ok(error)
}

/// An attempt that takes more memory than it said is ended alone, and told so.
pub(super) async fn memory_is_kept_to() -> Result<()> {
    const STATED: u64 = 64 << 20;
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let mut sketch = Sketch::new();
    sketch.class.resources = Resources::new(UNITS, STATED);
    let modest = sketch.call("builtin/allocate", [number(8 << 20), number(300_000)], [])?;
    let bloats = sketch.call("builtin/allocate", [number(512 << 20), number(60_000_000)], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, bloats).await?;
    ensure!(
        error.class == ErrorClass::OutOfMemory && error.reason == "OUT_OF_MEMORY",
        "it failed as {:?}: {error}",
        error.class
    );
    ensure!(error.message.contains(&STATED.to_string()), "the limit is not named: {error}");
    guarded("who takes less", graph.result(modest)).await??;
    cluster.stop().await
}
