//! Which worker gets which task.
//!
//! A task goes to the worker that has most of its input bytes if that has room; otherwise to the least loaded one that would
//! run it at once; otherwise to one where it may wait a little (prefill), so that the next task starts there without a round
//! trip. Where a class names workers and allows others, those come into question when none of the named has room, or when one
//! of them is idle while the task may wait at a named one for long. No worker holds more than it can run, its prefill and a bounded number sent ahead: tasks whose missing inputs are
//! all being made by attempts sent to that worker before. A worker that falls idle gets prefilled tasks of another, which is
//! asked to give them back.

use std::cmp::Reverse;

use bireme_core::graph::TaskClass;
use bireme_core::id::{AttemptId, AttemptNo, SessionId, WorkerId};
use bireme_core::limits;
use smallvec::SmallVec;

use super::number::{ClassNo, NONE, TaskRef};
use super::room::could_run;
use super::task::{Phase, flag};
use super::worker::{Errand, Worker};
use super::{Machine, Peer};

/// From so many input bytes on, a worker that has them is worth waiting for.
const LOCALITY_BYTES: u64 = 64 << 10;
/// Inputs looked at to find the worker that has most of them.
const LOCALITY_INPUTS: usize = 64;
/// Idle workers that are found work elsewhere in one step.
const SHARES: usize = 16;
/// Tasks that wait at a worker looked at to find some that another could run.
const SHARE_LOOK: usize = 64;

/// Whose task is sent next: the innermost session's, and of these the one that was served least.
pub(super) type Turn = (Reverse<u32>, u64);

impl Machine {
    /// Sends ready tasks to workers until either run out, then shares what waits with workers that are idle.
    pub(super) fn place_ready(&mut self) {
        self.place_suspects();
        let mut blocked: SmallVec<[ClassNo; 4]> = SmallVec::new();
        loop {
            let mut best: Option<(Turn, ClassNo, SessionId, TaskRef)> = None;
            let candidates: SmallVec<[ClassNo; 4]> =
                self.active.iter().filter(|class| !blocked.contains(class)).copied().collect();
            for class in candidates {
                if self.kinds.are_full() && self.classes.get(class).spec.resources.cpu_units > 0 {
                    continue;
                }
                let Some((session, task)) = self.peek_ready(class) else { continue };
                let turn = self.turn_of(session);
                if best.as_ref().is_none_or(|(first, ..)| turn < *first) {
                    best = Some((turn, class, session, task));
                }
            }
            let Some((_, class, session, task)) = best else { break };
            if self.break_deadlock(class, session, task) {
                continue;
            }
            match self.choose(class, task) {
                None => blocked.push(class),
                Some((worker, phase)) => {
                    self.pop_ready(class, session);
                    self.charge(session);
                    self.send(task, worker, phase);
                }
            }
        }
        self.share_prefilled();
    }

    /// The worker for a ready task, and whether it would run there at once or wait.
    fn choose(&mut self, class: ClassNo, task: TaskRef) -> Option<(WorkerId, Phase)> {
        let spec = std::sync::Arc::clone(&self.classes.get(class).spec);
        if let Some((worker, bytes)) = self.nearest(task)
            && let Some(record) = self.workers.get(worker)
            && record.is_open()
            && is_preferred(record, &spec)
            && record.refuses(&spec).is_none()
        {
            if record.runs_now(&spec) {
                return Some((worker, Phase::Reserved));
            }
            if bytes >= LOCALITY_BYTES && record.has_prefill() {
                return Some((worker, Phase::Prefilled));
            }
        }
        self.least_loaded(class)
    }

    /// The worker that has most bytes of a task's inputs, and how many.
    fn nearest(&self, task: TaskRef) -> Option<(WorkerId, u64)> {
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        let mut bytes: Vec<(WorkerId, u64)> = Vec::new();
        for edge in graph.inputs(record).iter().take(LOCALITY_INPUTS) {
            let Some(object) =
                self.edge_object(task, edge).and_then(|object| self.objects.get(object))
            else {
                continue;
            };
            for holder in object.holders() {
                match bytes.iter_mut().find(|(worker, _)| worker == holder) {
                    Some((_, sum)) => *sum += object.size.max(1),
                    None => bytes.push((*holder, object.size.max(1))),
                }
            }
        }
        bytes.into_iter().max_by_key(|(worker, sum)| (*sum, Reverse(*worker)))
    }

