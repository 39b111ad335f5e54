//! The calls that an actor with a call log makes to others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bireme_core::actor::call::{CallCode, CallFailure, Callee};
use bireme_core::id::ActorId;
use bireme_core::limits;

use super::handle::Actor;
use super::hub::{Hub, Numbering};
use crate::session::lock;

/// The calls that an effectively-once actor makes to others, numbered so that its call log, played again, makes the same
/// calls: whoever has run one answers it again and does not run it twice.
///
/// Each lane numbers its own, in the order in which its methods make them, and anew after each of its calls that was set aside
/// for good ([`OwnCalls::begin`]). The replies are kept by the actors that were called until a checkpoint is kept that needs
/// them no more ([`OwnCalls::kept`]).
#[derive(Debug)]
pub struct OwnCalls {
    me: ActorId,
    lanes: Mutex<BTreeMap<u32, Lane>>,
}

/// What one lane calls.
#[derive(Debug, Default)]
struct Lane {
    /// How many of its calls were set aside for good.
    left_out: u32,
    /// The actors that are called, each with the number of the first call to it.
    first: BTreeMap<ActorId, u64>,
    /// Made with the first call.
    hub: Option<Arc<Hub>>,
    /// A handle of each, so that the numbers go on.
    actors: BTreeMap<ActorId, Actor>,
}

impl OwnCalls {
    /// The calls of an actor that has made these before.
    pub fn new(me: ActorId, made: &[Callee]) -> Self {
        let mut lanes: BTreeMap<u32, Lane> = BTreeMap::new();
        for callee in made {
            let lane = lanes.entry(callee.lane).or_default();
            lane.begin(callee.lane, callee.left_out);
            if callee.left_out == lane.left_out {
                lane.first.insert(callee.actor, callee.next_seq);
            }
        }
        Self { me, lanes: Mutex::new(lanes) }
    }

    /// A method begins in a lane of which so many calls were set aside for good. Those had used numbers, nobody can know how
    /// many: where there are more than before, what is called from here on is called by another life of this actor.
    pub fn begin(&self, lane: u32, left_out: u32) {
        if left_out > 0 {
            lock(&self.lanes).entry(lane).or_default().begin(lane, left_out);
        }
    }

    /// The same actor, called by a method that runs in this lane.
    pub fn actor(&self, lane: u32, actor: &Actor) -> Result<Actor, CallFailure> {
        let mut lanes = lock(&self.lanes);
        let known: usize = lanes.values().map(|lane| lane.first.len()).sum();
        let own = lanes.entry(lane).or_default();
        if let Some(known) = own.actors.get(&actor.id()) {
            return Ok(known.clone());
        }
        if known >= limits::CALLEES && !own.first.contains_key(&actor.id()) {
            return Err(CallFailure::new(CallCode::NotRun, too_many(known)));
        }
        own.first.entry(actor.id()).or_insert(1);
        let callee = actor.over(own.hub.get_or_insert_with(|| {
            let life = Callee::life(lane, own.left_out);
            actor.client().numbered_calls(self.me, Numbering::new(life, own.first.clone()))
        }));
        own.actors.insert(actor.id(), callee.clone());
        Ok(callee)
    }

    /// Whether a method in this lane has called anybody since this process has the actor.
    pub fn has_called(&self, lane: u32) -> bool {
        lock(&self.lanes).get(&lane).is_some_and(|own| own.hub.is_some())
    }

    /// Waits until every call that was made in a lane has ended. A method that has returned is over only then: a call that it
    /// leaves behind would be lost with the process.
    pub async fn settled(&self, lane: u32) {
        let hub = lock(&self.lanes).get(&lane).and_then(|own| own.hub.clone());
        if let Some(hub) = hub {
            hub.settled().await;
        }
    }

    /// What a checkpoint has to say of them.
    pub fn callees(&self) -> Vec<Callee> {
        let callees = |(lane, own): (&u32, &Lane)| {
            let (lane, left_out) = (*lane, own.left_out);
            let callee = move |(actor, next_seq)| Callee { lane, actor, next_seq, left_out };
            own.numbers().into_iter().map(callee)
        };
        lock(&self.lanes).iter().flat_map(callees).collect()
    }

    /// A checkpoint is kept that said this of them.
    pub fn kept(&self, callees: &[Callee]) {
        for (lane, own) in &*lock(&self.lanes) {
            if let Some(hub) = &own.hub {
                let of_lane = callees.iter().filter(|callee| callee.lane == *lane);
                hub.kept(of_lane.map(|callee| (callee.actor, callee.next_seq)));
            }
        }
    }

    /// Whether others keep so many replies for it that it had better have a checkpoint.
    pub fn want_checkpoint(&self) -> bool {
        lock(&self.lanes).values().filter_map(|own| own.hub.as_ref()).any(|hub| hub.is_owed_much())
    }
}

impl Lane {
    fn begin(&mut self, lane: u32, left_out: u32) {
        if left_out > self.left_out {
            self.left_out = left_out;
            self.first = self.actors.keys().map(|actor| (*actor, 1)).collect();
            if let Some(hub) = &self.hub {
                hub.renew(Callee::life(lane, left_out));
            }
        }
    }

    fn numbers(&self) -> BTreeMap<ActorId, u64> {
        self.hub.as_ref().map_or_else(|| self.first.clone(), |hub| hub.callees())
    }
}

fn too_many(known: usize) -> String {
    format!(
        "the actor has called {known} others, which is the most with a call log, since each is part of its checkpoints: call \
         fewer, or have the method promise less than the actor, so that its calls are ordinary ones"
    )
}
