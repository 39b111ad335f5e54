//! Where copies of an actor's log and checkpoint are kept, and which of them are in step.
//!
//! A copy in step has everything that anybody was answered: the host waits for it before it answers, from before it told of
//! it until it is told a list without it. So a copy is struck off here before such a list is made, and not while no incarnation
//! lives: then nobody is answered, and what was in step stays so. Where the worker that has the log is lost, the actor goes on
//! at one of those in step. An incarnation answers nobody before it is told that it was heard of; so if it is lost before,
//! everything is as it was when it was given to its worker.
//!
//! `listed` says who keeps copies, `in_step` who has everything, `heir` who goes on, `tell` what the host hears of it.

mod heir;
mod in_step;
mod listed;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bireme_core::actor::Durability;
use bireme_core::id::{ActorId, WorkerUid};
use bireme_core::{Time, limits};

use super::Machine;
use super::record::Actor;
use crate::machine::worker::{Errand, Worker};

/// The copies of one actor.
#[derive(Debug, Default)]
pub(super) struct Copies {
    version: u64,
    /// Who is to keep one.
    pub(super) listed: BTreeSet<WorkerUid>,
    /// Whose copy is in step. While a worker hosts the actor: only those listed, and perhaps that worker.
    pub(super) in_step: BTreeSet<WorkerUid>,
    /// Whose copy was in step when the present incarnation was given to a worker: until that takes calls nobody is answered
    /// without them.
    before: BTreeSet<WorkerUid>,
    /// Where its log was then.
    home_before: Option<WorkerUid>,
    /// Whose copy was in step and was struck off since the host was last told who is listed: it answers nobody without them yet.
    struck_off: BTreeSet<WorkerUid>,
    /// Where the log and those copies were written: the machine with the time at which it was started, for one that was started
    /// anew has forgotten what had not reached its disk; `None` where the worker's storage has failed since.
    written_on: BTreeMap<WorkerUid, Option<String>>,
    /// The storage of the worker that has the actor has failed it before: it is tried again for there is nobody else.
    retried: bool,
    /// Who was left out of late, and until when not to be chosen again.
    shunned: BTreeMap<WorkerUid, Time>,
    /// The host answers nobody before it is told that it was heard of.
    is_awaited: bool,
    /// The host has been told who is listed, and that it was heard of.
    told: bool,
}

impl Copies {
    /// Whether a worker that is here still has what it kept of an actor, as far as can be told.
    fn are_sound_at(&self, actor: &Actor, worker: &Worker) -> bool {
        match self.written_on.get(&worker.join.uid) {
            Some(Some(machine)) => {
                actor.spec.durability == Durability::Disk || *machine == worker.join.machine
            }
            Some(None) => false,
            None => true,
        }
    }

    /// The host has to be told again who is listed.
    pub(super) fn forget_what_was_told(&mut self) {
        self.told = self.version == 0 && !self.is_awaited;
    }

    fn change(&mut self) {
        self.version += 1;
        self.told = false;
    }

    /// Leaves those out of what is in step of which this is not so. A list without them is still to be made.
    fn strike_off_unless(&mut self, mut stays: impl FnMut(&WorkerUid) -> bool) {
        let struck_off = self.in_step.extract_if(.., |uid| !stays(uid));
        self.struck_off.extend(struck_off);
    }
}

/// The copies of all actors.
#[derive(Debug, Default)]
pub(super) struct AllCopies {
    /// The actors of which a worker keeps a copy, or has one in step.
    pub(super) kept_at: BTreeMap<WorkerUid, BTreeSet<ActorId>>,
    /// Actors that have fewer copies than they are to.
    lacking: BTreeSet<ActorId>,
    /// The actor among them that was looked at last.
    looked_at: Option<ActorId>,
    /// So many of them, those that follow it, were not looked at since something has changed.
    unlooked: usize,
}

impl AllCopies {
    /// Has those that lack copies looked at before the step ends.
    pub(super) fn stir(&mut self) {
        self.unlooked = self.lacking.len();
    }

