//! How attempts end, and what follows for the tasks around them.

use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::graph::OnWorkerLost;
use bireme_core::id::{AttemptId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Output, Report, Timing};
use bireme_core::reason::Reason;
use bireme_core::{Span, limits};
use smallvec::SmallVec;

use super::number::{NONE, TaskRef};
use super::task::{Edge, Failure, Phase, flag};
use super::worker::Errand;
use super::{Effect, Machine, Peer, Timer};

impl Machine {
    pub(super) fn on_worker_reported(&mut self, worker: WorkerId, report: Report) {
        if !self.workers.contains_key(worker) {
            return; // News of a lost worker: what it had has been given to others.
        }
        let ended = report.ended();
        let before = self.errands_of(worker);
        match report {
            Report::Actor(report) => self.on_actor_reported(worker, report),
            Report::Draining { waits } => self.on_draining(worker, waits),
            Report::Failed { attempt, error, timing } => {
                self.on_failed(worker, attempt, error, &timing);
            }
            Report::Finished { attempt, outputs, timing } => {
                self.on_finished(worker, attempt, outputs, &timing);
            }
            Report::InputMissing { object, asked, made_by } => {
                self.on_input_missing(worker, object, &asked, made_by);
            }
            Report::ReplicaAdded { object, size } => self.on_replica_added(worker, object, size),
            Report::ReplicaLost(object) => self.on_replica_lost(worker, object),
            Report::Rejoined(attempt) => self.on_rejoined(worker, attempt),
            Report::Seceded(attempt) => self.on_seceded(worker, attempt),
            Report::Retracted(attempt) => self.on_retracted(worker, attempt),
            Report::Started(attempt) => self.on_started(worker, attempt),
        }
        if let Some(attempt) = ended {
            self.drop_strays(worker, attempt.task);
        }
        let more = self.errands_of(worker).saturating_sub(before);
        if let Some(record) = self.workers.get_mut(worker) {
            record.owed += more;
        }
    }

    fn errands_of(&self, worker: WorkerId) -> usize {
        self.workers.get(worker).map_or(0, |worker| worker.outbox.len())
    }

    /// Cuts a worker off that reports without end and never reads what that leads to.
    pub(super) fn bound_owed(&mut self, worker: WorkerId, effects: &mut Vec<Effect>) {
        let Some(record) = self.workers.get_mut(worker) else { return };
        record.owed = record.owed.min(record.outbox.len());
        let owed = record.owed;
        if owed > limits::WORKER_OWED {
            let message = format!("{owed} orders are unread; read the stream, then come back");
            self.cut_off(worker, message, effects);
        }
    }

    /// The task of an attempt, if that is the one its task waits for.
    pub(super) fn current(&self, worker: WorkerId, attempt: AttemptId) -> Option<TaskRef> {
        let graph = *self.graph_numbers.get(&attempt.task.graph)?;
        let task = TaskRef { graph, index: attempt.task.index };
        let record = self.find_task(task)?;
        let is_current = record.phase.is_sent()
            && record.worker == worker.0
            && record.attempt == attempt.no.n
            && attempt.no.epoch == self.config.epoch;
        is_current.then_some(task)
    }

