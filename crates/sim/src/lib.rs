//! Scheduler and workers together, in virtual time and with faults.
//!
//! From one seed come a fleet, sessions, their graphs, latencies, and what goes wrong ([`run`]). The machines are the real
//! ones; their drivers, the executors, the stores and the network are models that do what the real ones do, only that they
//! like to do it late, in small portions, or at the worst moment. After every step the machines recount their invariants;
//! when everything has ended, results are compared with those of a sequential interpreter, the scheduler's beliefs with
//! what the workers hold, and after the last session has left nothing may be left anywhere.
//!
//! What this crate never does: read a clock, draw a number that does not come from the seed, or run anything in parallel.
//! The same seed is the same run, so a seed that fails is a test.

pub mod actors;
mod agenda;
mod ahead;
mod brief;
mod client;
mod cluster;
mod coverage;
pub mod deadlocks;
mod executor;
mod faults;
mod load;
mod network;
mod reference;
mod report;
mod rng;
mod scheduler;
mod shares;
mod store;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use ahead::Chains;
pub use coverage::{Coverage, FAILURES, REFUSALS};
pub use report::{Detail, Failure, Outcome};
pub use shares::shares;

use cluster::Cluster;

/// Runs a seed. If it fails it runs again, with the last lines of its trace kept for the report.
pub fn run(seed: u64, faults: bool, detail: Detail) -> Result<Outcome, Failure> {
    let failure = match run_once(seed, faults, detail) {
        Err(failure) if detail == Detail::Nothing => failure,
        other => return other,
    };
    Err(run_once(seed, faults, Detail::Last).err().unwrap_or(failure))
}

fn run_once(seed: u64, faults: bool, detail: Detail) -> Result<Outcome, Failure> {
    Cluster::new(seed, faults, detail).finish()
}

impl Cluster {
    /// Runs to the end and says how it went.
    fn finish(mut self) -> Result<Outcome, Failure> {
        let result = catch_unwind(AssertUnwindSafe(|| self.run()));
        let what = match result {
            Ok(Ok(())) => {
                return Ok(Outcome {
                    digest: self.world.trace.digest(),
                    steps: self.steps,
                    took: self.took(),
                    tasks: self.tasks(),
                    lines: self.world.trace.take_lines(),
                    coverage: self.world.coverage,
                });
            }
            Ok(Err(what)) => what,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("panic: {}", text.unwrap_or("without a message"))
            }
        };
        let lines = self.world.trace.take_lines();
        Err(Failure {
            seed: self.seed,
            faults: !self.faults.is_empty(),
            step: self.steps,
            what,
            lines,
        })
    }
}
