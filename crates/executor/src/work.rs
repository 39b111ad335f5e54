//! The life of a thread that runs attempts.

use std::sync::Arc;

use bireme_core::value::{Buffer, PoolFile};
use bireme_core::{AttemptId, ErrorClass, Reason, Span, TaskError, Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::answer::Answer;
use bireme_proto::pb::executor_report::{AllocatePool, Failed, Finished, Report, Started};

use crate::desk::{Desk, Given};
use crate::mark::Reached;
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
            let idle = || self.mark(Reached { started: last, runs: false });
            let Some(given) = self.desk.take(idle) else { return };
            last = given.number;
            self.run(given);
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
        outputs: Vec<Value>,
    ) -> Result<Vec<pb::Value>, Box<TaskError>> {
        let mut room = limits::BATCH_BYTES as u64;
        let outputs = outputs.into_iter().map(|mut output| {
            let size = output.inline_bytes();
            if size > self.pool.inline_bytes.min(room) {
                self.write(attempt.id, &mut output)?;
            } else {
                room -= size;
            }
            Ok(output.into())
        });
        outputs.collect()
    }

    /// Moves the bytes of a value into files that the worker gives.
    fn write(&self, attempt: AttemptId, value: &mut Value) -> Result<(), Box<TaskError>> {
        let inline = value.buffers.iter().filter_map(|buffer| match buffer {
            Buffer::Inline(bytes) if !bytes.is_empty() => Some(bytes.len() as u64),
            _ => None,
        });
        let files = self.allocate(attempt, inline.collect())?;
        let mut files = files.into_iter();
        for buffer in &mut value.buffers {
            let Buffer::Inline(bytes) = &*buffer else { continue };
            if bytes.is_empty() {
                continue;
            }
            let file = files.next().ok_or_else(|| unstored("too few files were given"))?;
            let file = PoolFile::try_from(file).map_err(|refusal| unstored(&refusal.message))?;
            let written = self.pool.write(&file, bytes);
            written.map_err(|error| unstored(&format!("{}: {error}", file.name)))?;
            *buffer = Buffer::PoolFile(file);
        }
        Ok(())
    }

    fn allocate(
        &self,
        attempt: AttemptId,
        lengths: Vec<u64>,
    ) -> Result<Vec<pb::buffer::PoolFile>, Box<TaskError>> {
        let attempt = Some(attempt.into());
        let answer = self.desk.ask(|request| {
            Report::AllocatePool(AllocatePool { request, attempt, lengths, actor: None })
        });
        match answer {
            Some(Answer::Allocated(allocated)) => Ok(allocated.files),
            Some(Answer::Refused(pb::Refused { reason, message, .. })) => {
                Err(Box::new(TaskError::new(ErrorClass::Store, reason, message)))
            }
            Some(_) => Err(unstored("the worker answered something else than files")),
            None => Err(unstored("the worker has gone")),
        }
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
            Report::Failed(Failed { attempt, error, timing, permanent: false })
        }
    }
}

/// The end of an attempt whose code never ran.
pub(crate) fn never_ran(id: AttemptId, error: TaskError) -> Report {
    end(id, Err(Box::new(error)), Taken::default())
}

fn unread(error: &std::io::Error) -> Box<TaskError> {
    let message = format!("an input cannot be read from the pool: {error}");
    Box::new(TaskError::new(ErrorClass::InputLost, Reason::InputLost.name(), message))
}

fn unstored(problem: &str) -> Box<TaskError> {
    let message = format!("a result cannot be written into the pool: {problem}");
    Box::new(TaskError::new(ErrorClass::Store, Reason::StoreFull.name(), message))
}
