//! `cargo xtask conformance`: holds programs of other languages to the written protocol.
//!
//! `docs/guides/executors.md` tells which functions an executor must have for it, and what else is asked of it.

#[cfg(feature = "cluster")]
mod executor;

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::dist::target_dir;
use crate::workspace::{cargo, root, run as run_command, with_cluster};
use crate::{node, python};

/// Hold programs of other languages to the protocol
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(clap::Subcommand)]
enum Kind {
    Executor(Executor),
}

/// Start an executor as a worker would, and check all that a worker relies on
#[derive(clap::Args)]
struct Executor {
    /// Only these checks, separated by commas
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<String>,
    /// Name the checks and exit
    #[arg(long)]
    list: bool,
    /// How the outcomes are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// The module whose functions are called, as tasks name it
    #[arg(long, value_name = "NAME", default_value = "conformance")]
    module: String,
    /// The functions are native: registered in a worker's binary
    #[arg(long)]
    native: bool,
    /// Program and arguments of the executor
    #[arg(last = true, value_name = "CMD", required_unless_present = "list")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One line for each check
    Json,
}

#[cfg(not(feature = "cluster"))]
pub(crate) fn run(_: &Args) -> Result<()> {
    crate::workspace::become_with_cluster("dev")
}

#[cfg(feature = "cluster")]
pub(crate) fn run(args: &Args) -> Result<()> {
    let Kind::Executor(executor) = &args.kind;
    executor::run(executor)
}

/// Holds the executors of this project to it.
pub(crate) fn check() -> Result<()> {
    let executors = [
        ("native functions", Ok(native_executor()?)),
        ("node", node_executor()?),
        ("python", python_executor()?),
    ];
    for (name, executor) in executors {
        match executor {
            Ok(mut command) => {
                println!("the executor of {name}:");
                run_command(&mut command)?;
            }
            Err(reason) => println!("skipped: the executor of {name}: {reason}"),
        }
    }
    Ok(())
}

/// A worker's binary, as it runs native functions.
fn native_executor() -> Result<Command> {
    run_command(&mut cargo(["build", "--package", "bireme-worker", "--example", "conformance"]))?;
    let mut command = with_cluster("dev", ["conformance", "executor", "--native", "--"]);
    command.arg(root().join(target_dir()).join("debug/examples/conformance"));
    Ok(command)
}

fn node_executor() -> Result<Result<Command, &'static str>> {
    Ok(node::packages("executor-node")?.map(|packages| {
        let example = root().join("examples/executor-node");
        let mut command = with_cluster("dev", ["conformance", "executor", "--", "node"]);
        command.args(["executor.js", "conformance.js"].map(|file| example.join(file)));
        command.env(node::PATH, packages);
        command
    }))
}

fn python_executor() -> Result<Result<Command, &'static str>> {
    Ok(python::installed()?.map(|installed| {
        let flags = ["conformance", "executor", "--module", "bireme.conformance", "--"];
        let mut command = with_cluster("dev", flags);
        command.arg(installed.python).args(["-m", "bireme.executor"]);
        command.env("PYTHONPATH", installed.site);
        command
    }))
}
