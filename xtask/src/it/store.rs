//! Where values lie, and how they move.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bireme_client::Arg;
use bireme_core::Value;

use super::graphs::{Sketch, number};
use crate::cluster::{Cluster, Shape, guarded};

pub(super) const MIB: u32 = 1 << 20;
/// Memory of a worker that is to run out of it.
const LITTLE: &str = "32MiB";
/// Values of one MiB that are more than that.
const MANY: u32 = 128;

/// How values may move between workers and clients.
const WAYS: [&[&str]; 3] =
    [&["--transfer", "auto"], &["--transfer", "socket"], &["--transfer", "stream"]];

pub(super) async fn every_way() -> Result<()> {
    for flags in WAYS {
        one_way(flags).await.with_context(|| flags.join(" "))?;
    }
    Ok(())
}

/// Has values of several lengths made on one worker, copied by the other, and fetched from both.
async fn one_way(flags: &'static [&'static str]) -> Result<()> {
    let cluster = Cluster::start(Shape { flags, ..Shape::new(2, 1) }).await?;
    let lengths = [0, 1, 4_097, 64 << 10, 3 * MIB + 1];
    let mut sketch = Sketch::new();
    let mut tasks = Vec::new();
    for length in lengths {
        sketch.only_on("w1");
        let made = sketch.call("builtin/bytes", [number(length)], [])?;
        sketch.graph.keep(made);
        sketch.only_on("w2");
        let copy = sketch.call("builtin/concat", [Arg::input(0)], [made])?;
        tasks.extend([(made, length), (copy, length)]);
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    for (task, length) in tasks {
        let value = guarded("a value", graph.result(task)).await??;
        ensure!(is_pattern(&value, length), "task {task} gave another value than {length} bytes");
    }
    cluster.stop().await
}

/// Whether a value is what `builtin/bytes` makes.
pub(super) fn is_pattern(value: &Value, length: u32) -> bool {
    let Some(bytes) = value.bytes() else { return false };
    bytes.len() == length as usize
        && (0..=250).cycle().zip(&bytes).all(|(want, byte)| want == *byte)
}

pub(super) async fn spill() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(0, 1)).await?;
    let spill_dir = cluster.site().dir().join("spilled");
    let mut worker = cluster.site().worker("w1", 1);
    worker.args(["--memory", LITTLE, "--spill-dir"]).arg(&spill_dir);
    cluster.add(worker, "w1").await?;
    let mut sketch = Sketch::new();
    for _ in 0..MANY {
        sketch.call("builtin/bytes", [number(MIB)], [])?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let summary = guarded("the values", graph.wait()).await??;
    ensure!(summary.is_ok(), "{:?}", summary.counts);
    let spilled = files_below(&spill_dir);
    ensure!(spilled > 0, "nothing was spilled");
    for task in 0..MANY {
        let value = guarded("a value", graph.result(task)).await??;
        ensure!(is_pattern(&value, MIB), "value {task} is not what it was");
    }
    guarded("the answer", graph.forget()).await??;
    cluster.stop().await
}

/// How many files there are below a directory.
pub(super) fn files_below(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}
