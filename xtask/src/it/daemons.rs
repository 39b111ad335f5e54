//! How daemons start and end.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use bireme_core::graph::TaskState;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::graphs::{Sketch, number};
use super::store::{MIB, is_pattern};
use crate::cluster::{Cluster, Shape, Site, guarded};

/// How long the task sleeps during which its worker is told to end, in microseconds: longer than news of it takes.
const SLEEP_US: u32 = 1_000_000;

pub(super) async fn say_where_they_listen() -> Result<()> {
    let site = Site::new()?;
    let mut scheduler = site.start(site.scheduler(), "scheduler", None)?;
    let ready = scheduler.ready().await?;
    ensure!(ready.grpc != ready.http, "both ports are {}", ready.grpc);
    let mode = std::fs::metadata(site.access_file())?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the access file has mode {mode:o}");
    let mut worker = site.start_worker("w1", Shape::new(1, 1))?;
    let worker_ready = worker.ready().await?;
    for (who, http) in [("scheduler", ready.http), ("worker", worker_ready.http)] {
        let health = get(http, "/healthz").await.with_context(|| format!("health of the {who}"))?;
        ensure!(health.starts_with("HTTP/1.1 200 "), "the {who} is not healthy: {health:?}");
    }
    worker.stop().await?;
    scheduler.stop().await
}

/// What an HTTP server answers.
async fn get(server: SocketAddr, path: &str) -> Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    guarded("an answer over HTTP", exchange).await?
}

pub(super) async fn one_for_each_state() -> Result<()> {
    let (first, second) = (Site::new()?, Site::new()?);
    let state = first.dir().join("state");
    let mut command = first.scheduler();
    command.arg("--state-dir").arg(&state);
    let mut scheduler = first.start(command, "scheduler", None)?;
    scheduler.ready().await?;
    let mut command = second.scheduler();
    command.arg("--state-dir").arg(&state);
    let mut refused = second.start(command, "second", None)?;
    let status = refused.exit().await?;
    ensure!(!status.success(), "a second scheduler ran on the same state");
    let log = refused.log();
    let names_it = log.contains("error: ") && log.contains(&*state.to_string_lossy());
    ensure!(names_it, "its error does not name the directory: {log:?}");
    ensure!(!second.access_file().exists(), "it left an access file behind");
    first.connect().await.context("the first scheduler after that")?.close().await?;
    scheduler.stop().await
}

pub(super) async fn scheduler_ends() -> Result<()> {
    let site = Site::new()?;
    let mut scheduler = site.start(site.scheduler(), "scheduler", None)?;
    scheduler.ready().await?;
    let _client = site.connect().await?;
    scheduler.stop().await?;
    ensure!(!site.access_file().exists(), "the access file is still there");
    Ok(())
}

pub(super) async fn worker_drains() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(1, 1)).await?;
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/sleep", [number(SLEEP_US)], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let mut progress = graph.progress();
    let runs = progress.wait_for(|progress| progress.counts.of(TaskState::Running) == 1);
    guarded("the task to run", runs).await??;
    let worker = cluster.workers.first_mut().context("there is one worker")?;
    worker.signal(Signal::TERM)?;
    guarded("the task that ran", graph.result(task)).await??;
    let status = worker.exit().await?;
    ensure!(status.success(), "the worker ended with {status}; {}", worker.complaint());
    cluster.scheduler.stop().await
}

/// A worker that is told to end gives away what it alone has.
pub(super) async fn worker_gives_its_values_away() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/bytes", [number(MIB)], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    guarded("the value", graph.wait()).await??;
    let admin = cluster.site().admin().await?;
    let at = admin.effort(graph.id()).await?.workers.pop().context("nobody made it")?;
    let mut worker = cluster.workers.remove(usize::from(at == "w2"));
    worker.stop().await?;
    let value = guarded("the value after that", graph.result(task)).await??;
    ensure!(is_pattern(&value, MIB), "the value is not what it was");
    let effort = admin.effort(graph.id()).await?;
    ensure!(effort.attempts == 1, "it was made again: {effort:?}");
    cluster.stop().await
}
