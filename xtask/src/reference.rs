//! `cargo xtask reference`: pages of `docs/reference/` that say what the programs and the protocol say of themselves.
//!
//! Programs are asked: their help pages, and what daemons show under `/metrics`. The protocol is read from `proto/` with
//! its comments. So it is built with the feature `cluster`, as whatever starts daemons is.

#[cfg(feature = "cluster")]
mod cli;
#[cfg(feature = "cluster")]
mod configuration;
#[cfg(feature = "cluster")]
mod environment;
#[cfg(feature = "cluster")]
mod grpc;
#[cfg(feature = "cluster")]
mod help;
#[cfg(feature = "cluster")]
mod metrics;
#[cfg(feature = "cluster")]
mod pages;

use anyhow::Result;

use crate::workspace::{run as run_command, with_cluster};

/// Write the generated pages of docs/reference: cli, configuration, environment, grpc and metrics
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a committed page is not what would be generated
    #[arg(long)]
    check: bool,
}

#[cfg(not(feature = "cluster"))]
pub(crate) fn run(_: &Args) -> Result<()> {
    crate::workspace::become_with_cluster("dev")
}

#[cfg(feature = "cluster")]
pub(crate) fn run(args: &Args) -> Result<()> {
    pages::run(args)
}

/// The comparison, as CI wants it.
pub(crate) fn check() -> Result<()> {
    run_command(&mut with_cluster("dev", ["reference", "--check"]))
}
