//! What people and callers are shown of actors.

use std::sync::Arc;

use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::actor::statistics::ActorStatistics;
use bireme_core::actor::{ActorSpec, OnSchedulerLoss, Selector};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, SessionId};
use bireme_core::{Span, TaskError};

use super::Machine;
use super::record::Actor;

/// An actor.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorView {
    /// What it is.
    pub spec: Arc<ActorSpec>,
    /// Where it is.
    pub place: ActorPlace,
    /// Name of its worker.
    pub worker: String,
    /// The session that made it; `None` where it outlives that.
    pub session: Option<SessionId>,
    /// Names of the workers whose copies of its log are in step.
    pub copies: Vec<String>,
    /// Why it waits, where it does: one line for each reason.
    pub waits_for: Vec<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last incarnations ended, the latest first.
    pub deaths: Vec<DeathView>,
    /// How long ago it was made.
    pub age: Span,
    /// Counters of all its incarnations.
    pub statistics: ActorStatistics,
    /// Which of all changes was its last.
    pub version: u64,
}

/// How an incarnation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct DeathView {
    /// Which.
    pub incarnation: Incarnation,
    /// Why.
    pub cause: Box<TaskError>,
    /// How long ago.
    pub ago: Span,
    /// Name of the worker where it lived.
    pub worker: String,
}

impl Actor {
    /// What people call it: its name, or else its id.
    pub(super) fn label(&self) -> String {
        match &self.spec.name {
            Some(name) => name.to_string(),
            None => self.id.to_string(),
        }
    }
}

impl Machine {
    /// The actor that a selector names.
    pub fn find_actor(&self, selector: &Selector) -> Option<ActorId> {
        match selector {
            Selector::Actor(id) => self.actors.get(*id).map(|actor| actor.id),
            Selector::Name(name) => self.actors.names.get(name).copied(),
        }
    }

    /// Where an actor is.
    pub fn actor_place(&self, id: ActorId) -> Option<ActorPlace> {
        let actor = self.actors.get(id)?;
        let worker = actor.worker();
        let join = worker.and_then(|worker| self.workers.get(worker)).map(|worker| &worker.join);
        let stops = actor.spec.on_scheduler_loss == OnSchedulerLoss::Stop;
        Some(ActorPlace {
            actor: id,
            incarnation: actor.incarnation,
            state: actor.state(),
            worker,
            addresses: join.map(|join| join.addresses.clone()).unwrap_or_default(),
            machine: join.map(|join| join.machine.clone()).unwrap_or_default(),
            lease: if stops { actor.spec.lease } else { Span::ZERO },
            cause: actor.cause.clone(),
        })
    }

    /// What hosts an actor.
    pub fn actor_runtime(&self, id: ActorId) -> Option<&Runtime> {
        self.actors.get(id).map(|actor| &actor.spec.runtime)
    }

    /// An actor.
    pub fn actor(&self, id: ActorId) -> Option<ActorView> {
        let actor = self.actors.get(id)?;
        let worker = actor.worker().and_then(|worker| self.workers.get(worker));
        let deaths = actor.deaths.iter().map(|death| DeathView {
            incarnation: death.incarnation,
            cause: death.cause.clone(),
            ago: self.now.since(death.at),
            worker: death.worker.clone(),
        });
        Some(ActorView {
            spec: Arc::clone(&actor.spec),
            place: self.actor_place(id)?,
            worker: worker.map(|worker| worker.join.name.clone()).unwrap_or_default(),
            session: actor.session.filter(|_| !actor.spec.detached),
            copies: self.names_in_step(actor),
            waits_for: self.actor_waits_for(id),
            restarts: actor.restarts,
            deaths: deaths.collect(),
            age: self.now.since(actor.created),
            statistics: self.actors.counts.of(id),
            version: actor.version,
        })
    }

    /// All actors in order, from after this one.
    pub fn actors_after(&self, after: Option<ActorId>) -> impl Iterator<Item = ActorView> {
        let from = after.map_or(0, |after| after.0.saturating_add(1));
        self.actors.records.range(ActorId(from)..).filter_map(|(id, _)| self.actor(*id))
    }

    /// Counts what happens to actors: equal numbers mean equal lists.
    pub fn actors_version(&self) -> u64 {
        self.actors.changes.version
    }

    /// The actors that changed since then, in the order in which they did.
    pub fn actors_changed_since(&self, version: u64) -> impl Iterator<Item = ActorView> {
        let changed = self.actors.changes.order.range(version.saturating_add(1)..);
        changed.filter_map(|(_, id)| self.actor(*id))
    }

    /// The actors that were forgotten since then; `None` if that is too long ago to say.
    pub fn actors_gone_since(&self, version: u64) -> Option<impl Iterator<Item = ActorId>> {
        let changes = &self.actors.changes;
        let gone = changes.gone.iter().filter(move |(at, _)| *at > version);
        (version >= changes.gone_before).then(|| gone.map(|(_, id)| *id))
    }

    /// How many actors are in each state.
    pub fn actor_counts(&self) -> Vec<(ActorState, u64)> {
        let states = [
            ActorState::Waiting,
            ActorState::Starting,
            ActorState::Alive,
            ActorState::Restarting,
            ActorState::Moving,
            ActorState::Dead,
        ];
        let mut counts = states.map(|state| (state, 0));
        for actor in self.actors.records.values() {
            let state = actor.state();
            if let Some((_, count)) = counts.iter_mut().find(|(other, _)| *other == state) {
                *count += 1;
            }
        }
        counts.to_vec()
    }
}
