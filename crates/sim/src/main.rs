//! Runs seeds of the simulation from the command line.

use std::process::ExitCode;

use bireme_sim::{Coverage, Detail, actors, run, shares};
use clap::Parser;

/// Runs the cluster simulation.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds, each without and with faults.
    #[arg(long, default_value_t = 300)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Runs each seed twice and compares the two.
    #[arg(long)]
    twice: bool,
    /// Runs only this seed, and prints everything that happens.
    #[arg(long)]
    trace: Option<u64>,
    /// With `--trace`: without faults.
    #[arg(long)]
    calm: bool,
    /// Goes on after a failure, up to so many.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// Runs callers and hosts of actors in place of the cluster.
    #[arg(long)]
    actors: bool,
    /// Prints how often each kind of event, effect and message was seen.
    #[arg(long)]
    coverage: bool,
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn main() -> ExitCode {
    let args = Args::parse();
    if args.actors {
        return run_actors(&args);
    }
    if let Some(seed) = args.trace {
        match run(seed, !args.calm, Detail::All) {
            Ok(outcome) => outcome.lines.iter().for_each(|line| println!("{line}")),
            Err(failure) => println!("{failure}"),
        }
        return ExitCode::SUCCESS;
    }
    if let Err(what) = shares() {
        println!("shares: {what}");
        return ExitCode::FAILURE;
    }
    let (mut failures, mut coverage, mut steps, mut tasks) = (0, Coverage::default(), 0, 0);
    for (seed, faults) in
        (args.first..args.first + args.seeds).flat_map(|seed| [(seed, false), (seed, true)])
    {
        let detail = if args.twice { Detail::Last } else { Detail::Nothing };
        let result = run(seed, faults, detail).and_then(|outcome| {
            if args.twice && run(seed, faults, detail)?.digest != outcome.digest {
                println!("seed {seed}: the second run differs from the first");
                failures += 1;
            }
            Ok(outcome)
        });
        match result {
            Ok(outcome) => {
                coverage.add(&outcome.coverage);
                steps += outcome.steps;
                tasks += outcome.tasks;
            }
            Err(failure) => {
                println!("{failure}");
                failures += 1;
            }
        }
        if failures >= args.failures {
            return ExitCode::FAILURE;
        }
    }
    if args.coverage {
        coverage.counts().for_each(|(kind, count)| println!("{count:>9} {kind}"));
    }
    println!("{} seeds, {tasks} tasks, {steps} steps, {failures} failures", args.seeds);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn run_actors(args: &Args) -> ExitCode {
    if let Some(seed) = args.trace {
        match actors::trace(seed, !args.calm) {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            Err(failure) => println!("{failure}"),
        }
        return ExitCode::SUCCESS;
    }
    let (mut failures, mut seen) = (0, actors::Seen::default());
    for seed in args.first..args.first + args.seeds {
        for faults in [false, true] {
            match actors::run(seed, faults, Detail::Nothing) {
                Ok(of_run) => seen.add(&of_run),
                Err(failure) => {
                    println!("{failure}");
                    failures += 1;
                }
            }
            if failures >= args.failures {
                return ExitCode::FAILURE;
            }
        }
    }
    if args.coverage {
        seen.counts().for_each(|(kind, count)| println!("{count:>9} {kind}"));
    }
    println!("{} seeds of actors, {failures} failures", args.seeds);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
