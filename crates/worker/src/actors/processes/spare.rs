//! The process of each runtime that waits for the next actor.
//!
//! Making one ready takes the processors for longer than creating an actor in one that is. Where actors come one by one, the
//! next is begun only when the last can be expected to have answered its creator; where they come one after the other, or
//! one has found none, at once.

use std::sync::Arc;

use bireme_core::id::ActorId;
use bireme_core::limits;
use tokio::time::sleep;

use super::{Turn, Use};

impl Turn<'_> {
    /// An actor was made, perhaps in a process that was started for it: the next finds one ready.
    pub(in crate::actors) fn have_spare_of(&mut self, actor: ActorId) {
        let process = self.table.entries.get(&actor).and_then(|entry| entry.process);
        let Some(runtime) = process.and_then(|number| self.runtime_of_spare(number)) else {
            return;
        };
        if !self.table.crew.spare_later.contains(&runtime) {
            self.have_spare(runtime);
        }
    }

    /// Somebody has moved into the one that was ready.
    pub(super) fn replace_spare(&mut self, number: u64) {
        let Some(runtime) = self.runtime_of_spare(number) else { return };
        let back = self.table.crew.processes.get(&number).map_or(self.now, |process| process.back);
        if self.now.since(back) < limits::SPARE_CALM {
            return self.have_spare(runtime);
        }
        if !self.table.crew.spare_later.insert(runtime.clone()) {
            return;
        }
        let shared = Arc::downgrade(self.shared);
        self.shared.setup.bulk.spawn(async move {
            sleep(limits::SPARE_DELAY.to_std()).await;
            let Some(shared) = shared.upgrade() else { return };
            let mut turn = shared.turn();
            // Unless somebody has found none meanwhile.
            if turn.table.crew.spare_later.remove(&runtime) {
                turn.have_spare(runtime);
            }
        });
    }

    /// Sees to it that a process is ready for the next actor of a runtime.
    fn have_spare(&mut self, runtime: String) {
        if !self.table.closed && self.table.crew.find(Use::Spare, &runtime).is_none() {
            // Whoever needs one tries again and is told why there is none.
            let _ = self.hire(runtime, Use::Spare, Vec::new());
        }
    }

    /// The runtime of a process, if one is kept ready beside it.
    fn runtime_of_spare(&self, number: u64) -> Option<String> {
        let process = self.table.crew.processes.get(&number)?;
        // One in an environment would keep that from being removed.
        let is_plain = !self.table.crew.variants.contains_key(&process.runtime);
        (is_plain && process.use_ != Use::Inside).then(|| process.runtime.clone())
    }
}
