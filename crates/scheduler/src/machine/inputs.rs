//! What tasks wait for, and what happens when a stored value is lost.

use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::graph::OnWorkerLost;
use bireme_core::id::{AttemptNo, SessionId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::reason::Reason;
use smallvec::SmallVec;

use super::Machine;
use super::number::{ObjectNo, TaskRef};
use super::object::Object;
use super::task::{Edge, Failure, Phase};
use super::worker::Errand;

impl Machine {
    /// Counts what a waiting task still waits for, has lost inputs made again, and theirs if those are lost too, and puts
    /// whatever misses nothing into its queue.
    pub(super) fn wait_for_inputs(&mut self, task: TaskRef) {
        let mut open = vec![task];
        while let Some(task) = open.pop() {
            if self.task(task).phase != Phase::Waiting {
                continue; // An input cannot be made again, and took this task with it.
            }
            let graph = self.graph(task.graph);
            let edges: SmallVec<[Edge; 4]> =
                graph.inputs(graph.task(task.index)).iter().copied().collect();
            for edge in &edges {
                if self.is_ready(task, edge) {
                    continue;
                }
                match self.edge_producer(task, edge) {
                    Some(producer) if self.task(producer).phase == Phase::Finished => {
                        if !self.may_run_again(producer) {
                            // It did its part: nobody needed the output any more when it was dropped.
                            let name = self.graph(producer.graph).name(producer.index);
                            let message = format!(
                                "an output of task {name:?} was dropped when nobody needed it, and the task may not be run again"
                            );
                            let error = Box::new(lost_input(&message));
                            self.fail_from(task, Failure::Own(error));
                        } else if self.revive(producer) {
                            open.push(producer);
                        }
                    }
                    Some(producer) if self.task(producer).phase.is_final() => {
                        self.fail_from(task, self.failed_elsewhere(producer));
                    }
                    Some(_) => {}
                    None => self.fail_from(
                        task,
                        Failure::Own(Box::new(lost_input("a value that was put is gone"))),
                    ),
                }
            }
            if self.task(task).phase == Phase::Waiting {
                // Counted only now: to have one output made again takes the others of its task away too.
                let missing = edges.iter().filter(|edge| !self.is_ready(task, edge)).count();
                self.task_mut(task).missing = u32::try_from(missing).unwrap_or(u32::MAX);
                if missing == 0 {
                    self.enqueue(task);
                }
            }
        }
    }

    /// Whether an input is stored, and its producer not about to make it again.
    pub(super) fn is_ready(&self, task: TaskRef, edge: &Edge) -> bool {
        self.edge_producer(task, edge)
            .is_none_or(|producer| self.task(producer).phase == Phase::Finished)
            && self
                .edge_object(task, edge)
                .and_then(|object| self.objects.get(object))
                .is_some_and(Object::is_stored)
    }

    /// The task that makes an input; `None` if it is no task's output.
    fn edge_producer(&self, task: TaskRef, edge: &Edge) -> Option<TaskRef> {
        if !edge.external {
            return Some(TaskRef { graph: task.graph, index: edge.producer });
        }
        self.producer_of(*self.graph(task.graph).externals.get(edge.producer as usize)?)
    }

    /// The number of an object, if it was made.
    pub(super) fn find_object(&self, id: ObjectId) -> Option<ObjectNo> {
        match (id, self.producer_of(id)) {
            (ObjectId::Output { output, .. }, Some(task)) => {
                self.graph(task.graph).object(task.index, output)
            }
            _ => self.held.get(&id).copied(),
        }
    }

    /// Has a finished task run again for something else than a task that takes its output.
    pub(super) fn make_again(&mut self, task: TaskRef) {
        if self.revive(task) {
            self.wait_for_inputs(task);
        }
    }

    /// Has a finished task wait to run again, because an output that is needed was lost. Returns whether it may.
    fn revive(&mut self, task: TaskRef) -> bool {
        let before = self.before(task);
        self.set_phase(task, Phase::Waiting);
        self.tell_story(before, "OUTPUT_LOST", "an output that is needed was lost");
        let (first, count) = (self.task(task).first_edge, self.task(task).edges);
        for at in first..first + count {
            let edge = *self.graph(task.graph).edge(at);
            if edge.external {
                self.link_external(task.graph, edge);
            } else {
                self.task_mut(TaskRef { graph: task.graph, index: edge.producer }).consumers += 1;
            }
        }
        // Whoever had this input, and has not been sent to run, waits for it again.
        for dependent in self.dependents_of(task).into_iter().chain(self.takers_of(task)) {
            match self.task(dependent).phase {
                Phase::Ready | Phase::Suspect => {
                    self.set_phase(dependent, Phase::Waiting);
                    self.task_mut(dependent).missing = 1;
                }
                Phase::Waiting => self.task_mut(dependent).missing += 1,
                // Its worker would not be told where the input is once it was made elsewhere.
                Phase::Ahead => {
                    let worker = WorkerId(self.task(dependent).worker);
                    self.call_off(dependent);
                    self.task_mut(dependent).missing += 1;
                    self.take_back_followers(dependent, worker);
                }

                _ => {}
            }
        }
        let may_run_again = self.may_run_again(task);
        if !may_run_again {
            let name = self.graph(task.graph).name(task.index);
            let message =
                format!("an output of task {name:?} was lost, and the task may not be run again");
            self.fail_from(task, Failure::Own(Box::new(lost_input(&message))));
        }
        may_run_again
    }

    /// Whether a task may be run again to make lost outputs anew.
    fn may_run_again(&self, task: TaskRef) -> bool {
        self.classes.get(self.task(task).class).spec.on_worker_lost == OnWorkerLost::Rerun
    }

    /// A worker has an object no more.
    pub(super) fn lose_replica(&mut self, worker: WorkerId, no: ObjectNo) {
        self.remove_holder(no, worker);
        let Some(object) = self.objects.get(no) else { return };
        if object.is_stored() {
            return;
        }
        let (id, takers) = (object.id(), object.takers().to_vec());
        if let Some(producer) = self.producer_of(id) {
            let graph = self.graph(producer.graph);
            let record = graph.task(producer.index);
            if record.phase == Phase::Finished && graph.needs(record) && self.revive(producer) {
                self.wait_for_inputs(producer);
            }
        } else {
            self.held.remove(&id);
            self.objects.remove(no);
        }
        for taker in takers {
            match self.task(taker).phase {
                Phase::Ready | Phase::Suspect | Phase::Waiting => {
                    self.set_phase(taker, Phase::Waiting);
                }
                Phase::Ahead if self.producer_of(id).is_none() => self.call_off(taker),
                _ => continue,
            }
            self.wait_for_inputs(taker);
        }
    }

    /// The attempt that made a stored object, where it is the output of a task.
    pub(super) fn made_by(&self, id: ObjectId) -> Option<AttemptNo> {
        let task = self.producer_of(id)?;
        (self.task(task).phase == Phase::Finished).then(|| self.attempt_id(task).no)
    }

    /// An input of attempts on a worker could not be had from those who should have it. Who does have it, and only could not
    /// be reached, is to drop it: nobody will ask there again. Those who were asked for what an earlier attempt had made may
    /// have got it anew since: they keep it. So does the last of those who have what nobody can make again: the attempts are
    /// made again instead, as often as a task may crash.
    pub(super) fn on_input_missing(
        &mut self,
        worker: WorkerId,
        id: ObjectId,
        asked: &[WorkerId],
        made_by: Option<AttemptNo>,
    ) {
        // Whoever misses it has not got it: its word of a replica and the order to drop that have crossed.
        if let Some(no) = self.find_object(id)
            && self.objects.get(no).is_some_and(|object| object.holders().contains(&worker))
        {
            self.lose_replica(worker, no);
        }
        let no = self.find_object(id);
        let asked = if made_by == self.made_by(id) { asked } else { &[] };
        let mut spared = false;
        for holder in asked {
            if no.is_some_and(|no| self.is_last_of_its_kind(no, *holder)) {
                spared = true;
                continue;
            }
            if let Some(no) = no {
                self.lose_replica(*holder, no);
            }
            self.drop_stray(*holder, id);
        }
        if spared {
            self.try_fetchers_again(worker, id, asked);
            self.actors_cannot_fetch(worker, id);
            return;
        }
        let no = self.find_object(id);
        let stored = no.and_then(|no| self.objects.get(no)).is_some_and(Object::is_stored);
        if stored {
            self.errand(worker, Errand::Place(id));
            return;
        }
        for task in self.takers_on(worker, id) {
            if self.task(task).phase.is_sent() {
                self.call_off(task);
                self.take_back_followers(task, worker);
                self.wait_for_inputs(task);
            }
        }
        self.actors_miss(worker, id);
        if self.gone_for_good(id).is_some() {
            self.errand(worker, Errand::Place(id));
        }
    }

    /// What became of an object that is nowhere and will not be made; `None` while it is somewhere, or may yet come.
    pub(super) fn gone_for_good(&self, id: ObjectId) -> Option<Box<TaskError>> {
        let object = self.find_object(id).and_then(|no| self.objects.get(no));
        if object.is_some_and(Object::is_stored) {
            return None;
        }
        if let Some(producer) = self.producer_of(id) {
            let graph = self.graph(producer.graph);
            let name = graph.name(producer.index);
            return match self.task(producer).phase {
                Phase::Finished => {
                    let message = format!(
                        "{id}, an output of task {name:?}, was lost or dropped when nobody needed it"
                    );
                    Some(Box::new(lost_input(&message)))
                }
                phase if phase.is_final() => {
                    let message = format!("task {name:?}, which makes {id}, did not finish");
                    let reason = Reason::DependencyFailed.name();
                    let error = TaskError::new(ErrorClass::Dependency, reason, message);
                    let cause = Self::error_of(graph, producer.index);
                    Some(Box::new(TaskError { cause, ..error }))
                }
                _ => None,
            };
        }
        let owner = match id {
            ObjectId::Held { holder, .. } => SessionId::of(holder)?,
            ObjectId::Output { task, .. } => task.graph.session(),
        };
        let Some(session) = self.sessions.get(&owner) else {
            let message = format!("{id} went with session {}, which is no more", owner.0);
            return Some(Box::new(lost_input(&message)));
        };
        // One that its session has not told of may be on its way.
        let ObjectId::Held { n, .. } = id else { return None };
        let message = format!("{id} was given up, or is gone with the worker that had it");
        session.told.contains(n).then(|| Box::new(lost_input(&message)))
    }

    /// Whether a worker that is there has the only replica of a value that cannot be made again.
    fn is_last_of_its_kind(&self, no: ObjectNo, holder: WorkerId) -> bool {
        let Some(object) = self.objects.get(no) else { return false };
        let is_here = self.workers.contains_key(holder);
        let can_be_made =
            self.producer_of(object.id()).is_some_and(|task| self.may_run_again(task));
        is_here && !can_be_made && !object.has_small() && object.holders() == [holder]
    }

    /// Attempts on a worker could not have an input that is there all the same: they are made again, but not for ever.
    fn try_fetchers_again(&mut self, worker: WorkerId, id: ObjectId, asked: &[WorkerId]) {
        let name = |id: &WorkerId| self.workers.get(*id).map(|worker| worker.join.name.clone());
        let holders: Vec<String> = asked.iter().filter_map(name).collect();
        let message = format!("{id} could not be fetched from {}", holders.join(", "));
        for task in self.takers_on(worker, id) {
            if !self.task(task).phase.is_sent() {
                continue;
            }
            self.call_off(task);
            self.take_back_followers(task, worker);
            match self.count_crash(task, Box::new(lost_input(&message))) {
                None => self.wait_for_inputs(task),
                Some(error) => self.fail_from(task, Failure::Own(error)),
            }
        }
    }

    /// Tasks sent to a worker that take an object.
    fn takers_on(&self, worker: WorkerId, id: ObjectId) -> Vec<TaskRef> {
        let sent =
            self.workers.get(worker).map(|worker| worker.sent.as_slice()).unwrap_or_default();
        let takes = |task: &&TaskRef| {
            let graph = self.graph(task.graph);
            graph.inputs(graph.task(task.index)).iter().any(|edge| {
                let other = if edge.external {
                    graph.externals.get(edge.producer as usize).copied()
                } else {
                    Some(ObjectId::output(graph.id_of(edge.producer), edge.output))
                };
                other == Some(id)
            })
        };
        sent.iter().filter(takes).copied().collect()
    }

    pub(super) fn on_replica_added(&mut self, worker: WorkerId, id: ObjectId, size: u64) {
        let no = self.find_object(id);
        match no.and_then(|no| Some((no, self.objects.get_mut(no)?))) {
            Some((no, object)) if object.is_stored() => {
                object.size = object.size.max(size);
                self.add_holder(no, worker);
            }
            _ => {
                if !self.awaits_word_of(worker, id) {
                    self.drop_stray(worker, id);
                }
            }
        }
    }

    pub(super) fn on_replica_lost(&mut self, worker: WorkerId, id: ObjectId) {
        let no = self.find_object(id);
        if let Some(no) = no {
            self.lose_replica(worker, no);
        }
    }
}

pub(super) fn lost_input(message: &str) -> TaskError {
    TaskError::new(ErrorClass::InputLost, Reason::InputLost.name(), message)
}
