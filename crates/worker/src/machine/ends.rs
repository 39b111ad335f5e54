//! How attempts end.

use bireme_core::id::AttemptId;
use bireme_core::protocol::{Output, Report, Timing};
use bireme_core::{ErrorClass, ObjectId, Reason, Span, TaskError, Time};
use smallvec::SmallVec;

use super::attempts::{Fate, Recall, Slot, State};
use super::reports::Mark;
use super::{Effect, Machine};

impl Machine {
    /// User code of an attempt has ended.
    pub(super) fn on_ended(
        &mut self,
        now: Time,
        id: AttemptId,
        outcome: Result<SmallVec<[Output; 1]>, Box<TaskError>>,
        mut timing: Timing,
        next: Option<AttemptId>,
        effects: &mut Vec<Effect>,
    ) {
        let handed_over = |slot: &Slot| match self.attempts.at(*slot).state {
            State::Following(_) | State::Running { .. } => true,
            State::Ready | State::Waiting { .. } => false,
        };
        let Some(slot) = self.attempts.find(id).filter(handed_over) else { return };
        if let Ok(outputs) = &outcome
            && self.attempts.at(slot).fate != Fate::Supersede
        {
            // A release was about what was here before.
            for object in outputs_of(id, outputs.len()) {
                self.objects.revive(object);
                self.objects.held_back.remove(&object);
            }
        }
        let attempt = self.remove(slot, effects);
        if let State::Running { since, held, cpus } = attempt.state {
            timing.wait = since.since(attempt.accepted);
            let next = next.and_then(|next| self.attempts.find(next));
            self.pass_on(now, (held, cpus), attempt.queue, next, effects);
        }
        match outcome {
            Ok(outputs) if attempt.fate == Fate::Supersede => {
                self.drop_outputs(id, outputs.len(), effects);
            }
            Ok(outputs) => self.tell_finish(id, outputs, timing, effects),
            Err(_) if attempt.fate == Fate::Supersede => {}
            Err(error) => {
                let error = told_as(attempt.fate, attempt.timeout, *error);
                self.tell_failure(id, error, timing, effects);
            }
        }
    }

    /// Nobody asked for these any more.
    fn drop_outputs(&mut self, id: AttemptId, count: usize, effects: &mut Vec<Effect>) {
        for object in outputs_of(id, count) {
            if !self.objects.is_stored(object) {
                self.discard(object, effects);
            }
        }
    }

    /// Has the end of a finished attempt told. Its outputs are announced when the stream comes back, which says as much: only
    /// where there are none is the end itself kept.
    fn tell_finish(
        &mut self,
        id: AttemptId,
        outputs: SmallVec<[Output; 1]>,
        timing: Timing,
        effects: &mut Vec<Effect>,
    ) {
        for (object, Output { size, .. }) in outputs_of(id, outputs.len()).zip(&outputs) {
            self.arrive(object, *size);
            self.objects.made(object, id.no);
        }
        let nothing_to_announce = outputs.is_empty();
        let report = Report::Finished { attempt: id, outputs, timing };
        if nothing_to_announce {
            self.tell_end(report, effects);
        } else {
            self.mark(Mark::Finished(report), effects);
        }
    }

    /// Has the end of a failed attempt told, until it is settled.
    pub(super) fn tell_failure(
        &mut self,
        id: AttemptId,
        mut error: TaskError,
        timing: Timing,
        effects: &mut Vec<Effect>,
    ) {
        error.attempt.get_or_insert(id);
        self.tell_end(Report::Failed { attempt: id, error: Box::new(error), timing }, effects);
    }

    /// Has the end of an attempt told, until it is settled.
    pub(super) fn tell_end(&mut self, report: Report, effects: &mut Vec<Effect>) {
        if let Some(id) = report.ended() {
            self.ended.insert(id.task, report);
            self.mark(Mark::Ended(id), effects);
        }
    }

    /// A follower was taken back, or could not be.
    ///
    /// In the second case the end of the attempt that it follows may be told before or after this. Before: it runs by now,
    /// and its fate was dealt with. After: it holds nothing until then.
    pub(super) fn on_recalled(
        &mut self,
        id: AttemptId,
        taken_back: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(slot) = self.attempts.find(id) else { return };
        let attempt = self.attempts.at_mut(slot);
        let State::Following(recall @ Recall::Asked) = &mut attempt.state else { return };
        if !taken_back {
            *recall = Recall::Refused;
            self.kept_running(slot, effects);
            return;
        }
        match self.remove(slot, effects).fate {
            Fate::Cancel { .. } => self.tell_failure(id, cancelled(), Timing::default(), effects),
            Fate::Run | Fate::GiveBack | Fate::TimeOut | Fate::Stop => {
                self.tell_end(Report::Retracted(id), effects);
            }
            Fate::Supersede => {}
        }
    }

    /// Ends what is over its time.
    pub(super) fn on_timer_due(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((due, slot)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, slot));
            if self.attempts.at(slot).fate < Fate::TimeOut {
                self.doom(slot, Fate::TimeOut, effects);
            }
        }
        self.regather(now, effects);
        if self.leaving.deadline().is_some_and(|deadline| deadline <= now) {
            self.on_stop(effects);
        }
    }
}

/// The first outputs of an attempt.
fn outputs_of(id: AttemptId, count: usize) -> impl Iterator<Item = ObjectId> {
    (0..=u16::MAX).map(move |output| ObjectId::output(id.task, output)).take(count)
}

/// The error of an attempt that was cancelled before it started.
pub(super) fn cancelled() -> TaskError {
    told_as(Fate::Cancel { grace: Span::ZERO }, None, TaskError::new(ErrorClass::Cancelled, "", ""))
}

/// What an error is told as: code that was ended from outside fails in ways of its own, which are not the cause.
fn told_as(fate: Fate, timeout: Option<Span>, error: TaskError) -> TaskError {
    let (class, reason, message) = match fate {
        Fate::Run | Fate::GiveBack | Fate::Supersede => return error,
        Fate::Cancel { .. } => {
            (ErrorClass::Cancelled, Reason::Cancelled, "the attempt was cancelled".to_owned())
        }
        Fate::Stop => {
            let message = "the worker was told to end".to_owned();
            (ErrorClass::Reschedule, Reason::ShuttingDown, message)
        }
        Fate::TimeOut => {
            let timeout = timeout.unwrap_or_default();
            let message = format!(
                "the attempt ran longer than {timeout}: raise its timeout, or split the work"
            );
            (ErrorClass::Timeout, Reason::TimedOut, message)
        }
    };
    TaskError { class, reason: reason.name().to_owned(), message, ..error }
}
