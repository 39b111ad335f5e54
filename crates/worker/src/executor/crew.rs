//! Threads that run attempts of one kind, one each.
//!
//! Threads come with the attempts and are kept. One that ends its attempt takes over the next follower with the same
//! resources before it parks, so that a run of short attempts costs no thread switch each.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use bireme_core::graph::Runtime;
use bireme_core::protocol::Timing;
use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};
use tokio::sync::Notify;

use super::relay::{End, Relay};
use super::{Executor, Job, Kill};
use crate::clock::Clock;
use crate::failure::failure;
use crate::machine::Execution;
use crate::registry::Outputs;
use crate::sync::lock;

/// How attempts of one kind are run.
pub(crate) trait Trade: fmt::Debug + Send + Sync + 'static {
    /// Wakes whoever runs an attempt, because its end is wanted.
    type Bell: Bell;
    /// What a thread keeps from attempt to attempt.
    type Kept: Default;

    /// Name of the threads.
    const THREAD: &'static str;
    /// So many at most; further attempts wait for one.
    const THREADS: usize;

    /// Whether it is for attempts of this kind.
    fn takes(runtime: &Runtime) -> bool;

    /// Runs an attempt; `timing` takes what only this knows of.
    fn run(
        &self,
        seat: &Seat<Self::Bell>,
        kept: &mut Self::Kept,
        job: &Job,
        timing: &mut Timing,
    ) -> Result<Outputs, Box<TaskError>>;
}

/// Wakes whoever runs an attempt.
pub(crate) trait Bell: fmt::Debug + Send + Sync + Sized + 'static {
    /// One that is silent.
    fn new() -> io::Result<Self>;

    /// Wakes.
    fn ring(&self);

    /// Makes it silent, for the next attempt.
    fn silence(&self);
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Crew<T: Trade> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T: Trade> {
    trade: T,
    relay: Arc<Relay>,
    clock: Clock,
    roster: Mutex<Roster<T::Bell>>,
    /// Nothing starts any more. Set with the roster locked.
    closed: AtomicBool,
    /// A thread has ended.
    left: Notify,
}

#[derive(Debug)]
struct Roster<B> {
    /// Every thread.
    all: Vec<Arc<Seat<B>>>,
    /// Those that wait for an attempt; the last one is the warmest.
    parked: Vec<Arc<Seat<B>>>,
    /// Attempts that wait for a thread, because there are as many as there may be.
    waiting: VecDeque<Job>,
}

/// A thread's place.
#[derive(Debug)]
pub(crate) struct Seat<B> {
    /// What the thread is given next.
    given: Mutex<Given>,
    /// `given` has changed.
    changed: Condvar,
    /// What it runs.
    running: Mutex<Running>,
    bell: B,
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

impl<T: Trade> Crew<T> {
    /// A crew without threads.
    pub(crate) fn new(trade: T, relay: Arc<Relay>, clock: Clock) -> Self {
        let roster = Roster { all: Vec::new(), parked: Vec::new(), waiting: VecDeque::new() };
        let (roster, closed, left) = (Mutex::new(roster), AtomicBool::new(false), Notify::new());
        Self { shared: Arc::new(Shared { trade, relay, clock, roster, closed, left }) }
    }

    /// Ends what runs, and lets every thread end after that.
    pub(crate) fn close(&self) {
        let mut roster = lock(&self.shared.roster);
        self.shared.closed.store(true, Ordering::Relaxed);
        roster.waiting.clear();
        for seat in roster.parked.drain(..) {
            seat.give(Given::Leave);
        }
        for seat in &roster.all {
            seat.kill(None, Kill::AT_ONCE);
        }
    }

    /// Waits until no thread is left, after [`Crew::close`].
    pub(crate) async fn left(&self) {
        while !lock(&self.shared.roster).all.is_empty() {
            self.shared.left.notified().await;
        }
    }

    /// How many threads there are.
    #[cfg(test)]
    pub(crate) fn threads(&self) -> usize {
        lock(&self.shared.roster).all.len()
    }

    fn spawn(&self, seat: &Arc<Seat<T::Bell>>) -> io::Result<()> {
        let (shared, seat) = (Arc::clone(&self.shared), Arc::clone(seat));
        thread::Builder::new().name(T::THREAD.to_owned()).spawn(move || shared.work(&seat))?;
        Ok(())
    }

