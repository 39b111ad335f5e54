//! `cargo xtask test`: the tests, by the one command that the README and CI both give.

use std::process::Command;

use anyhow::Result;

use crate::python;
use crate::workspace::{EVERYTHING, cargo, has_cargo_command, run as run_command};

/// Run the tests: unit and integration tests, doc tests, then those of the Python package
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to `cargo nextest run` (or `cargo test`) in place of all tests; doc tests and Python are then left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !args.rest.is_empty() {
        return run_command(tests(has_nextest()).args(&args.rest));
    }
    rust()?;
    python::run(&python::Args::default())
}

/// All tests that cargo runs.
pub(crate) fn rust() -> Result<()> {
    let nextest = has_nextest();
    let everything = ["--exclude", "bireme-sim", "--no-fail-fast"];
    run_command(tests(nextest).args(EVERYTHING).args(everything))?;
    // Hundreds of seeds: unoptimized they would take longer than all other tests together.
    let profile = if nextest { "--cargo-profile" } else { "--profile" };
    run_command(tests(nextest).args([profile, "sim", "--package", "bireme-sim"]))?;
    run_command(cargo(["test", "--doc"]).args(EVERYTHING))
}

/// nextest runs each test in a process of its own, so one that aborts or hangs is named.
fn has_nextest() -> bool {
    let found = has_cargo_command("nextest");
    if !found {
        println!("cargo-nextest is not installed: tests run under cargo test");
    }
    found
}

fn tests(nextest: bool) -> Command {
    if nextest { cargo(["nextest", "run"]) } else { cargo(["test"]) }
}
