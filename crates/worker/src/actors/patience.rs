//! Actors that wait until another process may be started, after some could not be.

use std::sync::Arc;

use bireme_core::Time;
use bireme_core::id::ActorId;
use tokio::time::sleep_until;

use super::Turn;

impl Turn<'_> {
    /// Whether an actor has lived before, and may wait: an incarnation that is lost at once, again and again, would only use
    /// up how often it may be started.
    pub(super) fn may_wait(&self, actor: ActorId) -> bool {
        let entry = self.table.entries.get(&actor);
        entry.is_some_and(|entry| entry.hosting.incarnation.0 > 1)
    }

    /// Looks for a process again at that time, if the incarnation still has none by then.
    pub(super) fn find_process_later(&self, actor: ActorId, at: Time) {
        let Some(entry) = self.table.entries.get(&actor) else { return };
        let incarnation = entry.hosting.incarnation;
        let shared = Arc::downgrade(self.shared);
        let at = self.shared.setup.clock.instant(at);
        self.shared.setup.bulk.spawn(async move {
            sleep_until(at).await;
            let Some(shared) = shared.upgrade() else { return };
            let mut turn = shared.turn();
            let entry = turn.table.entries.get(&actor).filter(|entry| entry.over.is_none());
            let waits = entry.is_some_and(|entry| {
                entry.hosting.incarnation == incarnation && entry.process.is_none()
            });
            if waits && !turn.table.closed {
                turn.find_process(actor);
            }
        });
    }
}
