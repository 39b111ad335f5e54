//! The in-process pool: threads that run native functions.
//!
//! There is a thread for each attempt that runs, and threads are kept. One that ends its attempt takes over the next
//! follower with the same resources before it parks, so that a run of short attempts costs no thread switch each.

mod plan;

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use bireme_core::graph::Runtime;
use bireme_core::protocol::Timing;
use bireme_core::{AttemptId, ErrorClass, Reason, TaskError, limits};

use self::plan::Plans;
use super::relay::{End, Relay};
use super::{Executor, Job, Kill};
use crate::clock::Clock;
use crate::failure::failure;
use crate::registry::{Context, Outputs, Registry, Stop};
use crate::sync::lock;

/// Threads that run native functions.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    relay: Arc<Relay>,
    registry: Arc<Registry>,
    clock: Clock,
    crew: Mutex<Crew>,
}

#[derive(Debug, Default)]
struct Crew {
    /// Every thread.
    all: Vec<Arc<Seat>>,
    /// Those that wait for an attempt; the last one is the warmest.
    parked: Vec<Arc<Seat>>,
    /// Attempts that wait for a thread, because there are as many as there may be.
    waiting: VecDeque<Job>,
    closed: bool,
}

/// A thread's place.
#[derive(Debug, Default)]
struct Seat {
    /// What the thread is given next.
    given: Mutex<Given>,
    /// `given` has changed.
    changed: Condvar,
    /// What it runs.
    running: Mutex<Running>,
    /// How the code that it runs is asked to return.
    stop: Stop,
}

#[derive(Debug, Default)]
enum Given {
    Job(Job),
    Leave,
    #[default]
    Nothing,
}

#[derive(Debug, Default)]
struct Running {
    attempt: Option<AttemptId>,
    killed: Option<Kill>,
}

impl Pool {
    /// A pool without threads; they come with the attempts.
    pub(crate) fn new(relay: Arc<Relay>, registry: Arc<Registry>, clock: Clock) -> Self {
        Self { shared: Arc::new(Shared { relay, registry, clock, crew: Mutex::default() }) }
    }

    /// Asks running code to return, and lets every thread end after that.
    pub(crate) fn close(&self) {
        let mut crew = lock(&self.shared.crew);
        crew.closed = true;
        crew.waiting.clear();
        for seat in crew.parked.drain(..) {
            seat.give(Given::Leave);
        }
        for seat in crew.all.drain(..) {
            seat.stop.ask();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Executor for Pool {
    fn start(&self, job: Job) {
        let mut crew = lock(&self.shared.crew);
        if crew.closed {
            return;
        }
        if let Some(seat) = crew.parked.pop() {
            seat.assign(&job);
            drop(crew);
            seat.give(Given::Job(job));
        } else if crew.all.len() < limits::POOL_THREADS {
            let seat = Arc::new(Seat::default());
            seat.assign(&job);
            seat.give(Given::Job(job));
            match self.spawn(&seat) {
                Ok(()) => crew.all.push(seat),
                Err(error) => {
                    drop(crew);
                    self.refuse(&seat, &error);
                }
            }
        } else {
            crew.waiting.push_back(job);
        }
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        let mut crew = lock(&self.shared.crew);
        if let Some(at) = crew.waiting.iter().position(|job| job.attempt() == attempt)
            && let Some(job) = crew.waiting.remove(at)
        {
            return self.shared.relay.refuse(&job, kill.error());
        }
        for seat in &crew.all {
            let mut running = lock(&seat.running);
            if running.attempt == Some(attempt) {
                running.killed = Some(kill);
                seat.stop.ask();
                return;
            }
        }
    }
}

impl Pool {
    fn spawn(&self, seat: &Arc<Seat>) -> std::io::Result<()> {
        let (shared, seat) = (Arc::clone(&self.shared), Arc::clone(seat));
        thread::Builder::new().name("native".to_owned()).spawn(move || shared.work(&seat))?;
        Ok(())
    }

    /// Fails the attempt that `seat` was to run: the system gives no thread.
    fn refuse(&self, seat: &Seat, error: &std::io::Error) {
        let Given::Job(job) = std::mem::take(&mut *lock(&seat.given)) else { return };
        let message = format!("no thread can be started: {error}; raise the limit of processes");
        let error = failure(ErrorClass::Reschedule, Reason::Busy, message);
        self.shared.relay.end(End::failed(&job, error), |_| false);
    }
}

impl Shared {
    /// The life of a thread.
    fn work(&self, seat: &Arc<Seat>) {
        let mut plans = Plans::default();
        let mut job = seat.take();
        while let Some(current) = job {
            let end = self.run(seat, &mut plans, current);
            let next = self.relay.end(end, |next| {
                let native = next.execution.runtime == Runtime::Native;
                if native {
                    seat.assign(next);
                }
                native
            });
            job = next.or_else(|| self.next(seat));
        }
    }

    /// Waits for an attempt; `None` to leave.
    fn next(&self, seat: &Arc<Seat>) -> Option<Job> {
        let mut crew = lock(&self.crew);
        if crew.closed {
            return None;
        }
        if let Some(job) = crew.waiting.pop_front() {
            seat.assign(&job);
            return Some(job);
        }
        crew.parked.push(Arc::clone(seat));
        drop(crew);
        seat.take()
    }

    fn run(&self, seat: &Seat, plans: &mut Plans, job: Job) -> End {
        let started = self.clock.now();
        let outcome = self.call(seat, plans, &job);
        let ended = self.clock.now();
        let killed = std::mem::take(&mut *lock(&seat.running)).killed;
        let timing = Timing {
            wait: started.since(job.handed),
            run: ended.since(started),
            ..Timing::default()
        };
        let outcome = killed.map_or(outcome, |kill| Err(kill.error()));
        let attempt = job.attempt();
        End { attempt, resources: job.execution.resources, outcome, timing }
    }

    fn call(&self, seat: &Seat, plans: &mut Plans, job: &Job) -> Result<Outputs, Box<TaskError>> {
        let plan = plans.plan(job, &self.registry)?;
        let execution = &job.execution;
        let mut context =
            Context::new(execution.attempt, &execution.key, execution.outputs, &seat.stop);
        // What a panic leaves behind is the function's own: nothing of ours is changed within the call.
        let called = catch_unwind(AssertUnwindSafe(|| plan.call(&mut context, job)));
        let outputs = called.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        if outputs.len() == usize::from(execution.outputs) {
            return Ok(outputs);
        }
        let message = format!(
            "the function made {} outputs, the task's class declares {}",
            outputs.len(),
            execution.outputs
        );
        Err(failure(ErrorClass::Serialize, Reason::UserError, message))
    }
}

impl Seat {
    /// Notes what the thread is about to run, before anybody could ask for its end.
    fn assign(&self, job: &Job) {
        self.stop.reset();
        *lock(&self.running) = Running { attempt: Some(job.attempt()), killed: None };
    }

    /// Gives the thread something, which it has asked for by parking.
    fn give(&self, given: Given) {
        *lock(&self.given) = given;
        self.changed.notify_one();
    }

    /// Waits until something is given; `None` is to leave.
    fn take(&self) -> Option<Job> {
        let nothing = |given: &mut Given| matches!(given, Given::Nothing);
        let waited = self.changed.wait_while(lock(&self.given), nothing);
        match std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner)) {
            Given::Job(job) => Some(job),
            Given::Leave | Given::Nothing => None,
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Box<TaskError> {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the panic has no message");
    let mut error = failure(ErrorClass::User, Reason::UserPanic, text);
    "rust".clone_into(&mut error.language);
    error
}

#[cfg(test)]
mod tests;
