//! The in-process pool: threads that run native functions.

pub(crate) mod plan;
mod waits;

use std::io;
use std::sync::Arc;

use bireme_core::graph::Runtime;
use bireme_core::protocol::Timing;
use bireme_core::{AttemptId, TaskError, limits};

use self::plan::Plans;
use self::waits::{Place, Waits};
use super::crew::{Bell, Crew, Seat, Trade};
use super::relay::Relay;
use super::{Executor, Job, Kill};
use crate::clock::Clock;
use crate::registry::{Context, Outputs, Registry, Stop};
use crate::target::Scheduler;

/// Runs native functions on threads of this process.
#[derive(Debug)]
pub(crate) struct Pool {
    crew: Crew<Natives>,
    waits: Arc<Waits>,
}

#[derive(Debug)]
struct Natives {
    registry: Arc<Registry>,
    /// Where code finds the cluster.
    scheduler: Scheduler,
    waits: Arc<Waits>,
}

impl Pool {
    /// A pool without threads; they come with the attempts.
    pub(crate) fn new(
        relay: Arc<Relay>,
        registry: Arc<Registry>,
        scheduler: Scheduler,
        clock: Clock,
    ) -> Self {
        let waits = Arc::new(Waits::new(Arc::clone(&relay)));
        let natives = Natives { registry, scheduler, waits: Arc::clone(&waits) };
        Self { crew: Crew::new(natives, relay, clock), waits }
    }

    /// An attempt has the cpus again that it gave back.
    pub(crate) fn rejoined(&self, attempt: AttemptId) {
        self.waits.rejoined(attempt);
    }

    /// Asks running code to return, and lets every thread end after that.
    pub(crate) fn close(&self) {
        self.crew.close();
        self.waits.close();
    }
}

impl Executor for Pool {
    fn start(&self, job: Job) {
        self.crew.start(job);
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        self.crew.kill(attempt, kill);
        self.waits.give_up(attempt);
    }
}

impl Trade for Natives {
    type Bell = Stop;
    type Kept = Plans;

    const THREAD: &'static str = "native";
    const THREADS: usize = limits::POOL_THREADS;

    fn takes(runtime: &Runtime) -> bool {
        *runtime == Runtime::Native
    }

    fn run(
        &self,
        seat: &Seat<Stop>,
        plans: &mut Plans,
        job: &Job,
        _: &mut Timing,
    ) -> Result<Outputs, Box<TaskError>> {
        let execution = &job.execution;
        let place = Place::new(&self.waits, &self.scheduler, seat, execution.attempt);
        let of = (execution.attempt, execution.key.as_str());
        let mut context = Context::new(of, execution.outputs, seat.bell(), &place);
        let outcome = plans.call(&self.registry, job, &mut context);
        // Code cannot be made to end: whatever it has returned since it was asked to is dropped.
        seat.killed().map_or(outcome, |kill| Err(kill.error()))
    }
}

impl Bell for Stop {
    fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    fn ring(&self) {
        self.ask();
    }

    fn silence(&self) {
        self.reset();
    }
}

#[cfg(test)]
mod tests;
