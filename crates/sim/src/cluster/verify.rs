//! Whether everything came out as it must.

use bireme_core::graph::{TaskState, Watch};
use bireme_core::id::{GraphId, TaskId};
use bireme_core::protocol::Held;
use bireme_core::{ObjectId, Reason, TaskError};
use bireme_scheduler::machine::view::TaskView;

use super::Cluster;
use crate::client::GraphStage;
use crate::load::{Act, Deed};
use crate::reference::Fate;

impl Cluster {
    /// Looks at everything when nothing is under way.
    pub(super) fn verify(&self) -> Result<(), String> {
        for session in (0..self.clients.len()).filter(|session| !self.has_vanished(*session)) {
            for graph in 0..self.world.load.session(session).graphs.len() {
                let named = |what| format!("graph {graph} of session {session}: {what}");
                self.verify_graph(session, graph).map_err(named)?;
            }
        }
        self.verify_scheduler_against_workers()?;
        self.verify_workers_against_scheduler()
    }

    fn has_vanished(&self, session: usize) -> bool {
        self.clients.get(session).is_some_and(crate::client::Client::has_vanished)
    }

    fn verify_graph(&self, session: usize, graph: usize) -> Result<(), String> {
        let state = self
            .clients
            .get(session)
            .and_then(|client| client.graphs.get(graph))
            .ok_or("is not known")?;
        let Some(id) = state.id else { return Err("has no number".to_owned()) };
        if state.stage() == GraphStage::Forgotten {
            return if self.scheduler.machine.find_graph(id).is_some() {
                Err("was not forgotten".to_owned())
            } else {
                Ok(())
            };
        }
        let plan = self.world.load.graph(session, graph);
        for task in self.scheduler.machine.tasks_from(id, 0) {
            let index = task.id.index;
            let told = state.updates.get(&index).map(|update| update.state);
            let may_differ = self.has_deed(session, graph, |deed| deed == Deed::Retry);
            let need_not_know = told.is_none()
                && task.state == TaskState::Finished
                && plan.options.watch != Watch::Graph;
            if told != Some(task.state)
                && !need_not_know
                && !(may_differ && told.is_some_and(TaskState::is_final))
            {
                return Err(format!(
                    "task {index} is {:?}, the client was told {told:?}",
                    task.state
                ));
            }
            self.verify_state(session, graph, index, task.state)?;
            self.verify_values(session, graph, id, index, task.state)?;
            self.verify_executions(session, graph, task.id, task.state)?;
            self.verify_blame(session, graph, &task)?;
            self.verify_expiry(id, &task)?;
        }
        self.verify_error(session, graph, state.error.as_deref())
    }

    /// Whether a task ended as it must.
    fn verify_state(
        &self,
        session: usize,
        graph: usize,
        index: u32,
        state: TaskState,
    ) -> Result<(), String> {
        let plan = self.world.load.graph(session, graph);
        let fate = self.reference.fate(session, graph, index);
        let as_planned = match state {
            TaskState::Finished => matches!(fate, Fate::Finishes(_)),
            TaskState::Failed => !matches!(fate, Fate::Finishes(_)),
            _ => false,
        };
        // A lost worker, or a consumer that was tried again when its inputs had gone, may ask for a second run.
        let is_disturbed =
            !self.faults.is_empty() || self.has_deed(session, graph, |deed| deed == Deed::Retry);
        let may_fail = is_disturbed && self.reference.is_fragile(session, graph, index)
            || self.world.has_been_full;
        let excused = match state {
            TaskState::Cancelled => plan.may_be_cancelled(),
            // A task whose input was cancelled before it came or in another graph, or that lost its worker once too often.
            TaskState::Failed => self.reference.may_be_cancelled(session, graph, index) || may_fail,
            _ => false,
        };
        if as_planned || excused {
            Ok(())
        } else {
            Err(format!("task {index} is {state:?}, its fate was {fate:?}"))
        }
    }

