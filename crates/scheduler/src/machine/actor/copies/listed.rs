//! Who is to keep copies of an actor: as many workers as it asks for, on other machines if possible. One that is on its way out
//! keeps its copy until all others that are listed have everything.

use std::collections::BTreeSet;

use bireme_core::id::{ActorId, WorkerId, WorkerUid};
use bireme_core::protocol::Join;

use super::{Actor, Machine, Worker};

impl Machine {
    /// An actor begins at a worker: lists who keeps copies of what it does there.
    pub(in super::super) fn list_copies(&mut self, id: ActorId, host: WorkerId) {
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
        // Who is not here is left out, and struck off: from here on there are answers without it. So is one too many.
        let mut room = actor.spec.peers;
        copies.strike_off_unless(|worker| {
            let known = worker_uids.get(worker).and_then(|worker| workers.get(*worker));
            let takes_room = *worker != uid && known.is_some_and(|known| !known.draining);
            let has_room = !takes_room || room > 0;
            room -= u32::from(takes_room && has_room);
            known.is_some() && has_room
        });
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
    pub(in super::super) fn fill_copies(&mut self, id: ActorId) {
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
    pub(super) fn listed_to_stay(&self, actor: &Actor) -> impl Iterator<Item = WorkerUid> {
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
    pub(in super::super::super) fn move_copies_away(&mut self, id: WorkerId) {
        for actor in self.actors_kept_at(id) {
            self.fill_copies(actor);
        }
    }

    /// Whether somebody is about to take over what a worker keeps for an actor.
    pub(in super::super::super) fn hands_copies_over(&self, id: WorkerId) -> bool {
        self.actors_kept_at(id).into_iter().filter_map(|actor| self.actors.get(actor)).any(
            |actor| {
                let is_behind = |uid: WorkerUid| !actor.copies.in_step.contains(&uid);
                actor.is_alive() && self.listed_to_stay(actor).any(is_behind)
            },
        )
    }

    pub(super) fn actors_kept_at(&self, id: WorkerId) -> BTreeSet<ActorId> {
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
    pub(in super::super) fn fill_all_copies(&mut self) {
        if self.actors.copies.unlooked == 0 {
            return; // As a rule.
        }
        for id in self.actors.copies.next_unlooked() {
            self.fill_copies(id);
        }
    }
}
