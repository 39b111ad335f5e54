//! Callers that were forgotten and might come back, the oldest first.

use std::collections::BTreeMap;

use crate::actor::call::CallerId;
use crate::limits;

/// A bounded list of them, in which each is found at once.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    /// By when they were forgotten.
    order: BTreeMap<u64, CallerId>,
    turns: BTreeMap<CallerId, u64>,
    last: u64,
}

impl Forgotten {
    /// The last of so many, and no more than are remembered.
    pub(super) fn new(callers: Vec<CallerId>) -> Self {
        let mut forgotten = Self::default();
        for caller in callers {
            forgotten.push(caller);
        }
        forgotten
    }

    /// A caller was forgotten just now. The oldest makes room for it.
    pub(super) fn push(&mut self, caller: CallerId) {
        self.remove(caller);
        if self.order.len() >= limits::ACTOR_CALLERS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.turns.remove(&oldest);
        }
        self.last += 1;
        self.order.insert(self.last, caller);
        self.turns.insert(caller, self.last);
    }

    /// A caller is back. Whether it had been forgotten.
    pub(super) fn remove(&mut self, caller: CallerId) -> bool {
        let turn = self.turns.remove(&caller);
        turn.is_some_and(|turn| self.order.remove(&turn).is_some())
    }

    /// All of them.
    pub(super) fn to_vec(&self) -> Vec<CallerId> {
        self.order.values().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::call::Who;
    use crate::id::SessionId;

    #[test]
    fn the_oldest_make_room() {
        let most = u64::try_from(limits::ACTOR_CALLERS).unwrap();
        let caller = |life| CallerId { who: Who::Session(SessionId(1)), life };
        let mut forgotten = Forgotten::new((0..most).map(caller).collect());
        forgotten.push(caller(1));
        assert_eq!(forgotten.to_vec().last(), Some(&caller(1)), "it is the newest now");
        forgotten.push(caller(most));
        assert_eq!(forgotten.to_vec().len(), limits::ACTOR_CALLERS);
        assert!(!forgotten.remove(caller(0)));
        assert!(forgotten.remove(caller(1)));
        assert!(!forgotten.remove(caller(1)));
    }
}
