//! `cargo xtask it`: integration tests over real processes.
//!
//! Each check has daemons, ports and a directory of its own, and ends within a guard. `runner` runs the table in `checks`;
//! the checks themselves are grouped by what they are about. Those that kill at random take `BIREME_STORM_SEED`, and for more of
//! the same `BIREME_STORM_CALLS`.

#[cfg(feature = "cluster")]
mod actors;
#[cfg(feature = "cluster")]
mod ahead;
#[cfg(feature = "cluster")]
mod beside;
#[cfg(feature = "cluster")]
mod blobs;
#[cfg(feature = "cluster")]
mod calling;
#[cfg(feature = "cluster")]
mod checks;
#[cfg(feature = "cluster")]
mod commands;
#[cfg(feature = "cluster")]
mod copies;
#[cfg(feature = "cluster")]
mod counters;
#[cfg(feature = "cluster")]
mod cut;
#[cfg(feature = "cluster")]
mod daemons;
#[cfg(feature = "cluster")]
mod dice;
#[cfg(feature = "cluster")]
mod door;
#[cfg(feature = "cluster")]
mod graphs;
#[cfg(feature = "cluster")]
mod isolated;
#[cfg(feature = "cluster")]
mod liars;
#[cfg(feature = "cluster")]
mod links;
#[cfg(feature = "cluster")]
mod loss;
#[cfg(feature = "cluster")]
mod node;
#[cfg(feature = "cluster")]
mod once;
#[cfg(feature = "cluster")]
mod partings;
#[cfg(feature = "cluster")]
mod python;
#[cfg(feature = "cluster")]
mod refused;
#[cfg(feature = "cluster")]
mod relay;
#[cfg(feature = "cluster")]
mod relayed_calls;
#[cfg(feature = "cluster")]
mod runner;
#[cfg(feature = "cluster")]
mod scarcity;
#[cfg(feature = "cluster")]
mod sessions;
#[cfg(feature = "cluster")]
mod shapes;
#[cfg(feature = "cluster")]
mod store;
#[cfg(feature = "cluster")]
mod storm;
#[cfg(feature = "cluster")]
mod supervise;
#[cfg(feature = "cluster")]
mod unshare;
#[cfg(feature = "cluster")]
mod wire;
#[cfg(feature = "cluster")]
mod wordcount;

use anyhow::Result;

use crate::workspace::{run as run_command, with_cluster};

/// Test daemons, client and command line as processes of their own
#[derive(clap::Args)]
pub(crate) struct Args {
    /// `quick` leaves out the checks that take seconds
    extent: Option<Extent>,
    /// Only these checks, separated by commas
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    only: Vec<String>,
    /// Name the checks and exit
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Extent {
    Quick,
}

#[cfg(not(feature = "cluster"))]
pub(crate) fn run(_: &Args) -> Result<()> {
    crate::workspace::become_with_cluster("dev")
}

#[cfg(feature = "cluster")]
pub(crate) fn run(args: &Args) -> Result<()> {
    runner::run(args)
}

/// All of them, as CI wants it.
pub(crate) fn check() -> Result<()> {
    run_command(&mut with_cluster("dev", ["it"]))
}
