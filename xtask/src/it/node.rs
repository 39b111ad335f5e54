//! One graph of three languages, driven by a client in JavaScript that has nothing but the `.proto` files.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::runner::{Running, Skipped};
use crate::cluster::{Cluster, Shape};
use crate::node;
use crate::python::{self, Installed};
use crate::workspace::root;

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
    let executor = root().join("examples/executor-node");
    let mut worker = cluster.site().worker("w1", 2);
    let script = |name: &str| format!("'{}'", executor.join(name).display());
    let node = format!("node=node {} {}", script("executor.js"), script("functions.js"));
    let interpreter = format!("python='{}' -m bireme.executor", python.python.display());
    worker.args(["--runtime", &node, "--runtime", &interpreter]);
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

/// The packages of Node and the package of Python, or why there are none.
fn prepare() -> Result<(std::path::PathBuf, Installed)> {
    let skipped = |reason: &str| Skipped(reason.to_owned());
    let packages = node::packages("grpc-node")?.map_err(skipped)?;
    Ok((packages, python::installed()?.map_err(skipped)?))
}
