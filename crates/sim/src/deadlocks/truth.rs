//! Who waits for whom in truth, as far as it is certain.

use std::collections::BTreeSet;

use bireme_core::actor::call::CallId;

use super::World;

impl World {
    /// All calls that wait for themselves.
    pub(super) fn in_circles(&self) -> BTreeSet<CallId> {
        self.calls.keys().copied().filter(|call| self.waits_for_itself(*call)).collect()
    }

    fn waits_for_itself(&self, call: CallId) -> bool {
        let mut at = call;
        // Each waits for one at most, so that a way longer than all there are has been round.
        for _ in 0..self.calls.len() {
            match self.waits_for(at) {
                None => return false,
                Some(next) if next == call => return true,
                Some(next) => at = next,
            }
        }
        false
    }

    /// The call that must end before this one can. One that has ended and is played again may wait too.
    fn waits_for(&self, call: CallId) -> Option<CallId> {
        let asked = self.calls.get(&call)?;
        let actor = self.actors.get(asked.actor)?;
        if actor.process.runs(call) {
            // With a reply on its way it waits for nobody.
            return actor.process.waits_for(call).filter(|on| !self.has_ended(*on));
        }
        let waits = asked.has_arrived && !asked.has_ended && actor.concurrency(asked.lane) == 1;
        actor.process.runs_in(asked.lane).filter(|_| waits)
    }

    fn has_ended(&self, call: CallId) -> bool {
        self.calls.get(&call).is_none_or(|asked| asked.has_ended)
    }
}
