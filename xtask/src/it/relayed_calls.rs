//! Calls of actors on a worker that the client cannot reach: the scheduler passes them on.

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Actor, Args, Call, decode, encode};
use bireme_core::actor::Selector;
use bireme_core::actor::call::CallCode;
use rustix::process::Signal;
use tokio::time::interval;

use super::actors::{count, counter, counts, ends, printed};
use super::relay::{apart, knowing, pattern};
use super::sessions::lasting;
use super::store::{MIB, is_pattern};
use crate::cluster::{Cluster, LOOK, Site, family, guarded};

/// Calls that are made before the first is awaited.
const CALLS: i64 = 300;
/// Length of large values in bytes.
const LENGTH: u32 = 3 * MIB + 1;

/// They come in order, small and large, with results and items; and end with the worker, each as it should.
pub(super) async fn in_order() -> Result<()> {
    let site = Site::new()?;
    let scheduler = site.scheduler();
    let cluster = apart(site, &scheduler).await?;
    let counter = counter(&cluster.client, |builder| builder.max_restarts(3)).await?;
    counts(&counter, 0, CALLS).await?;
    let large = counter.call("echo", pattern(LENGTH));
    let next = counter.call("increment", ());
    let stored = counter.method("bytes").args(encode(&LENGTH)?).store().call();
    let large = guarded("a large argument", large).await??;
    ensure!(is_pattern(&large, LENGTH), "it came back as {} bytes", large.size);
    ensure!(count(next).await? == CALLS + 1, "the call behind it was not the next");
    let stored = guarded("a stored result", stored.stored()).await??;
    let handed_on = counter.call("echo", Args::new().object(&stored));
    let handed_on = guarded("a call", handed_on).await??;
    ensure!(is_pattern(&handed_on, LENGTH), "the call got another value");
    let mut items = counter.method("stream").args(encode(&500)?).stream();
    let mut came = Vec::new();
    while let Some(item) = guarded("an item", items.next()).await? {
        came.push(decode::<i64>(&item?)?);
    }
    let first = CALLS + 1;
    ensure!(came == (first..first + 500).collect::<Vec<_>>(), "{} items: {came:?}", came.len());

    cluster.scheduler.signal(Signal::STOP)?;
    let waits = counter.call("increment", ());
    cluster.scheduler.signal(Signal::CONT)?;
    ensure!(count(waits).await? == CALLS + 2, "a call was lost while the scheduler slept");

    let runs = running(&cluster, &counter).await?;
    family::kill(cluster.workers.first().context("there is a worker")?.daemon());
    ends(runs, CallCode::Unknown).await?;
    let first = count(counter.call("increment", ())).await?;
    ensure!(first == 1, "the next incarnation began with {}", first - 1);
    cluster.stop().await
}

/// Single calls, as the command line makes them, with results that do not fit into an answer.
pub(super) async fn one_by_one() -> Result<()> {
    let site = Site::new()?;
    let scheduler = site.scheduler();
    let cluster = apart(site, &scheduler).await?;
    printed(&cluster, &["create", "builtin/Counter", "5", "--name", "counter"]).await?;
    ensure!(printed(&cluster, &["call", "counter", "increment"]).await? == "6");
    let length = LENGTH.to_string();
    let bytes = printed(&cluster, &["call", "counter", "bytes", &length]).await?;
    ensure!(bytes.len() == 2 * LENGTH as usize, "{} digits: {bytes:.200}", bytes.len());
    let shown = printed(&cluster, &["show", "counter"]).await?;
    ensure!(shown.contains("increment"), "{shown}");
    cluster.stop().await
}

/// The scheduler dies that passed them on: who waits is told, and when it is back calls are passed on again.
pub(super) async fn scheduler_killed() -> Result<()> {
    let site = Site::new()?;
    let scheduler = lasting(&site, "127.0.0.1:0");
    let mut cluster = apart(site, &scheduler).await?;
    let first = counter(&cluster.client, |builder| builder).await?;
    counts(&first, 0, CALLS).await?;
    let runs = running(&cluster, &first).await?;
    let listens = cluster.site().admin().await?.status().await?.address;
    let listens = listens.strip_prefix("http://").context("an address without TLS")?;
    cluster.scheduler.signal(Signal::KILL)?;
    cluster.scheduler.exit().await?;
    let again = knowing(cluster.site(), &lasting(cluster.site(), listens))?;
    cluster.scheduler = cluster.site().start(again, "again", None)?;
    cluster.scheduler.ready().await?;
    ends(runs, CallCode::Unknown).await?;
    cluster.client = cluster.site().connect().await?;
    let second = counter(&cluster.client, |builder| builder).await?;
    counts(&second, 0, CALLS).await?;
    cluster.stop().await
}

/// A call that has begun and does not end by itself.
async fn running(cluster: &Cluster, counter: &Actor) -> Result<Call> {
    let runs = counter.call("sleep", encode(&60_000_000_u64)?);
    let admin = cluster.site().admin().await?;
    let actor = Selector::Actor(counter.id());
    let begun = async {
        let mut looks = interval(LOOK);
        while admin.look_into(&actor, false).await?.running.is_empty() {
            looks.tick().await;
        }
        anyhow::Ok(())
    };
    guarded("a call that runs", begun).await??;
    Ok(runs)
}
