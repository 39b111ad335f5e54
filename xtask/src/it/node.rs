//! JavaScript: in one graph with other languages, driven by a client that has nothing but the `.proto` files, and as an actor
//! whose process is killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};
use bireme_client::{Actor, Arg, Args, CallError, ExternalPayload, Payload, decode, encode};
use bireme_core::Value;
use bireme_core::actor::{CheckpointPolicy, Delivery, Selector};
use bireme_core::graph::{GraphBuilder, GraphOptions, Runtime, TaskClass, TaskSpec};

use super::actors::counter;
use super::runner::{Running, Skipped};
use crate::cluster::{Cluster, Shape, family, guarded};
use crate::node;
use crate::python::{self, Installed};
use crate::workspace::root;

/// How often the process of an actor is killed.
const KILLS: u32 = 3;
/// Calls before each time.
const CALLS: u32 = 100;
/// What the script prints: the most frequent words by JavaScript, the length by a native function, and a summary by
/// JavaScript of what Python computed, put together by Python.
const PRINTED: &str = concat!(
    r#"{"words":[["the",4],["have",2],["oars",2]],"bytes":72,"#,
    r#""summary":{"count":3,"mean":4,"greatest":6}}"#,
    "\n"
);

/// Runs `examples/grpc-node` against workers that know JavaScript and Python, as its README says. What is installed is kept for
/// the next time.
pub(super) fn mixed_languages() -> Running {
    // Before the check begins: how long an installation takes says nothing about us.
    let needed = prepare();
    Box::pin(async move {
        let (packages, python) = needed?;
        script_runs(&packages, &python).await
    })
}

async fn script_runs(packages: &Path, python: &Installed) -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(0, 0)).await?;
    let mut worker = cluster.site().worker("w1", 2);
    let interpreter = format!("python='{}' -m bireme.executor", python.python.display());
    worker.args(["--runtime", &runtime("functions.js"), "--runtime", &interpreter]);
    worker.env(node::PATH, packages).env("PYTHONPATH", &python.site);
    cluster.add(worker, "w1").await?;
    let mut client = Command::new("node");
    client.arg(root().join("examples/grpc-node/mixed.js"));
    client.arg("--access-file").arg(cluster.site().access_file()).env(node::PATH, packages);
    let mut child = cluster.site().start(client, "mixed", None)?;
    let printed = child.rest().await?;
    let status = child.exit().await?;
    ensure!(status.success(), "it ended with {status}; {}", child.complaint());
    ensure!(printed == PRINTED, "it printed\n{printed}\ninstead of\n{PRINTED}");
    cluster.stop().await
}

/// An actor in JavaScript that counts each call once, though its process is killed meanwhile: it is made again of its
/// checkpoint, and what was called since is played again.
pub(super) fn counts_once() -> Running {
    let packages = node::packages("executor-node");
    Box::pin(async move {
        let packages = packages?.map_err(|reason| Skipped(reason.to_owned()))?;
        let mut cluster = Cluster::start(Shape::new(0, 0)).await?;
        let mut worker = cluster.site().worker("w1", 1);
        worker.args(["--runtime", &runtime("counter.js")]).env(node::PATH, &packages);
        cluster.add(worker, "w1").await?;
        let checkpoint = CheckpointPolicy { every_calls: 70, ..CheckpointPolicy::default() };
        let counter: Actor = cluster
            .client
            .actor("Counter")
            .runtime(Runtime::external("node"), "counter:Counter")
            .delivery(Delivery::EffectivelyOnce)
            .checkpoint(checkpoint)
            .max_restarts(KILLS)
            .create()
            .await?;
        let (admin, selector) = (cluster.site().admin().await?, Selector::Actor(counter.id()));
        let mut calls = Vec::new();
        for _ in 0..KILLS {
            let first = counter.call("increment", ());
            calls.extend((1..CALLS).map(|_| counter.call("increment", ())));
            // It is alive then. Some of the others are answered, some wait, one may run.
            guarded("a call", first).await??;
            let seen = guarded("the actor", admin.look_into(&selector, false)).await??;
            family::kill(seen.pid);
        }
        for call in calls {
            guarded("a call", call).await??;
        }
        let counted: u32 = decode(&guarded("the count", counter.call("get", ())).await??)?;
        ensure!(counted == KILLS * CALLS, "{} calls counted {counted}", KILLS * CALLS);
        cluster.stop().await
    })
}

/// A task and an actor in JavaScript call an actor, which sees who waits for it.
pub(super) fn calls_actors() -> Running {
    let packages = node::packages("executor-node");
    Box::pin(async move {
        let packages = packages?.map_err(|reason| Skipped(reason.to_owned()))?;
        let mut cluster = Cluster::start(Shape::new(0, 0)).await?;
        let mut worker = cluster.site().worker("w1", 1);
        worker.args(["--runtime", &runtime("till.js")]).env(node::PATH, &packages);
        cluster.add(worker, "w1").await?;
        let account = counter(&cluster.client, |builder| builder).await?;
        let till = cluster.client.actor("Till").runtime(Runtime::external("node"), "till:Till");
        let till: Actor = guarded("a till", till.arg(&account).create()).await??;
        let sold = guarded("a sale", till.call("sell", encode(&5)?)).await??;
        ensure!(decode::<i64>(&sold)? == 5, "the account has {sold:?}");
        let args = [(&till).into(), Value::text("sell").into(), Arg::list([encode(&1)?.into()])];
        let back = account.call("pass_on", args.into_iter().fold(Args::new(), Args::arg));
        match guarded("a circle", back).await? {
            Err(CallError::User(error)) if error.message.contains("DEADLOCK") => {}
            other => bail!("a circle ended as {other:?}"),
        }

        let mut graph = GraphBuilder::new(GraphOptions::default());
        let runtime = ExternalPayload::runtime("node");
        let class = graph.class(TaskClass { runtime, ..TaskClass::default() });
        let payload = Payload::named("till:pay").arg(&account).arg(encode(&4)?).encode();
        let task = graph.task(TaskSpec { class, payload, ..TaskSpec::default() })?;
        let graph = cluster.client.submit(graph).await?;
        // Where the circle began it was counted.
        let paid: i64 = decode(&guarded("a payment", graph.result(task)).await??)?;
        ensure!(paid == 10, "the account has {paid}");
        cluster.stop().await
    })
}

/// The packages of Node and the package of Python, or why there are none.
fn prepare() -> Result<(PathBuf, Installed)> {
    let skipped = |reason: &str| Skipped(reason.to_owned());
    let packages = node::packages("grpc-node")?.map_err(skipped)?;
    Ok((packages, python::installed()?.map_err(skipped)?))
}

/// The runtime `node`, as a worker is told: `examples/executor-node` with one of its modules.
pub(super) fn runtime(module: &str) -> String {
    let executor = root().join("examples/executor-node");
    let script = |name: &str| format!("'{}'", executor.join(name).display());
    format!("node=node {} {}", script("executor.js"), script(module))
}
