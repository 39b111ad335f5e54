//! Runs seeds of the simulation from the command line.

use std::process::ExitCode;

use bireme_sim::{Coverage, Detail, Failure, actors, copies, run, shares};
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
    #[arg(long, conflicts_with = "copies")]
    actors: bool,
    /// Runs copies of an actor's log at other workers in place of the cluster.
    #[arg(long)]
    copies: bool,
    /// Prints how often each kind of event, effect and message was seen.
    #[arg(long)]
    coverage: bool,
}

/// Something whose seeds can be run.
trait Simulation: Default {
    /// What is looked at before any seed.
    fn check() -> Result<(), String> {
        Ok(())
    }

    /// Runs a seed, and notes what was seen.
    fn run(&mut self, seed: u64, faults: bool) -> Result<(), Failure>;

    /// Everything that happens with a seed, line by line.
    fn trace(seed: u64, faults: bool) -> Result<Vec<String>, Failure>;

    /// How often each kind was seen.
    fn counts(&self) -> Vec<(String, u64)>;

    /// What was run, besides so many seeds.
    fn told(&self) -> String;
}

/// Scheduler, workers and clients.
#[derive(Default)]
struct Cluster {
    coverage: Coverage,
    steps: u64,
    tasks: u64,
}

/// Callers and hosts of actors.
#[derive(Default)]
struct Actors(actors::Seen);

/// Copies of an actor's log.
#[derive(Default)]
struct Copies(copies::Seen);

fn main() -> ExitCode {
    let args = Args::parse();
    let runs = match (args.actors, args.copies) {
        (true, _) => simulate::<Actors>(&args),
        (_, true) => simulate::<Copies>(&args),
        _ => simulate::<Cluster>(&args),
    };
    if runs { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs what was asked for. Returns whether all is well.
#[expect(clippy::print_stdout, reason = "this is what it is for")]
fn simulate<S: Simulation>(args: &Args) -> bool {
    if let Some(seed) = args.trace {
        match S::trace(seed, !args.calm) {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            Err(failure) => println!("{failure}"),
        }
        return true;
    }
    if let Err(what) = S::check() {
        println!("{what}");
        return false;
    }
    let (mut simulation, mut failures) = (S::default(), 0);
    let seeds = args.first..args.first + args.seeds;
    for (seed, faults) in seeds.flat_map(|seed| [(seed, false), (seed, true)]) {
        if let Err(what) = run_seed(&mut simulation, seed, faults, args.twice) {
            println!("{what}");
            failures += 1;
        }
        if failures >= args.failures {
            return false;
        }
    }
    if args.coverage {
        simulation.counts().into_iter().for_each(|(kind, count)| println!("{count:>9} {kind}"));
    }
    println!("{} seeds, {}, {failures} failures", args.seeds, simulation.told());
    failures == 0
}

/// Runs a seed, twice more if that is wanted: with the same seed the same happens.
fn run_seed<S: Simulation>(
    simulation: &mut S,
    seed: u64,
    faults: bool,
    twice: bool,
) -> Result<(), String> {
    let told = |failure: Failure| failure.to_string();
    simulation.run(seed, faults).map_err(told)?;
    if twice && S::trace(seed, faults).map_err(told)? != S::trace(seed, faults).map_err(told)? {
        return Err(format!("seed {seed}: the second run differs from the first"));
    }
    Ok(())
}

impl Simulation for Cluster {
    fn check() -> Result<(), String> {
        shares().map_err(|what| format!("shares: {what}"))
    }

    fn run(&mut self, seed: u64, faults: bool) -> Result<(), Failure> {
        let outcome = run(seed, faults, Detail::Nothing)?;
        self.coverage.add(&outcome.coverage);
        self.steps += outcome.steps;
        self.tasks += outcome.tasks;
        Ok(())
    }

    fn trace(seed: u64, faults: bool) -> Result<Vec<String>, Failure> {
        run(seed, faults, Detail::All).map(|outcome| outcome.lines)
    }

    fn counts(&self) -> Vec<(String, u64)> {
        self.coverage.counts().collect()
    }

    fn told(&self) -> String {
        format!("{} tasks, {} steps", self.tasks, self.steps)
    }
}

impl Simulation for Actors {
    fn run(&mut self, seed: u64, faults: bool) -> Result<(), Failure> {
        self.0.add(&actors::run(seed, faults, Detail::Nothing)?);
        Ok(())
    }

    fn trace(seed: u64, faults: bool) -> Result<Vec<String>, Failure> {
        actors::trace(seed, faults)
    }

    fn counts(&self) -> Vec<(String, u64)> {
        self.0.counts().map(|(kind, count)| (kind.to_owned(), count)).collect()
    }

    fn told(&self) -> String {
        "with callers and hosts of actors".to_owned()
    }
}

impl Simulation for Copies {
    fn run(&mut self, seed: u64, faults: bool) -> Result<(), Failure> {
        self.0.add(copies::run(seed, faults, Detail::Nothing)?);
        Ok(())
    }

    fn trace(seed: u64, faults: bool) -> Result<Vec<String>, Failure> {
        copies::trace(seed, faults)
    }

    fn counts(&self) -> Vec<(String, u64)> {
        self.0.counts().map(|(kind, count)| (kind.to_owned(), count)).collect()
    }

    fn told(&self) -> String {
        "with copies of an actor's log".to_owned()
    }
}
