//! Actors that call actors, over real processes: cycles, and calls that are made once whatever is killed.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Actor, Arg, Args, Call, CallError, encode};
use bireme_core::Value;
use bireme_core::actor::{CheckpointPolicy, Delivery};
use rustix::process::Signal;

use super::actors::{Builder, count, counter};
use crate::cluster::{Cluster, Shape, family, guarded};

/// Calls that are passed on.
const CALLS: i64 = 400;
/// How often the actor is killed that passes them on.
const KILLS: i64 = 20;

/// Has one actor call another.
fn pass_on(by: &Actor, to: &Actor, method: &str, args: Vec<Arg>) -> Call {
    by.call("pass_on", passed(to, method, args))
}

fn passed(to: &Actor, method: &str, args: Vec<Arg>) -> Args {
    Args::new().arg(to).arg(Value::text(method)).arg(Arg::list(args))
}

/// An actor calls another, which sees who waits for it: a call that leads back ends at once, and says by whom.
pub(super) async fn cycles_end_at_once() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 2)).await?;
    let first = counter(&cluster.client, |builder| builder).await?;
    let second = counter(&cluster.client, |builder| builder).await?;
    let added = pass_on(&first, &second, "add", vec![encode(&5)?.into()]);
    ensure!(count(added).await? == 5, "the second was not called");

    let back = vec![Arg::from(&first), Value::text("get").into(), Arg::list([])];
    match guarded("a cycle", pass_on(&first, &second, "pass_on", back)).await? {
        Err(CallError::User(error)) if error.message.contains("DEADLOCK") => {
            let named = error.message.matches(&first.id().to_string()).count();
            ensure!(named > 0, "the cycle is not shown: {}", error.message);
        }
        other => bail!("the cycle ended as {other:?}"),
    }
    match guarded("itself", pass_on(&first, &first, "get", Vec::new())).await? {
        Err(CallError::User(error)) if error.message.contains("DEADLOCK") => {}
        other => bail!("a call of itself ended as {other:?}"),
    }
    ensure!(count(first.call("get", ())).await? == 3, "the first does not go on");
    cluster.stop().await
}

/// What an effectively-once actor passes on is done once, however often its process is killed: its log, played again, makes
/// the same calls.
pub(super) async fn passed_on_once() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let policy = CheckpointPolicy { every_calls: 30, ..CheckpointPolicy::default() };
    let once = |builder: Builder| {
        let builder = builder.delivery(Delivery::EffectivelyOnce).max_restarts(100);
        builder.checkpoint(policy)
    };
    let second = counter(&cluster.client, once).await?;
    let first = counter(&cluster.client, once).await?;
    let daemon = cluster.workers.first().context("there is a worker")?.daemon();
    let mut calls = Vec::new();
    for n in 0..CALLS {
        calls.push(pass_on(&first, &second, "increment", Vec::new()));
        if n % (CALLS / KILLS) == CALLS / KILLS - 1 {
            // One that is on its way tells when something runs; what, differs from time to time.
            let last = calls.len() - 1 - usize::try_from(n % 7)?;
            count(calls.remove(last)).await?;
            kill_an_actor(daemon, usize::try_from(n / (CALLS / KILLS))?)?;
        }
    }
    for call in calls {
        count(call).await?;
    }
    let passed = count(first.call("get", ())).await?;
    let counted = count(second.call("get", ())).await?;
    ensure!(
        (passed, counted) == (CALLS, CALLS),
        "{CALLS} calls: {passed} passed on, {counted} done"
    );
    cluster.stop().await
}

/// Kills one of the processes that a daemon has, and not always the same.
fn kill_an_actor(daemon: u32, n: usize) -> Result<()> {
    let actors = family::children(daemon);
    let Some(pid) = actors.get(n % actors.len().max(1)) else { return Ok(()) };
    let pid = i32::try_from(*pid).ok().and_then(rustix::process::Pid::from_raw);
    // One that has just died is as good.
    let _ = rustix::process::kill_process(pid.context("a process has a number")?, Signal::KILL);
    Ok(())
}
