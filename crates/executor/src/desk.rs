//! Where the threads that run attempts and the one that holds the stream meet.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bireme_core::AttemptId;
use bireme_proto::pb::executor_order::answer::Answer;
use bireme_proto::pb::executor_report::{Leaving, Report};
use bireme_proto::pb::{ExecutorReport, executor_report};
use tokio::sync::Notify;

use crate::actors::Home;
use crate::batches::Batches;
use crate::runtime::Attempt;
use crate::stop::Stop;
use crate::sync::lock;
use crate::turns::Turns;

/// An attempt as the worker gave it.
#[derive(Debug)]
pub(crate) struct Given {
    /// Counts what was given, from 1.
    pub(crate) number: u64,
    pub(crate) attempt: Attempt,
}

/// What a thread of a slot is to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Be the thread of an actor.
    Actor(Home),
    /// Run an attempt.
    Attempt(Box<Given>),
}

/// What was to be cancelled.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// It has not started and will not.
    Waiting,
    /// It runs.
    Running,
    /// It is not here: its end has been told.
    Nothing,
}

/// Shared by all threads.
#[derive(Debug)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// There is an attempt, an answer, or nothing more to come.
    changed: Notify,
    pub(crate) reports: Batches<ExecutorReport>,
    /// Whoever waits here holds the stream.
    turns: Arc<Turns>,
    /// How many threads run code of actors.
    busy: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// Bounded by the worker, which ends a run that it gave too far ahead itself.
    waiting: VecDeque<Given>,
    running: Vec<(AttemptId, Arc<Stop>)>,
    /// Actors that are to live on a thread of a slot.
    homes: VecDeque<Home>,
    /// What was asked for, and the answer once it is here.
    asked: BTreeMap<u64, Option<Answer>>,
    /// Number of the last thing asked for.
    request: u64,
    /// Nothing more is taken on.
    draining: bool,
    /// Nothing more is run, and no answer comes.
    closed: bool,
}

impl Desk {
    /// One whose stream is held on a runtime.
    pub(crate) fn new(turns: Arc<Turns>) -> Self {
        let (state, busy) = (Mutex::default(), AtomicUsize::new(0));
        Self { state, changed: Notify::new(), reports: Batches::default(), turns, busy }
    }

    /// Tells the worker something.
    pub(crate) fn report(&self, report: Report) {
        self.reports.push(wrap(report));
    }

    /// Tells that an attempt runs, when there is something else to tell: it may be over by then.
    pub(crate) fn report_start(&self, started: executor_report::Started) {
        self.reports.push_late(wrap(Report::Started(started)));
    }

    /// Tells how an attempt ended, when [`Self::report_reply`] tells of a call. That it had started goes without saying.
    pub(crate) fn report_end(&self, end: Report) {
        let is_start = |last: &ExecutorReport| matches!(last.report, Some(Report::Started(_)));
        self.reports.supersede(wrap(end), is_start);
        if self.turns.are_taken() {
            self.reports.flush();
        }
    }

    /// Tells how a call of an actor ended. It is sent with the next, or when this thread waits; or by whoever holds the stream
    /// meanwhile, who is woken then: to wake the stream from outside of its runtime takes longer than a short call.
    pub(crate) fn report_reply(&self, reply: Report) {
        self.reports.push_late(wrap(reply));
        if self.turns.are_taken() {
            self.reports.flush();
        }
    }

    /// Sends what was told, where nobody else does.
    pub(crate) fn catch_up(&self) {
        if self.turns.are_taken() {
            return self.reports.flush();
        }
        self.turns.wait(async {
            self.reports.flush();
            tokio::task::yield_now().await;
        });
    }

