//! Actors over real processes: called in order, from Rust and from the command line, and what becomes of calls when something
//! ends.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Actor, Args, Call, CallError, Client, CreateError, Payload, decode, encode};
use bireme_core::actor::call::{CallCode, Outcome};
use bireme_core::actor::{CheckpointPolicy, Delivery};
use bireme_core::graph::TaskSpec;
use bireme_core::{Reason, Span, Value};
use rustix::process::Signal;

use super::graphs::Sketch;
use super::store::{MIB, is_pattern};
use crate::cluster::{Cluster, Shape, family, guarded};

/// Calls that are made before the first is awaited.
const CALLS: i64 = 1_000;

/// Calls come in the order in which they were made, whatever their sizes, and errors are told apart.
pub(super) async fn called_in_order() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 2)).await?;
    let counter = counter(&cluster.client, |builder| builder).await?;
    counts(&counter, 0, CALLS).await?;
    let large = Value::raw(vec![7; 3 << 20]);
    let sizes: Vec<Call> = vec![
        counter.call("echo", large.clone()),
        counter.call("increment", ()),
        counter.call("bytes", encode(&MIB)?),
        counter.call("get", ()),
    ];
    let [echoed, incremented, bytes, last] = awaited(sizes).await?;
    ensure!(echoed == large, "the large argument came back as {} bytes", echoed.size);
    ensure!(is_pattern(&bytes, MIB), "the large result has {} bytes", bytes.size);
    ensure!(decode::<i64>(&incremented)? == CALLS + 1 && decode::<i64>(&last)? == CALLS + 1);

    match guarded("a failure", counter.call("fail", encode("on purpose")?)).await? {
        Err(CallError::User(error)) if error.message.contains("on purpose") => {}
        other => bail!("the user's error came as {other:?}"),
    }
    ends(counter.call("frobnicate", ()), CallCode::NoSuchMethod).await?;
    let method = counter.method("sleep").args(encode(&60_000_000_u64)?);
    ends(method.deadline(Span::millis(50)).call(), CallCode::Deadline).await?;
    cluster.stop().await
}

/// Results that stay where they are, and go to tasks and other calls; items as they come.
pub(super) async fn results_are_handed_on() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 2)).await?;
    let counter = counter(&cluster.client, |builder| builder).await?;
    let stored = counter.method("bytes").args(encode(&MIB)?).store().call();
    let object = guarded("a stored result", stored.stored()).await??;
    let echo = counter.call("echo", Args::new().object(&object));
    ensure!(is_pattern(&guarded("a call", echo).await??, MIB), "the call got another value");

    let mut sketch = Sketch::new();
    let class = sketch.graph.class(sketch.class.clone());
    let payload = Payload::native("builtin/len").input(0).encode();
    let externals = [sketch.graph.external(object.id())].into_iter().collect();
    let len = sketch.graph.task(TaskSpec { class, payload, externals, ..TaskSpec::default() })?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let length: u32 = decode(&guarded("a task", graph.result(len)).await??)?;
    ensure!(length == MIB, "the task saw {length} bytes");

    let mut items = counter.method("stream").args(encode(&500)?).stream();
    let mut came = Vec::new();
    while let Some(item) = guarded("an item", items.next()).await? {
        came.push(decode::<i64>(&item?)?);
    }
    ensure!(came == (0..500).collect::<Vec<_>>(), "{} items came: {came:?}", came.len());
    cluster.stop().await
}

