//! The life of a thread that runs attempts.

use std::sync::Arc;

use bireme_core::{AttemptId, Span, TaskError, Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::executor_report::{Failed, Finished, Report, Started};

use crate::desk::{Desk, Given, Next};
use crate::mark::Reached;
use crate::outputs::{Owner, unread, write};
use crate::pool::Pool;
use crate::runtime::{Attempt, Runtime};
use crate::serve::Tracks;
use crate::usage::{Meter, Taken};

/// One slot: runs one attempt after the other.
pub(crate) struct Slot<'a, R> {
    pub(crate) desk: &'a Arc<Desk>,
    pub(crate) runtime: &'a R,
    pub(crate) pool: &'a Pool,
    pub(crate) tracks: Tracks<'a>,
    pub(crate) meter: Meter,
}

impl<R: Runtime> Slot<'_, R> {
    /// Runs what is given until there is nothing more to come.
    pub(crate) fn work(mut self) {
        let mut last = 0;
        loop {
            let mut was_idle = false;
            let idle = || {
                self.mark(Reached { started: last, runs: false });
                was_idle = true;
            };
            let given = match self.desk.take(idle) {
                Some(Next::Attempt(given)) => given,
                Some(Next::Actor(home)) => {
                    if home.is_apart()
                        && let Some(mark) = self.tracks.mark.take()
                    {
                        mark.say_nothing();
                    }
                    home.live(self.tracks.mark);
                    continue;
                }
                None => return,
            };
            last = given.number;
            if self.meter.is_late(was_idle) {
                self.desk.catch_up();
            }
            self.run(*given);
        }
    }

    fn mark(&self, reached: Reached) {
        // Without it the worker blames the first attempt of which it has heard no end: nearly always the same.
        if let Some(mark) = self.tracks.mark {
            mark.set(reached);
        }
    }

    fn run(&mut self, given: Given) {
        let Given { number, mut attempt } = given;
        let id = attempt.id;
        self.mark(Reached { started: number, runs: true });
        self.desk.report_start(Started { attempt: Some(id.into()), deserialize_us: 0 });
        let begun = Meter::begin();
        let opened = self.pool.open(self.desk, id, &mut attempt.inputs);
        let outcome = match opened {
            Ok(()) => self.runtime.run(&attempt),
            Err(error) => Err(unread(&error)),
        };
        let taken = self.meter.end(begun);
        let outcome = outcome.and_then(|outputs| self.place(&attempt, outputs));
        self.desk.leave(id);
        // Inputs that nobody keeps are released before the end is told, so that their files are free with it.
        drop(attempt);
        if let Some(pipes) = self.tracks.printed {
            pipes.end(id);
        }
        if let Some(reason) = self.runtime.leaves() {
            // Told before the end, so that the worker gives nothing in return for it.
            self.desk.leave_when_done(reason);
        }
        self.desk.report_end(end(id, outcome, taken));
    }

    /// Brings what an attempt made into messages, or into files where it is large.
    fn place(
        &self,
        attempt: &Attempt,
        mut outputs: Vec<Value>,
    ) -> Result<Vec<pb::Value>, Box<TaskError>> {
        let mut room = limits::BATCH_BYTES as u64;
        let mut is_large = |output: &&mut Value| {
            let size = output.inline_bytes();
            let is_large = size > self.pool.inline_bytes.min(room);
            room -= if is_large { 0 } else { size };
            is_large
        };
        let large: Vec<_> = outputs.iter_mut().filter(&mut is_large).collect();
        if !large.is_empty() {
            let owner = Owner::Attempt(attempt.id, &attempt.room);
            write(self.desk, self.pool, owner, large, room)?;
        }
        Ok(outputs.into_iter().map(Into::into).collect())
    }
}

/// The report of an end.
fn end(id: AttemptId, outcome: Result<Vec<pb::Value>, Box<TaskError>>, taken: Taken) -> Report {
    let Taken { run: Span(run_us), cpu: Span(cpu_us), peak: peak_bytes } = taken;
    let timing =
        Some(pb::ExecutorTiming { run_us, cpu_us, peak_bytes, ..pb::ExecutorTiming::default() });
    let attempt = Some(id.into());
    match outcome {
        Ok(outputs) => Report::Finished(Finished { attempt, outputs, timing }),
        Err(error) => {
            let error = Some(error.bounded().into());
            Report::Failed(Box::new(Failed { attempt, error, timing, permanent: false }))
        }
    }
}

/// The end of an attempt whose code never ran.
pub(crate) fn never_ran(id: AttemptId, error: TaskError) -> Report {
    end(id, Err(Box::new(error)), Taken::default())
}
