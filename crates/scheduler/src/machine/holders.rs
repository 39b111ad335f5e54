//! Who holds what: each object lists its holders, and each worker what it holds.

use bireme_core::id::{SessionId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::Replica;

use super::Machine;
use super::number::ObjectNo;
use super::object::Object;
use super::session::Outcome;
use super::worker::{Errand, Worker};

impl Machine {
    /// A worker has an object.
    pub(super) fn add_holder(&mut self, no: ObjectNo, worker: WorkerId) {
        if let Some(record) = self.workers.get_mut(worker)
            && let Some(object) = self.objects.get_mut(no)
            && record.held.insert(no, ()).is_none()
        {
            object.add_holder(worker);
        }
    }

    /// A worker has an object no more.
    pub(super) fn remove_holder(&mut self, no: ObjectNo, worker: WorkerId) {
        let had = self.workers.get_mut(worker).and_then(|worker| worker.held.remove(&no));
        if had.is_some()
            && let Some(object) = self.objects.get_mut(no)
        {
            object.remove_holder(worker);
        }
    }

    /// Everything that a worker holds, by number.
    pub(super) fn held_by(&self, worker: WorkerId) -> Vec<ObjectNo> {
        let held = self.workers.get(worker).map(|worker| worker.held.keys().copied());
        let mut held: Vec<_> = held.into_iter().flatten().collect();
        held.sort_unstable();
        held
    }

    /// A session wants no replicas of these values on these workers. Answers how many go.
    pub(super) fn on_replicas_dropped(
        &mut self,
        session: SessionId,
        replicas: &[Replica],
    ) -> Outcome {
        for (n, Replica { object, .. }) in replicas.iter().enumerate() {
            if !is_of(*object, session) {
                let message = format!("{object} is no value of session {}", session.0);
                let field = format!("replicas[{n}].object");
                return Err(Refusal::at(Reason::ObjectUnknown, field, message));
            }
        }
        let dropped = replicas.iter().filter(|replica| self.drop_replica(replica)).count();
        Ok((None, u32::try_from(dropped).unwrap_or(u32::MAX)))
    }

    /// Has a worker drop a value, unless it would be lost with those who have it too.
    fn drop_replica(&mut self, replica: &Replica) -> bool {
        let Replica { object: id, worker } = *replica;
        let Some(no) = self.find_object(id) else { return false };
        let holders = self.objects.get(no).map(Object::holders).unwrap_or_default();
        let stays = |other: &WorkerId| {
            *other != worker && self.workers.get(*other).is_some_and(Worker::is_up)
        };
        if !holders.contains(&worker) || !holders.iter().any(stays) {
            return false;
        }
        self.remove_holder(no, worker);
        self.errand(worker, Errand::Release(id));
        true
    }
}

/// Whether a session has put a value, or submitted the task that makes it.
fn is_of(object: ObjectId, session: SessionId) -> bool {
    match object {
        ObjectId::Held { holder, .. } => holder == session.into(),
        ObjectId::Output { task, .. } => task.graph.session() == session,
    }
}
