//! Which worker hosts which actor, and what it is told of it.
//!
//! An actor goes back to the worker where it lived, which has its checkpoint, or else to the one with fewest actors. It is
//! placed where its resources are free, and takes them before any task does that waits for them.

use std::sync::Arc;

use bireme_core::actor::place::{ActorOrder, HostOrder};
use bireme_core::actor::{ActorSpec, Delivery};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, WorkerId, WorkerUid};
use bireme_core::protocol::{Input, Order};
use bireme_core::{TaskError, limits};
use smallvec::SmallVec;

use super::Machine;
use super::record::{Actor, Phase};
use crate::machine::worker::Worker;

/// How often those that want a worker are looked at in one step: one may turn out to begin otherwise than it was to.
const LOOKS: usize = 2;

impl Worker {
    pub(super) fn is_named_by(&self, spec: &ActorSpec) -> bool {
        spec.workers.is_empty() || spec.workers.contains(&self.join.name)
    }

    /// Whether an actor could be given to it at this moment.
    pub(super) fn takes_actor(&self, spec: &ActorSpec) -> bool {
        self.is_open() && self.free.fits(&spec.resources) && self.refuses_actor(spec).is_none()
    }
}

impl Machine {
    /// Finds workers for actors that want one.
    pub(in super::super) fn place_actors(&mut self) {
        self.fill_all_copies();
        for _ in 0..LOOKS {
            if self.actors.unlooked == 0 {
                return; // As a rule.
            }
            self.place_some_actors();
        }
    }

    /// Looks at some of those that want a worker; the others have their turn in the next step.
    fn place_some_actors(&mut self) {
        let mut hopeless: SmallVec<[Arc<ActorSpec>; 4]> = SmallVec::new();
        for _ in 0..self.actors.unlooked.min(limits::ACTORS_LOOKED_AT) {
            let Some(id) = self.actors.next_unlooked() else { return };
            let Some(actor) = self.actors.get(id) else { continue };
            if !matches!(actor.phase, Phase::Waiting(_)) {
                continue;
            }
            let spec = Arc::clone(&actor.spec);
            let is_bound = actor.has_state || actor.bound_for.is_some();
            if !is_bound && hopeless.iter().any(|other| want_the_same(other, &spec)) {
                self.actors.waiting.push_back(id);
                continue;
            }
            match self.inputs_of_actor(id) {
                Err(cause) => self.begin_without(id, cause),
                Ok(false) => self.actors.waiting.push_back(id),
                Ok(true) => {
                    if let Some(worker) = self.choose_host(id) {
                        self.settle_on(id, worker);
                        continue;
                    }
                    self.actors.waiting.push_back(id);
                    if !is_bound {
                        hopeless.push(spec);
                    }
                }
            }
        }
    }