    fn on_finished(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        outputs: SmallVec<[Output; 1]>,
        timing: &Timing,
    ) {
        if let Some(record) = self.workers.get_mut(worker) {
            record.note_run(timing);
        }
        let Some(task) = self.current(worker, attempt) else {
            // Superseded: the attempt that replaced this one is the truth. What this one left behind is not wanted.
            self.settle_attempt(worker, attempt);
            for output in 0..u16::try_from(outputs.len()).unwrap_or(limits::TASK_OUTPUTS) {
                self.drop_stray(worker, ObjectId::output(attempt.task, output));
            }
            return;
        };
        let expected = usize::from(self.task(task).outputs);
        if outputs.len() != expected {
            let message =
                format!("the worker reported {} outputs, the task has {expected}", outputs.len());
            self.settle_attempt(worker, attempt);
            self.end_in_failure(
                task,
                Box::new(TaskError::new(ErrorClass::Store, Reason::Malformed.name(), message)),
            );
            return;
        }
        self.detach(task);
        let record = self.task_mut(task);
        record.count_run();
        record.clear(flag::SUSPECT);
        self.set_phase(task, Phase::Finished);
        if let Some(record) = self.workers.get_mut(worker) {
            record.finished += 1;
        }
        if outputs.is_empty() {
            self.settle_attempt(worker, attempt);
        }
        for (n, output) in (0..).zip(outputs) {
            let no = self.output_object(task, n);
            let object = self.objects.get_mut(no).expect("an output's object was just made");
            object.size = output.size;
            self.add_holder(no, worker);
            self.keep_small(no, output.value);
        }
        self.tell_dependents(task);
        self.consume_inputs(task);
        self.note_end(task);
        let graph = self.graph(task.graph);
        if !graph.needs(graph.task(task.index)) {
            self.release_outputs(task);
        }
        self.fold(task);
    }

    /// The outputs of a task are stored: whoever waited for them waits for one thing less.
    fn tell_dependents(&mut self, task: TaskRef) {
        let mut at = self.task(task).dependents;
        while at != NONE {
            let edge = *self.graph(task.graph).edge(at);
            at = edge.next;
            self.one_input_more(TaskRef { graph: task.graph, index: edge.consumer });
        }
        for output in 0..self.task(task).outputs {
            let object = self.graph(task.graph).object(task.index, output);
            let takers = object
                .and_then(|object| self.objects.get(object))
                .map(|object| object.takers().to_vec());
            takers.into_iter().flatten().for_each(|taker| self.one_input_more(taker));
        }
    }

    fn one_input_more(&mut self, task: TaskRef) {
        let record = self.task_mut(task);
        match record.phase {
            Phase::Waiting if record.missing > 0 => {
                record.missing -= 1;
                if record.missing == 0 {
                    self.enqueue(task);
                }
            }
            Phase::Ahead if record.missing > 0 => {
                record.missing -= 1;
                if record.missing == 0 {
                    self.catch_up(task);
                }
            }
            _ => {}
        }
    }

    /// A task has ended: it needs its inputs no more.
    pub(super) fn consume_inputs(&mut self, task: TaskRef) {
        let (first, count) = (self.task(task).first_edge, self.task(task).edges);
        for at in first..first + count {
            let edge = *self.graph(task.graph).edge(at);
            if edge.external {
                self.leave_external(task, &edge);
                continue;
            }
            let producer = TaskRef { graph: task.graph, index: edge.producer };
            let graph = self.graph_mut(task.graph);
            let record = graph.task_mut(edge.producer);
            record.consumers -= 1;
            let record = graph.task(edge.producer);
            if record.phase == Phase::Finished && !graph.needs(record) {
                self.release_outputs(producer);
            }
        }
    }

    /// A task takes a value of another graph no more.
    fn leave_external(&mut self, task: TaskRef, edge: &Edge) {
        let id = self
            .graph(task.graph)
            .externals
            .get(edge.producer as usize)
            .copied()
            .expect("checked at the door");
        let no = self.object_for(id);
        if let Some(object) = self.objects.get_mut(no) {
            object.remove_taker(task);
            self.drop_unwanted_value(no);
        }
        if let Some(producer) = self.producer_of(id) {
            let graph = self.graph_mut(producer.graph);
            graph.task_mut(producer.index).consumers -= 1;
            let record = graph.task(producer.index);
            if record.phase == Phase::Finished && !graph.needs(record) {
                self.release_outputs(producer);
            }
        }
    }

    /// Has a worker told something, if its stream is up.
    pub(super) fn errand(&mut self, to: WorkerId, errand: Errand) {
        if let Some(worker) = self.workers.get_mut(to) {
            let wake = worker.outbox.mark(errand);
            self.wake(wake, Peer::Worker(to));
        }
    }

