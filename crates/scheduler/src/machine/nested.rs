//! Attempts that wait for tasks of their own, and the sessions that submit these.
//!
//! An attempt that waits has given its cpus back, and only them. It has them again when they are free and before anything else
//! of that worker. A session that code of an attempt opens ends with the attempt, however that ends, and with the session
//! everything that it submitted. Its tasks go before those of sessions further out: what has begun is to end before more
//! begins, or the number of attempts that wait would grow with the breadth of what they ask for rather than its depth.

use std::cmp::Reverse;

use bireme_core::id::{AttemptId, SessionId, WorkerId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ErrorClass, TaskClass, TaskError, limits};

use super::number::{ClassNo, TaskRef};
use super::place::Turn;
use super::task::{Failure, Phase, flag};
use super::worker::Worker;
use super::{Effect, Machine};

impl Worker {
    /// What a task that was sent here takes of `need` by now, in units of cpus: nothing while it waits for others.
    pub(super) fn cpus_of(&self, task: TaskRef, need: u64) -> u64 {
        if !self.seceded.is_empty() && self.seceded.contains(&task) { 0 } else { need }
    }
}

impl Machine {
    /// An attempt has given its cpus back.
    pub(super) fn on_seceded(&mut self, id: WorkerId, attempt: AttemptId) {
        let Some(task) = self.current(id, attempt) else { return };
        // It cannot be alone on its worker if what it waits for is to run there.
        self.task_mut(task).clear(flag::SUSPECT);
        let (phase, units) = (self.task(task).phase, self.cpus_needed(task));
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.rejoining.retain(|other| *other != task);
        if worker.seceded.insert(task) && phase == Phase::Reserved {
            worker.free.cpu_units += units;
        }
        if phase == Phase::Prefilled {
            self.reserve_without_cpus(id, task);
        }
        self.refill(id, None);
    }

    /// A worker ran an attempt that was thought to wait there: whatever came before it, it runs.
    fn reserve_without_cpus(&mut self, id: WorkerId, task: TaskRef) {
        let mut need = self.classes.get(self.task(task).class).spec.resources.clone();
        need.cpu_units = 0;
        let is_asked_back = self.task(task).has(flag::RETRACTING);
        let Some(worker) = self.workers.get_mut(id).filter(|worker| worker.free.fits(&need)) else {
            return;
        };
        worker.free.take(&need);
        worker.prefilled -= 1;
        worker.retracting -= u32::from(is_asked_back);
        if worker.prefilled == 0 {
            self.crowded.remove(&id);
        }
        self.task_mut(task).clear(flag::RETRACTING);
        self.set_phase(task, Phase::Reserved);
    }

    /// An attempt wants the cpus again that it gave back.
    pub(super) fn on_rejoined(&mut self, id: WorkerId, attempt: AttemptId) {
        let Some(task) = self.current(id, attempt) else { return };
        let Some(worker) = self.workers.get_mut(id) else { return };
        if worker.seceded.contains(&task) && !worker.rejoining.contains(&task) {
            worker.rejoining.push_back(task);
            self.refill(id, None);
        }
    }

    /// Gives what came free at a worker to those that want their cpus again, in the order in which they asked, and then to those
    /// that wait there; but not to the one that is about to leave.
    pub(super) fn refill(&mut self, id: WorkerId, leaving: Option<TaskRef>) {
        while let Some(&task) = self.workers.get(id).and_then(|worker| worker.rejoining.front()) {
            let (phase, units) = (self.task(task).phase, self.cpus_needed(task));
            let Some(worker) = self.workers.get_mut(id) else { return };
            if phase == Phase::Reserved {
                if worker.free.cpu_units < units {
                    break;
                }
                worker.free.cpu_units -= units;
            }
            worker.rejoining.pop_front();
            worker.seceded.remove(&task);
        }
        self.actors.stir();
        self.promote(id, leaving);
        self.touch(id);
    }

    fn cpus_needed(&self, task: TaskRef) -> u64 {
        self.classes.get(self.task(task).class).spec.resources.cpu_units
    }

    // ---- sessions ---------------------------------------------------------------------------------------------------

    /// How deeply a session of an attempt is nested; 0 where there is none. Refused where the attempt does not run.
    pub(super) fn depth_below(&self, parent: Option<AttemptId>) -> Result<u32, Refusal> {
        let Some(attempt) = parent else { return Ok(0) };
        let task = self.running(attempt).ok_or_else(|| {
            let message = format!(
                "attempt {attempt} does not run any more: only code of a running attempt opens a session of its own"
            );
            Refusal::at(Reason::TaskUnknown, "open.parent", message)
        })?;
        let session = self.sessions.get(&self.graph(task.graph).session);
        let depth = session.map_or(0, |session| session.depth) + 1;
        if depth > limits::NESTED {
            let limit = limits::NESTED;
            let message = format!("tasks are nested {depth} deep, the limit is {limit}");
            return Err(Refusal::at(Reason::WouldDeadlock, "open.parent", message));
        }
        Ok(depth)
    }

