//! A client in another language, with nothing but the stubs that are generated from `proto/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::runner::{Running, Skipped};
use crate::cluster::{Cluster, Shape};
use crate::workspace::{files_below, read, root};

/// What the script prints: the sum of the first eight squares, and the log of the task that added them up.
const PRINTED: &str = "result: 204\nlog: adding up 8 squares\n";

/// Runs `examples/grpc-python` as its README says. What pip installs is kept for the next time.
pub(super) fn grpc_python() -> Running {
    // Before the check begins: how long an installation takes says nothing about us.
    let python = prepare();
    Box::pin(async move { script_runs(&python?).await })
}

async fn script_runs(python: &Path) -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let stubs = cluster.site().dir().join("stubs");
    std::fs::create_dir(&stubs)?;
    let proto = root().join("proto");
    let mut protoc = Command::new(python);
    protoc.args(["-m", "grpc_tools.protoc", "-I"]).arg(&proto);
    for kind in ["--python_out", "--grpc_python_out"] {
        protoc.arg(format!("{kind}={}", stubs.display()));
    }
    read(protoc.args(files_below(&proto.join("bireme"), &["proto"])?))?;
    let mut script = Command::new(python);
    script.arg(example().join("squares.py")).arg("--access-file").arg(cluster.site().access_file());
    script.env("PYTHONPATH", stubs).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child = cluster.site().start(script, "squares", None)?;
    let printed = child.rest().await?;
    let status = child.exit().await?;
    ensure!(status.success(), "it ended with {status}; {}", child.complaint());
    ensure!(printed == PRINTED, "it printed\n{printed}\ninstead of\n{PRINTED}");
    cluster.stop().await
}

fn example() -> PathBuf {
    root().join("examples/grpc-python")
}

/// A Python that has what the example asks for, or why there is none.
fn prepare() -> Result<PathBuf> {
    let dir = root().join("target/it/grpc-python");
    let python = dir.join("bin/python");
    if !python.exists() {
        let mut venv = Command::new("python3");
        succeed(venv.args(["-m", "venv"]).arg(&dir), "python3 makes no virtual environment")?;
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
    pip.arg(example().join("requirements.txt"));
    succeed(&mut pip, "pip installs no grpcio")?;
    succeed(Command::new(&python).args(["-c", "import tomllib"]), "python3 is older than 3.11")?;
    Ok(python)
}

/// Runs a command; if it fails, the check is skipped for that reason.
fn succeed(command: &mut Command, otherwise: &str) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(Skipped(otherwise.to_owned()).into())
}