/// Names, and how actors end.
pub(super) async fn names_and_ends() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let first = counter(&cluster.client, |builder| builder.name("tests/counter")).await?;
    match counter_or(&cluster.client, |builder| builder.name("tests/counter")).await? {
        Err(CreateError::Refused(refused)) if refused.reason == Reason::NameTaken.name() => {}
        other => bail!("the name was given twice: {other:?}"),
    }
    let again = |builder: Builder| builder.name("tests/counter").get_if_exists();
    let same = counter(&cluster.client, again).await?;
    let found = guarded("the name", cluster.client.find_actor("tests/counter")).await??;
    ensure!(same.id() == first.id() && found.id() == first.id(), "the name has two actors");
    count(found.call("add", encode(&5)?)).await?;
    drop(same);
    ensure!(count(first.call("get", ())).await? == 5, "a handle took the actor along");

    let waits = found.call("sleep", encode(&60_000_000_u64)?);
    let behind = found.call("get", ());
    drop(first);
    // The process may have been given both.
    for call in [waits, behind] {
        let end = guarded("a call's end", call.ended()).await?.outcome;
        let code = end.code();
        ensure!(matches!(code, Some(CallCode::Gone | CallCode::Unknown)), "it ended as {end:?}");
    }
    ends(found.call("get", ()), CallCode::Gone).await?;
    cluster.stop().await
}

/// An actor whose process crashes: the call that ran is unknown, and those behind it go to the next life.
pub(super) async fn crash_loses_one_call() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let counter = counter(&cluster.client, |builder| builder.max_restarts(3)).await?;
    count(counter.call("add", encode(&5)?)).await?;
    let crash = counter.call("die", encode(&7)?);
    let behind: Vec<Call> = (0..10).map(|_| counter.call("increment", ())).collect();
    ends(crash, CallCode::Unknown).await?;
    for (n, call) in (1..).zip(behind) {
        let given = count(call).await?;
        ensure!(given == n, "call {n} after the crash gave {given}");
    }
    cluster.stop().await
}

/// An effectively-once actor loses nothing, whichever of its processes is killed.
pub(super) async fn effectively_once_counts_all() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let checkpoint = CheckpointPolicy { every_calls: 100, ..CheckpointPolicy::default() };
    let made = |builder: Builder| {
        let builder = builder.delivery(Delivery::EffectivelyOnce).max_restarts(20);
        builder.checkpoint(checkpoint)
    };
    let counter = counter(&cluster.client, made).await?;
    let daemon = cluster.workers.first().context("there is a worker")?.daemon();
    let mut calls = Vec::new();
    for n in 0..CALLS {
        calls.push(counter.call("increment", ()));
        if n == CALLS / 2 {
            // Some are answered, some are on their way.
            let last = calls.swap_remove(0);
            count(last).await?;
            family::kill(daemon);
        }
    }
    for call in calls {
        count(call).await?;
    }
    let counted = count(counter.call("get", ())).await?;
    ensure!(counted == CALLS, "{CALLS} calls counted {counted}");
    cluster.stop().await
}

/// A worker that is sent away gives its actors to another, with their state, and no call is lost.
pub(super) async fn a_drain_moves_them() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(2, 2)).await?;
    let counter = counter(&cluster.client, |builder| builder.name("tests/moves")).await?;
    count(counter.call("increment", ())).await?;
    let admin = cluster.site().admin().await?;
    let hosts = async || {
        let actors = guarded("the actors", admin.actors("")).await??;
        let actor = actors.first().context("there is no actor")?;
        let worker = actor.place.worker.context("it is nowhere")?;
        Ok::<_, anyhow::Error>(guarded("its worker", admin.worker(worker)).await??.name)
    };
    let from = hosts().await?;
    let mut calls = Vec::new();
    let mut worker = cluster.workers.remove(usize::from(from == "w2"));
    for n in 1..CALLS {
        calls.push(counter.call("increment", ()));
        if n == CALLS / 2 {
            worker.signal(Signal::TERM)?;
        }
    }
    for (n, call) in (2..).zip(calls) {
        let given = count(call).await?;
        ensure!(given == n, "call {n} gave {given}");
    }
    let status = worker.exit().await?;
    ensure!(status.success(), "the worker ended with {status}; {}", worker.complaint());
    ensure!(count(counter.call("get", ())).await? == CALLS, "the move lost calls");
    ensure!(hosts().await? != from, "it is still on {from}");
    cluster.stop().await
}