    /// Holds the stream whenever nobody else does, until something is done. For the thread that belongs to the stream.
    pub(crate) fn hold<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        // Looked at whenever that thread begins to hold the stream: what was told before then woke nobody.
        self.turns.drive(poll_fn(|context| {
            self.reports.flush();
            work.as_mut().poll(context)
        }))
    }

    /// Has an attempt wait its turn; it is given back if nothing is taken on any more.
    pub(crate) fn give(&self, given: Given) -> Result<(), Box<Attempt>> {
        let mut state = lock(&self.state);
        if state.draining || state.closed {
            return Err(Box::new(given.attempt));
        }
        state.waiting.push_back(given);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Has an actor live on a thread of a slot.
    pub(crate) fn host(&self, home: Home) {
        let mut state = lock(&self.state);
        if !state.closed {
            state.homes.push_back(home);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The next attempt to run here, or actor to live here; `None` to leave. Calls `idle` before it waits.
    pub(crate) fn take(&self, idle: impl FnOnce()) -> Option<Next> {
        let nothing = |state: &State| state.waiting.is_empty() && state.homes.is_empty();
        let mut state = lock(&self.state);
        if nothing(&state) {
            idle();
            let more = |state: &mut State| nothing(state) && !state.draining && !state.closed;
            drop(state);
            state = self.wait_while(more);
        }
        if let Some(home) = state.homes.pop_front() {
            self.turns.set_patient(false);
            return Some(Next::Actor(home));
        }
        let given = state.waiting.pop_front()?;
        self.turns.set_patient(true);
        state.running.push((given.attempt.id, Arc::clone(&given.attempt.stop)));
        Some(Next::Attempt(Box::new(given)))
    }

    /// Counts a thread as one that runs code of an actor.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    /// Makes note that an attempt has ended.
    pub(crate) fn leave(&self, attempt: AttemptId) {
        lock(&self.state).running.retain(|(running, _)| *running != attempt);
    }

    /// Asks a running attempt to return, unless `only_waiting`, and takes one that waits away.
    pub(crate) fn cancel(&self, attempt: AttemptId, only_waiting: bool) -> Found {
        let mut state = lock(&self.state);
        if let Some(at) = state.waiting.iter().position(|given| given.attempt.id == attempt) {
            state.waiting.remove(at);
            return Found::Waiting;
        }
        match state.running.iter().find(|(running, _)| *running == attempt) {
            Some((_, stop)) => {
                if !only_waiting {
                    stop.ask();
                }
                Found::Running
            }
            None => Found::Nothing,
        }
    }

    /// Asks the worker for something and waits for the answer; `None` if none will come.
    pub(crate) fn ask(&self, report: impl FnOnce(u64) -> Report) -> Option<Answer> {
        let mut state = lock(&self.state);
        state.request += 1;
        let request = state.request;
        state.asked.insert(request, None);
        drop(state);
        self.report(report(request));
        let unanswered =
            |state: &mut State| !state.closed && matches!(state.asked.get(&request), Some(None));
        let mut state = self.wait_while(unanswered);
        state.asked.remove(&request).flatten()
    }

    /// Passes an answer on; nothing happens if nobody waits for it.
    pub(crate) fn answer(&self, request: u64, answer: Answer) {
        if let Some(place) = lock(&self.state).asked.get_mut(&request) {
            *place = Some(answer);
        }
        self.changed.notify_waiters();
    }

    /// Takes no more attempts on, and tells the worker so once; those that are here are run.
    pub(crate) fn leave_when_done(&self, reason: String) {
        let drained = std::mem::replace(&mut lock(&self.state).draining, true);
        if !drained {
            self.report(Report::Leaving(Leaving { reason }));
            self.changed.notify_waiters();
        }
    }

    /// Drops what waits, and asks what runs to return.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.waiting.clear();
        let homes = std::mem::take(&mut state.homes);
        for (_, stop) in &state.running {
            stop.ask();
        }
        drop(state);
        drop(homes);
        self.changed.notify_waiters();
    }

    /// How many attempts and calls run.
    pub(crate) fn running(&self) -> usize {
        lock(&self.state).running.len() + self.busy.load(Ordering::Relaxed)
    }

    /// Holds the stream until there is something to find, which is looked for again whenever the bell rings. It is the bell of
    /// this thread alone.
    pub(crate) fn wait_for<T>(&self, bell: &Notify, mut find: impl FnMut() -> Option<T>) -> T {
        if let Some(found) = find() {
            return found;
        }
        self.turns.wait(async {
            self.reports.flush();
            loop {
                bell.notified().await;
                if let Some(found) = find() {
                    return found;
                }
            }
        })
    }

    /// Holds the stream until the state is one to go on with.
    fn wait_while(&self, mut condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        self.turns.wait(async {
            self.reports.flush();
            loop {
                let mut changed = pin!(self.changed.notified());
                // Before the look, so that no change falls between the two.
                changed.as_mut().enable();
                {
                    let mut state = lock(&self.state);
                    if !condition(&mut state) {
                        return state;
                    }
                }
                changed.await;
            }
        })
    }
}

/// A thread that runs code of an actor.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Desk);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn wrap(report: Report) -> ExecutorReport {
    ExecutorReport { report: Some(report) }
}

#[cfg(test)]
mod tests;
