//! What commands find in their environment, and where what they say is found again.

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Admin, LogQuery};
use bireme_core::TaskId;
use bireme_core::resources::{Resources, UNITS};

use super::graphs::Sketch;
use crate::cluster::{Cluster, Shape, connect_options, guarded};

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

/// What is kept of what a task's attempts said on stderr.
async fn said(cluster: &Cluster, task: TaskId, query: LogQuery) -> Result<String> {
    let admin = Admin::connect(&connect_options(&cluster.site().access_file())?).await?;
    let reading = async {
        let (mut text, mut logs) = (Vec::new(), admin.task_logs(task, query).await?);
        while let Some(piece) = logs.next().await? {
            if piece.is_error {
                text.extend_from_slice(&piece.text);
            }
        }
        anyhow::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    guarded("the log", reading).await?
}