    /// Finds a thread for an attempt. If the system gives none, the attempt comes back and the reason with it.
    fn hire(&self, roster: &mut Roster<T::Bell>, job: Job) -> Option<(Job, io::Error)> {
        let bell = match T::Bell::new() {
            Ok(bell) => bell,
            Err(error) => return Some((job, error)),
        };
        let seat = Arc::new(Seat::new(bell));
        seat.assign(&job);
        seat.give(Given::Job(job));
        let Err(error) = self.spawn(&seat) else {
            roster.all.push(seat);
            return None;
        };
        match std::mem::take(&mut *lock(&seat.given)) {
            Given::Job(job) => Some((job, error)),
            Given::Leave | Given::Nothing => unreachable!("nobody else has the seat"),
        }
    }
}

impl<T: Trade> Drop for Crew<T> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<T: Trade> Executor for Crew<T> {
    fn start(&self, job: Job) {
        let mut roster = lock(&self.shared.roster);
        if self.shared.is_closed() {
            return;
        }
        if let Some(seat) = roster.parked.pop() {
            seat.assign(&job);
            drop(roster);
            seat.give(Given::Job(job));
        } else if roster.all.len() < T::THREADS {
            let without = self.hire(&mut roster, job);
            drop(roster);
            if let Some((job, error)) = without {
                self.shared.refuse(&job, &error);
            }
        } else {
            roster.waiting.push_back(job);
        }
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        let mut roster = lock(&self.shared.roster);
        if let Some(at) = roster.waiting.iter().position(|job| job.attempt() == attempt)
            && let Some(job) = roster.waiting.remove(at)
        {
            drop(roster);
            return self.shared.relay.refuse(&job, kill.error());
        }
        roster.all.iter().any(|seat| seat.kill(Some(attempt), kill));
    }
}

impl<T: Trade> Shared<T> {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The life of a thread.
    fn work(&self, seat: &Arc<Seat<T::Bell>>) {
        let mut kept = T::Kept::default();
        let mut job = seat.take();
        while let Some(current) = job {
            let end = self.run(seat, &mut kept, current);
            let next = self.relay.end(end, |next| {
                if !T::takes(&next.execution.runtime) {
                    return false;
                }
                seat.assign(next);
                // Looked at after that: whoever closes the crew from here on finds the attempt.
                !self.is_closed()
            });
            job = next.or_else(|| self.next(seat));
        }
        lock(&self.roster).all.retain(|other| !Arc::ptr_eq(other, seat));
        self.left.notify_one();
    }

    /// Waits for an attempt; `None` to leave.
    fn next(&self, seat: &Arc<Seat<T::Bell>>) -> Option<Job> {
        let mut roster = lock(&self.roster);
        if self.is_closed() {
            return None;
        }
        if let Some(job) = roster.waiting.pop_front() {
            seat.assign(&job);
            return Some(job);
        }
        roster.parked.push(Arc::clone(seat));
        drop(roster);
        seat.take()
    }

    fn run(&self, seat: &Seat<T::Bell>, kept: &mut T::Kept, job: Job) -> End {
        let started = self.clock.now();
        let slot = self.relay.black_box().started(job.attempt());
        let mut timing = Timing::default();
        let outcome = self.trade.run(seat, kept, &job, &mut timing);
        self.relay.black_box().ended(slot);
        timing.wait = started.since(job.handed);
        timing.run = self.clock.now().since(started);
        *lock(&seat.running) = Running::default();
        let attempt = job.attempt();
        let Execution { runtime, resources, .. } = *job.execution;
        End { attempt, runtime, resources, outcome, timing }
    }

    /// Fails an attempt that has no thread to run on.
    fn refuse(&self, job: &Job, error: &io::Error) {
        let message = format!("no thread can be started: {error}; raise the limit of processes");
        let error = failure(ErrorClass::Reschedule, Reason::Busy, message);
        self.relay.end(End::failed(job, error), |_| false);
    }
}

impl<B: Bell> Seat<B> {
    fn new(bell: B) -> Self {
        Self { given: Mutex::default(), changed: Condvar::new(), running: Mutex::default(), bell }
    }

    /// Rings when [`Seat::killed`] has news.
    pub(crate) fn bell(&self) -> &B {
        &self.bell
    }

    /// How the attempt is to be ended, if it is.
    pub(crate) fn killed(&self) -> Option<Kill> {
        lock(&self.running).killed
    }

    /// Notes what the thread is about to run, before anybody could ask for its end.
    fn assign(&self, job: &Job) {
        let mut running = lock(&self.running);
        self.bell.silence();
        *running = Running { attempt: Some(job.attempt()), killed: None };
    }

    /// Has what runs here be ended, if it is this attempt or none is named. Asked for again, it may become sooner.
    fn kill(&self, attempt: Option<AttemptId>, kill: Kill) -> bool {
        let mut running = lock(&self.running);
        if running.attempt.is_none() || attempt.is_some_and(|named| running.attempt != Some(named))
        {
            return false;
        }
        let first = running.killed.unwrap_or(kill);
        running.killed = Some(Kill { grace: first.grace.min(kill.grace), ..first });
        // With the lock held, so that it does not ring for the next attempt.
        self.bell.ring();
        true
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
