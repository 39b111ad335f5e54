//! Sessions that lose their client, and clients that lose their scheduler.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Admin, Client, ConnectOptions, Graph, GraphError, Refused, ResultError};
use bireme_core::graph::TaskState;
use bireme_core::id::GraphId;
use bireme_core::time::Span;
use bireme_core::{Epoch, Value};
use rustix::process::Signal;

use super::graphs::{Sketch, number, text};
use super::store::MIB;
use crate::cluster::{Cluster, Shape, Site, connect_options, family, guarded, until};

/// How long a session outlives its client.
const TTL: Span = Span::millis(200);

/// A session whose time is over takes with it what it kept and what ran for it; a graph that was detached stays.
pub(super) async fn time_runs_out() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let admin = cluster.site().admin().await?;
    let detaches = short(&cluster).await?;
    let mut detached = Sketch::detached();
    detached.call("builtin/echo", [text("kept")], [])?;
    let detached = detaches.submit(detached.graph).await?;
    guarded("a detached graph", detached.wait()).await??;
    let client = short(&cluster).await?;
    let session = client.session();
    let mut sketch = Sketch::new();
    sketch.call("builtin/bytes", [number(MIB)], [])?;
    let pid = runs_for_ever(&cluster, &mut sketch)?;
    let graph = client.submit(sketch.graph).await?;
    let pid = pid.when_running(&graph, 1).await?;
    stores(&admin, |bytes| bytes >= u64::from(MIB)).await?;
    let (ended, kept) = (graph.id(), detached.id());
    // Nobody closes the sessions: their clients are just not there any more.
    drop((graph, client, detached, detaches));

    until("the end of what ran for it", || !family::is_alive(pid)).await?;
    guarded("the end of its graph", forgotten(&admin, ended)).await??;
    let sessions = admin.sessions().await?;
    ensure!(sessions.iter().all(|it| it.session != session), "it is still there: {sessions:?}");
    let stays = admin.graph(kept).await.context("the graph that it detached")?;
    ensure!(stays.detached && stays.status.done, "of the detached graph: {stays:?}");
    stores(&admin, |bytes| bytes < u64::from(MIB)).await?;
    cluster.stop().await
}

/// Opens a session that does not outlive its client for long.
async fn short(cluster: &Cluster) -> Result<Client> {
    let options = connect_options(&cluster.site().access_file())?;
    let connecting = Client::connect(ConnectOptions { ttl: Some(TTL), ..options });
    Ok(guarded("a session", connecting).await??)
}

/// Waits until the worker tells that its values have such a size in bytes.
async fn stores(admin: &Admin, is_so: impl Fn(u64) -> bool) -> Result<()> {
    let mut workers = guarded("the workers", admin.watch_workers(Span::millis(100))).await??;
    let looking = async {
        while let Some(news) = workers.next().await? {
            if news.changed.iter().any(|it| is_so(it.stored_bytes)) {
                return Ok(());
            }
        }
        bail!("the scheduler ended")
    };
    guarded("news of what the worker stores", looking).await?
}

/// Waits until the scheduler knows a graph no more.
async fn forgotten(admin: &Admin, graph: GraphId) -> Result<()> {
    loop {
        match admin.wait_graph(graph, Span::secs(30)).await {
            Ok(_) => {}
            Err(Refused { reason, .. }) if reason == "GRAPH_UNKNOWN" => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A command that sleeps, and where it writes who it is.
struct Sleeper(PathBuf);

/// Adds a command that sleeps for longer than anybody waits.
fn runs_for_ever(cluster: &Cluster, sketch: &mut Sketch) -> Result<Sleeper> {
    let file = cluster.site().dir().join("pid");
    let (part, whole) = (file.with_extension("part"), file.display());
    let part = part.display();
    sketch.script(&format!("echo $$ >{part}; mv {part} {whole}; exec sleep 600"))?;
    Ok(Sleeper(file))
}

impl Sleeper {
    /// Waits until it runs and so many other tasks are done. Returns its process id.
    async fn when_running(&self, graph: &Graph, others: u32) -> Result<u32> {
        let mut progress = graph.progress();
        let done = progress.wait_for(|it| it.counts.of(TaskState::Finished) == others);
        guarded("tasks that end", done).await??;
        until("a command that runs", || self.0.exists()).await?;
        Ok(fs::read_to_string(&self.0)?.trim().parse()?)
    }
}

/// A scheduler that comes back is the same cluster; who waited for the one that died is told, and what ran for it ends.
pub(super) async fn killed_scheduler() -> Result<()> {
    let site = Site::new()?;
    let scheduler = lasting(&site, "127.0.0.1:0");
    let mut cluster = Cluster::without_workers(site, scheduler).await?;
    let worker = cluster.site().worker("w1", 1);
    cluster.add(worker, "w1").await?;
    let before = cluster.site().admin().await?.status().await?;
    let listens = before.address.strip_prefix("http://").context("an address without TLS")?;
    let mut sketch = Sketch::new();
    let sleeper = runs_for_ever(&cluster, &mut sketch)?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let pid = sleeper.when_running(&graph, 0).await?;
    let (waits, reads) = (graph.wait(), graph.result(0));
    let again = async {
        cluster.scheduler.signal(Signal::KILL)?;
        cluster.scheduler.exit().await?;
        // Who waits goes on until it hears that this one does not know the session.
        cluster.scheduler =
            cluster.site().start(lasting(cluster.site(), listens), "again", None)?;
        cluster.scheduler.ready().await
    };
    let ends = async { tokio::join!(waits, reads, again) };
    let (waited, read, started) = guarded("the end of every wait", Box::pin(ends)).await?;
    started?;
    ensure!(matches!(waited, Err(GraphError::Lost(_))), "who waited for the graph: {waited:?}");
    let is_lost = matches!(read, Err(ResultError::Graph(GraphError::Lost(_))));
    ensure!(is_lost, "who waited for the result: {read:?}");

    cluster.client = cluster.site().connect().await?;
    let after = cluster.site().admin().await?.status().await?;
    ensure!(after.cluster == before.cluster, "it is another cluster: {after:?}");
    ensure!(after.epoch == Epoch(before.epoch.0 + 1), "its life is the {:?}", after.epoch);
    ensure!(after.graphs == 0, "it has graphs of its former life: {after:?}");
    until("the end of what ran for its former life", || !family::is_alive(pid)).await?;
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/echo", [text("again")], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("a result after that", graph.result(task)).await??;
    ensure!(value == Value::text("again"), "the result is {value:?}");
    cluster.stop().await
}

/// A scheduler that knows after its end who it was.
pub(super) fn lasting(site: &Site, listens: &str) -> Command {
    let mut command = site.program("bireme-scheduler");
    command.args(["--listen", listens, "--http", "127.0.0.1:0", "--log", "warn", "--state-dir"]);
    command.arg(site.dir().join("state"));
    command
}
