//! Where copies of an actor's log and checkpoint are kept, and which of them are in step.
//!
//! A copy in step has everything that anybody was answered: the host waits for it before it answers, from before it told of
//! it until it is told a list without it. So a copy is struck off here before such a list is made, and not while no incarnation
//! lives: then nobody is answered, and what was in step stays so. Where the worker that has the log is lost, the actor goes on
//! at one of those in step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bireme_core::actor::copies::{CopiesTold, CopyPlace, CopyPlaces};
use bireme_core::actor::place::ActorOrder;
use bireme_core::id::{ActorId, Incarnation, WorkerId, WorkerUid};
use bireme_core::protocol::Order;
use bireme_core::{Time, limits};

use super::Machine;
use super::record::{Actor, Phase};
use crate::machine::Timer;
use crate::machine::worker::{Errand, Worker};

/// The copies of one actor.
#[derive(Debug, Default)]
pub(super) struct Copies {
    version: u64,
    /// Who is to keep one.
    pub(super) listed: BTreeSet<WorkerUid>,
    /// Whose copy is in step. While a worker hosts the actor: only those listed, and perhaps that worker.
    pub(super) in_step: BTreeSet<WorkerUid>,
    /// Who was left out of late, and until when not to be chosen again.
    shunned: BTreeMap<WorkerUid, Time>,
    /// The host has been told who is listed.
    told: bool,
}

impl Copies {
    /// The host has to be told again who is listed.
    pub(super) fn forget_what_was_told(&mut self) {
        self.told = self.version == 0;
    }

