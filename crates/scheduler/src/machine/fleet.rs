//! How workers come, stay and go.

use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::graph::OnWorkerLost;
use bireme_core::id::WorkerId;
use bireme_core::protocol::{Announce, Heartbeat, Join};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{AttemptId, limits};
use std::collections::BTreeSet;

use super::number::{ObjectNo, TaskRef};
use super::session::News;
use super::task::{Failure, Phase, flag};
use super::worker::{Errand, Worker};
use super::{ConnId, Effect, Machine, Timer};

impl Machine {
    pub(super) fn on_worker_joined(&mut self, conn: ConnId, join: Join, effects: &mut Vec<Effect>) {
        let known = self.worker_uids.get(&join.uid).copied();
        let taken = self.worker_names.get(&join.name).is_some_and(|worker| Some(*worker) != known);
        if taken {
            let message =
                format!("a worker named {:?} is there already; choose another --name", join.name);
            let refusal = Refusal::at(Reason::WorkerNameTaken, "join.name", message);
            effects.push(Effect::Disconnect { conn, refusal });
            return;
        }
        if known.is_none() && self.workers.len() >= limits::WORKERS {
            let refusal =
                Refusal::new(Reason::Busy, format!("{} workers, the limit", self.workers.len()));
            effects.push(Effect::Disconnect { conn, refusal });
            return;
        }
        if let Some(id) = known
            && let Some(worker) = self.workers.get(id)
        {
            if let Some(old) = worker.conn {
                let refusal = Refusal::new(Reason::Superseded, "the worker has connected anew");
                effects.push(Effect::Disconnect { conn: old, refusal });
            }
            if worker.join.life == join.life {
                self.resume_worker(id, conn, effects);
                return;
            }
            self.lose_worker(id);
        }
        self.last_worker += 1;
        let id = WorkerId(self.last_worker);
        self.worker_uids.insert(join.uid, id);
        let kind = self.kinds.of(&join);
        self.worker_names.insert(join.name.clone(), id);
        self.workers.insert(id, Worker::new(id, join, kind, self.now));
        self.resume_worker(id, conn, effects);
        self.timers.insert((self.now + limits::WORKER_LOST, Timer::Worker(id)));
    }