    pub(super) fn settle_attempt(&mut self, worker: WorkerId, attempt: AttemptId) {
        self.errand(worker, Errand::Settle(attempt));
    }

    fn on_started(&mut self, worker: WorkerId, attempt: AttemptId) {
        let Some(task) = self.current(worker, attempt) else { return };
        let before = self.task(task).state();
        self.task_mut(task).set(flag::STARTED);
        let after = self.task(task).state();
        if before != after {
            let graph = self.graph_mut(task.graph);
            *graph.counts.of_mut(before) -= 1;
            *graph.counts.of_mut(after) += 1;
            self.note_progress(task.graph);
        }
    }

    fn on_retracted(&mut self, worker: WorkerId, attempt: AttemptId) {
        self.settle_attempt(worker, attempt);
        if let Some(task) = self.current(worker, attempt) {
            self.take_back(task);
            self.wait_for_inputs(task);
        }
    }

    fn on_failed(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        error: Box<TaskError>,
        timing: &Timing,
    ) {
        self.settle_attempt(worker, attempt);
        if timing.run > Span::ZERO
            && let Some(record) = self.workers.get_mut(worker)
        {
            record.note_run(timing);
        }
        let Some(task) = self.current(worker, attempt) else { return };
        let mut error = Box::new(error.bounded());
        error.attempt = Some(attempt);
        if let Some(record) = self.workers.get(worker) {
            error.worker.clone_from(&record.join.name);
        }
        self.task_mut(task).count_run();
        self.end_in_failure(task, error);
    }

    /// An attempt that a task waits for has failed.
    fn end_in_failure(&mut self, task: TaskRef, error: Box<TaskError>) {
        let (before, cause, message) =
            (self.before(task), error.reason.clone(), error.message.clone());
        self.judge_failure(task, error);
        self.tell_story(before, &cause, &message);
    }

    /// A task whose attempt has failed is tried again if its policy says so.
    fn judge_failure(&mut self, task: TaskRef, error: Box<TaskError>) {
        let record = self.task(task);
        let class = std::sync::Arc::clone(&self.classes.get(record.class).spec);
        // An input that was lost is made again, and its attempt with it; that, too, is tried so often and no more.
        let is_mishap = matches!(error.class, ErrorClass::ProcessDied | ErrorClass::InputLost);
        if is_mishap && class.on_worker_lost == OnWorkerLost::Rerun {
            self.take_back(task);
            match self.count_crash(task, error) {
                None => self.wait_for_inputs(task),
                Some(error) => self.fail_from(task, Failure::Own(error)),
            }
            return;
        }
        self.task_mut(task).clear(flag::SUSPECT);
        if error.class == ErrorClass::Reschedule {
            self.take_back(task);
            self.wait_for_inputs(task);
            return;
        }
        let record = self.task(task);
        let retry = u32::from(record.retries) + 1;
        match class.retry.pause(retry, error.class) {
            Some(pause) => {
                self.take_back(task);
                let record = self.task_mut(task);
                record.retries = record.retries.saturating_add(1);
                let attempt = record.attempt;
                if pause == Span::ZERO {
                    self.wait_for_inputs(task);
                } else {
                    self.set_phase(task, Phase::Backoff);
                    self.timers.insert((self.now + pause, Timer::Retry(task, attempt)));
                }
            }
            None if error.class == ErrorClass::Cancelled => self.cancel_from(task, Span::ZERO, ""),
            None => {
                self.take_back(task);
                self.fail_from(task, Failure::Own(error));
            }
        }
    }

    pub(super) fn on_retry_due(&mut self, task: TaskRef, attempt: u32) {
        if self
            .find_task(task)
            .is_some_and(|record| record.phase == Phase::Backoff && record.attempt == attempt)
        {
            self.set_phase(task, Phase::Waiting);
            self.wait_for_inputs(task);
        }
    }
}
