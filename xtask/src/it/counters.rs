//! One counter, from every language that a client can be written in: the scripts of `examples` print what they should.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::runner::{Running, Skipped};
use crate::cluster::{Cluster, Shape, Site, connect_options};
use crate::node;
use crate::python::{self, Installed};
use crate::workspace::{cargo, root, run as run_command};

/// From JavaScript, with nothing but the `.proto` files: one that every worker has, and one in JavaScript.
pub(super) fn from_node() -> Running {
    // Before the check begins: how long an installation takes says nothing about us.
    let packages = node::packages("grpc-node");
    Box::pin(async move {
        let packages = packages?.map_err(|reason| Skipped(reason.to_owned()))?;
        let mut cluster = Cluster::start(Shape::new(0, 0)).await?;
        let mut worker = cluster.site().worker("w1", 1);
        worker.args(["--runtime", &super::node::runtime("counter.js")]).env(node::PATH, &packages);
        cluster.add(worker, "w1").await?;
        let mut script = found(&cluster, Command::new("node"))?;
        script.arg(example("grpc-node/counter.js")).env(node::PATH, &packages);
        prints(&cluster, script, "builtin/Counter: 110, 110\nCounter: 110, 110\nits n: 110\n")
            .await?;
        cluster.stop().await
    })
}

/// From Rust.
pub(super) fn from_rust() -> Running {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut build = cargo(["build", "--profile", profile]);
    let built = run_command(build.args(["--package", "bireme-client", "--example", "counter"]));
    Box::pin(async move {
        built?;
        let cluster = Cluster::start(Shape::new(1, 1)).await?;
        let script = found(&cluster, Site::bare("examples/counter"))?;
        prints(&cluster, script, "110\n110\n").await?;
        cluster.stop().await
    })
}

/// From Python, with an actor of its own class.
pub(super) fn from_python() -> Running {
    let installed = python::installed();
    Box::pin(async move {
        let Installed { python, site } = installed?.map_err(|reason| Skipped(reason.to_owned()))?;
        let mut cluster = Cluster::start(Shape::new(0, 0)).await?;
        let mut worker = cluster.site().worker("w1", 1);
        worker.args(["--runtime", &format!("python='{}' -m bireme.executor", python.display())]);
        worker.env("PYTHONPATH", &site);
        cluster.add(worker, "w1").await?;
        let mut script = found(&cluster, Command::new(python))?;
        script.arg(example("actors/counter.py"));
        script.env("PYTHONPATH", site).env("PYTHONDONTWRITEBYTECODE", "1");
        prints(&cluster, script, "1\n11\n11\n").await?;
        cluster.stop().await
    })
}

/// From a shell.
pub(super) async fn from_the_shell() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let bireme = Site::bare("bireme");
    let mut path = PathBuf::from(bireme.get_program());
    path.pop();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::env::join_paths([path].into_iter().chain(std::env::split_paths(&paths)))?;
    let mut script = found(&cluster, Command::new("sh"))?;
    script.arg(example("actors/counter.sh")).env("PATH", paths);
    let expected = "counter\n1\n2\n3\n13\n13\nactor counter is told to end\n";
    prints(&cluster, script, expected).await?;
    cluster.stop().await
}

/// A program that finds the cluster by its environment.
fn found(cluster: &Cluster, mut command: Command) -> Result<Command> {
    let access_file = cluster.site().access_file();
    let scheduler = connect_options(&access_file)?.scheduler.context("it has an address")?;
    command.env("BIREME_SCHEDULER", scheduler).env("BIREME_ACCESS_FILE", access_file);
    command.env_remove("BIREME_TOKEN");
    Ok(command)
}

async fn prints(cluster: &Cluster, script: Command, expected: &str) -> Result<()> {
    let mut child = cluster.site().start(script, "script", None)?;
    let printed = child.rest().await?;
    let status = child.exit().await?;
    ensure!(status.success(), "it ended with {status}; {}", child.complaint());
    ensure!(printed == expected, "it printed\n{printed}\ninstead of\n{expected}");
    Ok(())
}

fn example(path: &str) -> PathBuf {
    root().join("examples").join(path)
}
