//! The outputs of tasks: their numbers in the table of objects, and how they go.

use bireme_core::id::{TaskId, WorkerId};
use bireme_core::object::ObjectId;
use smallvec::SmallVec;

use super::Machine;
use super::number::{ObjectNo, TaskRef};
use super::object::Object;
use super::task::Edge;
use super::worker::Errand;

impl Machine {
    /// The number of a task's output in the table of objects; made if need be.
    pub(super) fn output_object(&mut self, task: TaskRef, output: u16) -> ObjectNo {
        if let Some(no) = self.graph(task.graph).object(task.index, output) {
            return no;
        }
        let id = self.graph(task.graph).id_of(task.index);
        let count = self.task(task).outputs;
        let numbers: Vec<ObjectNo> = (0..count)
            .map(|output| self.objects.insert(Object::new(ObjectId::output(id, output))))
            .collect();
        let graph = self.graph_mut(task.graph);
        graph.task_mut(task.index).object = numbers.first().copied().unwrap_or(ObjectNo::NONE);
        let no = numbers.get(usize::from(output)).copied().unwrap_or(ObjectNo::NONE);
        if count > 1 {
            graph.several.insert(task.index, numbers.into());
        }
        no
    }

    /// The object that an edge stands for, if it was made.
    pub(super) fn edge_object(&self, task: TaskRef, edge: &Edge) -> Option<ObjectNo> {
        let graph = self.graph(task.graph);
        if !edge.external {
            return graph.object(edge.producer, edge.output);
        }
        self.find_object(*graph.externals.get(edge.producer as usize)?)
    }

    /// Nobody needs the outputs of a finished task: whoever has them drops them.
    pub(super) fn release_outputs(&mut self, task: TaskRef) {
        let mut had = false;
        for output in 0..self.task(task).outputs {
            let Some(no) = self.graph(task.graph).object(task.index, output) else { continue };
            self.drop_object(no);
            had = true;
        }
        if had {
            let graph = self.graph_mut(task.graph);
            graph.task_mut(task.index).object = ObjectNo::NONE;
            graph.several.remove(&task.index);
            self.fold(task);
        }
    }

    /// Drops an object and every replica of it.
    pub(super) fn drop_object(&mut self, no: ObjectNo) {
        self.forget_small(no);
        let Some(object) = self.objects.remove(no) else { return };
        for &holder in object.holders() {
            if let Some(worker) = self.workers.get_mut(holder) {
                worker.held.remove(&no);
            }
            self.errand(holder, Errand::Release(object.id()));
        }
    }

    /// Has a worker drop a replica that the table does not know of. While a later attempt is to make the same object there,
    /// the order could meet that one: then the end of the attempt decides.
    pub(super) fn drop_stray(&mut self, worker: WorkerId, id: ObjectId) {
        let known = self
            .find_object(id)
            .and_then(|no| self.objects.get(no))
            .is_some_and(|object| object.holders().contains(&worker));
        if known {
            return;
        }
        let maker = self.producer_of(id).map(|task| self.task(task));
        if maker.is_some_and(|record| record.phase.is_sent() && record.worker == worker.0) {
            if let Some(record) = self.workers.get_mut(worker) {
                record.strays.insert(id);
            }
        } else {
            self.errand(worker, Errand::Release(id));
        }
    }

    /// An attempt of a task has ended at a worker: what earlier ones left there is dropped, if it is no good by now.
    pub(super) fn drop_strays(&mut self, worker: WorkerId, task: TaskId) {
        let Some(record) = self.workers.get_mut(worker) else { return };
        if record.strays.is_empty() {
            return;
        }
        let outputs = ObjectId::output(task, 0)..=ObjectId::output(task, u16::MAX);
        let strays: SmallVec<[ObjectId; 4]> = record.strays.range(outputs).copied().collect();
        for id in strays {
            if let Some(record) = self.workers.get_mut(worker) {
                record.strays.remove(&id);
            }
            self.drop_stray(worker, id);
        }
    }
}
