//! Tasks and actors that call actors, over real processes: cycles, calls that are made once whatever is killed, and tasks that
//! wait.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Actor, Arg, Args, Call, CallError, Graph, decode, encode};
use bireme_core::actor::{CheckpointPolicy, Delivery};
use bireme_core::graph::TaskState;
use bireme_core::{ErrorClass, Span, Value};
use rustix::process::Signal;

use super::actors::{Builder, count, counter};
use super::graphs::{Sketch, failure, number};
use crate::cluster::{Cluster, Native, Shape, family, guarded};

/// Calls that are passed on.
const CALLS: i64 = 400;
/// How often the actor is killed that passes them on.
const KILLS: i64 = 20;

/// Has one actor call another.
fn pass_on(by: &Actor, to: &Actor, method: &str, args: Vec<Arg>) -> Call {
    by.call("pass_on", passed(to, method, args))
}

fn passed(to: &Actor, method: &str, args: Vec<Arg>) -> Args {
    named(to, method, args).into_iter().fold(Args::new(), Args::arg)
}

/// An actor, a method of it, and that method's arguments.
fn named(to: &Actor, method: &str, args: Vec<Arg>) -> [Arg; 3] {
    [to.into(), Value::text(method).into(), Arg::list(args)]
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

/// Native functions call actors, wherever they run. One that waits gives its cpus back, and ends when it is cancelled or its
/// time is up.
pub(super) async fn tasks_call_actors() -> Result<()> {
    for native in [Native::Isolated, Native::InProcess] {
        let cluster = Cluster::start(Shape { native, ..Shape::new(1, 1) }).await?;
        let called = counter(&cluster.client, |builder| builder).await?;
        for n in 1..=3 {
            let (graph, task) = task_that_calls(&cluster, &called, "add", number(5), None).await?;
            let sum: i64 = decode(&guarded("a task", graph.result(task)).await??)?;
            ensure!(sum == 5 * n, "task {n} was given {sum}");
        }
        let reason = Value::text("on purpose").into();
        let (graph, task) = task_that_calls(&cluster, &called, "fail", reason, None).await?;
        let error = failure(&graph, task).await?;
        ensure!(error.message.contains("on purpose"), "it failed with {error}");
        waits_without_cpus(&cluster).await?;
        let timeout = Some(Span::millis(100));
        let busy = counter(&cluster.client, |builder| builder).await?;
        let (graph, task) = task_that_sleeps(&cluster, &busy, timeout).await?;
        let error = failure(&graph, task).await?;
        ensure!(error.class == ErrorClass::Timeout, "it failed with {error}");
        ensure!(count(called.call("get", ())).await? == 15, "some call was made twice");
        cluster.stop().await?;
    }
    Ok(())
}

/// While a task waits on the only cpu, another one runs on it; and the first ends when it is cancelled, though its grace goes
/// on for longer than anybody waits here.
async fn waits_without_cpus(cluster: &Cluster) -> Result<()> {
    let busy = counter(&cluster.client, |builder| builder).await?;
    let (waiting, _) = task_that_sleeps(cluster, &busy, None).await?;
    let mut progress = waiting.progress();
    let runs = progress.wait_for(|progress| progress.counts.of(TaskState::Running) == 1);
    guarded("a task that runs", runs).await??;
    let mut sketch = Sketch::new();
    let beside = sketch.call("builtin/echo", [number(7)], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    guarded("a task beside the one that waits", graph.result(beside)).await??;
    guarded("the answer", waiting.cancel(Span::secs(600))).await??;
    let counts = guarded("the end", waiting.wait()).await??.counts;
    ensure!(counts.of(TaskState::Cancelled) == 1, "{counts:?}");
    Ok(())
}

async fn task_that_sleeps(
    cluster: &Cluster,
    on: &Actor,
    timeout: Option<Span>,
) -> Result<(Graph, u32)> {
    task_that_calls(cluster, on, "sleep", number(600_000_000), timeout).await
}

async fn task_that_calls(
    cluster: &Cluster,
    to: &Actor,
    method: &str,
    arg: Arg,
    timeout: Option<Span>,
) -> Result<(Graph, u32)> {
    let mut sketch = Sketch::new();
    sketch.class.timeout = timeout;
    let task = sketch.call("builtin/call", named(to, method, vec![arg]), [])?;
    Ok((cluster.client.submit(sketch.graph).await?, task))
}
