//! What follows when a worker or a process dies: what runs again, what fails, and who is to blame.
//!
//! Where a supervisor saw how the daemon ended, its black box names the attempts whose code was running then: only they are
//! to blame. Where the whole machine is gone, those are that were known to run.

use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::graph::{OnWorkerLost, TaskState};
use bireme_core::id::{AttemptId, WorkerId};
use bireme_core::protocol::PreviousLife;
use bireme_core::reason::Reason;

use super::Machine;
use super::number::TaskRef;
use super::session::News;
use super::task::{Failure, Phase, flag};
use super::view::end_of;
use super::worker::Errand;

/// Crashes of a task, with its machine and whatever else ran there, from which on it is a suspect: one is bad luck.
const UNLUCKY: u8 = 2;

/// A task whose worker was lost, as it stood then.
struct Orphan {
    task: TaskRef,
    attempt: AttemptId,
    /// Its worker may have heard of it.
    told: bool,
    /// Its code was running.
    started: bool,
}

impl Machine {
    /// A worker is gone for good: what it ran runs elsewhere, and what only it had is made again. `seen` is what its
    /// supervisor saw of its end.
    ///
    /// `is_proved` says that its daemon does not live any more, rather than being out of sight.
    pub(super) fn lose_worker(
        &mut self,
        id: WorkerId,
        seen: Option<&PreviousLife>,
        is_proved: bool,
    ) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.outbox.close();
            worker.conn = None;
            worker.draining = true;
        }
        self.touch(id);
        let mut again = Vec::new();
        for orphan in self.orphans(id, seen) {
            if self.task(orphan.task).phase != Phase::Waiting {
                continue; // A task that it needs was lost too, and may not be run again.
            }
            let mut before = self.before(orphan.task);
            before.state = if orphan.started { TaskState::Running } else { TaskState::Sent };
            let mut message = "its worker was lost".to_owned();
            match self.verdict(&orphan, id, seen) {
                None => again.push(orphan.task),
                Some(error) => {
                    message.clone_from(&error.message);
                    self.fail_from(orphan.task, Failure::Own(Box::new(error)));
                }
            }
            if orphan.told {
                self.tell_story(before, Reason::WorkerLost.name(), &message);
            }
        }
        for no in self.held_by(id) {
            self.lose_replica(id, no);
        }
        self.lose_actors(id, is_proved);
        for task in again {
            if self.find_task(task).is_some_and(|record| record.phase == Phase::Waiting) {
                self.wait_for_inputs(task);
            }
        }
        self.forget_worker(id);
    }

    /// Takes all tasks away from a lost worker.
    fn orphans(&mut self, id: WorkerId, seen: Option<&PreviousLife>) -> Vec<Orphan> {
        let sent = self.sent_to(id);
        let drain = self.workers.get(id).and_then(|worker| worker.drain.as_ref());
        let dismissed = drain.is_some_and(|drain| drain.told.is_some());
        let mut orphans = Vec::with_capacity(sent.len());
        for task in sent {
            let (record, attempt) = (self.task(task), self.attempt_id(task));
            let started = match seen {
                Some(seen) => seen.started.binary_search(&attempt).is_ok(),
                // Whoever was told to go was not killed by what ran there.
                None => record.has(flag::STARTED) && !dismissed,
            };
            orphans.push(Orphan { task, attempt, told: record.has(flag::TOLD), started });
            self.detach(task);
            self.set_phase(task, Phase::Waiting);
        }
        orphans
    }

    /// Strikes a lost worker from every list, and tells those who knew where it was.
    fn forget_worker(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.remove(id)
            && self.worker_uids.get(&worker.join.uid) == Some(&id)
        {
            self.worker_uids.remove(&worker.join.uid);
        }
        let acquainted: Vec<WorkerId> = self
            .workers
            .values_mut()
            .filter_map(|worker| worker.knows.remove(&id).then_some(worker.id))
            .collect();
        for worker in acquainted {
            self.errand(worker, Errand::Peer(id));
        }
        self.crowded.remove(&id);
        self.drains.remove(&id);
        self.fleet_changed();
        self.worker_names.retain(|_, worker| *worker != id);
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.tell_session(session, News::Worker(id));
        }
    }

    /// Whether a task whose worker was lost fails for it.
    fn verdict(
        &mut self,
        orphan: &Orphan,
        id: WorkerId,
        seen: Option<&PreviousLife>,
    ) -> Option<TaskError> {
        let Orphan { task, attempt, told, started } = *orphan;
        let class = std::sync::Arc::clone(&self.classes.get(self.task(task).class).spec);
        let name = self.workers.get(id).map(|worker| worker.join.name.clone()).unwrap_or_default();
        let exit = seen.map(|seen| seen.exit);
        let end = exit.map(|exit| format!(" (its daemon {})", end_of(exit))).unwrap_or_default();
        let error = |reason: Reason, message: String| TaskError {
            attempt: Some(attempt),
            worker: name.clone(),
            exit,
            ..TaskError::new(ErrorClass::WorkerLost, reason.name(), message)
        };
        if told && class.on_worker_lost == OnWorkerLost::Fail {
            let message = format!("worker {name}{end} was lost while the attempt may have run");
            return Some(error(Reason::WorkerLost, message));
        }
        if !started {
            return None;
        }
        let record = self.task_mut(task);
        record.count_run();
        record.crashes = record.crashes.saturating_add(1);
        if seen.is_some() || record.crashes >= UNLUCKY {
            record.set(flag::SUSPECT);
        }
        let crashes = u32::from(record.crashes);
        (crashes > class.retry.max_crashes).then(|| {
            let message = match crashes {
                1 => format!("was running when its worker {name}{end} was lost"),
                _ => format!(
                    "was running each of the {crashes} times when its worker was lost, last {name}{end}"
                ),
            };
            error(Reason::CrashedTooOften, message)
        })
    }

    /// Counts the death of a process that ran only this task. Returns the error of a task that may not run again for it.
    pub(super) fn count_crash(
        &mut self,
        task: TaskRef,
        error: Box<TaskError>,
    ) -> Option<Box<TaskError>> {
        let max_crashes = self.classes.get(self.task(task).class).spec.retry.max_crashes;
        let record = self.task_mut(task);
        record.crashes = record.crashes.saturating_add(1);
        let crashes = u32::from(record.crashes);
        if crashes <= max_crashes {
            return None;
        }
        if crashes == 1 || error.class == ErrorClass::InputLost {
            return Some(error);
        }
        let end = error.exit.map(|exit| format!(": it {}", end_of(exit))).unwrap_or_default();
        let message = format!("the process or worker that ran it died {crashes} times{end}");
        Some(Box::new(TaskError {
            attempt: error.attempt,
            worker: error.worker.clone(),
            exit: error.exit,
            last_lines: error.last_lines.clone(),
            cause: Some(error),
            ..TaskError::new(ErrorClass::ProcessDied, Reason::CrashedTooOften.name(), message)
        }))
    }
}