    /// The task of an attempt that some worker runs, or is to run.
    fn running(&self, attempt: AttemptId) -> Option<TaskRef> {
        let graph = *self.graph_numbers.get(&attempt.task.graph)?;
        let record = self.find_task(TaskRef { graph, index: attempt.task.index })?;
        self.current(WorkerId(record.worker), attempt)
    }

    /// A session belongs to an attempt from here on.
    pub(super) fn nest(&mut self, id: SessionId, parent: Option<AttemptId>) {
        let (Ok(depth), Some(task)) =
            (self.depth_below(parent), parent.and_then(|attempt| self.running(attempt)))
        else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(&id) {
            (session.parent, session.depth) = (Some(task), depth);
            self.nested.entry(task).or_default().push(id);
        }
    }

    /// A session is about to end, perhaps before its attempt.
    pub(super) fn forsake(&mut self, id: SessionId) {
        let Some(task) = self.sessions.get(&id).and_then(|session| session.parent) else { return };
        if let Some(sessions) = self.nested.get_mut(&task) {
            sessions.retain(|session| *session != id);
            if sessions.is_empty() {
                self.nested.remove(&task);
            }
        }
    }

    /// An attempt is over: so are its sessions, when this step ends.
    pub(super) fn orphan_sessions(&mut self, task: TaskRef) {
        if !self.nested.is_empty()
            && let Some(sessions) = self.nested.remove(&task)
        {
            self.orphans.extend(sessions);
        }
    }

    /// Ends the sessions of attempts that are over, and with them those of what they submitted.
    pub(super) fn end_orphans(&mut self, effects: &mut Vec<Effect>) {
        while let Some(id) = self.orphans.pop() {
            let Some(session) = self.sessions.get(&id) else { continue };
            if let Some(conn) = session.conn {
                let message = "the attempt that opened the session is over";
                let refusal = Refusal::new(Reason::SessionUnknown, message);
                effects.push(Effect::Disconnect { conn, refusal });
            }
            self.end_session(id, effects);
        }
    }

    /// Whose turn it is: smaller goes first.
    pub(super) fn turn_of(&self, session: SessionId) -> Turn {
        let session = self.sessions.get(&session);
        session.map_or((Reverse(0), 0), |session| (Reverse(session.depth), session.served))
    }

    // ---- what cannot end --------------------------------------------------------------------------------------------

    /// Fails a ready task that could run only where attempts that wait for it leave no room. Returns whether it did.
    pub(super) fn break_deadlock(
        &mut self,
        class: ClassNo,
        session: SessionId,
        task: TaskRef,
    ) -> bool {
        let spec = std::sync::Arc::clone(&self.classes.get(class).spec);
        if !self.could_deadlock(session, &spec) {
            return false;
        }
        let chain = self.ancestors(session);
        if !self.is_blocked_by(&chain, &spec) {
            return false;
        }
        let names: Vec<String> = chain
            .iter()
            .map(|task| format!("{:?}", self.graph(task.graph).name(task.index)))
            .collect();
        let message = format!(
            "the task takes {}, which attempts hold that wait for it: {}; ask for less there, or add workers",
            spec.resources,
            names.join(", which waits in ")
        );
        let error =
            TaskError::new(ErrorClass::WouldDeadlock, Reason::WouldDeadlock.name(), message);
        self.pop_ready(class, session);
        self.fail_from(task, Failure::Own(Box::new(error)));
        true
    }

    /// Whether tasks of a session may need what attempts hold that wait for them, cpus aside.
    pub(super) fn could_deadlock(&self, session: SessionId, class: &TaskClass) -> bool {
        let takes_cpus_only =
            class.resources.memory_bytes == 0 && class.resources.others().next().is_none();
        !takes_cpus_only && self.sessions.get(&session).is_some_and(|session| session.depth > 0)
    }

    /// The tasks whose code opened a session, innermost first.
    fn ancestors(&self, session: SessionId) -> Vec<TaskRef> {
        let parent = |session: SessionId| self.sessions.get(&session)?.parent;
        let above = |task: &TaskRef| parent(self.graph(task.graph).session);
        std::iter::successors(parent(session), above).collect()
    }

    /// Whether every worker that could run a class lacks what tasks of a chain hold there, cpus aside.
    fn is_blocked_by(&self, chain: &[TaskRef], class: &TaskClass) -> bool {
        let mut able = self.workers.values().filter(|worker| worker.refuses(class).is_none());
        let blocks = |worker: &Worker| {
            let mut left = worker.join.resources.clone();
            for task in chain.iter().filter(|task| self.task(**task).worker == worker.id.0) {
                let mut held = self.classes.get(self.task(*task).class).spec.resources.clone();
                held.cpu_units = 0;
                if !left.fits(&held) {
                    return true;
                }
                left.take(&held);
            }
            !left.fits(&class.resources)
        };
        let first = able.next();
        first.is_some_and(blocks) && able.all(blocks)
    }
}