/// The same actors from the command line.
pub(super) async fn from_the_command_line() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 2)).await?;
    let run = |words: &'static [&'static str]| command(&cluster, words);
    let printed = |words: &'static [&'static str]| printed(&cluster, words);
    let created = printed(&["create", "builtin/Counter", "5", "--name", "counter"]).await?;
    ensure!(created == "counter", "it printed {created:?}");
    ensure!(printed(&["call", "counter", "increment"]).await? == "6");
    ensure!(printed(&["call", "counter", "add", "4"]).await? == "10");
    let listed = printed(&["list"]).await?;
    ensure!(listed.contains("counter") && listed.contains("alive"), "{listed}");
    let shown = printed(&["show", "counter"]).await?;
    ensure!(shown.contains("increment") && shown.contains("process"), "{shown}");
    printed(&["checkpoint", "counter"]).await?;
    printed(&["move", "counter"]).await?;
    ensure!(printed(&["call", "counter", "get"]).await? == "10", "the move lost its state");
    let (code, _, said) = run(&["call", "counter", "frobnicate"]).await?;
    ensure!(code == Some(2) && said.contains("NO_SUCH_METHOD"), "{code:?}: {said}");
    let (code, _, said) = run(&["call", "counter", "fail", "on purpose"]).await?;
    ensure!(code == Some(1) && said.contains("on purpose"), "{code:?}: {said}");
    let (code, _, said) = run(&["call", "nobody", "get"]).await?;
    ensure!(code == Some(2) && said.contains("there is no actor nobody"), "{code:?}: {said}");
    printed(&["kill", "counter"]).await?;
    cluster.stop().await
}

/// Runs `bireme actor` to its end: its exit code, what it printed, and what it said.
async fn command(cluster: &Cluster, words: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = cluster.site().program("bireme");
    command.arg("actor").args(words);
    let output = tokio::process::Command::from(command).output();
    let output = guarded("a command", output).await??;
    let said = String::from_utf8(output.stderr)?;
    let printed = String::from_utf8(output.stdout)?;
    Ok((output.status.code(), printed.trim().to_owned(), said))
}

/// What it printed, which had to do what it was asked for.
pub(super) async fn printed(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let (code, printed, said) = command(cluster, words).await?;
    ensure!(code == Some(0), "{words:?} ended with {code:?}: {said}");
    Ok(printed)
}

pub(super) type Builder = bireme_client::ActorBuilder<Actor>;

pub(super) async fn counter(
    client: &Client,
    how: impl FnOnce(Builder) -> Builder,
) -> Result<Actor> {
    Ok(counter_or(client, how).await??)
}

async fn counter_or(
    client: &Client,
    how: impl FnOnce(Builder) -> Builder,
) -> Result<Result<Actor, CreateError>> {
    guarded("an actor", how(client.actor("builtin/Counter")).create()).await
}

/// Increments a counter that has come so far, so many times, and sees that it counts.
pub(super) async fn counts(counter: &Actor, before: i64, calls: i64) -> Result<()> {
    let calls: Vec<Call> = (0..calls).map(|_| counter.call("increment", ())).collect();
    for (n, call) in (before + 1..).zip(calls) {
        let given = count(call).await?;
        ensure!(given == n, "call {n} gave {given}");
    }
    Ok(())
}

/// The count that a call gave.
pub(super) async fn count(call: Call) -> Result<i64> {
    Ok(decode(&guarded("a call", call).await??)?)
}

async fn awaited<const N: usize>(calls: Vec<Call>) -> Result<[Value; N]> {
    let mut values = Vec::new();
    for call in calls {
        values.push(guarded("a call", call).await??);
    }
    values.try_into().map_err(|values: Vec<_>| anyhow::anyhow!("{} values", values.len()))
}

/// A call that must end with this code.
pub(super) async fn ends(call: Call, code: CallCode) -> Result<()> {
    match guarded("a call's end", call.ended()).await?.outcome {
        Outcome::Failure(failure) if failure.code == code => Ok(()),
        other => bail!("it ended as {other:?} instead of {}", code.name()),
    }
}
