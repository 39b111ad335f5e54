//! What becomes of actors when workers are lost, come back, or are sent away.

use std::collections::BTreeMap;

use bireme_core::actor::place::Hosted;
use bireme_core::id::{ActorId, WorkerId};
use bireme_core::reason::Reason;
use bireme_core::{ErrorClass, TaskError, Time};

use super::Machine;
use super::record::{Actor, Moving, Phase};
use crate::machine::worker::Errand;

impl Machine {
    /// A worker is gone for good. Where nothing proves that what it hosted is dead, the next incarnation waits for the end of
    /// the lease.
    pub(in super::super) fn lose_actors(&mut self, id: WorkerId, is_proved: bool) {
        let Some(worker) = self.workers.get(id) else { return };
        let (name, heard) = (worker.join.name.clone(), worker.heard);
        let actors: Vec<ActorId> = worker.actors.iter().copied().collect();
        self.lose_copies(id);
        for actor in actors {
            self.undo_if_unheard(actor);
            let Some(record) = self.actors.get(actor) else { continue };
            let fence = if is_proved { Time::default() } else { record.fence(heard) };
            let message = format!("its worker {name} was lost");
            let mut error =
                TaskError::new(ErrorClass::WorkerLost, Reason::WorkerLost.name(), message);
            error.worker.clone_from(&name);
            self.lose_life_until(actor, Box::new(error), fence);
        }
    }

    /// The worker of an actor is lost. If it was not heard that the actor is alive there, what it was to begin with is still all
    /// that there is.
    fn undo_if_unheard(&mut self, id: ActorId) {
        if self.actors.get(id).is_some_and(Actor::is_alive) {
            self.reinstate(id);
        } else {
            self.take_list_back(id);
        }
    }

    /// What a worker must announce of actors for nothing to be news.
    pub(in super::super) fn actors_believed(&self, id: WorkerId) -> Vec<Hosted> {
        let Some(worker) = self.workers.get(id) else { return Vec::new() };
        let hosted = |actor: &ActorId| {
            let record = self.actors.get(*actor)?;
            let (alive, checkpoints) = (record.is_alive(), record.is_alive() && record.checkpoints);
            Some(Hosted { actor: *actor, incarnation: record.incarnation, alive, checkpoints })
        };
        worker.actors.iter().filter_map(hosted).collect()
    }

    /// Brings what is believed of a worker's actors in line with what it says it hosts. Ends were told before.
    pub(in super::super) fn reconcile_actors(&mut self, id: WorkerId, announced: &[Hosted]) {
        let hosted: BTreeMap<ActorId, Hosted> =
            announced.iter().map(|hosted| (hosted.actor, *hosted)).collect();
        for told in announced {
            if told.alive {
                self.on_actor_reported(id, bireme_core::actor::place::ActorReport::Alive(*told));
            } else if self
                .actors
                .get(told.actor)
                .is_none_or(|known| !known.lives(id, told.incarnation))
            {
                self.end_superseded(id, told.actor, told.incarnation);
            }
        }
        let believed: Vec<ActorId> = self
            .workers
            .get(id)
            .map(|worker| worker.actors.iter().copied().collect())
            .unwrap_or_default();
        for actor in believed {
            let Some(record) = self.actors.get_mut(actor) else { continue };
            let is_there =
                hosted.get(&actor).is_some_and(|hosted| hosted.incarnation == record.incarnation);
            record.forget_what_was_told(is_there);
            if !is_there && record.is_alive() {
                let message = "its worker came back without it";
                let error =
                    TaskError::new(ErrorClass::WorkerLost, Reason::WorkerLost.name(), message);
                self.lose_life(actor, Box::new(error));
            } else {
                self.errand(id, Errand::Actor(actor));
            }
        }
        let mourned: Vec<ActorId> = self
            .workers
            .get(id)
            .map(|worker| worker.mourned.keys().copied().collect())
            .unwrap_or_default();
        for actor in mourned {
            let Some(record) = self.actors.get(actor) else { continue };
            match record.worker() {
                None if !record.is_dead() => {}
                next => self.tell_mourner(actor, next),
            }
        }
        self.actors.stir();
    }

    /// Has the actors of a worker that is on its way out move to others, as far as they can and there is room.
    pub(in super::super) fn move_actors_away(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(id) else { return };
        let actors: Vec<ActorId> = worker.actors.iter().copied().collect();
        for actor in actors {
            let can_move = self.actors.get(actor).is_some_and(|record| {
                record.is_alive()
                    && record.checkpoints
                    && record.moving.is_none()
                    && record.ending.is_none()
            });
            if !can_move || !self.has_refuge(actor, id) {
                continue;
            }
            let request = self.actors.next_request();
            if let Some(record) = self.actors.get_mut(actor) {
                let (quiesce, lose_state, told) = (None, false, false);
                record.moving =
                    Some(Moving { request, submission: None, quiesce, lose_state, told });
            }
            self.tell_host(actor);
            self.actor_changed(actor);
        }
    }

    /// What keeps the actors of a worker from leaving it, one line for each kind.
    pub fn actors_in_the_way(&self, id: WorkerId) -> Vec<String> {
        let Some(worker) = self.workers.get(id) else { return Vec::new() };
        let (mut stuck, mut crowded, mut moving) = (Vec::new(), Vec::new(), Vec::new());
        for actor in &worker.actors {
            let Some(record) = self.actors.get(*actor) else { continue };
            let list = match record.phase {
                Phase::Alive(_) if record.moving.is_some() || record.ending.is_some() => {
                    &mut moving
                }
                Phase::Alive(_) if !record.checkpoints => &mut stuck,
                Phase::Alive(_) => &mut crowded,
                _ => &mut moving,
            };
            list.push(record.label());
        }
        let line = |actors: Vec<String>, what: &str| {
            let first = actors.first()?.clone();
            Some(match actors.len() {
                1 => format!("actor {first} {what}"),
                count => format!("{count} actors, {first} among them: each {what}"),
            })
        };
        let stuck = line(stuck, "cannot be checkpointed: kill it, or move it with its state lost");
        let crowded = line(crowded, "has no other worker with room for it: start one");
        let moving = line(moving, "is on its way");
        [stuck, crowded, moving].into_iter().flatten().collect()
    }
}