    /// What an actor is to begin with is gone. One with copies begins with one of those or where its log is, and one whose state
    /// may be lost with its constructor, as after a crash.
    fn begin_without(&mut self, id: ActorId, cause: Box<TaskError>) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        let has_log = actor.spec.peers > 0 && actor.home.is_some();
        if (has_log || !actor.copies.in_step.is_empty()) && actor.baggage.take().is_some() {
            return self.lose_life(id, cause);
        }
        let may_lose_state = actor.spec.delivery != Delivery::EffectivelyOnce;
        if may_lose_state && actor.baggage.take().is_some() {
            actor.has_state = false;
            self.lose_life(id, cause);
        } else {
            self.bury(id, cause);
        }
    }

    fn choose_host(&self, id: ActorId) -> Option<WorkerId> {
        let actor = self.actors.get(id)?;
        let spec = &actor.spec;
        let taken_by = |worker: &WorkerId| {
            self.workers.get(*worker).is_some_and(|worker| worker.takes_actor(spec))
        };
        let home = actor.home.and_then(|home| self.worker_uids.get(&home).copied());
        if let Phase::Waiting(Some(_)) = actor.phase {
            return self.heir(actor, false);
        }
        if let Some(wanted) = actor.bound_for {
            let could = |worker: &&Worker| !worker.draining && worker.refuses_actor(spec).is_none();
            if self.workers.get(wanted).as_ref().is_some_and(could) {
                return Some(wanted).filter(taken_by);
            }
        }
        home.filter(|_| !actor.travels).filter(taken_by).or_else(|| self.emptiest_host(spec, home))
    }

    /// The worker with fewest actors that would take one, if possible not the one it comes from.
    fn emptiest_host(&self, spec: &ActorSpec, from: Option<WorkerId>) -> Option<WorkerId> {
        let takers = self.workers.values().filter(|worker| worker.takes_actor(spec));
        let rank = |worker: &&Worker| {
            let is_wanted = worker.is_named_by(spec);
            (Some(worker.id) == from, !is_wanted, worker.actors.len(), worker.load(), worker.id)
        };
        takers.min_by_key(rank).map(|worker| worker.id)
    }

    /// Whether another worker than this one would take an actor at this moment.
    pub(super) fn has_refuge(&self, id: ActorId, from: WorkerId) -> bool {
        let Some(actor) = self.actors.get(id) else { return false };
        self.workers.values().any(|worker| worker.id != from && worker.takes_actor(&actor.spec))
    }

    /// Gives an actor to a worker, as its next incarnation.
    pub(super) fn settle_on(&mut self, id: ActorId, to: WorkerId) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        actor.incarnation = Incarnation(actor.incarnation.0 + 1);
        actor.phase = Phase::Starting { worker: to, told: false };
        actor.bound_for = None;
        let spec = Arc::clone(&actor.spec);
        if let Some(worker) = self.workers.get_mut(to) {
            worker.actors.insert(id);
            worker.free.take(&spec.resources);
        }
        self.await_word(id);
        self.list_copies(id, to);
        self.touch(to);
        self.tell_mourner(id, Some(to));
        self.tell_host(id);
        self.actor_changed(id);
    }

    /// Takes an actor away from its worker, whose resources are free from here on. The phase is the caller's to set.
    pub(super) fn unsettle(&mut self, id: ActorId) {
        let Some(actor) = self.actors.get(id) else { return };
        let (spec, worker) = (Arc::clone(&actor.spec), actor.worker());
        let Some(worker) = worker else { return };
        if let Some(record) = self.workers.get_mut(worker)
            && record.actors.remove(&id)
        {
            record.free.give(&spec.resources);
            self.refill(worker, None);
        }
        self.reinstate(id);
    }

    // ---- what its worker is told ------------------------------------------------------------------------------------

    /// Appends what a worker is still to be told of an actor. Returns its size in bytes, about.
    pub(in super::super) fn tell_actor(
        &mut self,
        worker: WorkerId,
        id: ActorId,
        out: &mut Vec<Order>,
    ) -> usize {
        let Some(actor) = self.actors.get_mut(id).filter(|actor| actor.worker() == Some(worker))
        else {
            return 0;
        };
        let mut size = 0;
        if let Phase::Starting { told: told @ false, .. } = &mut actor.phase {
            *told = true;
            size += self.tell_to_host(worker, id, out);
        }
        size += self.tell_copies(id, out);
        let Some(actor) = self.actors.get_mut(id) else { return size };
        let incarnation = actor.incarnation;
        if let Some(ending) = actor.ending.as_mut().filter(|ending| !ending.told) {
            ending.told = true;
            let (grace, forget, reason) = (ending.grace, ending.forget, ending.reason.clone());
            let end = ActorOrder::End { actor: id, incarnation, grace, forget, reason };
            out.push(Order::Actor(end));
        }
        if !actor.is_alive() {
            return size;
        }
        for wanted in actor.wanted.iter_mut().filter(|wanted| !wanted.told) {
            wanted.told = true;
            let request = wanted.request;
            out.push(Order::Actor(ActorOrder::Checkpoint { actor: id, incarnation, request }));
        }
        if let Some(moving) = actor.moving.as_mut().filter(|moving| !moving.told) {
            moving.told = true;
            out.push(Order::Actor(ActorOrder::Move {
                actor: id,
                incarnation,
                request: moving.request,
                quiesce: moving.quiesce,
                lose_state: moving.lose_state,
            }));
        }
        size
    }

    /// Appends the order to host an actor. Returns its size in bytes, about.
    fn tell_to_host(&mut self, worker: WorkerId, id: ActorId, out: &mut Vec<Order>) -> usize {
        let Some(actor) = self.actors.get(id) else { return 0 };
        let (spec, incarnation) = (Arc::clone(&actor.spec), actor.incarnation);
        let restores = actor.has_state && spec.delivery == Delivery::EffectivelyOnce;
        let baggage = actor.baggage;
        let checkpoint = baggage.map(|object| self.actor_input(object, worker, out));
        let inputs: SmallVec<[Input; 2]> =
            spec.inputs.iter().map(|object| self.actor_input(*object, worker, out)).collect();
        let size = spec.payload.len() + 64 * (inputs.len() + 1);
        let copies = self.copy_places(id);
        out.push(Order::Actor(ActorOrder::Host(Box::new(HostOrder {
            actor: id,
            incarnation,
            spec: ActorSpec::clone(&spec),
            inputs,
            checkpoint,
            restores,
            copies,
        }))));
        size
    }

    /// The worker of this start or that, if it is here.
    pub(super) fn worker_with(&self, uid: WorkerUid) -> Option<WorkerId> {
        self.worker_uids.get(&uid).copied()
    }
}

/// Whether what one cannot have, the other cannot have either.
fn want_the_same(one: &ActorSpec, other: &ActorSpec) -> bool {
    one.resources == other.resources
        && one.runtime == other.runtime
        && one.labels == other.labels
        && one.workers == other.workers
        && one.allow_other_workers == other.allow_other_workers
        && (one.runtime != Runtime::Native || one.class_name == other.class_name)
}

impl Actor {
    /// Whether its next incarnation begins with what the log of its last worker holds, and nowhere else.
    pub(super) fn needs_home(&self) -> bool {
        self.has_state && self.spec.delivery == Delivery::EffectivelyOnce && self.baggage.is_none()
    }
}
