//! What tasks cost that cannot run: submission alone, and memory while they wait.
//!
//! The client is a process of its own, so that its memory is that of this one graph and not of what was measured before.

use std::path::Path;

use anyhow::{Context as _, Result};
use bireme_client::{Client, CommandError, Payload};
use bireme_core::Value;
use bireme_core::graph::{GraphBuilder, TaskClass, TaskSpec};
use bireme_core::reason::Refusal;
use serde_json::json;

use super::graphs::with_values;
use super::parts;
use super::rows::Bench;
use crate::cluster::usage::{memory, now};
use crate::cluster::{Cluster, connect_options, guarded};

/// Length of the argument of each task, in bytes.
const ARGUMENT_BYTES: usize = 32;

/// What one submission cost.
struct Cost {
    /// Making the graph.
    build_us: f64,
    /// From the first chunk until the scheduler has answered what came after the last.
    submit_us: f64,
    /// What the scheduler's memory grew by, in bytes.
    scheduler_bytes: f64,
    /// The same of the client.
    client_bytes: f64,
}

/// Time to submit n tasks that nobody runs.
pub(super) async fn submit(bench: &mut Bench) -> Result<()> {
    let costs = costs(bench).await?;
    emit(bench, "", "us/task", &costs, |cost| cost.build_us + cost.submit_us)?;
    emit(bench, "_build", "us/task", &costs, |cost| cost.build_us)
}

/// Memory of n tasks that nobody runs, in the scheduler and in the client.
pub(super) async fn pending_memory(bench: &mut Bench) -> Result<()> {
    let costs = costs(bench).await?;
    emit(bench, "", "B/task", &costs, |cost| cost.scheduler_bytes)?;
    emit(bench, "_client", "B/task", &costs, |cost| cost.client_bytes)?;
    emit(bench, "_submit", "us/task", &costs, |cost| cost.build_us + cost.submit_us)
}

fn emit(
    bench: &mut Bench,
    suffix: &str,
    unit: &'static str,
    costs: &[Cost],
    of: fn(&Cost) -> f64,
) -> Result<()> {
    let n = f64::from(bench.n);
    bench.emit(suffix, unit, costs.iter().map(|cost| of(cost) / n))
}

async fn costs(bench: &Bench) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for _ in 0..bench.repeats {
        costs.push(cost(bench).await?);
    }
    Ok(costs)
}

/// Has a fresh client submit to a fresh scheduler.
async fn cost(bench: &Bench) -> Result<Cost> {
    let cluster = Cluster::start(bench.shape()).await?;
    let before = memory(cluster.scheduler.pid())?.rss;
    let mut command = parts::command("submitter");
    command.arg(cluster.site().access_file()).arg(bench.n.to_string());
    let client_core = bench.cores.map(|(client, _)| client);
    let mut submitter = cluster.site().start(command, "submitter", client_core)?;
    let line = submitter.line().await?;
    let after = memory(cluster.scheduler.pid())?.rss;
    let told: serde_json::Value = serde_json::from_str(&line).context("the submitter's answer")?;
    let number = |name: &str| {
        let number = told.get(name).and_then(serde_json::Value::as_f64);
        number.with_context(|| format!("{line} has no {name}"))
    };
    let cost = Cost {
        build_us: number("build_us")?,
        submit_us: number("submit_us")?,
        #[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 bytes")]
        scheduler_bytes: after as f64 - before as f64,
        client_bytes: number("client_bytes")?,
    };
    drop(submitter);
    cluster.stop().await?;
    Ok(cost)
}

/// The client: submits, tells what that cost, and stays until it is killed, so that its session does.
pub(super) async fn submitter(access_file: &Path, tasks: u32) -> Result<()> {
    let client = Client::connect(connect_options(access_file)?).await?;
    let own = std::process::id();
    let before = memory(own)?.rss;
    let started = now();
    let graph = pending(tasks)?;
    let built = started.elapsed();
    let graph = guarded("room in the stream", client.submit(graph)).await??;
    // An answer to what comes after the last chunk: the scheduler has taken in all of them, whatever the answer is.
    match guarded("an answer", graph.release(0..0)).await? {
        Ok(()) | Err(CommandError::Refused(_)) => {}
        Err(CommandError::Lost(lost)) => return Err(lost.into()),
    }
    let all = started.elapsed();
    let told = json!({
        "build_us": built.as_secs_f64() * 1e6,
        "submit_us": all.saturating_sub(built).as_secs_f64() * 1e6,
        "client_bytes": i128::from(memory(own)?.rss) - i128::from(before),
    });
    println!("{told}");
    std::future::pending().await
}

/// Tasks with keys of 24 bytes and arguments of 32.
fn pending(tasks: u32) -> Result<GraphBuilder, Refusal> {
    let mut graph = GraphBuilder::new(with_values());
    let class = graph.class(TaskClass::default());
    let argument = Value::raw(vec![7; ARGUMENT_BYTES]);
    let payload = Payload::native("builtin/noop").arg(argument).encode();
    for n in 0..tasks {
        // Copied, as it would be if each task had its own.
        let payload = payload.to_vec().into();
        graph.task(TaskSpec {
            key: format!("pending-task-{n:011}"),
            class,
            payload,
            ..TaskSpec::default()
        })?;
    }
    Ok(graph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_long_as_the_row_says() {
        let graph = pending(2).unwrap();
        let mut chunks = graph.into_chunks(None, || bireme_core::id::SubmissionId(1));
        assert!(chunks.next().unwrap().tasks.iter().all(|task| task.key.len() == 24));
    }
}
