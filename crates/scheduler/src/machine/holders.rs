//! Who holds what: each object lists its holders, and each worker what it holds.

use bireme_core::id::WorkerId;

use super::Machine;
use super::number::ObjectNo;

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
}