    /// Sends a task to a worker, and after it those that can follow it there.
    pub(super) fn send(&mut self, task: TaskRef, to: WorkerId, phase: Phase) {
        self.send_one(task, to, phase);
        self.extend_ahead(to);
    }

    pub(super) fn send_one(&mut self, task: TaskRef, to: WorkerId, phase: Phase) {
        self.set_phase(task, phase);
        let class = self.task(task).class;
        let worker = self.workers.get_mut(to).expect("a worker that was chosen is there");
        let record = self
            .graphs
            .get_mut(task.graph.0 as usize)
            .and_then(Option::as_deref_mut)
            .map(|graph| graph.task_mut(task.index))
            .expect("a task that was chosen is there");
        record.attempt += 1;
        record.worker = to.0;
        record.place = u32::try_from(worker.sent.len()).expect("what a worker holds is bounded");
        record.clear(flag::TOLD | flag::STARTED | flag::RETRACTING);
        let attempt = record.attempt;
        worker.sent.push(task);
        match phase {
            Phase::Reserved => worker.free.take(&self.classes.get(class).spec.resources),
            Phase::Prefilled => {
                worker.wait(task, attempt);
                self.crowded.insert(to);
            }
            _ => worker.ahead += 1,
        }
        if record.dependents != NONE {
            worker.frontier.push_back((task, attempt));
        }
        let wake = worker.outbox.mark(Errand::Start(task, attempt));
        self.wake(wake, Peer::Worker(to));
    }

    /// Sends tasks to a worker that makes their missing inputs, as far as its limit on such tasks allows.
    pub(super) fn extend_ahead(&mut self, to: WorkerId) {
        while let Some(worker) = self.workers.get_mut(to) {
            if worker.ahead >= limits::AHEAD_MAX || !worker.is_open() {
                return;
            }
            let Some((task, attempt)) = worker.frontier.pop_front() else { return };
            let sent = self.find_task(task).filter(|task| {
                task.phase.is_sent() && task.attempt == attempt && task.worker == to.0
            });
            let Some(mut edge) = sent.map(|task| task.dependents) else { continue };
            while edge != NONE {
                let link = *self.graph(task.graph).edge(edge);
                edge = link.next;
                let follower = TaskRef { graph: task.graph, index: link.consumer };
                if self.can_go_ahead(follower, to) {
                    self.send_one(follower, to, Phase::Ahead);
                    let worker = self.workers.get_mut(to).expect("it was there a line before");
                    if worker.ahead >= limits::AHEAD_MAX {
                        worker.frontier.push_front((task, attempt));
                        break;
                    }
                }
            }
        }
    }

    /// Whether all missing inputs of a waiting task are being made by attempts sent to a worker, which could run it.
    fn can_go_ahead(&self, task: TaskRef, to: WorkerId) -> bool {
        let graph = self.graph(task.graph);
        let record = graph.task(task.index);
        if record.phase != Phase::Waiting
            || record.has(flag::SUSPECT)
            || record.missing > limits::AHEAD_INPUTS
            || record.edges > 8 * limits::AHEAD_INPUTS
        {
            return false;
        }
        let Some(worker) = self.workers.get(to) else { return false };
        let class = &self.classes.get(record.class).spec;
        is_preferred(worker, class)
            && could_run(worker, class)
            && !self.could_deadlock(graph.session, class)
            && graph.inputs(record).iter().all(|edge| {
                if !edge.external {
                    let producer = graph.task(edge.producer);
                    if producer.phase.is_sent() {
                        return producer.worker == to.0 && !producer.has(flag::RETRACTING);
                    }
                }
                self.edge_object(task, edge)
                    .and_then(|object| self.objects.get(object))
                    .is_some_and(super::object::Object::is_stored)
            })
    }

