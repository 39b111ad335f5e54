//! Peers that keep to the form and not to the truth.

use anyhow::{Context as _, Result, ensure};
use bireme_client::Arg;
use bireme_core::graph::TaskState;
use bireme_core::{Codec, ErrorClass, Value};
use bireme_proto::pb;
use pb::fleet_report::Report;
use pb::session_command::Command;

use super::beside::Beside;
use super::graphs::{Sketch, failure, text};
use super::wire::{Session, Worker};
use crate::cluster::{Cluster, Shape, guarded, usage};

/// Commands in one message of a client that never reads.
const FLOOD: u64 = 10_000;
/// Such messages at most, before the client must have been hung up on.
const FLOODS: u64 = 1_000;
/// What the scheduler may grow by meanwhile, in bytes.
const GROWTH: u64 = 64 << 20;

pub(super) async fn worker_lies_about_attempts() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let mut liar = Worker::join(cluster.site(), "liar").await?;
    let gate = cluster.site().dir().join("truth");
    let mut sketch = Sketch::new();
    sketch.only_on("w1");
    let runs = sketch
        .script(&format!("while [ ! -e {} ]; do sleep 0.02; done; printf truth", gate.display()))?;
    sketch.only_on("liar");
    let told = sketch.call("builtin/echo", [text("x")], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let mut progress = graph.progress();
    let running = progress.wait_for(|it| it.counts.of(TaskState::Running) == 1);
    guarded("the task of the other worker", running).await??;
    let own = liar.start().await?.attempt.context("it has no number")?;
    let of = |index| Some(pb::TaskId { graph: graph.id().0, index });
    let theirs = pb::AttemptId { task: of(runs), ..own };
    let nobodys = pb::AttemptId { task: of(7_000), ..own };
    let other_life = pb::AttemptId { epoch: own.epoch + 1, ..own };
    let second = pb::AttemptId { n: own.n + 1, ..own };
    for attempt in [theirs, nobodys, other_life, second] {
        let attempt = Some(attempt);
        liar.report(Report::Started(pb::AttemptStarted { attempt })).await?;
        liar.report(Report::Finished(finished(attempt, 1))).await?;
        let error =
            Some(bireme_core::TaskError::new(ErrorClass::User, "USER_ERROR", "a lie").into());
        liar.report(Report::Failed(pb::AttemptFailed { attempt, error, timing: None })).await?;
        liar.report(Report::Retracted(pb::AttemptRetracted { attempt })).await?;
    }
    // Its own, with more outputs than there are.
    liar.report(Report::Finished(finished(Some(own), 2))).await?;
    let error = failure(&graph, told).await?;
    ensure!(
        error.class == ErrorClass::Store && error.reason == "MALFORMED",
        "it failed as {:?}: {error}",
        error.class
    );
    ensure!(error.message.contains("2 outputs, the task has 1"), "{error}");
    std::fs::write(&gate, "")?;
    let value = guarded("the truth", graph.result(runs)).await??;
    ensure!(value.bytes().as_deref() == Some(b"truth"), "the result is {value:?}");
    beside.finishes().await?;
    drop(liar);
    cluster.stop().await
}

/// The end of an attempt with so many small outputs.
fn finished(attempt: Option<pb::AttemptId>, outputs: usize) -> pb::AttemptFinished {
    let value = Value::inline(Codec::Utf8, "lie");
    let output = pb::Output { size: value.size, value: Some(value.into()) };
    pb::AttemptFinished { attempt, outputs: vec![output; outputs], timing: None }
}

pub(super) async fn worker_has_not_what_it_says() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let mut liar = Worker::join(cluster.site(), "liar").await?;
    let mut sketch = Sketch::new();
    sketch.only_on("liar");
    sketch.class.allow_other_workers = true;
    let made = sketch.call("builtin/echo", [text("real")], [])?;
    sketch.only_on("w1");
    sketch.class.allow_other_workers = false;
    let taken = sketch.call("builtin/concat", [Arg::input(0), text("!")], [made])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let attempt = liar.start().await?.attempt;
    // It takes no further attempt, so that the second one goes to somebody honest.
    liar.report(Report::Draining(pb::Draining::default())).await?;
    let output = pb::Output { size: 1 << 20, value: None };
    let finished = pb::AttemptFinished { attempt, outputs: vec![output], timing: None };
    liar.report(Report::Finished(finished)).await?;
    let value = guarded("a result made again", graph.result(taken)).await??;
    ensure!(value == Value::text("real!"), "the result is {value:?}");
    beside.finishes().await?;
    drop(liar);
    cluster.stop().await
}

pub(super) async fn worker_talks_nonsense() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let liar = Worker::join(cluster.site(), "liar").await?;
    liar.report(Report::Finished(pb::AttemptFinished::default())).await?;
    let status = liar.ended().await?;
    let refusal = bireme_proto::status::refusal(&status).context("it is told no reason")?;
    ensure!(
        refusal.reason.name() == "MALFORMED" && refusal.field.contains("attempt"),
        "hung up on as {} at {:?}: {}",
        refusal.reason,
        refusal.field,
        refusal.message
    );
    beside.finishes().await?;
    cluster.stop().await
}

pub(super) async fn client_never_reads() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let beside = Beside::begin(&cluster).await?;
    let before = usage::memory(cluster.scheduler.daemon())?.rss;
    let deaf = Session::open(cluster.site(), 9).await?;
    let mut floods = 0;
    while floods < FLOODS && deaf.send_all((0..FLOOD).map(Command::Ping).collect()).await.is_ok() {
        floods += 1;
    }
    ensure!(floods < FLOODS, "somebody keeps {} answers", FLOODS * FLOOD);
    let grown = usage::memory(cluster.scheduler.daemon())?.rss.saturating_sub(before);
    ensure!(grown < GROWTH, "the scheduler has grown by {grown} bytes");
    beside.finishes().await?;
    cluster.stop().await
}
