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
pub mod copies;
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
mod seed;
mod shares;
mod store;
mod worker;
mod world;

pub use ahead::Chains;
pub use coverage::{Coverage, FAILURES, REFUSALS};
pub use report::{Detail, Failure, Outcome};
pub use shares::shares;

use cluster::Cluster;
use seed::{caught, explained};

/// Runs a seed. If it fails it runs again, with the last lines of its trace kept for the report.
pub fn run(seed: u64, faults: bool, detail: Detail) -> Result<Outcome, Failure> {
    explained(detail, |detail| Cluster::new(seed, faults, detail).finish())
}

impl Cluster {
    /// Runs to the end and says how it went.
    fn finish(mut self) -> Result<Outcome, Failure> {
        let result = caught(|| self.run());
        let lines = self.world.trace.take_lines();
        match result {
            Ok(()) => Ok(Outcome {
                digest: self.world.trace.digest(),
                steps: self.steps,
                took: self.took(),
                tasks: self.tasks(),
                lines,
                coverage: self.world.coverage,
            }),
            Err(what) => Err(Failure {
                seed: self.seed,
                faults: !self.faults.is_empty(),
                step: self.steps,
                what,
                lines,
            }),
        }
    }
}
