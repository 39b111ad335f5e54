//! `cargo xtask ci`: what CI runs, and nothing that CI does not.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::workspace::{EVERYTHING, cargo, has_cargo_command, run as run_command};
use crate::{
    bench, codegen, conformance, it, proto, python, reference, refusals, systemd, test, tidy, units,
};

/// Run every check that CI runs, in the same order
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these steps, separated by commas
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = STEPS.map(|step| step.name))]
    only: Vec<String>,
    /// Leave out the steps that take minutes
    #[arg(long, conflicts_with = "only")]
    quick: bool,
}

/// One thing that CI does. A new one is a line in [`STEPS`].
struct Step {
    name: &'static str,
    /// Left out by `--quick`.
    slow: bool,
    run: fn() -> Result<Outcome>,
}

enum Outcome {
    Passed,
    /// This machine cannot run the step, for this reason.
    Skipped(&'static str),
}

const fn step(name: &'static str, run: fn() -> Result<Outcome>) -> Step {
    Step { name, slow: false, run }
}

const fn slow(name: &'static str, run: fn() -> Result<Outcome>) -> Step {
    Step { name, slow: true, run }
}

const STEPS: [Step; 18] = [
    step("fmt", || passed(run_command(&mut cargo(["fmt", "--all", "--check"])))),
    step("clippy", || passed(clippy())),
    step("codegen", || passed(codegen::check())),
    step("proto", || passed(proto::check())),
    step("refusals", || passed(refusals::check())),
    step("tidy", || passed(tidy::check())),
    step("units", || possible(units::check())),
    slow("doc", || passed(doc())),
    slow("test", || passed(test::rust())),
    slow("wasm", || passed(wasm())),
    slow("python", || possible(python::check())),
    slow("wheel", || possible(python::wheel::check())),
    slow("reference", || passed(reference::check())),
    slow("conformance", || passed(conformance::check())),
    slow("it", || passed(it::check())),
    slow("bench", || passed(bench::smoke())),
    slow("systemd", || possible(systemd::check(None))),
    slow("deny", deny),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen: Vec<&Step> = STEPS
        .iter()
        .filter(|step| args.only.is_empty() || args.only.iter().any(|name| name == step.name))
        .filter(|step| !(args.quick && step.slow))
        .collect();
    let mut rows = Vec::new();
    let mut failed = None;
    for step in &chosen {
        println!("== {}", step.name);
        let started = now();
        let outcome = (step.run)();
        let took = now() - started;
        let word = match &outcome {
            Ok(Outcome::Passed) => "passed",
            Ok(Outcome::Skipped(reason)) => {
                println!("skipped: {}: {reason}", step.name);
                "skipped"
            }
            Err(_) => "FAILED",
        };
        rows.push((step.name, word, Some(took)));
        if let Err(error) = outcome {
            failed = Some((step.name, error));
            break;
        }
    }
    let not_run = chosen.iter().skip(rows.len()).map(|step| (step.name, "not run", None));
    rows.extend(not_run.collect::<Vec<_>>());
    print_table(&rows);
    failed.map_or(Ok(()), |(name, error)| {
        Err(error.context(anyhow!("step {name} failed; alone: cargo xtask ci --only {name}")))
    })
}

fn print_table(rows: &[(&str, &str, Option<Duration>)]) {
    println!("\n{:<12} {:<8} {:>9}", "step", "outcome", "seconds");
    for (name, word, took) in rows {
        let seconds = took.map_or_else(String::new, |took| format!("{:.1}", took.as_secs_f64()));
        println!("{name:<12} {word:<8} {seconds:>9}");
    }
    let total: Duration = rows.iter().filter_map(|(_, _, took)| *took).sum();
    println!("{:<12} {:<8} {:>9.1}", "total", "", total.as_secs_f64());
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

/// For a step that tells why this machine cannot run it.
fn possible(result: Result<Option<&'static str>>) -> Result<Outcome> {
    result.map(|reason| reason.map_or(Outcome::Passed, Outcome::Skipped))
}

fn clippy() -> Result<()> {
    let mut clippy = cargo(["clippy", "--all-targets"]);
    run_command(clippy.args(EVERYTHING).args(["--", "-D", "warnings"]))
}

/// What is behind a feature, because it takes long to build.
fn wasm() -> Result<()> {
    let worker = ["--package", "bireme-worker", "--features", "wasm", "--lib"];
    run_command(cargo(["clippy"]).args(worker).args(["--", "-D", "warnings"]))?;
    run_command(cargo(["test"]).args(worker).arg("wasm"))
}

fn doc() -> Result<()> {
    let mut doc = cargo(["doc", "--no-deps"]);
    run_command(doc.args(EVERYTHING).env("RUSTDOCFLAGS", "-D warnings"))
}

fn deny() -> Result<Outcome> {
    if !has_cargo_command("deny") {
        return Ok(Outcome::Skipped("cargo-deny is not installed"));
    }
    passed(run_command(&mut cargo(["deny", "check"])))
}

#[expect(clippy::disallowed_methods, reason = "how long a step took is told to people only")]
fn now() -> Instant {
    Instant::now()
}
