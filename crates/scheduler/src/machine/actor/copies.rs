//! Where copies of an actor's log and checkpoint are kept, and which of them are in step.
//!
//! A copy in step has everything that anybody was answered: the host waits for it before it answers, from before it told of
//! it until it is told a list without it. So a copy is struck off here before such a list is made, and not while no incarnation
//! lives: then nobody is answered, and what was in step stays so. Where the worker that has the log is lost, the actor goes on
//! at one of those in step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bireme_core::actor::Durability;
use bireme_core::actor::copies::{CopiesTold, CopyPlace, CopyPlaces};
use bireme_core::actor::place::ActorOrder;
use bireme_core::id::{ActorId, Incarnation, WorkerId, WorkerUid};
use bireme_core::protocol::{Join, Order};
use bireme_core::{ErrorClass, TaskError, Time, limits};

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
    /// The host has been told who is listed.
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
        self.told = self.version == 0;
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
    /// An actor begins at a worker: lists who keeps copies of what it does there.
    pub(super) fn list_copies(&mut self, id: ActorId, host: WorkerId) {
        let Self { actors, workers, worker_uids, .. } = self;
        let Some(Join { uid, machine, .. }) = workers.get(host).map(|host| &*host.join) else {
            return;
        };
        let (uid, machine) = (*uid, machine.clone());
        let Some(actor) = actors.records.get_mut(&id).filter(|actor| actor.spec.peers > 0) else {
            return;
        };
        let copies = &mut actor.copies;
        copies.before.clone_from(&copies.in_step);
        copies.home_before = actor.home;
        // Who is not here is left out, and struck off: from here on there are answers without it.
        copies.strike_off_unless(|worker| *worker == uid || worker_uids.contains_key(worker));
        copies.written_on.retain(|worker, _| {
            copies.before.contains(worker) || copies.home_before == Some(*worker)
        });
        copies.retried = copies.written_on.insert(uid, Some(machine)) == Some(None);
        copies.listed = copies.in_step.iter().copied().filter(|worker| *worker != uid).collect();
        copies.change();
        if actor.needs_home() {
            // Its log is there from here on, whether or not it is heard of again.
            actor.home = Some(uid);
        } else if !actor.copies.in_step.is_empty() && actor.home != Some(uid) {
            // What it is brought may not come, and what is there may be of long ago: without it only copies have all.
            actor.home = None;
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
            && self.listed_to_stay(actor).count() < wanted
            && let Some(chosen) = self.choose_copy(actor, host)
        {
            if let Some(actor) = self.actors.get_mut(id) {
                actor.copies.listed.insert(chosen);
                actor.copies.change();
            }
            self.index_copies(id);
        }
        self.relieve_who_leaves(id);
        let Some(actor) = self.actors.get(id) else { return };
        let is_lacking = self.listed_to_stay(actor).count() < wanted;
        let is_told = actor.copies.told;
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

    /// Those listed that are not on their way out: what the others have is copied elsewhere while they are here.
    fn listed_to_stay(&self, actor: &Actor) -> impl Iterator<Item = WorkerUid> {
        let stays = |uid: &&WorkerUid| {
            let worker = self.worker_with(**uid).and_then(|worker| self.workers.get(worker));
            worker.is_some_and(|worker| !worker.draining)
        };
        actor.copies.listed.iter().filter(stays).copied()
    }

    /// Strikes workers off that are on their way out, once all others that are listed have everything.
    fn relieve_who_leaves(&mut self, id: ActorId) {
        let Some(actor) = self.actors.get(id) else { return };
        let staying: BTreeSet<WorkerUid> = self.listed_to_stay(actor).collect();
        if staying.is_empty() || !staying.is_subset(&actor.copies.in_step) {
            return;
        }
        let Some(actor) = self.actors.get_mut(id) else { return };
        let copies = &mut actor.copies;
        if copies.listed != staying {
            let listed = std::mem::take(&mut copies.listed);
            copies.strike_off_unless(|uid| staying.contains(uid) || !listed.contains(uid));
            copies.listed = staying;
            copies.change();
            self.index_copies(id);
        }
    }

    /// A worker is on its way out: what it keeps for actors that live is copied elsewhere.
    pub(in super::super) fn move_copies_away(&mut self, id: WorkerId) {
        for actor in self.actors_kept_at(id) {
            self.fill_copies(actor);
        }
    }

    /// Whether somebody is about to take over what a worker keeps for an actor.
    pub(in super::super) fn hands_copies_over(&self, id: WorkerId) -> bool {
        self.actors_kept_at(id).into_iter().filter_map(|actor| self.actors.get(actor)).any(
            |actor| {
                let is_behind = |uid: WorkerUid| !actor.copies.in_step.contains(&uid);
                actor.is_alive() && self.listed_to_stay(actor).any(is_behind)
            },
        )
    }

    fn actors_kept_at(&self, id: WorkerId) -> BTreeSet<ActorId> {
        let uid = self.workers.get(id).map(|worker| worker.join.uid);
        uid.and_then(|uid| self.actors.copies.kept_at.get(&uid)).cloned().unwrap_or_default()
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
        let Self { actors, workers, worker_uids, .. } = self;
        let Some(actor) = actors.records.get_mut(&id).filter(lives) else { return };
        let copies = &mut actor.copies;
        let before = copies.in_step.clone();
        for uid in told.in_sync.into_iter().filter(|uid| copies.listed.contains(uid)) {
            copies.in_step.insert(uid);
            let worker = worker_uids.get(&uid).and_then(|worker| workers.get(*worker));
            copies.written_on.insert(uid, worker.map(|worker| worker.join.machine.clone()));
        }
        let failed: Vec<_> =
            told.failed.into_iter().filter(|uid| copies.listed.contains(uid)).collect();
        for uid in &failed {
            copies.listed.remove(uid);
            copies.strike_off_unless(|other| other != uid);
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
            self.fill_copies(id); // Somebody on the way out may go now.
        }
    }

    /// The host of an actor is heard of: what it began with there is its own from here on.
    pub(super) fn begin_with_copies(&mut self, id: ActorId, host: WorkerUid) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        actor.copies.before.clear();
        actor.copies.home_before = None;
        if actor.copies.in_step.remove(&host) {
            self.index_copies(id);
        }
    }

    /// A worker is gone: it is left out of every list. Where an actor has no host, what is in step there stays so.
    pub(super) fn lose_copies(&mut self, worker: WorkerId) {
        let Some(uid) = self.workers.get(worker).map(|worker| worker.join.uid) else { return };
        for id in self.actors_kept_at(worker) {
            let Some(actor) = self.actors.get_mut(id) else { continue };
            if actor.worker().is_some_and(|host| host != worker) {
                actor.copies.strike_off_unless(|other| *other != uid);
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

    /// The host of an actor is gone: who was struck off without its knowing is in step as before.
    pub(super) fn reinstate(&mut self, id: ActorId) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        let struck_off = std::mem::take(&mut actor.copies.struck_off);
        if !struck_off.is_empty() {
            actor.copies.in_step.extend(struck_off);
            self.index_copies(id);
        }
    }

    /// An incarnation could not begin, and has answered nobody: all is as it was before, unless it was alive.
    pub(super) fn take_list_back(&mut self, id: ActorId) {
        self.reinstate(id);
        let Some(actor) = self.actors.get_mut(id) else { return };
        let before = std::mem::take(&mut actor.copies.before);
        actor.copies.in_step.extend(before);
        actor.home = actor.copies.home_before.take().or(actor.home);
        self.index_copies(id);
    }

    /// Whether what a worker keeps of an actor may be what the next incarnation begins with.
    pub(super) fn may_begin_at(actor: &Actor, uid: WorkerUid) -> bool {
        let Copies { in_step, before, home_before, struck_off, .. } = &actor.copies;
        [actor.home, *home_before].contains(&Some(uid))
            || [in_step, before, struck_off].iter().any(|some| some.contains(&uid))
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

    /// A worker that has all that anybody was answered and would take the actor now: its home, or where a copy is in step. The
    /// home goes first and is waited for if it may take the actor in a moment; what was written on a machine that was started
    /// anew goes last, and only when the time to wait is up.
    pub(super) fn heir(&self, actor: &Actor, is_last: bool) -> Option<WorkerId> {
        let home = actor.home.and_then(|home| self.worker_with(home));
        let home = home.and_then(|home| self.workers.get(home));
        let takes = |worker: &&Worker| worker.takes_actor(&actor.spec);
        let has_all = |worker: &&Worker| is_last || actor.copies.are_sound_at(actor, worker);
        if let Some(home) = home.filter(|home| !is_last && has_all(home)) {
            let waits = !home.is_open() && !home.draining;
            if waits || home.takes_actor(&actor.spec) {
                return Some(home).filter(takes).map(|home| home.id);
            }
        }
        let in_step = actor.copies.in_step.iter().filter_map(|uid| self.worker_with(*uid));
        let workers = in_step.filter_map(|worker| self.workers.get(worker));
        let takers = workers.filter(takes).filter(has_all);
        let rank = |worker: &&Worker| {
            let is_doubtful = !actor.copies.are_sound_at(actor, worker);
            let has_failed = actor.copies.written_on.get(&worker.join.uid) == Some(&None);
            (is_doubtful, has_failed, worker.actors.len(), worker.id)
        };
        let chosen = takers.min_by_key(rank).or_else(|| home.filter(|_| is_last).filter(takes));
        chosen.map(|worker| worker.id)
    }

    /// The storage of a worker has failed an actor, or has not what it should have: whether the actor can go on with another
    /// worker's copy, or with what it brought along. What that worker has is a last resort from here on.
    pub(super) fn turns_to_copies(
        &mut self,
        id: ActorId,
        worker: WorkerId,
        cause: Option<&TaskError>,
    ) -> bool {
        if cause.is_none_or(|cause| cause.class != ErrorClass::Store) {
            return false;
        }
        self.take_list_back(id);
        let Some(uid) = self.workers.get(worker).map(|worker| worker.join.uid) else {
            return false;
        };
        let Some(actor) = self.actors.get_mut(id).filter(|actor| actor.has_state) else {
            return false;
        };
        let copies = &actor.copies;
        let is_of_use =
            |other: &WorkerUid| *other != uid && copies.written_on.get(other) != Some(&None);
        let has_copies = copies.in_step.iter().any(is_of_use);
        let has_others = has_copies || actor.home.iter().any(is_of_use);
        // Where a last resort fails others have been waited for.
        let goes_on = actor.baggage.is_some() || has_others && !copies.retried;
        if has_others || copies.retried {
            actor.copies.written_on.insert(uid, None);
        }
        if has_copies {
            self.drop_baggage(id);
        }
        self.index_copies(id);
        goes_on
    }

    /// An actor begins with what copies have, and not with what its last incarnation left for the next.
    pub(super) fn drop_baggage(&mut self, id: ActorId) {
        let baggage = self.actors.get_mut(id).and_then(|actor| actor.baggage.take());
        if let Some(object) = baggage {
            self.drop_value(object);
        }
    }

    /// Where copies of an actor are kept, as its host is told; from here on it knows.
    pub(super) fn copy_places(&mut self, id: ActorId) -> CopyPlaces {
        let Some(actor) = self.actors.get_mut(id) else { return CopyPlaces::default() };
        actor.copies.told = true;
        actor.copies.struck_off.clear();
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
