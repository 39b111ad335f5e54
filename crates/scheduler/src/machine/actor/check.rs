//! Recounts what the records of actors must agree on.

use std::collections::BTreeMap;

use bireme_core::id::ActorId;
use bireme_core::object::ObjectId;
use bireme_core::{Resources, Time};

use super::Machine;
use super::record::{Actor, Phase};
use crate::machine::check::ensure;
use crate::machine::worker::Worker;

impl Machine {
    /// The first thing that does not agree, in words.
    pub(in super::super) fn check_actors(&self) -> Result<(), String> {
        let mut pins: BTreeMap<ObjectId, u32> = BTreeMap::new();
        for (id, actor) in &self.actors.records {
            self.check_actor(*id, actor).map_err(|what| format!("actor {id}: {what}"))?;
            for input in actor.spec.inputs.iter().filter(|_| !actor.is_dead()) {
                *pins.entry(*input).or_default() += 1;
            }
        }
        ensure(pins == self.actors.pins, || {
            format!("actors take {pins:?}, {:?} is counted", self.actors.pins)
        })?;
        for (name, id) in &self.actors.names {
            let named = self.actors.get(*id).and_then(|actor| actor.spec.name.as_ref());
            ensure(named == Some(name), || {
                format!("name {name} leads to {id}, which has {named:?}")
            })?;
        }
        for (session, id) in &self.actors.owned {
            let actor = self.actors.get(*id).filter(|actor| actor.session == Some(*session));
            ensure(actor.is_some() && self.sessions.contains_key(session), || {
                format!("actor {id} is to end with session {}, which does not know", session.0)
            })?;
        }
        let (unlooked, waiting) = (self.actors.unlooked, self.actors.waiting.len());
        ensure(unlooked <= waiting, || {
            format!("{unlooked} actors are to be looked at, {waiting} wait")
        })?;
        let versions = self.actors.changes.order.len();
        ensure(versions == self.actors.records.len(), || {
            format!("{versions} actors changed, there are {}", self.actors.records.len())
        })?;
        self.check_copies()
    }

    fn check_actor(&self, id: ActorId, actor: &Actor) -> Result<(), String> {
        match actor.worker() {
            Some(worker) => {
                let worker = self.workers.get(worker).ok_or("lives on a worker that is gone")?;
                ensure(worker.actors.contains(&id), || "its worker does not know".to_owned())?;
                ensure(actor.incarnation.0 > 0, || "lives without an incarnation".to_owned())?;
            }
            None => ensure(actor.moving.is_none(), || "no incarnation is to move".to_owned())?,
        }
        if let Some(worker) = actor.mourned_at.and_then(|worker| self.workers.get(worker)) {
            ensure(worker.mourned.contains_key(&id), || {
                "its last worker has forgotten it".to_owned()
            })?;
        }
        let timer = |due: Time| self.timers.contains(&(due, super::super::Timer::Actor(id)));
        match actor.phase {
            Phase::Waiting(until) => {
                ensure(self.actors.waiting.contains(&id), || "wants a worker unheard".to_owned())?;
                ensure(until.is_none_or(timer), || "waits without a timer".to_owned())?;
            }
            Phase::Pausing(due) | Phase::Dead(due) => {
                ensure(timer(due), || format!("is {:?} without a timer", actor.phase))?;
            }
            Phase::Alive(_) => ensure(actor.has_state && actor.baggage.is_none(), || {
                "is alive and has not unpacked".to_owned()
            })?,
            Phase::Starting { .. } => {}
        }
        let names_end = actor.is_dead() || actor.ending.as_ref().is_some_and(|end| end.forget);
        let named =
            actor.spec.name.as_ref().is_some_and(|name| self.actors.names.get(name) == Some(&id));
        ensure(actor.spec.name.is_none() || named != names_end, || {
            format!("has its name: {named}, and is ending: {names_end}")
        })
    }

    /// What actors hold of a worker; or the first that does not agree.
    pub(in super::super) fn check_actors_on(&self, worker: &Worker) -> Result<Resources, String> {
        let mut free = worker.join.resources.clone();
        for id in &worker.actors {
            let actor = self.actors.get(*id).filter(|actor| actor.worker() == Some(worker.id));
            let actor = actor.ok_or_else(|| format!("has actor {id}, which lives elsewhere"))?;
            ensure(free.fits(&actor.spec.resources), || {
                format!("actor {id} takes {} of {free} left", actor.spec.resources)
            })?;
            free.take(&actor.spec.resources);
        }
        Ok(free)
    }
}
