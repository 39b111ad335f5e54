//! `cargo xtask test`: the tests, by the one command that the README and CI both give.

use anyhow::Result;

use crate::workspace::{EVERYTHING, cargo, has_cargo_command, run as run_command};

/// Run the tests: unit and integration tests, then doc tests
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Handed to `cargo nextest run` (or `cargo test`) in place of the whole workspace; doc tests are then left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // nextest runs each test in a process of its own, so one that aborts or hangs is named.
    let has_nextest = has_cargo_command("nextest");
    let tests = || if has_nextest { cargo(["nextest", "run"]) } else { cargo(["test"]) };
    if !has_nextest {
        println!("cargo-nextest is not installed: tests run under cargo test");
    }
    if !args.rest.is_empty() {
        return run_command(tests().args(&args.rest));
    }
    run_command(tests().args(EVERYTHING).args(["--exclude", "bireme-sim", "--no-fail-fast"]))?;
    // Hundreds of seeds: unoptimized they would take longer than all other tests together.
    let profile = if has_nextest { "--cargo-profile" } else { "--profile" };
    run_command(tests().args([profile, "sim", "--package", "bireme-sim"]))?;
    run_command(cargo(["test", "--doc"]).args(EVERYTHING))
}

/// The whole suite, as CI wants it.
pub(crate) fn run_all() -> Result<()> {
    run(&Args { rest: Vec::new() })
}
