//! Actors with copies outlive the machine they live on: its processes are killed, and its disk is gone.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Actor, Admin, Client, decode};
use bireme_core::Span;
use bireme_core::actor::{CheckpointPolicy, Delivery, RestartPolicy, Selector};
use bireme_core::id::ActorId;
use tokio::sync::watch;
use tokio::time::interval;

use super::once::increment;
use crate::cluster::{Cluster, LOOK, Shape, guarded};

/// Sessions that call at the same time.
const CALLERS: u64 = 3;
/// Calls of each.
const CALLS: u64 = 200;
const WORKERS: u32 = 3;

/// A counter whose worker is lost with its disk goes on elsewhere, and has counted each call once.
pub(super) async fn outlive_their_worker() -> Result<()> {
    let mut cluster = start().await?;
    let counter = create(&cluster.client).await?;
    let admin = cluster.site().admin().await?;
    let home = home_with_copy(&admin, counter.id()).await?.0;
    let (answered, mut heard) = watch::channel(0);
    let answered = std::sync::Arc::new(answered);
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let client = cluster.site().connect().await?;
        callers.push(tokio::spawn(increment(client, CALLS, std::sync::Arc::clone(&answered))));
    }
    let half = heard.wait_for(|calls| *calls >= CALLERS * CALLS / 2);
    guarded("half of the calls", half).await?.context("nobody calls")?;
    lose(&mut cluster, &home)?;
    let mut told = Vec::new();
    for caller in callers {
        told.extend(guarded("a caller", caller).await?.context("a caller has panicked")??);
    }
    told.sort_unstable();
    let calls = i64::try_from(CALLERS * CALLS)?;
    ensure!(told == (1..=calls).collect::<Vec<_>>(), "the numbers told are not 1 to {calls}");
    expect_count(&counter, calls).await?;
    let (next, copies) = home_with_copy(&admin, counter.id()).await?;
    ensure!(next != home, "it lives on {next}, which is lost");
    println!("{calls} calls; {home} was lost, it lives on {next} with copies on {copies:?}");
    drop(counter);
    cluster.stop().await
}

/// A counter whose copy is lost goes on, and gets another one.
pub(super) async fn go_on_without_a_copy() -> Result<()> {
    let mut cluster = start().await?;
    let counter = create(&cluster.client).await?;
    let admin = cluster.site().admin().await?;
    let (home, copies) = home_with_copy(&admin, counter.id()).await?;
    let number: i64 = decode(&guarded("a call", counter.call("increment", ())).await??)?;
    ensure!(number == 1, "the first call gave {number}");
    let copy = copies.first().context("there is a copy")?.clone();
    lose(&mut cluster, &copy)?;
    expect_next(&counter, 2).await?;
    let mut looks = interval(LOOK);
    let replaced = async {
        loop {
            let (_, copies) = home_with_copy(&admin, counter.id()).await?;
            if copies != [copy.clone()] {
                return anyhow::Ok(copies);
            }
            looks.tick().await;
        }
    };
    let copies = Box::pin(guarded("another copy", replaced)).await??;
    lose(&mut cluster, &home)?;
    expect_next(&counter, 3).await?;
    println!("{copy} was lost, then {home}; copies were on {copies:?}");
    drop(counter);
    cluster.stop().await
}

async fn start() -> Result<Cluster> {
    let mut cluster = Cluster::start(Shape::new(0, 0)).await?;
    for n in 1..=WORKERS {
        let (name, site) = (format!("w{n}"), cluster.site());
        let mut command = site.worker(&name, 1);
        command.arg("--no-restart").arg("--state-dir").arg(site.dir().join(&name));
        cluster.add(command, &name).await?;
    }
    Ok(cluster)
}

async fn create(client: &Client) -> Result<Actor> {
    let restart =
        RestartPolicy { max_restarts: None, backoff: Span::ZERO, ..RestartPolicy::default() };
    let checkpoint = CheckpointPolicy { every_calls: 25, ..CheckpointPolicy::default() };
    let counter = client.actor("builtin/Counter").name("tests/once").peers(1);
    let counter = counter.delivery(Delivery::EffectivelyOnce).restart(restart);
    Ok(guarded("an actor", counter.checkpoint(checkpoint).create()).await??)
}

/// The name of the worker where an actor lives, once a copy is in step, and of those that have one.
async fn home_with_copy(admin: &Admin, actor: ActorId) -> Result<(String, Vec<String>)> {
    let mut looks = interval(LOOK);
    let found = async {
        loop {
            let seen = admin.actor(&Selector::Actor(actor)).await?;
            let workers = admin.workers().await?;
            let home = workers.into_iter().find(|worker| Some(worker.worker) == seen.place.worker);
            if let Some(home) = home.filter(|_| !seen.copies.is_empty()) {
                return anyhow::Ok((home.name, seen.copies));
            }
            looks.tick().await;
        }
    };
    guarded("a copy in step", found).await?
}

/// A machine is lost: all its processes die at once, and its disk is gone.
fn lose(cluster: &mut Cluster, name: &str) -> Result<()> {
    let place = cluster.workers.iter().position(|worker| worker.name() == name);
    let worker = cluster.workers.remove(place.with_context(|| format!("there is no {name}"))?);
    drop(worker);
    fs::remove_dir_all(cluster.site().dir().join(name))?;
    Ok(())
}

async fn expect_next(counter: &Actor, expected: i64) -> Result<()> {
    let number: i64 = decode(&guarded("a call", counter.call("increment", ())).await??)?;
    ensure!(number == expected, "call {expected} gave {number}");
    Ok(())
}

async fn expect_count(counter: &Actor, expected: i64) -> Result<()> {
    let counted: i64 = decode(&guarded("the count", counter.call("get", ())).await??)?;
    ensure!(counted == expected, "{expected} calls were counted as {counted}");
    Ok(())
}