    /// Takes a task away from its worker's accounts. The task's phase is the caller's to set.
    pub(super) fn detach(&mut self, task: TaskRef) {
        let record = self.task(task);
        let (phase, class, place, retracting) =
            (record.phase, record.class, record.place, record.has(flag::RETRACTING));
        let id = WorkerId(record.worker);
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.sent.swap_remove(place as usize);
        let moved = worker.sent.get(place as usize).copied();
        match phase {
            Phase::Reserved => {
                let need = &self.classes.get(class).spec.resources;
                let given_back = need.cpu_units - worker.cpus_of(task, need.cpu_units);
                worker.free.give(need);
                worker.free.cpu_units -= given_back;
            }
            Phase::Prefilled => {
                worker.prefilled -= 1;
                worker.retracting -= u32::from(retracting);
            }
            _ => worker.ahead -= 1,
        }
        if worker.seceded.remove(&task) {
            worker.rejoining.retain(|other| *other != task);
        }
        if worker.prefilled == 0 {
            self.crowded.remove(&id);
        }
        if let Some(moved) = moved {
            self.task_mut(moved).place = place;
        }
        self.task_mut(task).clear(flag::RETRACTING);
        self.orphan_sessions(task);
        self.refill(id, Some(task));
    }

    /// Gives resources that came free at a worker to those that wait there, in the order they were sent, but not to the
    /// task that is about to leave.
    pub(super) fn promote(&mut self, id: WorkerId, leaving: Option<TaskRef>) {
        while let Some(worker) = self.workers.get_mut(id) {
            let Some(&(task, attempt)) = worker.prefill.front() else { return };
            let waiting = self.find_task(task).filter(|record| {
                leaving != Some(task)
                    && record.phase == Phase::Prefilled
                    && record.attempt == attempt
                    && record.worker == id.0
            });
            let Some(class) = waiting.map(|record| record.class) else {
                self.workers.get_mut(id).and_then(|worker| worker.prefill.pop_front());
                continue;
            };
            let spec = std::sync::Arc::clone(&self.classes.get(class).spec);
            let retracting = self.task(task).has(flag::RETRACTING);
            let worker = self.workers.get_mut(id).expect("it was there a line before");
            let mut need = spec.resources.clone();
            need.cpu_units = worker.cpus_of(task, need.cpu_units);
            if !worker.rejoining.is_empty() && need.cpu_units > 0 || !worker.free.fits(&need) {
                return;
            }
            worker.prefill.pop_front();
            worker.prefilled -= 1;
            worker.retracting -= u32::from(retracting);
            worker.free.take(&need);
            if worker.prefilled == 0 {
                self.crowded.remove(&id);
            }
            self.task_mut(task).clear(flag::RETRACTING);
            self.set_phase(task, Phase::Reserved);
        }
    }

    /// The last missing input of a task that was sent ahead is stored: it runs or waits like any other.
    pub(super) fn catch_up(&mut self, task: TaskRef) {
        let record = self.task(task);
        let (class, attempt, id) = (record.class, record.attempt, WorkerId(record.worker));
        let spec = std::sync::Arc::clone(&self.classes.get(class).spec);
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.ahead -= 1;
        let phase = if worker.runs_now(&spec) {
            let mut need = spec.resources.clone();
            need.cpu_units = worker.cpus_of(task, need.cpu_units);
            worker.free.take(&need);
            Phase::Reserved
        } else {
            worker.wait(task, attempt);
            Phase::Prefilled
        };
        if phase == Phase::Prefilled {
            self.crowded.insert(id);
        }
        self.set_phase(task, phase);
        self.extend_ahead(id);
    }

    /// Asks crowded workers to give back what idle ones could run at once.
    fn share_prefilled(&mut self) {
        if self.crowded.is_empty() || self.kinds.are_full() || !self.active.is_empty() {
            return;
        }
        let idle = self.idle(self.crowded.len().min(SHARES));
        if idle.is_empty() {
            return; // As a rule: the crowded ones may be thousands, and are looked at only for somebody's sake.
        }
        let (mut coming, crowded) = self.most_crowded(idle.len());
        for id in idle {
            let cpus = self.workers.get(id).map_or(0, Worker::free_cpus);
            if coming >= cpus {
                coming -= cpus;
                continue;
            }
            let worth = crowded.iter().filter_map(|id| self.workers.get(*id)?.relief());
            let Some((_, Reverse(victim))) = worth.max() else { return };
            self.ask_back(victim, id);
        }
    }

