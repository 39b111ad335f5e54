//! What a worker announces when its stream is up, against what is believed of it.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::id::WorkerId;
use bireme_core::protocol::{Announce, Held, Output, Report, Timing};
use bireme_core::{AttemptId, ObjectId, Span, limits};
use smallvec::SmallVec;

use super::number::TaskRef;
use super::task::flag;
use super::worker::Errand;
use super::{Effect, Machine};

impl Machine {
    /// What a worker must announce for nothing to be news, sorted; `None` if no announcement of it is awaited.
    ///
    /// A driver that finds the digest of this to be the one that the worker sent announces this in its name.
    pub fn believed(&self, id: WorkerId) -> Option<Announce> {
        let worker = self.workers.get(id).filter(|worker| worker.announcing.is_some())?;
        let objects = worker.held.keys().filter_map(|no| self.objects.get(*no));
        let objects =
            objects.map(|object| Held { object: object.id(), size: object.size, made_by: None });
        let attempts = worker
            .sent
            .iter()
            .map(|task| (self.attempt_id(*task), self.task(*task).has(flag::STARTED)));
        let mut believed = Announce {
            objects: objects.collect(),
            attempts: attempts.collect(),
            actors: self.actors_believed(id),
            ended: Vec::new(),
            last: true,
        };
        believed.sort();
        Some(believed)
    }

    pub(super) fn on_worker_announced(
        &mut self,
        id: WorkerId,
        part: Announce,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.heard = self.now;
        let Some(announced) = &mut worker.announcing else { return };
        announced.objects.extend(part.objects);
        announced.attempts.extend(part.attempts);
        announced.actors.extend(part.actors);
        announced.ended.extend(part.ended);
        let entries = announced.objects.len()
            + announced.attempts.len()
            + announced.actors.len()
            + announced.ended.len();
        if entries > limits::ANNOUNCED {
            let message = format!("{entries} things announced, the limit is {}", limits::ANNOUNCED);
            worker.announcing = Some(Box::default());
            return self.cut_off(id, message, effects);
        }
        if part.last
            && let Some(announced) = worker.announcing.take()
        {
            self.reconcile(id, *announced);
            self.resume_drain(id);
            self.fleet_changed();
            self.touch(id);
        }
    }

    /// Brings what is believed of a worker in line with what it says it holds.
    fn reconcile(&mut self, id: WorkerId, announced: Announce) {
        let Announce { objects, attempts, actors, ended, last: _ } = announced;
        let mut put_meanwhile = BTreeSet::new();
        if let Some(worker) = self.workers.get_mut(id) {
            worker.untold.clear();
            put_meanwhile = std::mem::take(&mut worker.put_meanwhile);
        }
        let objects: BTreeMap<ObjectId, Held> =
            objects.into_iter().map(|held| (held.object, held)).collect();
        for held in objects.values() {
            self.on_replica_added(id, held.object, held.size);
        }
        // What has finished comes first: to take back what it had waited for would have it run again.
        self.finish_unheard(id, &objects, &attempts);
        let (finished, others): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|report| matches!(report, Report::Finished { .. }));
        for report in finished.into_iter().chain(others) {
            self.on_worker_reported(id, report);
        }
        for no in self.held_by(id) {
            let is_there =
                |object: ObjectId| objects.contains_key(&object) || put_meanwhile.contains(&object);
            if self.objects.get(no).is_some_and(|object| !is_there(object.id())) {
                self.lose_replica(id, no);
            }
        }
        for &(attempt, started) in &attempts {
            self.reconcile_attempt(id, attempt, started);
        }
        self.reconcile_actors(id, &actors);
        let attempts: BTreeSet<AttemptId> = attempts.iter().map(|(attempt, _)| *attempt).collect();
        for task in self.sent_to(id) {
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

    /// Attempts that finished while nobody listened have left their outputs, which are announced with who made them.
    fn finish_unheard(
        &mut self,
        id: WorkerId,
        objects: &BTreeMap<ObjectId, Held>,
        attempts: &[(AttemptId, bool)],
    ) {
        let running: BTreeSet<AttemptId> = attempts.iter().map(|(attempt, _)| *attempt).collect();
        for task in self.sent_to(id) {
            let (attempt, outputs) = (self.attempt_id(task), self.task(task).outputs);
            let made = (0..outputs).map(|output| {
                let held = objects.get(&ObjectId::output(attempt.task, output))?;
                (held.made_by == Some(attempt.no))
                    .then_some(Output { size: held.size, value: None })
            });
            let made: Option<SmallVec<[Output; 1]>> = made.collect();
            if let Some(outputs) = made.filter(|made| !made.is_empty())
                && !running.contains(&attempt)
            {
                let timing = Timing::default();
                self.on_worker_reported(id, Report::Finished { attempt, outputs, timing });
            }
        }
    }

    /// Takes note of an attempt that a worker has.
    fn reconcile_attempt(&mut self, id: WorkerId, attempt: AttemptId, started: bool) {
        let Some(task) = self.current(id, attempt) else {
            return self.errand(id, Errand::Cancel(attempt, Span::ZERO));
        };
        self.task_mut(task).set(flag::TOLD);
        if self.task(task).has(flag::RETRACTING) {
            self.errand(id, Errand::Retract(attempt));
        }
        if started {
            self.on_worker_reported(id, Report::Started(attempt));
        }
    }

    /// Every task sent to a worker that has not ended.
    pub(super) fn sent_to(&self, id: WorkerId) -> Vec<TaskRef> {
        self.workers.get(id).map(|worker| worker.sent.clone()).unwrap_or_default()
    }
}