    fn change(&mut self) {
        self.version += 1;
        self.told = false;
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
    /// An actor begins at a worker: lists who keeps copies of what it does there.
    pub(super) fn list_copies(&mut self, id: ActorId, host: WorkerId) {
        let Some(uid) = self.workers.get(host).map(|worker| worker.join.uid) else { return };
        let Self { actors, worker_uids, .. } = self;
        let Some(actor) = actors.records.get_mut(&id).filter(|actor| actor.spec.peers > 0) else {
            return;
        };
        let copies = &mut actor.copies;
        if actor.baggage.is_some() {
            copies.in_step.remove(&uid); // What it has gives way to that.
        }
        // Who is not here is left out, and struck off: from here on there are answers without it.
        copies.in_step.retain(|worker| *worker == uid || worker_uids.contains_key(worker));
        copies.listed = copies.in_step.iter().copied().filter(|worker| *worker != uid).collect();
        copies.change();
        if actor.needs_home() || !actor.copies.in_step.is_empty() {
            // Its log is there from here on, whether or not it is heard of again.
            actor.home = Some(uid);
        }
        self.index_copies(id);
        self.fill_copies(id);
    }

    /// Lists further workers as long as there are fewer than wanted.
    pub(super) fn fill_copies(&mut self, id: ActorId) {
        let now = self.now;
        let Some(actor) = self.actors.records.get_mut(&id) else { return };
        let Some(host) = actor.worker() else { return };
        let wanted = actor.spec.peers as usize;
        actor.copies.shunned.retain(|_, until| *until > now);
        while let Some(actor) = self.actors.get(id)
            && actor.copies.listed.len() < wanted
            && let Some(chosen) = self.choose_copy(actor, host)
        {
            if let Some(actor) = self.actors.get_mut(id) {
                actor.copies.listed.insert(chosen);
                actor.copies.change();
            }
            self.index_copies(id);
        }
        let Some(actor) = self.actors.get(id) else { return };
        let (is_lacking, is_told) = (actor.copies.listed.len() < wanted, actor.copies.told);
        if is_lacking {
            self.actors.copies.lacking.insert(id);
        } else {
            self.actors.copies.lacking.remove(&id);
        }
        if !is_told {
            self.tell_host(id);
            self.actor_changed(id);
        }
    }

    /// A worker that could host the actor, with fewest copies, if possible on another machine than its host and its copies.
    fn choose_copy(&self, actor: &Actor, host: WorkerId) -> Option<WorkerUid> {
        let copies = &actor.copies;
        let machine_of = |worker: &Worker| worker.join.machine.clone();
        let listed = copies.listed.iter().filter_map(|uid| self.worker_with(*uid));
        let near = listed.chain([host]).filter_map(|worker| self.workers.get(worker));
        let near: BTreeSet<String> = near.map(machine_of).collect();
        let could = |worker: &&Worker| {
            let uid = worker.join.uid;
            worker.id != host
                && worker.is_open()
                && !copies.listed.contains(&uid)
                && !copies.shunned.contains_key(&uid)
                && worker.refuses_actor(&actor.spec).is_none()
        };
        let rank = |worker: &&Worker| {
            let is_near = near.contains(&worker.join.machine);
            (is_near, self.actors.copies.count(worker.join.uid), worker.id)
        };
        let chosen = self.workers.values().filter(could).min_by_key(rank);
        chosen.map(|worker| worker.join.uid)
    }

    /// Looks for workers for actors that lack copies, if there may be some.
    pub(super) fn fill_all_copies(&mut self) {
        if self.actors.copies.unlooked == 0 {
            return; // As a rule.
        }
        for id in self.actors.copies.next_unlooked() {
            self.fill_copies(id);
        }
    }

    /// A host tells how it stands with its copies. What it says of an earlier list does not count.
    pub(super) fn on_copied(
        &mut self,
        host: WorkerId,
        (id, incarnation): (ActorId, Incarnation),
        told: CopiesTold,
    ) {
        let now = self.now;
        let lives = |actor: &&mut Actor| {
            actor.lives(host, incarnation) && actor.copies.version == told.version
        };
        let Some(actor) = self.actors.records.get_mut(&id).filter(lives) else { return };
        let copies = &mut actor.copies;
        let before = copies.in_step.clone();
        copies.in_step.extend(told.in_sync.iter().filter(|uid| copies.listed.contains(uid)));
        let failed: Vec<_> =
            told.failed.into_iter().filter(|uid| copies.listed.contains(uid)).collect();
        for uid in &failed {
            copies.listed.remove(uid);
            copies.in_step.remove(uid);
            copies.shunned.insert(*uid, now + limits::COPY_RETRY);
        }
        let is_changed = copies.in_step != before;
        if !failed.is_empty() {
            copies.change();
            self.timers.insert((now + limits::COPY_RETRY, Timer::Actor(id)));
            self.index_copies(id);
            self.fill_copies(id);
        } else if is_changed {
            self.actor_changed(id);
        }
    }

    /// The host of an actor is heard of: what it began with there is its own from here on.
    pub(super) fn begin_with_copies(&mut self, id: ActorId, host: WorkerUid) {
        if let Some(actor) = self.actors.get_mut(id)
            && actor.copies.in_step.remove(&host)
        {
            self.index_copies(id);
        }
    }

    /// A worker is gone: it is left out of every list. Where an actor has no host, what is in step there stays so.
    pub(super) fn lose_copies(&mut self, worker: WorkerId) {
        let Some(uid) = self.workers.get(worker).map(|worker| worker.join.uid) else { return };
        let Some(actors) = self.actors.copies.kept_at.get(&uid).cloned() else { return };
        for id in actors {
            let Some(actor) = self.actors.get_mut(id) else { continue };
            if actor.worker().is_some_and(|host| host != worker) {
                actor.copies.in_step.remove(&uid);
            }
            if actor.copies.listed.remove(&uid) {
                actor.copies.change();
            }
            self.index_copies(id);
            if self.actors.get(id).is_some_and(|actor| actor.worker() != Some(worker)) {
                self.fill_copies(id);
            }
        }
    }

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

    /// A worker whose copy is in step and that would take the actor now, where the worker that has its log is gone, or has no
    /// room for it.
    pub(super) fn heir(&self, actor: &Actor, home: Option<WorkerId>) -> Option<WorkerId> {
        let home = home.and_then(|home| self.workers.get(home));
        if home.is_some_and(|home| !home.is_open()) {
            return None; // It may be open again in a moment.
        }
        let in_step = actor.copies.in_step.iter().filter_map(|uid| self.worker_with(*uid));
        let workers = in_step.filter_map(|worker| self.workers.get(worker));
        let takers = workers.filter(|worker| worker.takes_actor(&actor.spec));
        takers.min_by_key(|worker| (worker.actors.len(), worker.id)).map(|worker| worker.id)
    }

    /// Where copies of an actor are kept, as its host is told; from here on it knows.
    pub(super) fn copy_places(&mut self, id: ActorId) -> CopyPlaces {
        let Some(actor) = self.actors.get_mut(id) else { return CopyPlaces::default() };
        actor.copies.told = true;
        let (version, listed) = (actor.copies.version, actor.copies.listed.clone());
        let members = listed.into_iter().map(|worker| {
            let known = self.worker_with(worker).and_then(|worker| self.workers.get(worker));
            let addresses = known.map(|known| known.join.addresses.clone()).unwrap_or_default();
            CopyPlace { worker, addresses }
        });
        CopyPlaces { version, members: members.collect() }
    }

    /// Appends where copies are kept, if the host of an actor does not know.
    pub(super) fn tell_copies(&mut self, id: ActorId, out: &mut Vec<Order>) -> usize {
        const MEMBER_BYTES: usize = 128;
        let Some(actor) = self.actors.get(id) else { return 0 };
        let has_host = matches!(actor.phase, Phase::Starting { told: true, .. } | Phase::Alive(_));
        if actor.spec.peers == 0 || actor.copies.told || !has_host {
            return 0;
        }
        let (incarnation, copies) = (actor.incarnation, self.copy_places(id));
        let size = MEMBER_BYTES * (copies.members.len() + 1);
        out.push(Order::Actor(ActorOrder::Copy { actor: id, incarnation, copies }));
        size
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
            if listed.len() > actor.spec.peers as usize
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