    /// So many workers that have a cpu free and nothing that waits.
    fn idle(&mut self, count: usize) -> Vec<WorkerId> {
        let (mut idle, mut stale) = (Vec::new(), Vec::new());
        for id in self.kinds.idle() {
            let Some(worker) = self.workers.get(id) else { continue };
            if worker.listed != Some(worker.load()) {
                stale.push(id);
            }
            if worker.is_open() && worker.prefilled == 0 {
                idle.push(id);
            }
            if idle.len() == count {
                break;
            }
        }
        // Or every step would meet them again.
        for id in stale {
            self.touch(id);
        }
        idle
    }

    /// How many tasks crowded workers were asked for that have not come, which will keep some of the idle ones busy; and the
    /// workers with most that waits beyond those. Whoever asks that many workers one after the other need look at no others.
    fn most_crowded(&self, count: usize) -> (u32, Vec<WorkerId>) {
        let mut coming = 0;
        let mut crowded = Vec::new();
        for worker in self.crowded.iter().filter_map(|id| self.workers.get(*id)) {
            coming += worker.retracting;
            crowded.extend(worker.relief());
        }
        crowded.sort_unstable();
        let most = crowded.into_iter().rev().take(count);
        (coming, most.map(|(_, Reverse(id))| id).collect())
    }

    /// Asks a worker to give back the newest tasks that wait there and that another could run: half of them, at most as many
    /// as the other has cpus free.
    fn ask_back(&mut self, victim: WorkerId, idle: WorkerId) {
        let (Some(from), Some(to)) = (self.workers.get(victim), self.workers.get(idle)) else {
            return;
        };
        let mut want = (from.prefilled - from.retracting).div_ceil(2);
        let mut room = to.free.clone();
        let waiting: Vec<(TaskRef, u32)> =
            from.prefill.iter().rev().take(SHARE_LOOK).copied().collect();
        // Those that nothing was sent ahead of come first: with the others, all that follows them must come back too.
        let (leading, alone): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(task, _)| {
            self.find_task(*task).is_some_and(|task| task.dependents != NONE)
        });
        for (task, attempt) in alone.into_iter().chain(leading) {
            if want == 0 {
                break;
            }
            let Some(record) = self.find_task(task) else { continue };
            let waits = record.phase == Phase::Prefilled
                && record.attempt == attempt
                && record.worker == victim.0;
            if !waits || record.has(flag::RETRACTING | flag::STARTED) {
                continue;
            }
            let spec = std::sync::Arc::clone(&self.classes.get(record.class).spec);
            let Some(to) = self.workers.get(idle) else { return };
            if !room.fits(&spec.resources) || !could_run(to, &spec) {
                continue;
            }
            room.take(&spec.resources);
            want -= 1;
            self.task_mut(task).set(flag::RETRACTING);
            let attempt = self.attempt_id(task);
            let Some(from) = self.workers.get_mut(victim) else { return };
            from.retracting += 1;
            let wake = from.outbox.mark(Errand::Retract(attempt));
            self.wake(wake, Peer::Worker(victim));
        }
    }

    /// The newest attempt of a task.
    pub(super) fn attempt_id(&self, task: TaskRef) -> AttemptId {
        let graph = self.graph(task.graph);
        let no = AttemptNo { epoch: self.config.epoch, n: graph.task(task.index).attempt };
        AttemptId { task: graph.id_of(task.index), no }
    }
}

/// Whether a class names a worker, or none at all. One that it only allows gets no task for the sake of its inputs.
fn is_preferred(worker: &Worker, class: &TaskClass) -> bool {
    class.workers.is_empty() || class.workers.contains(&worker.join.name)
}
