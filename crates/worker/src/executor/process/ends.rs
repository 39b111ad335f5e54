//! How attempts end, by themselves or with their process.

use std::sync::Arc;

use bireme_core::protocol::Timing;
use bireme_core::value::Buffer;
use bireme_core::{AttemptId, ErrorClass, Exit, Reason, TaskError, Value};
use bireme_executor::Reached;
use rustix::process::Signal;

use super::seat::{Running, Sent};
use super::{Crew, Program, Shared, no_process};
use crate::executor::relay::End;
use crate::executor::{Job, Kill};
use crate::failure::failure;
use crate::logs::Writer;
use crate::machine::Execution;
use crate::registry::Outputs;
use crate::rpc::executor::Orders;
use crate::store::{Draft, StoreError};
use crate::sync::lock;

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Death {
    /// Why there was none, or how it went.
    pub(crate) exit: Result<Exit, String>,
    /// What it printed last.
    pub(crate) last_lines: Vec<String>,
    /// How far it came, where that is known.
    pub(crate) reached: Option<Reached>,
}

impl Shared {
    /// A process says that an attempt has ended.
    pub(crate) fn ended(
        self: &Arc<Self>,
        number: u64,
        attempt: AttemptId,
        outcome: Result<Outputs, Box<TaskError>>,
        timing: Timing,
    ) {
        let mut crew = lock(&self.crew);
        let Some(seat) = crew.seats.get_mut(&number) else { return };
        let Some(at) = seat.find(attempt) else { return };
        let Some(mut sent) = seat.jobs.remove(at) else { return };
        seat.remember(sent.number, attempt);
        let (asked_back, leaves) = (sent.asked_back, seat.doomed);
        let given_back =
            outcome.as_ref().is_err_and(|error| is_given_back(error, asked_back, leaves));
        if !seat.manners.keeps_inputs {
            seat.leases.remove(&attempt);
        }
        if at > 0 || given_back {
            self.never_ran(&mut crew, sent, outcome, given_back);
        } else {
            seat.pace.note(timing.run);
            if sent.has_room && !outcome.as_ref().is_ok_and(|made| made.iter().any(is_in_files)) {
                sent.job.function().inspect(|function| seat.habits.break_with(*function));
            }
            self.send_away_if_grown(seat);
            self.note_end(sent.running.take());
            let outcome = sent.killed.map_or(outcome, |kill| Err(kill.error()));
            let explain = |error| sent.job.explain(error, &self.setup.store);
            let outcome = outcome.map_err(explain);
            let end = end(&sent.job, outcome, timing);
            let heir = seat.jobs.front_mut().filter(|_| sent.granted);
            if let Some(next) = heir {
                next.granted = true;
                self.setup.relay.end_before(end, &sent.drafts, Some(next.attempt()));
            } else if sent.seceded || !sent.granted {
                // It has no cpus that another could take over: it gave them back, or had begun when it was asked not to.
                self.setup.relay.end_before(end, &sent.drafts, None);
            } else {
                let takes = !seat.doomed && !crew.closed;
                let next = self.setup.relay.end_written(end, &sent.drafts, |_| takes);
                if let Some((seat, next)) = crew.seats.get_mut(&number).zip(next) {
                    self.give(number, seat, next, true);
                }
            }
        }
        let Some(seat) = crew.seats.get_mut(&number) else { return };
        self.begin(number, seat);
        self.refill(number, seat);
        if seat.jobs.is_empty() && !crew.idle.contains(&number) {
            self.rest(&mut crew, number);
        }
    }

    /// Deals with an attempt that a process had waiting and will not run.
    fn never_ran(
        self: &Arc<Self>,
        crew: &mut Crew,
        mut sent: Sent,
        outcome: Result<Outputs, Box<TaskError>>,
        given_back: bool,
    ) {
        self.note_end(sent.running.take());
        match (sent.killed, outcome) {
            (Some(kill), _) => self.fail(&sent, kill.error()),
            (None, Err(error)) if !given_back => self.fail(&sent, error),
            (None, _) if sent.granted && sent.lodges => self.start_alone(crew, sent.job),
            (None, _) if sent.granted => self.start(crew, sent.job),
            (None, _) => self.put_back(sent),
        }
    }

    /// Fails an attempt that does not run here any more.
    fn fail(&self, sent: &Sent, error: Box<TaskError>) {
        self.setup.relay.fail(&sent.job, sent.granted, error);
    }

    fn note_end(&self, running: Option<Running>) {
        if let Some(Running { noted, writer: _ }) = running {
            self.setup.relay.black_box().ended(noted);
        }
    }

