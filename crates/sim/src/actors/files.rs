//! What a daemon keeps of an actor on its disk, and whether that goes along when the actor moves.

use bireme_core::actor::host::{Record, Table};

use super::process::State;

/// What is kept of an actor.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) incarnation: u32,
    pub(super) lsn: u64,
    pub(super) table: Table,
    pub(super) state: State,
    pub(super) records: Vec<Record>,
    /// It came to rest, and this is all of it.
    pub(super) rested: bool,
}

impl Files {
    /// The state that the next incarnation would have.
    pub(super) fn played(&self) -> State {
        let mut state = self.state.clone();
        let lsns = self.lsn + 1..;
        let poisoned: Vec<u64> = self
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Poisoned { lsn } | Record::Unrun { lsn } => Some(*lsn),
                Record::Call { .. }
                | Record::Crash { .. }
                | Record::Ended { .. }
                | Record::Life { .. } => None,
            })
            .collect();
        for (lsn, record) in lsns.zip(&self.records) {
            if let Record::Call { id, call, .. } = record
                && !poisoned.contains(&lsn)
                && !matches!(call.method.as_str(), "peek" | "missing" | "badargs")
            {
                state.apply(*id, 0);
            }
        }
        state
    }
}

/// An actor's way to another worker, as the one that it leaves has it.
///
/// Only a checkpoint that was made for the move goes along. One that was made before is too old to be begun with as if the actor
/// had come to rest with it: of calls that ran since, its table says that they never arrived, and those would run twice. An actor
/// that may leave without its state, and can give none, leaves with nothing.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    wish: Option<u64>,
    /// It was made since the wish came.
    pub(super) has_checkpoint: bool,
}

impl Leaving {
    /// It is to move. Another wish while it is on its way is refused.
    pub(super) fn wished(&mut self, request: u64) {
        self.wish.get_or_insert(request);
    }

    /// A wish is refused, or given up.
    pub(super) fn given_up(&mut self, request: u64) {
        if self.wish == Some(request) {
            *self = Self::default();
        }
    }

    /// A checkpoint was made.
    pub(super) fn kept(&mut self) {
        self.has_checkpoint |= self.wish.is_some();
    }
}
