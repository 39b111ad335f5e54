//! What commands find in their environment, and where what they say is found again.

use anyhow::{Context as _, Result, ensure};
use bireme_client::LogQuery;
use bireme_core::id::AttemptId;
use bireme_core::resources::{Resources, UNITS};
use bireme_core::{RetryPolicy, TaskId};

use super::graphs::Sketch;
use crate::cluster::{Cluster, Shape, guarded};

/// A worker with two cpus and two gpus, and nobody else.
async fn with_gpus() -> Result<Cluster> {
    let mut cluster = Cluster::start(Shape::new(0, 1)).await?;
    let mut worker = cluster.site().worker("w1", 2);
    worker.args(["--resource", "gpu=2"]);
    cluster.add(worker, "w1").await?;
    Ok(cluster)
}

pub(super) async fn one_gpu_each() -> Result<()> {
    let cluster = with_gpus().await?;
    let dir = cluster.site().dir().display();
    let mut sketch = Sketch::new();
    sketch.class.resources = Resources::one_cpu().with_others([("gpu".to_owned(), UNITS)])?;
    // Each waits until the other runs too.
    for (own, other) in [("a", "b"), ("b", "a")] {
        sketch.script(&format!(
            "touch {dir}/{own}; while [ ! -e {dir}/{other} ]; do sleep 0.01; done; \
             printf %s \"$CUDA_VISIBLE_DEVICES\""
        ))?;
    }
    let graph = cluster.client.submit(sketch.graph).await?;
    let values = guarded("both commands", graph.results(0..2)).await??;
    let said = values.iter().map(|value| value.bytes().context("the value is elsewhere"));
    let mut said = said.collect::<Result<Vec<_>>>()?;
    said.sort();
    ensure!(said == ["0", "1"], "they saw the gpus {said:?}");
    cluster.stop().await
}

pub(super) async fn logs_are_read() -> Result<()> {
    let cluster = with_gpus().await?;
    let mut sketch = Sketch::new();
    let task = sketch.script("echo the result; echo first >&2; echo second >&2")?;
    let graph = cluster.client.submit(sketch.graph).await?;
    guarded("the command", graph.result(task)).await??;
    let task = TaskId { graph: graph.id(), index: task };
    let all = said(&cluster, task, LogQuery::default()).await?;
    ensure!(all == "first\nsecond\n", "the log is {all:?}");
    let last = said(&cluster, task, LogQuery { tail_lines: 1, ..LogQuery::default() }).await?;
    ensure!(last == "second\n", "its last line is {last:?}");
    cluster.stop().await
}

/// What each attempt of a task said is kept apart, and shown together.
pub(super) async fn logs_of_attempts() -> Result<()> {
    const ATTEMPTS: u32 = 3;
    let cluster = with_gpus().await?;
    let tries = cluster.site().dir().join("tries");
    let mut sketch = Sketch::new();
    sketch.class.retry = RetryPolicy { max_retries: ATTEMPTS - 1, ..RetryPolicy::default() };
    // It fails until it was tried often enough.
    let task = sketch.script(&format!(
        "echo >>{0}; n=$(wc -l <{0}); echo this is try $n >&2; [ $n = {ATTEMPTS} ]",
        tries.display()
    ))?;
    let graph = cluster.client.submit(sketch.graph).await?;
    guarded("the command", graph.result(task)).await??;
    let task = TaskId { graph: graph.id(), index: task };
    let all = pieces(&cluster, task, LogQuery::default()).await?;
    let said: Vec<_> = all.iter().map(|(_, text)| text.as_str()).collect();
    ensure!(said == ["this is try 1\n", "this is try 2\n", "this is try 3\n"], "{all:?}");
    for (attempt, said) in &all {
        let only = LogQuery { attempt: Some(*attempt), ..LogQuery::default() };
        let alone = pieces(&cluster, task, only).await?;
        ensure!(alone == [(*attempt, said.clone())], "alone it said {alone:?}, not {said:?}");
    }
    cluster.stop().await
}

/// What is kept of what a task's attempts said on stderr.
async fn said(cluster: &Cluster, task: TaskId, query: LogQuery) -> Result<String> {
    Ok(pieces(cluster, task, query).await?.into_iter().map(|(_, text)| text).collect())
}

/// The same, attempt by attempt.
async fn pieces(
    cluster: &Cluster,
    task: TaskId,
    query: LogQuery,
) -> Result<Vec<(AttemptId, String)>> {
    let admin = cluster.site().admin().await?;
    let reading = async {
        let mut pieces: Vec<(AttemptId, String)> = Vec::new();
        let mut logs = admin.task_logs(task, query).await?;
        while let Some(piece) = logs.next().await? {
            let attempt = piece.attempt.context("a piece of no attempt")?;
            let text = String::from_utf8_lossy(&piece.text);
            match pieces.last_mut() {
                _ if !piece.is_error => {}
                Some((last, said)) if *last == attempt => said.push_str(&text),
                _ => pieces.push((attempt, text.into_owned())),
            }
        }
        anyhow::Ok(pieces)
    };
    guarded("the log", reading).await?
}