    /// A process has let go of the inputs of an attempt.
    pub(crate) fn released(&self, number: u64, attempt: AttemptId) {
        let mut crew = lock(&self.crew);
        let lease = crew.seats.get_mut(&number).and_then(|seat| seat.leases.remove(&attempt));
        drop(crew);
        // Files are given back without the lock.
        drop(lease);
    }

    /// A process asked for something that it cannot have.
    pub(crate) fn refuse(&self, number: u64, request: u64) {
        if let Some(orders) =
            lock(&self.crew).seats.get(&number).and_then(|seat| seat.orders.as_ref())
        {
            let message = "code of attempts uses the cluster by a session: open one at `Welcome.services`, with the attempt as `OpenSession.parent`";
            orders.refuse(request, &failure(ErrorClass::User, Reason::Unsupported, message));
        }
    }

    /// A process takes no more attempts.
    pub(crate) fn leaving(&self, number: u64, reason: &str) {
        tracing::info!(executor = number, reason, "executor process is about to leave");
        let mut crew = lock(&self.crew);
        crew.idle.retain(|idle| *idle != number);
        if let Some(seat) = crew.seats.get_mut(&number) {
            seat.doomed = true;
        }
    }

    /// An attempt wants room for buffers of these lengths.
    pub(crate) fn allocate(
        self: &Arc<Self>,
        number: u64,
        request: u64,
        attempt: AttemptId,
        lengths: Vec<u64>,
    ) {
        if let Some(seat) = lock(&self.crew).seats.get_mut(&number)
            && let Some(function) =
                seat.find(attempt).and_then(|at| seat.jobs.get(at)?.job.function())
        {
            seat.habits.note(function, &lengths);
        }
        if let Some(draft) = self.setup.store.allocate_now(&lengths) {
            return self.allocated(number, request, attempt, Ok(draft));
        }
        let me = Arc::clone(self);
        self.here.spawn(async move {
            let draft = me.setup.store.make_room(lengths).await;
            me.allocated(number, request, attempt, draft);
        });
    }

    fn allocated(
        &self,
        number: u64,
        request: u64,
        attempt: AttemptId,
        draft: Result<Draft, StoreError>,
    ) {
        let mut crew = lock(&self.crew);
        let Some(seat) = crew.seats.get_mut(&number) else { return };
        let (Some(at), Some(orders)) = (seat.find(attempt), &seat.orders) else { return };
        match draft {
            Ok(draft) => {
                orders.allocated(request, draft.runs());
                if let Some(sent) = seat.jobs.get_mut(at) {
                    sent.drafts.push(draft);
                }
            }
            Err(error) => orders.refuse(request, &error.failure()),
        }
    }

    /// A process was started.
    pub(super) fn started(&self, number: u64, pid: Option<u32>) {
        if let Some(seat) = lock(&self.crew).seats.get_mut(&number) {
            seat.pid = pid;
        }
    }

    /// Whether a process has come back.
    pub(super) fn has_come_back(&self, number: u64) -> bool {
        lock(&self.crew).seats.get(&number).is_some_and(|seat| seat.orders.is_some())
    }

    /// The stream of a process is over; the process should be, too.
    pub(crate) fn detached(&self, number: u64) {
        let mut crew = lock(&self.crew);
        crew.idle.retain(|idle| *idle != number);
        if let Some(seat) = crew.seats.get_mut(&number) {
            seat.doomed = true;
            seat.over.notify_one();
            // It need not wait for a word of this side.
            seat.orders.iter().for_each(Orders::close);
            if seat.jobs.is_empty() {
                return;
            }
            // One that has died on its own is not there to be signalled; any other cannot be used.
            seat.end(Signal::KILL);
        }
    }

    /// A process has ended and all that it said has been heard. What it was running fails, what waited in it goes to others.
    pub(super) fn bury(self: &Arc<Self>, number: u64, death: Death) {
        let mut crew = lock(&self.crew);
        let Some(seat) = crew.seats.remove(&number) else { return };
        crew.idle.retain(|idle| *idle != number);
        self.place.dismiss(number);
        let unborn = seat.orders.is_none().then(|| unborn(&self.setup.program, &death));
        if let Some(error) = unborn.as_ref().filter(|_| !crew.closed) {
            tracing::warn!(executor = number, %error, "executor process could not be started");
            crew.setbacks.add(error.clone(), self.setup.clock.now());
        }
        let mut blamed = None;
        // From the last to the first, so that the first is again the first of those that are given back.
        for mut sent in seat.jobs.into_iter().rev() {
            let is_to_blame = is_to_blame(&sent, death.reached) || sent.is_fatal();
            self.note_end(sent.running.take());
            if crew.closed {
                continue;
            }
            if let Some(error) = &unborn {
                self.fail(&sent, error.clone());
            } else if is_to_blame {
                blamed = Some(sent);
            } else if let Some(kill) = sent.killed {
                self.fail(&sent, kill.error());
            } else if sent.granted {
                self.start(&mut crew, sent.job);
            } else {
                self.put_back(sent);
            }
        }
        if let Some(sent) = blamed {
            let bloat =
                || sent.bloat.map_or_else(|| died(&death), |bloat| bloat.error("the process"));
            let mut error = sent.killed.map_or_else(bloat, Kill::error);
            error.exit = death.exit.as_ref().ok().copied();
            error.last_lines = death.last_lines;
            let error = sent.job.explain(error, &self.setup.store);
            self.fail(&sent, error);
        }
        if let Some(job) = crew.waiting.pop_front() {
            self.start(&mut crew, job);
        }
        drop(crew);
        self.left.notify_one();
    }

