//! `cargo xtask bench`: how fast real clusters are, on this machine.
//!
//! Every row starts daemons of the release profile as processes of their own and drives them through `bireme-client`.
//! `docs/benchmarks/README.md` tells what each row means. Rows are the table in `rows`; `timed` measures a graph; what is
//! measured becomes a `record`; `parts` are the programs that some rows measure against.

#[cfg(feature = "cluster")]
mod actors;
#[cfg(feature = "cluster")]
mod faults;
#[cfg(feature = "cluster")]
mod floor;
#[cfg(feature = "cluster")]
mod graphs;
#[cfg(feature = "cluster")]
mod latency;
#[cfg(feature = "cluster")]
mod memory;
#[cfg(feature = "cluster")]
mod parts;
#[cfg(feature = "cluster")]
mod process;
#[cfg(feature = "cluster")]
mod record;
#[cfg(feature = "cluster")]
mod rows;
#[cfg(feature = "cluster")]
mod sendfile;
#[cfg(feature = "cluster")]
mod startup;
#[cfg(feature = "cluster")]
mod timed;
#[cfg(feature = "cluster")]
mod transfer;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;

use crate::workspace::{cargo, run as run_command, with_cluster};

/// Measure clusters on this machine, with release builds
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Only these rows, separated by commas
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Sizes in place of the row's own, separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',')]
    n: Vec<u32>,
    /// Workers and the cpus of each, in place of the row's own: 2x1
    #[arg(long, value_name = "WxC", value_delimiter = ',')]
    topo: Vec<Topology>,
    /// How often everything is measured; latency in at least 10 rounds
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Append the figures to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Client on one core, all daemons on another, for every row; without it, for latency alone
    #[arg(long, overrides_with = "no_pin")]
    pin: bool,
    /// Leave all processes to the kernel
    #[arg(long, overrides_with = "pin")]
    no_pin: bool,
    /// Name the rows and exit
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What measures without a cluster, and programs that a row starts beside, or in place of, the daemons.
#[derive(clap::Subcommand)]
enum Part {
    /// CPU time for each task of the scheduler's machine alone, with up to 10,000 simulated workers
    Machine {
        /// Passed on: --workers 10,10000 --tasks 10000000 --load uniform,restricted,gpu,two-inputs
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Echo bytes to one connection
    #[command(hide = true)]
    Echo,
    /// Pass messages on between clients and workers
    #[command(hide = true)]
    FloorScheduler,
    /// Send every message back
    #[command(hide = true)]
    FloorWorker {
        /// Where the floor's scheduler listens
        address: String,
        /// Hand each message to another thread and back
        #[arg(long)]
        hand_over: bool,
    },
    /// Start processes and hear them out, and tell what that cost
    #[command(hide = true)]
    Spawner {
        /// How many
        processes: u32,
        /// On so many threads
        threads: u32,
    },
    /// Submit tasks that nobody runs, and tell what they cost
    #[command(hide = true)]
    Submitter {
        /// Access file of the scheduler
        access_file: PathBuf,
        /// How many tasks
        tasks: u32,
    },
}

/// So many workers with so many cpus each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Topology {
    workers: u32,
    cpus: u32,
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('x');
        let parts =
            parts.and_then(|(workers, cpus)| Some((workers.parse().ok()?, cpus.parse().ok()?)));
        match parts {
            Some((workers, cpus)) if workers <= 64 && (1..=1_024).contains(&cpus) => {
                Ok(Self { workers, cpus })
            }
            _ => Err(format!("{text:?} is no topology: write WORKERSxCPUS, such as 2x1")),
        }
    }
}

#[cfg(not(feature = "cluster"))]
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.part {
        Some(Part::Machine { options }) => machine(options),
        _ => crate::workspace::become_with_cluster("release"),
    }
}

/// Measures the pure machine; it needs neither daemons nor a client.
fn machine(options: &[String]) -> Result<()> {
    let bench = [
        "bench",
        "--package",
        "bireme-scheduler",
        "--no-default-features",
        "--bench",
        "machine",
        "--",
    ];
    run_command(cargo(bench).args(options))
}

#[cfg(feature = "cluster")]
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.part {
        Some(part) => parts::run(part),
        None => rows::run(args),
    }
}

/// Measures everything a little, with debug builds: the figures mean nothing, but that there are some does.
pub(crate) fn smoke() -> Result<()> {
    run_command(&mut with_cluster("dev", ["bench", "--n", "40", "--repeats", "1"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topology_is_two_numbers() {
        assert_eq!("2x4".parse(), Ok(Topology { workers: 2, cpus: 4 }));
        for text in ["", "2", "2x", "x4", "2x0", "65x1", "2x4x1"] {
            assert!(text.parse::<Topology>().is_err(), "{text}");
        }
    }
}
