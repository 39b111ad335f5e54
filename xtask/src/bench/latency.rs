//! One task at a time: how long until its result is there, against what the machine and the transport take at least.
//!
//! The client is on one core and all daemons are on another. Each round measures a bare exchange over TCP, the floor, and
//! tasks, one right after the other, so that whatever else happens on the machine happens to all of them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bireme_client::Client;
use bireme_core::graph::{GraphBuilder, TaskClass, TaskSpec};
use bytes::Bytes;

use super::graphs::{noop, with_values};
use super::record::median;
use super::rows::Bench;
use super::{floor, parts};
use crate::cluster::usage::now;
use crate::cluster::{Child, Cluster, GUARD, Site, guarded};

/// Rounds, at least: what is judged is the median of their ratios.
const ROUNDS_MIN: u32 = 10;
/// Round trips of each kind before the first round, at most.
const WARM_UP: u32 = 50;
/// Bytes of a bare exchange.
const PING_BYTES: usize = 64;

/// Round trips of one kind in one round, in milliseconds.
pub(super) struct Times(Vec<f64>);

impl Times {
    pub(super) fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    pub(super) fn p50_ms(&self) -> f64 {
        median(&self.0)
    }

    /// So long takes one in a hundred, or longer.
    pub(super) fn p99_ms(&self) -> f64 {
        let at = self.0.len() * 99 / 100;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

/// One round without tasks: each kind of round trip so many times.
pub(super) struct BareRound {
    pub(super) exchange: Times,
    floor: Times,
    /// The floor without a second thread in the worker.
    pub(super) one_thread: Times,
}

/// What tasks are measured against.
pub(super) struct Bare {
    exchange: TcpStream,
    floor: floor::Client,
    one_thread: floor::Client,
    /// The processes behind them, which end with this.
    _parts: Vec<Child>,
}

/// The floor alone.
pub(super) async fn floor(bench: &mut Bench) -> Result<()> {
    let _pin = bench.pin_client()?;
    let site = Site::new()?;
    let mut bare = Bare::start(&site, bench.daemon_core()).await?;
    bare.round(bench.n.min(WARM_UP)).await.context("while warming up")?;
    let mut rounds = Vec::new();
    for _ in 0..bench.repeats.max(ROUNDS_MIN) {
        rounds.push(bare.round(bench.n).await?);
    }
    bench.emit("_p50", "ms", rounds.iter().map(|bare| bare.floor.p50_ms()))?;
    bench.emit("_one_thread_p50", "ms", rounds.iter().map(|bare| bare.one_thread.p50_ms()))?;
    bench.emit("_raw_p50", "ms", rounds.iter().map(|bare| bare.exchange.p50_ms()))
}

/// Round trips of single tasks, and their ratio to a bare exchange and to the floor.
pub(super) async fn rtt(bench: &mut Bench) -> Result<()> {
    let _pin = bench.pin_client()?;
    let cluster = Cluster::start(bench.shape()).await?;
    let mut bare = Bare::start(cluster.site(), bench.daemon_core()).await?;
    bare.round(bench.n.min(WARM_UP)).await.context("while warming up")?;
    task_round(&cluster.client, bench.n.min(WARM_UP)).await.context("while warming up")?;
    let mut rounds = Vec::new();
    for _ in 0..bench.repeats.max(ROUNDS_MIN) {
        let bare = bare.round(bench.n).await?;
        rounds.push((bare, task_round(&cluster.client, bench.n).await?));
    }
    cluster.stop().await?;
    bench.emit("_p50", "ms", rounds.iter().map(|(_, task)| task.p50_ms()))?;
    bench.emit("_p99", "ms", rounds.iter().map(|(_, task)| task.p99_ms()))?;
    bench.emit("_raw_p50", "ms", rounds.iter().map(|(bare, _)| bare.exchange.p50_ms()))?;
    bench.emit("_floor_p50", "ms", rounds.iter().map(|(bare, _)| bare.floor.p50_ms()))?;
    let one_thread = rounds.iter().map(|(bare, _)| bare.one_thread.p50_ms());
    bench.emit("_floor_one_thread_p50", "ms", one_thread)?;
    let to_raw = rounds.iter().map(|(bare, task)| task.p50_ms() / bare.exchange.p50_ms());
    bench.emit("_to_raw", "x", to_raw)?;
    let to_floor = rounds.iter().map(|(bare, task)| task.p50_ms() / bare.floor.p50_ms());
    bench.emit("_to_floor", "x", to_floor)
}

impl Bare {
    pub(super) async fn start(site: &Site, core: Option<usize>) -> Result<Self> {
        let mut echo = site.start(parts::command("echo"), "echo", core)?;
        let exchange = TcpStream::connect(echo.ready().await?.grpc)?;
        exchange.set_nodelay(true)?;
        exchange.set_read_timeout(Some(GUARD))?;
        let mut all = vec![echo];
        let floor = start_floor(site, core, true, &mut all).await?;
        let one_thread = start_floor(site, core, false, &mut all).await?;
        Ok(Self { exchange, floor, one_thread, _parts: all })
    }

    pub(super) async fn round(&mut self, n: u32) -> Result<BareRound> {
        Ok(BareRound {
            exchange: ping(&mut self.exchange, n)?,
            floor: floor_round(&mut self.floor, n).await?,
            one_thread: floor_round(&mut self.one_thread, n).await?,
        })
    }
}

/// Starts a floor's scheduler and worker, and connects to them.
async fn start_floor(
    site: &Site,
    core: Option<usize>,
    hand_over: bool,
    all: &mut Vec<Child>,
) -> Result<floor::Client> {
    let mut scheduler = site.start(parts::command("floor-scheduler"), "floor-scheduler", core)?;
    let address = scheduler.ready().await?.grpc.to_string();
    all.push(scheduler);
    let mut command = parts::command("floor-worker");
    command.arg(&address);
    if hand_over {
        command.arg("--hand-over");
    }
    let mut worker = site.start(command, "floor-worker", core)?;
    worker.line().await?;
    all.push(worker);
    floor::Client::connect(&address).await
}

fn ping(stream: &mut TcpStream, n: u32) -> Result<Times> {
    let mut bytes = [7; PING_BYTES];
    let mut times = Vec::new();
    for _ in 0..n {
        let started = now();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        times.push(ms(started.elapsed()));
    }
    Ok(Times::new(times))
}

async fn floor_round(client: &mut floor::Client, n: u32) -> Result<Times> {
    let mut times = Vec::new();
    for _ in 0..n {
        let started = now();
        guarded("the floor", client.round_trip()).await??;
        times.push(ms(started.elapsed()));
    }
    Ok(Times::new(times))
}

async fn task_round(client: &Client, n: u32) -> Result<Times> {
    let payload = noop();
    let (mut times, mut graphs) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let started = now();
        let graph = client.submit(one_task(&payload)?).await?;
        guarded("a result", graph.result(0)).await??;
        times.push(ms(started.elapsed()));
        graphs.push(graph);
    }
    for graph in graphs {
        graph.forget().await?;
    }
    Ok(Times::new(times))
}

fn one_task(payload: &Bytes) -> Result<GraphBuilder> {
    let mut graph = GraphBuilder::new(with_values());
    let class = graph.class(TaskClass::default());
    graph.task(TaskSpec { class, payload: payload.clone(), ..TaskSpec::default() })?;
    Ok(graph)
}

/// The other end of the bare exchange: sends back what comes, until nothing comes any more.
pub(super) fn echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address: SocketAddr = listener.local_addr()?;
    println!("ready grpc={address} http={address}");
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut bytes = [0; PING_BYTES];
    // An exchange that is cut off is how it ends.
    while stream.read_exact(&mut bytes).is_ok() {
        stream.write_all(&bytes)?;
    }
    Ok(())
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_sorted_times() {
        let times = Times::new((1..=200).rev().map(f64::from).collect());
        assert!((times.p50_ms() - 100.5).abs() < 1e-9, "{}", times.p50_ms());
        assert!((times.p99_ms() - 199.0).abs() < 1e-9, "{}", times.p99_ms());
    }
}