    /// Where is kept what an attempt prints that a process was given under this number; none if it was forgotten since.
    pub(super) fn writer_of(&self, number: u64, given: u64) -> Option<Arc<Writer>> {
        let attempt = lock(&self.crew).seats.get(&number)?.numbered(given)?;
        Some(self.writer(number, attempt))
    }

    /// Where is kept what the attempt prints that a process runs which does not say how far it is.
    pub(super) fn writer_of_first(&self, number: u64) -> Option<Arc<Writer>> {
        let crew = lock(&self.crew);
        let first = crew.seats.get(&number)?.jobs.front()?;
        Some(Arc::clone(&first.running.as_ref()?.writer))
    }

    /// Where is kept what an attempt of a process prints.
    pub(super) fn writer(&self, number: u64, attempt: AttemptId) -> Arc<Writer> {
        let crew = lock(&self.crew);
        let mut jobs = crew.seats.get(&number).into_iter().flat_map(|seat| &seat.jobs);
        let running = jobs.find(|sent| sent.attempt() == attempt);
        let writer = running.and_then(|sent| Some(Arc::clone(&sent.running.as_ref()?.writer)));
        drop(crew);
        writer.unwrap_or_else(|| Arc::new(self.setup.logs.open(attempt)))
    }
}

fn is_in_files(value: &Value) -> bool {
    value.buffers.iter().any(|buffer| matches!(buffer, Buffer::PoolFile(_)))
}

fn end(job: &Job, outcome: Result<Outputs, Box<TaskError>>, timing: Timing) -> End {
    let Execution { runtime, resources, .. } = &*job.execution;
    let (runtime, resources) = (runtime.clone(), resources.clone());
    End { attempt: job.attempt(), runtime, resources, outcome, timing }
}

/// Whether an executor says that it has not begun an attempt: one that it was asked for, or that came when it was about to
/// leave.
fn is_given_back(error: &TaskError, asked_back: bool, leaves: bool) -> bool {
    let reason = |reason: Reason| error.reason == reason.name();
    error.class == ErrorClass::Reschedule
        && (asked_back && reason(Reason::Busy) || leaves && reason(Reason::ShuttingDown))
}

/// Whether a process died of this attempt: the one that it had marked. Where there is no mark, the first.
fn is_to_blame(sent: &Sent, reached: Option<Reached>) -> bool {
    match reached {
        Some(Reached { started, runs }) => runs && sent.number == started,
        None => sent.running.is_some(),
    }
}

/// Why there is no process. That is the system's fault, and may pass, where the program is this one; otherwise the program's.
fn unborn(program: &Program, death: &Death) -> Box<TaskError> {
    let how = match &death.exit {
        Ok(exit) => format!("it {} before it was ready", how(*exit)),
        Err(problem) => problem.clone(),
    };
    let mut error = match program {
        Program::Native(_) => no_process(&how),
        Program::Language(language, _) => {
            let message = format!(
                "the executor of runtime {} (`{program}`) cannot be started: {how}",
                language.name
            );
            failure(ErrorClass::NotFound, Reason::RuntimeBroken, message)
        }
    };
    error.exit = death.exit.as_ref().ok().copied();
    error.last_lines.clone_from(&death.last_lines);
    error
}

fn died(death: &Death) -> Box<TaskError> {
    let how = death.exit.as_ref().map_or_else(String::clone, |exit| how(*exit));
    let message = format!("the process of the attempt {how}");
    failure(ErrorClass::ProcessDied, Reason::ProcessDied, message)
}

pub(crate) fn how(Exit { code, signal }: Exit) -> String {
    const KILLED: i32 = Signal::KILL.as_raw();
    match signal {
        0 => format!("ended with exit code {code}"),
        KILLED => "was killed by signal 9: by hand, or by the system for want of memory".to_owned(),
        _ => format!("was killed by signal {signal}"),
    }
}
