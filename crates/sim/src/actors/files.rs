//! What a daemon keeps of an actor on its disk, and whether that goes along when the actor moves.

use std::collections::BTreeSet;

use bireme_core::actor::call::CallId;
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
        let left_out: Vec<u64> = self
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
        for (lsn, record) in (self.lsn + 1..).zip(&self.records) {
            if let Record::Call { id, call, .. } = record
                && !left_out.contains(&lsn)
                && !matches!(call.method.as_str(), "peek" | "missing" | "badargs")
            {
                state.apply(*id, 0);
            }
        }
        state
    }

    /// Calls that may have run beside one that was set aside since the checkpoint, and may have seen what it did: that they reply
    /// otherwise without it is found when they are played again, and the actor stops. Whatever was logged later ran without it.
    pub(super) fn beside_poison(&self) -> BTreeSet<CallId> {
        let records = || (self.lsn + 1..).zip(&self.records);
        let set_aside = |(at, record)| match record {
            &Record::Poisoned { lsn } => Some((lsn, at)),
            _ => None,
        };
        let first = records().filter_map(set_aside).map(|(lsn, _)| lsn).min();
        let last = records().filter_map(set_aside).map(|(_, at)| at).max();
        let (Some(first), Some(last)) = (first, last) else { return BTreeSet::new() };
        let behind = records().filter(|(at, _)| (first..last).contains(at));
        let call = |(_, record)| match record {
            &Record::Call { id, .. } => Some(id),
            _ => None,
        };
        behind.filter_map(call).collect()
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