    /// The next ones to be looked at; the others have their turn in the next step.
    fn next_unlooked(&mut self) -> Vec<ActorId> {
        let count = self.unlooked.min(limits::COPIES_LOOKED_AT);
        self.unlooked -= count;
        let last = self.looked_at.unwrap_or(ActorId(0));
        let later = self.lacking.range((Bound::Excluded(last), Bound::Unbounded));
        let earlier = self.lacking.range(..=last);
        let some: Vec<ActorId> = later.chain(earlier).take(count).copied().collect();
        self.looked_at = some.last().copied().or(self.looked_at);
        some
    }

    fn count(&self, worker: WorkerUid) -> usize {
        self.kept_at.get(&worker).map_or(0, BTreeSet::len)
    }
}

impl Machine {
    /// An actor has ended for good: its copies are of no use.
    pub(super) fn drop_copies(&mut self, id: ActorId) {
        let actor = self.actors.records.get_mut(&id).filter(|actor| actor.spec.peers > 0);
        let Some(actor) = actor else { return };
        let incarnation = actor.incarnation;
        let Copies { listed, in_step, .. } = std::mem::take(&mut actor.copies);
        self.actors.copies.lacking.remove(&id);
        self.index_copies(id);
        for uid in listed.union(&in_step) {
            if let Some(worker) = self.worker_with(*uid) {
                self.errand(worker, Errand::EndActor(id, incarnation, true));
            }
        }
    }

    /// Brings the index in line with who has a copy of an actor.
    fn index_copies(&mut self, id: ActorId) {
        let Some(actor) = self.actors.records.get(&id) else { return };
        let has: BTreeSet<WorkerUid> =
            actor.copies.listed.union(&actor.copies.in_step).copied().collect();
        let kept_at = &mut self.actors.copies.kept_at;
        kept_at.retain(|uid, actors| {
            if !has.contains(uid) {
                actors.remove(&id);
            }
            !actors.is_empty()
        });
        for uid in has {
            kept_at.entry(uid).or_default().insert(id);
        }
    }

    /// Names of the workers whose copies are in step, as far as they are here.
    pub(super) fn names_in_step(&self, actor: &Actor) -> Vec<String> {
        let workers = actor.copies.in_step.iter().filter_map(|uid| self.worker_with(*uid));
        let names = workers.filter_map(|worker| self.workers.get(worker));
        names.map(|worker| worker.join.name.clone()).collect()
    }

    /// The first thing about copies that does not agree, in words.
    pub(super) fn check_copies(&self) -> Result<(), String> {
        let mut kept_at: BTreeMap<WorkerUid, BTreeSet<ActorId>> = BTreeMap::new();
        for (id, actor) in &self.actors.records {
            let Copies { listed, in_step, .. } = &actor.copies;
            let host = actor.worker().and_then(|worker| self.workers.get(worker));
            let host = host.map(|worker| worker.join.uid);
            if self.listed_to_stay(actor).count() > actor.spec.peers as usize
                || host.is_some_and(|host| listed.contains(&host))
            {
                return Err(format!("actor {id} has copies on {listed:?}, and lives on {host:?}"));
            }
            let is_known = |uid: &WorkerUid| listed.contains(uid) || Some(*uid) == host;
            if host.is_some() && !in_step.iter().all(is_known) {
                return Err(format!("actor {id}: {in_step:?} are in step, {listed:?} are listed"));
            }
            for uid in listed.union(in_step) {
                kept_at.entry(*uid).or_default().insert(*id);
            }
        }
        let counted = &self.actors.copies.kept_at;
        if kept_at == *counted {
            return Ok(());
        }
        Err(format!("copies are at {kept_at:?}, {counted:?} is noted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_lack_copies_are_looked_at_in_turn_and_again_only_after_a_change() {
        let mut copies = AllCopies::default();
        let all = limits::COPIES_LOOKED_AT as u128 + 2;
        copies.lacking.extend((0..all).map(ActorId));
        assert!(copies.next_unlooked().is_empty(), "nothing has changed");
        copies.stir();
        let mut looked = copies.next_unlooked();
        assert_eq!(looked.len(), limits::COPIES_LOOKED_AT);
        copies.stir();
        looked.extend(copies.next_unlooked());
        let looked: BTreeSet<ActorId> = looked.into_iter().collect();
        assert_eq!(looked, copies.lacking, "the others come first");
        assert_eq!(copies.next_unlooked().len(), 2);
        assert!(copies.next_unlooked().is_empty());
    }
}
