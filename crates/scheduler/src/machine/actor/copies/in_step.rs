//! Whose copies are in step: what a host tells of that, and what becomes of it when workers are lost, or an incarnation is that
//! nobody has heard of.

use bireme_core::actor::Delivery;
use bireme_core::actor::copies::CopiesTold;
use bireme_core::id::{ActorId, Incarnation, WorkerId, WorkerUid};
use bireme_core::limits;

use super::{Actor, Machine};
use crate::machine::Timer;

impl Machine {
    /// An actor begins at a worker: whether it is to wait until it is heard of. Of one that moves, or has copies, more is left than
    /// the log there, and must not fall behind what anybody was answered.
    pub(in super::super) fn await_word(&mut self, id: ActorId) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        let keeps_log = actor.spec.delivery == Delivery::EffectivelyOnce;
        let has_more = actor.spec.peers > 0 || actor.baggage.is_some();
        actor.copies.is_awaited = keeps_log && has_more;
    }

    /// A host tells how it stands with its copies. What it says of an earlier list does not count.
    pub(in super::super) fn on_copied(
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

    /// The host of an actor is heard of: what it began with there is its own from here on, and it may answer.
    pub(in super::super) fn begin_with_copies(&mut self, id: ActorId, host: WorkerUid) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        actor.copies.told &= !actor.copies.is_awaited;
        actor.copies.before.clear();
        actor.copies.home_before = None;
        if actor.copies.in_step.remove(&host) {
            self.index_copies(id);
        }
    }

    /// A worker is gone: it is left out of every list. Where an actor has no host, what is in step there stays so.
    pub(in super::super) fn lose_copies(&mut self, worker: WorkerId) {
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
    pub(in super::super) fn reinstate(&mut self, id: ActorId) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        let struck_off = std::mem::take(&mut actor.copies.struck_off);
        if !struck_off.is_empty() {
            actor.copies.in_step.extend(struck_off);
            self.index_copies(id);
        }
    }

    /// An incarnation that was not heard of is over. It has answered nobody: all is as it was before.
    pub(in super::super) fn take_list_back(&mut self, id: ActorId) {
        self.reinstate(id);
        let Some(actor) = self.actors.get_mut(id) else { return };
        let before = std::mem::take(&mut actor.copies.before);
        actor.copies.in_step.extend(before);
        actor.home = actor.copies.home_before.take().or(actor.home);
        self.index_copies(id);
    }
}
