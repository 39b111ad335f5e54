//! Where the threads that run attempts and the one that holds the stream meet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bireme_core::AttemptId;
use bireme_proto::pb::executor_order::answer::Answer;
use bireme_proto::pb::executor_report::{Leaving, Report};
use bireme_proto::pb::{ExecutorReport, executor_report};

use crate::batches::Batches;
use crate::runtime::Attempt;
use crate::stop::Stop;
use crate::sync::lock;

/// An attempt as the worker gave it.
#[derive(Debug)]
pub(crate) struct Given {
    /// Counts what was given, from 1.
    pub(crate) number: u64,
    pub(crate) attempt: Attempt,
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
#[derive(Debug, Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// There is an attempt, an answer, or nothing more to come.
    changed: Condvar,
    pub(crate) reports: Batches<ExecutorReport>,
}

#[derive(Debug, Default)]
struct State {
    /// Bounded by the worker, which ends a run that it gave too far ahead itself.
    waiting: VecDeque<Given>,
    running: Vec<(AttemptId, Arc<Stop>)>,
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
    /// Tells the worker something.
    pub(crate) fn report(&self, report: Report) {
        self.reports.push(wrap(report));
    }

    /// Tells that an attempt runs, when there is something else to tell: it may be over by then.
    pub(crate) fn report_start(&self, started: executor_report::Started) {
        self.reports.push_late(wrap(Report::Started(started)));
    }

    /// Tells how an attempt ended. That it had started goes without saying.
    pub(crate) fn report_end(&self, end: Report) {
        let is_start = |last: &ExecutorReport| matches!(last.report, Some(Report::Started(_)));
        self.reports.supersede(wrap(end), is_start);
    }

    /// Has an attempt wait its turn; it is given back if nothing is taken on any more.
    pub(crate) fn give(&self, given: Given) -> Result<(), Box<Attempt>> {
        let mut state = lock(&self.state);
        if state.draining || state.closed {
            return Err(Box::new(given.attempt));
        }
        state.waiting.push_back(given);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next attempt to run here; `None` to leave. Calls `idle` before it waits.
    pub(crate) fn take(&self, idle: impl FnOnce()) -> Option<Given> {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            idle();
            let more =
                |state: &mut State| state.waiting.is_empty() && !state.draining && !state.closed;
            state = self.wait_while(state, more);
        }
        let given = state.waiting.pop_front()?;
        state.running.push((given.attempt.id, Arc::clone(&given.attempt.stop)));
        Some(given)
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
        let mut state = self.wait_while(lock(&self.state), unanswered);
        state.asked.remove(&request).flatten()
    }

    /// Passes an answer on; nothing happens if nobody waits for it.
    pub(crate) fn answer(&self, request: u64, answer: Answer) {
        if let Some(place) = lock(&self.state).asked.get_mut(&request) {
            *place = Some(answer);
        }
        self.changed.notify_all();
    }

    /// Takes no more attempts on, and tells the worker so once; those that are here are run.
    pub(crate) fn leave_when_done(&self, reason: String) {
        let drained = std::mem::replace(&mut lock(&self.state).draining, true);
        if !drained {
            self.report(Report::Leaving(Leaving { reason }));
            self.changed.notify_all();
        }
    }

    /// Drops what waits, and asks what runs to return.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.waiting.clear();
        for (_, stop) in &state.running {
            stop.ask();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// How many attempts run.
    pub(crate) fn running(&self) -> usize {
        lock(&self.state).running.len()
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }
}

fn wrap(report: Report) -> ExecutorReport {
    ExecutorReport { report: Some(report) }
}
