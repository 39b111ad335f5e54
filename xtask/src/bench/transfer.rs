//! Values that move: between workers, and between workers and clients.
//!
//! Ways between workers are measured in the same rounds, each on a cluster of its own, after a round that fills the pools:
//! what is measured writes into files that were used before, as it is in a cluster that has run for a while.

use std::time::Duration;

use anyhow::{Result, ensure};
use bireme_client::{Client, Graph, Payload};
use bireme_core::graph::{GraphBuilder, TaskClass, TaskSpec};
use bireme_core::id::TaskId;
use bireme_core::reason::Refusal;
use bireme_core::{Codec, ObjectId, Value};

use super::graphs::{noop, with_values};
use super::rows::Bench;
use super::sendfile::Sendfile;
use super::timed::GRAPH_GUARD;
use crate::cluster::usage::now;
use crate::cluster::{Cluster, within};

const MIB: u32 = 1 << 20;
/// Length of one of many values, in bytes.
const SMALL_BYTES: u32 = 64 << 10;
/// As if the workers were on two machines.
const SOCKET: &[&str] = &["--transfer", "socket"];
/// Whatever is quickest.
const AUTO: &[&str] = &["--transfer", "auto"];

/// The two ways between workers.
struct Ways {
    socket: Cluster,
    same_machine: Cluster,
}

impl Ways {
    async fn start(bench: &Bench) -> Result<Self> {
        ensure!(bench.topo.workers >= 2, "a value moves between two workers: ask for two");
        let start = |flags| Cluster::start(crate::cluster::Shape { flags, ..bench.shape() });
        Ok(Self { socket: start(SOCKET).await?, same_machine: start(AUTO).await? })
    }

    async fn stop(self) -> Result<()> {
        self.socket.stop().await?;
        self.same_machine.stop().await
    }
}

/// One value of n MiB from one worker to the other, beside a bare `sendfile` of as many bytes.
pub(super) async fn big(bench: &mut Bench) -> Result<()> {
    let ways = Ways::start(bench).await?;
    let (mebibytes, length) = (f64::from(bench.n), bench.n * MIB);
    let bare = Sendfile::new(length.into())?;
    let (mut socket, mut same_machine, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=bench.repeats {
        let times = [
            bare.send()?,
            between_workers(&ways.socket.client, 1, length).await?,
            between_workers(&ways.same_machine.client, 1, length).await?,
        ];
        let rates = times.map(|took| mebibytes / took.as_secs_f64());
        if round > 0 {
            floor.push(rates[0]);
            socket.push(rates[1]);
            same_machine.push(rates[2]);
        }
    }
    ways.stop().await?;
    let ratios: Vec<f64> =
        socket.iter().zip(&floor).map(|(socket, floor)| socket / floor).collect();
    bench.emit("", "MiB/s", socket)?;
    bench.emit("_same_machine", "MiB/s", same_machine)?;
    bench.emit("_sendfile", "MiB/s", floor)?;
    bench.emit("_ratio", "x", ratios)
}

/// n values of 64 KiB from one worker to a task on the other, and to the client.
pub(super) async fn many(bench: &mut Bench) -> Result<()> {
    let ways = Ways::start(bench).await?;
    let mut seconds = [const { Vec::new() }; 3];
    for round in 0..=bench.repeats {
        let times = [
            between_workers(&ways.socket.client, bench.n, SMALL_BYTES).await?,
            between_workers(&ways.same_machine.client, bench.n, SMALL_BYTES).await?,
            to_client(&ways.same_machine.client, bench.n, SMALL_BYTES).await?,
        ];
        if round > 0 {
            for (seconds, took) in seconds.iter_mut().zip(times) {
                seconds.push(took.as_secs_f64());
            }
        }
    }
    ways.stop().await?;
    let mebibytes = f64::from(bench.n) * f64::from(SMALL_BYTES) / f64::from(MIB);
    for (suffix, seconds) in ["", "_same_machine", "_client"].into_iter().zip(seconds) {
        let rates: Vec<f64> = seconds.iter().map(|seconds| mebibytes / seconds).collect();
        bench.emit(suffix, "s", seconds)?;
        bench.emit(&format!("{suffix}_bw"), "MiB/s", rates)?;
    }
    Ok(())
}

/// One value of n MiB from a worker to the client.
pub(super) async fn scatter_gather(bench: &mut Bench) -> Result<()> {
    let cluster = Cluster::start(bench.shape()).await?;
    let mut gather = Vec::new();
    for round in 0..=bench.repeats {
        let took = to_client(&cluster.client, 1, bench.n * MIB).await?;
        if round > 0 {
            gather.push(f64::from(bench.n) / took.as_secs_f64());
        }
    }
    cluster.stop().await?;
    bench.emit("_gather", "MiB/s", gather)
}

/// How long it takes a task of the second worker to end that needs values of the first, which are there.
async fn between_workers(client: &Client, count: u32, length: u32) -> Result<Duration> {
    let made = make(client, count, length).await?;
    let mut graph = GraphBuilder::new(with_values());
    let class = graph.class(only_on("w2"));
    let output = |index| ObjectId::output(TaskId { graph: made.id(), index }, 0);
    let externals = (0..count).map(|index| graph.external(output(index))).collect();
    graph.task(TaskSpec { class, payload: noop(), externals, ..TaskSpec::default() })?;
    let started = now();
    let graph = client.submit(graph).await?;
    within(GRAPH_GUARD, "the values on the second worker", graph.result(0)).await??;
    let took = started.elapsed();
    graph.forget().await?;
    made.forget().await?;
    Ok(took)
}

/// How long it takes the client to have values that are on the first worker.
async fn to_client(client: &Client, count: u32, length: u32) -> Result<Duration> {
    let made = make(client, count, length).await?;
    let started = now();
    let values = within(GRAPH_GUARD, "the values", made.results(0..count)).await??;
    let took = started.elapsed();
    let complete = values.iter().all(|value| value.size == u64::from(length));
    ensure!(complete && values.len() == count as usize, "not all {count} values have come");
    made.forget().await?;
    Ok(took)
}

/// Has the first worker make values, and waits for the last of them.
async fn make(client: &Client, count: u32, length: u32) -> Result<Graph> {
    let graph = client.submit(values(count, length)?).await?;
    let summary = within(GRAPH_GUARD, "the values on the first worker", graph.wait()).await??;
    ensure!(summary.is_ok(), "of {count} values: {:?}", summary.counts);
    Ok(graph)
}

fn values(count: u32, length: u32) -> Result<GraphBuilder, Refusal> {
    let mut graph = GraphBuilder::new(with_values());
    let class = graph.class(only_on("w1"));
    let length = Value::inline(Codec::Json, length.to_string());
    let payload = Payload::native("builtin/bytes").arg(length).encode();
    for _ in 0..count {
        graph.task(TaskSpec { class, payload: payload.clone(), ..TaskSpec::default() })?;
    }
    Ok(graph)
}

/// Tasks of one worker.
fn only_on(worker: &str) -> TaskClass {
    TaskClass { workers: vec![worker.to_owned()], ..TaskClass::default() }
}