    /// Whether the outputs of a finished task that are kept came to the client as they must.
    fn verify_values(
        &self,
        session: usize,
        graph: usize,
        id: GraphId,
        index: u32,
        state: TaskState,
    ) -> Result<(), String> {
        let plan = self.world.load.graph(session, graph);
        let client = self
            .clients
            .get(session)
            .and_then(|client| client.graphs.get(graph))
            .ok_or("is not known")?;
        let Fate::Finishes(outputs) = self.reference.fate(session, graph, index) else {
            return Ok(());
        };
        if state != TaskState::Finished || !plan.keeps(index) || client.has_released(index) {
            return Ok(());
        }
        for (n, expected) in (0..).zip(outputs) {
            let object = ObjectId::output(TaskId { graph: id, index }, n);
            let found = client.collected.get(&object);
            if found != Some(expected) && !client.expired.contains(&object) {
                return Err(format!("object {object} is {found:x?}, it must be {expected:x}"));
            }
        }
        Ok(())
    }

    /// Whether a task ran as often as it must.
    fn verify_executions(
        &self,
        session: usize,
        graph: usize,
        task: TaskId,
        state: TaskState,
    ) -> Result<(), String> {
        if !self.faults.is_empty() || self.has_deed(session, graph, |deed| deed == Deed::Retry) {
            return Ok(());
        }
        let plan = self.world.load.graph(session, graph);
        let job = plan.task(task.index).job;
        let retry = &plan.class(plan.task(task.index)).retry;
        let (retries, pause) = (retry.max_retries, retry.backoff.min(retry.backoff_max));
        if let Some((_, soonest)) = self.world.failures.get(&task).filter(|(_, s)| *s < pause) {
            return Err(format!("task {task} was tried again after {soonest}, not {pause}"));
        }
        let ran = self.world.executions.get(&task).copied().unwrap_or(0);
        let most = match job.act {
            _ if self.reference.may_be_remade(session, graph, task.index) => u32::MAX,
            Act::Succeed => 1,
            Act::Fail | Act::Hang => 1 + retries,
            Act::DieFirst(times) | Act::FailFirst(times) | Act::MoveFirst(times) => {
                1 + u32::from(times)
            }
        };
        let least = match (state, self.reference.fate(session, graph, task.index)) {
            (TaskState::Finished, _) => 1,
            // Unless an input from another graph is why.
            (TaskState::Failed, Fate::Fails) => u32::from(
                plan.task(task.index).externals.is_empty()
                    && !self.reference.may_be_cancelled(session, graph, task.index),
            ),
            _ => 0,
        };
        if (least..=most).contains(&ran) {
            Ok(())
        } else {
            Err(format!(
                "task {} ({state:?}, {:?}) ran {ran} times, must {least} to {most}",
                task.index, job.act
            ))
        }
    }

    /// Whether a task that is said to have crashed too often was running that often.
    fn verify_blame(&self, session: usize, graph: usize, task: &TaskView) -> Result<(), String> {
        let is_blamed = |error: &TaskError| error.reason == Reason::CrashedTooOften.name();
        if !task.error.as_deref().is_some_and(is_blamed) {
            return Ok(());
        }
        let plan = self.world.load.graph(session, graph);
        let allowed = plan.class(plan.task(task.id.index)).retry.max_crashes;
        let ran = self.world.executions.get(&task.id).copied().unwrap_or(0);
        if ran > allowed {
            Ok(())
        } else {
            Err(format!(
                "task {} is blamed for more than {allowed} crashes, ran {ran} times",
                task.id
            ))
        }
    }

    /// Whether nobody holds outputs whose time is over.
    fn verify_expiry(&self, graph: GraphId, task: &TaskView) -> Result<(), String> {
        let Some(view) = self.scheduler.machine.find_graph(graph) else { return Ok(()) };
        let due = view.ended.zip(view.ttl).map(|(ended, ttl)| ended + ttl);
        let is_over = due.is_some_and(|due| due < self.world.now());
        let held = task.outputs.iter().find(|place| !place.holders.is_empty());
        match held.filter(|_| is_over) {
            Some(place) => Err(format!("{} is held, and its time is over", place.object)),
            None => Ok(()),
        }
    }

