//! Chains, which workers are sent ahead of their inputs: whole ones, crossed ones, and those that break.

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Admin, Arg, Graph};
use bireme_core::Value;
use bireme_core::graph::TaskState;
use bireme_core::reason::Refusal;

use super::graphs::{Sketch, failure, number, text};
use crate::cluster::{Cluster, Shape, connect_options, family, guarded, until};

/// Adds a chain and returns its last link; its result is `a` and one `b` for each further link.
fn chain(sketch: &mut Sketch, links: u32) -> Result<u32, Refusal> {
    let mut last = sketch.call("builtin/echo", [text("a")], [])?;
    for _ in 1..links {
        last = link(sketch, last)?;
    }
    Ok(last)
}

fn link(sketch: &mut Sketch, last: u32) -> Result<u32, Refusal> {
    sketch.call("builtin/concat", [Arg::input(0), text("b")], [last])
}

/// What such a chain makes.
fn made_by(links: u32) -> Value {
    Value::text(format!("a{}", "b".repeat(links as usize - 1)))
}

/// Checks that each task of a graph took one attempt.
async fn one_attempt_each(cluster: &Cluster, graph: &Graph) -> Result<()> {
    let admin = Admin::connect(&connect_options(&cluster.site().access_file())?).await?;
    let effort = admin.effort(graph.id()).await?;
    ensure!(effort.attempts == u64::from(graph.tasks()), "it took {effort:?}");
    Ok(())
}

pub(super) async fn one_long() -> Result<()> {
    const LINKS: u32 = 2_000;
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut sketch = Sketch::new();
    let end = chain(&mut sketch, LINKS)?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("the end of the chain", graph.result(end)).await??;
    ensure!(value == made_by(LINKS), "it ends in {} bytes", value.size);
    one_attempt_each(&cluster, &graph).await?;
    cluster.stop().await
}

pub(super) async fn many() -> Result<()> {
    const CHAINS: u32 = 2_000;
    const LINKS: u32 = 50;
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut sketch = Sketch::new();
    let mut ends = Vec::new();
    for _ in 0..CHAINS {
        ends.push(chain(&mut sketch, LINKS)?);
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let summary = guarded("the chains", graph.wait()).await??;
    ensure!(summary.is_ok(), "{:?}", summary.counts);
    for end in ends {
        let value = guarded("the end of a chain", graph.result(end)).await??;
        ensure!(value == made_by(LINKS), "chain {end} ends in {value:?}");
    }
    cluster.stop().await
}

pub(super) async fn crossed() -> Result<()> {
    const LINKS: u32 = 500;
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut sketch = Sketch::new();
    let mut last = sketch.call("builtin/echo", [text("a")], [])?;
    for _ in 1..LINKS {
        sketch.only_on("w2");
        let side = sketch.call("builtin/echo", [text("b")], [])?;
        sketch.only_on("w1");
        let both = [Arg::input(0), Arg::input(1)];
        last = sketch.call("builtin/concat", both, [last, side])?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("the end of the chain", graph.result(last)).await??;
    ensure!(value == made_by(LINKS), "it ends in {} bytes", value.size);
    one_attempt_each(&cluster, &graph).await?;
    cluster.stop().await
}

pub(super) async fn broken() -> Result<()> {
    const BEFORE: u32 = 100;
    const AFTER: u32 = 100;
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut sketch = Sketch::new();
    let whole = chain(&mut sketch, BEFORE)?;
    let last = chain(&mut sketch, BEFORE)?;
    let fails = sketch.call("builtin/fail", [text("on purpose")], [last])?;
    let mut after = fails;
    for _ in 0..AFTER {
        after = link(&mut sketch, after)?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, fails).await?;
    ensure!(error.reason == "USER_ERROR" && error.message == "on purpose", "{error}");
    let error = failure(&graph, after).await?;
    let cause = error.cause.as_ref().map(|cause| cause.message.as_str());
    ensure!(
        error.reason == "DEPENDENCY_FAILED" && cause == Some("on purpose"),
        "behind it: {error}, for {cause:?}"
    );
    let value = guarded("the whole chain", graph.result(whole)).await??;
    ensure!(value == made_by(BEFORE), "the whole chain ends in {value:?}");
    let counts = guarded("the end", graph.wait()).await??.counts;
    let (failed, finished) = (counts.of(TaskState::Failed), counts.of(TaskState::Finished));
    ensure!((failed, finished) == (1 + AFTER, 2 * BEFORE), "{counts:?}");
    cluster.stop().await
}

pub(super) async fn killed_midway() -> Result<()> {
    const LINKS: u32 = 400;
    const SLEEP_US: u32 = 3_000;
    let mut cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut sketch = Sketch::new();
    let mut last = sketch.call("builtin/echo", [text("a")], [])?;
    for _ in 1..LINKS {
        let sleep = sketch.call("builtin/sleep", [number(SLEEP_US)], [last])?;
        last = sketch.call("builtin/concat", [Arg::input(0), text("b")], [last, sleep])?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let mut progress = graph.progress();
    let half = progress.wait_for(|it| it.counts.of(TaskState::Finished) >= LINKS || it.is_over());
    ensure!(!guarded("half of the chain", half).await??.is_over(), "it was over too soon");
    let admin = Admin::connect(&connect_options(&cluster.site().access_file())?).await?;
    let at = admin.effort(graph.id()).await?.workers.pop().context("nobody works on it")?;
    let victim = usize::from(at == "w2");
    let victim = cluster.workers.get(victim).context("there are two workers")?;
    let (daemon, below) = (victim.daemon(), family::descendants(victim.daemon()));
    family::kill(daemon);
    until("the end of all below it", || !below.iter().any(|pid| family::is_alive(*pid))).await?;
    let value = guarded("the end of the chain", graph.result(last)).await??;
    ensure!(value == made_by(LINKS), "it ends in {} bytes", value.size);
    // Whoever was killed comes back, or the daemons could not end well.
    for worker in &mut cluster.workers {
        until("the worker's next life", || worker.daemon() != worker.pid()).await?;
    }
    cluster.stop().await
}