    /// The stream of a worker is up; it announces what it holds before it is given anything.
    fn resume_worker(&mut self, id: WorkerId, conn: ConnId, effects: &mut Vec<Effect>) {
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(id) {
            worker.conn = Some(conn);
            worker.heard = now;
            worker.announcing = Some(Announce::default());
            worker.knows.clear();
            worker.strays.clear();

            worker.outbox.open();
        }
        effects.push(Effect::WorkerJoined { conn, worker: id });
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.tell_session(session, News::Worker(id));
        }
    }

    pub(super) fn on_worker_announced(&mut self, id: WorkerId, part: Announce) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.heard = self.now;
        let Some(announced) = &mut worker.announcing else { return };
        announced.objects.extend(part.objects);
        announced.attempts.extend(part.attempts);
        announced.ended.extend(part.ended);
        if part.last
            && let Some(announced) = worker.announcing.take()
        {
            self.reconcile(id, announced);
            self.touch(id);
        }
    }

    /// Brings what is believed of a worker in line with what it says it holds.
    fn reconcile(&mut self, id: WorkerId, announced: Announce) {
        for report in announced.ended {
            self.on_worker_reported(id, report);
        }
        let objects: BTreeSet<_> = announced.objects.iter().map(|(object, _)| *object).collect();
        let attempts: BTreeSet<AttemptId> =
            announced.attempts.iter().map(|(attempt, _)| *attempt).collect();
        for &(object, size) in &announced.objects {
            self.on_replica_added(id, object, size);
        }
        let believed: Vec<ObjectNo> = self
            .objects
            .iter()
            .filter(|(_, object)| object.holders.contains(&id))
            .map(|(no, _)| no)
            .collect();
        for no in believed {
            if self.objects.get(no).is_some_and(|object| !objects.contains(&object.id)) {
                self.lose_replica(id, no);
            }
        }
        for &(attempt, started) in &announced.attempts {
            match self.current(id, attempt) {
                None => self.errand(id, Errand::Cancel(attempt, bireme_core::Span::ZERO)),
                Some(task) => {
                    self.task_mut(task).set(flag::TOLD);
                    if started {
                        self.on_worker_reported(
                            id,
                            bireme_core::protocol::Report::Started(attempt),
                        );
                    }
                }
            }
        }
        let sent = self.workers.get(id).map(|worker| worker.sent.clone()).unwrap_or_default();
        for task in sent {
            let lost = self
                .find_task(task)
                .is_some_and(|record| record.phase.is_sent() && record.worker == id.0)
                && !attempts.contains(&self.attempt_id(task));
            if lost {
                // It was on its way when the stream broke, or its result is gone.
                self.take_back(task);
                self.wait_for_inputs(task);
            }
        }
        let strays = self.workers.get_mut(id).map(|worker| std::mem::take(&mut worker.strays));
        for stray in strays.into_iter().flatten() {
            self.drop_stray(id, stray);
        }
    }

    pub(super) fn on_worker_beat(&mut self, id: WorkerId, heartbeat: Heartbeat) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.heard = self.now;
        worker.heartbeat = heartbeat;
        self.touch(id);
    }

    pub(super) fn on_draining(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.draining = true;
        }
        self.touch(id);
    }

    pub(super) fn on_worker_disconnected(&mut self, conn: ConnId, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        if worker.conn != Some(conn) {
            return; // A newer stream has taken its place.
        }
        worker.conn = None;
        worker.heard = self.now;
        worker.outbox.close();
        self.timers.insert((self.now + limits::WORKER_GRACE, Timer::Worker(id)));
        if self.workers.get(id).is_some_and(|worker| worker.draining && worker.sent.is_empty()) {
            self.lose_worker(id);
        }
    }

    /// Looks whether a worker has been silent, or away, for too long. One whose stream is up is told, so that it comes anew.
    pub(super) fn on_worker_timer(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get(id) else { return };
        let patience =
            if worker.conn.is_some() { limits::WORKER_LOST } else { limits::WORKER_GRACE };
        let due = worker.heard + patience;
        if due > self.now {
            self.timers.insert((due, Timer::Worker(id)));
            return;
        }
        if let Some(conn) = worker.conn {
            let message = format!("the worker was silent for {patience} and counts as lost");
            let refusal = Refusal::new(Reason::WorkerLost, message);
            effects.push(Effect::Disconnect { conn, refusal });
        }
        self.lose_worker(id);
    }

    /// A worker is gone for good: what it ran runs elsewhere, and what only it had is made again.
    pub(super) fn lose_worker(&mut self, id: WorkerId) {
        let sent = self.workers.get(id).map(|worker| worker.sent.clone()).unwrap_or_default();
        if let Some(worker) = self.workers.get_mut(id) {
            worker.outbox.close();
            worker.conn = None;
            worker.draining = true;
        }
        self.touch(id);
        let mut lost = Vec::new();
        for task in sent {
            let record = self.task(task);
            lost.push((task, record.has(flag::TOLD), record.has(flag::STARTED)));
            self.detach(task);
            self.set_phase(task, Phase::Waiting);
        }
        let mut again = Vec::new();
        for (task, told, started) in lost {
            if self.task(task).phase != Phase::Waiting {
                continue; // A task that it needs was lost too, and may not be run again.
            }
            match self.verdict(task, id, told, started) {
                None => again.push(task),
                Some(error) => self.fail_from(task, Failure::Own(Box::new(error))),
            }
        }
        let had: Vec<ObjectNo> = self
            .objects
            .iter()
            .filter(|(_, object)| object.holders.contains(&id))
            .map(|(no, _)| no)
            .collect();
        for no in had {
            self.lose_replica(id, no);
        }
        for task in again {
            if self.find_task(task).is_some_and(|record| record.phase == Phase::Waiting) {
                self.wait_for_inputs(task);
            }
        }
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
        self.worker_names.retain(|_, worker| *worker != id);
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.tell_session(session, News::Worker(id));
        }
    }

    /// Whether a task whose worker was lost fails for it.
    fn verdict(
        &mut self,
        task: TaskRef,
        id: WorkerId,
        told: bool,
        started: bool,
    ) -> Option<TaskError> {
        let class = std::sync::Arc::clone(&self.classes.get(self.task(task).class).spec);
        let name = self.workers.get(id).map(|worker| worker.join.name.clone()).unwrap_or_default();
        let record = self.task_mut(task);
        if told && class.on_worker_lost == OnWorkerLost::Fail {
            let message = format!("worker {name} was lost while the attempt may have run");
            return Some(TaskError::new(
                ErrorClass::WorkerLost,
                Reason::WorkerLost.name(),
                message,
            ));
        }
        if started {
            record.count_run();
            record.crashes = record.crashes.saturating_add(1);
            let crashes = u32::from(record.crashes);
            if crashes > class.retry.max_crashes {
                let message = format!(
                    "was running each of the {crashes} times when its worker was lost, last on {name}"
                );
                return Some(TaskError::new(
                    ErrorClass::WorkerLost,
                    Reason::CrashedTooOften.name(),
                    message,
                ));
            }
        }
        None
    }
}
