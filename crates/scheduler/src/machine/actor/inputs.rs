//! What constructors of actors take: kept until the actor is dead, since it may have to be made again.

use bireme_core::graph::OnWorkerLost;
use bireme_core::id::{ActorId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Input, Order};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ErrorClass, TaskError};

use super::Machine;
use super::record::Phase;
use crate::machine::number::TaskRef;
use crate::machine::object::Object;
use crate::machine::task::Phase as TaskPhase;
use crate::machine::worker::Errand;

impl Machine {
    /// Has the inputs of an actor kept, unless one of them is nothing that there is or will be.
    pub(super) fn pin_inputs(&mut self, inputs: &[ObjectId]) -> Result<(), Refusal> {
        for (n, object) in inputs.iter().enumerate() {
            if self.object_source(*object).is_none() {
                let message = format!("there is no object {object}, or it was released");
                let field = format!("spec.inputs[{n}]");
                return Err(Refusal::at(Reason::ObjectUnknown, field, message));
            }
        }
        for object in inputs {
            *self.actors.pins.entry(*object).or_default() += 1;
            if let Some(producer) = self.producer_of(*object) {
                self.object_for(*object);
                self.task_mut(producer).consumers += 1;
            }
        }
        Ok(())
    }

    /// An actor takes its inputs no more.
    pub(super) fn unpin_inputs(&mut self, inputs: &[ObjectId]) {
        for object in inputs {
            let Some(count) = self.actors.pins.get_mut(object) else { continue };
            *count -= 1;
            if *count == 0 {
                self.actors.pins.remove(object);
            }
            match self.producer_of(*object) {
                Some(producer) => self.one_consumer_less(producer),
                None => {
                    if let Some(no) = self.find_object(*object) {
                        self.drop_unwanted_value(no);
                    }
                }
            }
        }
    }

    fn one_consumer_less(&mut self, producer: TaskRef) {
        let graph = self.graph_mut(producer.graph);
        graph.task_mut(producer.index).consumers -= 1;
        let record = graph.task(producer.index);
        if record.phase == TaskPhase::Finished && !graph.needs(record) {
            self.release_outputs(producer);
        }
    }

    /// How many actors take outputs of a task.
    pub(in super::super) fn actor_takers(&self, task: TaskRef) -> usize {
        let id = self.graph(task.graph).id_of(task.index);
        let outputs = ObjectId::output(id, 0)..=ObjectId::output(id, u16::MAX);
        self.actors.pins.range(outputs).map(|(_, count)| *count as usize).sum()
    }

    /// Whether what an actor begins with can be had by now; or why it never will be.
    pub(super) fn inputs_of_actor(&mut self, id: ActorId) -> Result<bool, Box<TaskError>> {
        let Some(actor) = self.actors.get(id) else { return Ok(false) };
        let objects: Vec<ObjectId> = match actor.baggage {
            Some(baggage) => vec![baggage],
            None => actor.spec.inputs.clone(),
        };
        let mut are_here = true;
        for object in objects {
            are_here &= self.input_of_actor(object)?;
        }
        Ok(are_here)
    }

    fn input_of_actor(&mut self, object: ObjectId) -> Result<bool, Box<TaskError>> {
        let is_stored = self
            .find_object(object)
            .and_then(|no| self.objects.get(no))
            .is_some_and(Object::is_stored);
        let Some(producer) = self.producer_of(object) else {
            let what =
                format!("{object}, which it begins with, is gone with the worker that had it");
            return if is_stored { Ok(true) } else { Err(lost(&what)) };
        };
        let name = self.graph(producer.graph).name(producer.index);
        match self.task(producer).phase {
            TaskPhase::Finished if is_stored => Ok(true),
            TaskPhase::Finished => {
                let class = self.task(producer).class;
                if self.classes.get(class).spec.on_worker_lost != OnWorkerLost::Rerun {
                    let what =
                        format!("the output of task {name:?} was lost and may not be made again");
                    return Err(lost(&what));
                }
                self.make_again(producer);
                Ok(false)
            }
            phase if phase.is_final() => {
                let message = format!("task {name:?}, whose output it takes, did not finish");
                let mut error = TaskError::new(
                    ErrorClass::Dependency,
                    Reason::DependencyFailed.name(),
                    message,
                );
                error.cause = Self::error_of(self.graph(producer.graph), producer.index);
                Err(Box::new(error))
            }
            _ => Ok(false),
        }
    }

    /// An input as the worker of an actor is told it.
    pub(super) fn actor_input(
        &mut self,
        object: ObjectId,
        worker: WorkerId,
        out: &mut Vec<Order>,
    ) -> Input {
        let record = self.find_object(object).and_then(|no| self.objects.get(no));
        let input = self.input_of(object, record, worker);
        self.introduce(worker, &input, out);
        self.note_sent_value(worker, &input);
        input
    }

    /// An object that a worker looked for is nowhere: actors there that begin with it begin elsewhere, once there is a way.
    pub(in super::super) fn actors_miss(&mut self, worker: WorkerId, object: ObjectId) {
        for id in self.actors_awaiting(worker, object) {
            let Some(life) = self.actors.get(id).map(|actor| actor.incarnation) else { continue };
            self.errand(worker, Errand::EndActor(id, life, false));
            self.unsettle(id);
            self.take_list_back(id);
            self.want_worker(id, None);
        }
    }

    /// A worker cannot have an object from the one that has it: actors there that begin with it have lost a life.
    pub(in super::super) fn actors_cannot_fetch(&mut self, worker: WorkerId, object: ObjectId) {
        for id in self.actors_awaiting(worker, object) {
            let Some(life) = self.actors.get(id).map(|actor| actor.incarnation) else { continue };
            self.errand(worker, Errand::EndActor(id, life, false));
            self.take_list_back(id);
            if self.actors.get(id).is_some_and(|actor| !actor.copies.in_step.is_empty()) {
                self.drop_baggage(id);
            }
            let what = format!("{object}, which it begins with, could not be fetched");
            self.lose_life(id, lost(&what));
        }
    }

    /// Actors that are to live on a worker and begin with an object.
    fn actors_awaiting(&self, worker: WorkerId, object: ObjectId) -> Vec<ActorId> {
        let Some(record) = self.workers.get(worker) else { return Vec::new() };
        let takes = |id: &&ActorId| {
            self.actors.get(**id).is_some_and(|actor| {
                matches!(actor.phase, Phase::Starting { .. })
                    && (actor.baggage == Some(object) || actor.spec.inputs.contains(&object))
            })
        };
        record.actors.iter().filter(takes).copied().collect()
    }
}

fn lost(what: &str) -> Box<TaskError> {
    Box::new(TaskError::new(ErrorClass::InputLost, Reason::InputLost.name(), what))
}