    /// Whether a graph failed as a whole exactly if it must.
    fn verify_error(
        &self,
        session: usize,
        graph: usize,
        error: Option<&str>,
    ) -> Result<(), String> {
        let plan = self.world.load.graph(session, graph);
        let Some(max) = plan.options.max_failures else {
            return error.map_or(Ok(()), |error| Err(format!("failed: {error}")));
        };
        let is_certain = self.faults.is_empty()
            && plan.deeds.iter().all(|(_, deed)| matches!(deed, Deed::Ping | Deed::Want { .. }));
        if !is_certain || !plan.externals.is_empty() {
            return Ok(());
        }
        let expected = (self.reference.failures(session, graph) > max as usize)
            .then(|| Reason::TooManyFailures.name());
        if error == expected {
            Ok(())
        } else {
            Err(format!("has the error {error:?}, it must be {expected:?}"))
        }
    }

    fn has_deed(&self, session: usize, graph: usize, is_it: impl Fn(Deed) -> bool) -> bool {
        self.world.load.graph(session, graph).deeds.iter().any(|(_, deed)| is_it(*deed))
    }

    /// What the scheduler believes a worker to hold, it holds.
    fn verify_scheduler_against_workers(&self) -> Result<(), String> {
        let machine = &self.scheduler.machine;
        for place in machine
            .graphs()
            .flat_map(|graph| machine.tasks_from(graph.id, 0))
            .flat_map(|task| task.outputs)
        {
            for holder in &place.holders {
                let worker =
                    self.workers.iter().flatten().find(|worker| worker.id() == Some(*holder));
                let held = worker.and_then(|worker| worker.machine.holds(place.object));
                let stored = worker
                    .and_then(|worker| worker.store.get(place.object))
                    .map(|stored| stored.size);
                if held != Some(place.size) || stored != held {
                    let object = place.object;
                    return Err(format!(
                        "{holder} must hold {} bytes of {object}, says {held:?}, has {stored:?}",
                        place.size
                    ));
                }
            }
        }
        Ok(())
    }

    /// What a worker holds, the scheduler knows of.
    fn verify_workers_against_scheduler(&self) -> Result<(), String> {
        for worker in self.workers.iter().flatten() {
            let id = worker.id().ok_or("a worker at rest has no number")?;
            for part in worker.machine.announce() {
                if let Some((attempt, _)) = part.attempts.first() {
                    return Err(format!("{id} still has attempt {attempt}"));
                }
                if let Some(report) = part.ended.first() {
                    return Err(format!("{id} was never told to forget {report:?}"));
                }
                for Held { object, .. } in part.objects {
                    if self.may_be_told_of(object) {
                        continue;
                    }
                    let holders = self
                        .scheduler
                        .machine
                        .object(object)
                        .map(|place| place.holders)
                        .unwrap_or_default();
                    // No more than so many are named.
                    if !holders.contains(&id) && holders.len() < 4 {
                        return Err(format!(
                            "{id} holds {object}, the scheduler believes {holders:?} to"
                        ));
                    }
                }
            }
            if let Some(object) =
                worker.store.objects().find(|object| worker.machine.holds(*object).is_none())
            {
                return Err(format!("{id} stores {object}, which its machine does not know of"));
            }
        }
        Ok(())
    }

    /// Whether this is a value of a session that may still tell the scheduler of it: its client has not heard that the worker
    /// has it.
    fn may_be_told_of(&self, object: ObjectId) -> bool {
        let ObjectId::Held { holder, .. } = object else { return false };
        let machine = &self.scheduler.machine;
        machine.object(object).is_none()
            && machine.sessions().any(|session| holder == session.id.into())
    }

    /// Whether nothing is left anywhere.
    pub(super) fn is_empty(&self) -> Result<bool, String> {
        let machine = &self.scheduler.machine;
        if machine.sessions().next().is_some() || !self.is_at_rest() {
            return Ok(false);
        }
        if machine.sizes() != (0, 0, 0) {
            return Err(format!(
                "every session is gone, and (objects, graphs, classes) are {:?}",
                machine.sizes()
            ));
        }
        for worker in self.workers.iter().flatten() {
            if let Some(object) = worker.store.objects().next() {
                return Err(format!(
                    "every session is gone, and {:?} still stores {object}",
                    worker.id()
                ));
            }
        }
        self.verify_workers_against_scheduler()?;
        Ok(true)
    }
}
