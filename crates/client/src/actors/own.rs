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
        if let Some(known) = lanes.get(&lane).and_then(|own| own.actors.get(&actor.id())) {
            return Ok(known.clone());
        }
        let known: usize = lanes.values().map(|lane| lane.first.len()).sum();
        let own = lanes.entry(lane).or_default();
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
                // Numbers of an earlier life say nothing of calls that were numbered anew since.
                let is_of_now =
                    |callee: &&Callee| (callee.lane, callee.left_out) == (*lane, own.left_out);
                let of_now = callees.iter().filter(is_of_now);
                hub.kept(of_now.map(|callee| (callee.actor, callee.next_seq)));
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

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use bireme_core::Span;
    use bireme_core::actor::call::{Call, Ending, Outcome};
    use bireme_core::actor::caller::Event;
    use bireme_core::actor::place::{ActorPlace, ActorState};
    use bireme_core::actor::wire::{OnUnknown, Opened, ToCaller};
    use bireme_core::actor::{Delivery, OnFull};
    use bireme_core::id::{Incarnation, WorkerId};
    use bireme_core::protocol::Address;
    use bireme_core::value::Value;
    use tokio::sync::oneshot;

    use super::super::hub::Waiter;
    use super::*;
    use crate::peers::tests::without_scheduler;

    const ME: ActorId = ActorId(1);
    const CALLED: ActorId = ActorId(2);
    const WORKER: WorkerId = WorkerId(3);
    const INCARNATION: Incarnation = Incarnation(1);

    /// An actor whose first lane calls another, which is played.
    fn own() -> (OwnCalls, Arc<Hub>) {
        let peers = without_scheduler();
        let numbering = Numbering::new(Callee::life(0, 0), BTreeMap::new());
        let hub = Hub::numbered(ME, None, Arc::new(peers), numbering);
        hub.join(CALLED, OnUnknown::Continue, Some(place()));
        let lane = Lane { hub: Some(Arc::clone(&hub)), ..Lane::default() };
        let own = OwnCalls::new(ME, &[]);
        lock(&own.lanes).insert(0, lane);
        (own, hub)
    }

    fn place() -> ActorPlace {
        let (scheme, host) = ("http".to_owned(), "127.0.0.1".to_owned());
        let address = Address { scheme, host, port: 1, network: String::new() };
        ActorPlace {
            actor: CALLED,
            incarnation: INCARNATION,
            state: ActorState::Alive,
            worker: Some(WORKER),
            addresses: vec![address],
            machine: String::new(),
            lease: Span::ZERO,
            cause: None,
        }
    }

    /// Makes a call and returns its number.
    fn call(hub: &Arc<Hub>) -> u64 {
        let waiter = Waiter { ended: oneshot::channel().0, items: None };
        hub.call(CALLED, Ok(Arc::new(Call::default())), waiter).unwrap()
    }

    /// The host begins, and has seen the calls before this one.
    fn open(hub: &Arc<Hub>, next_seq: u64) {
        hub.on_event(CALLED, Event::StreamUp(WORKER));
        let opened = Opened {
            incarnation: INCARNATION,
            next_seq,
            delivery: Delivery::EffectivelyOnce,
            methods: Vec::new(),
            lanes: Vec::new(),
            window: 9,
            on_full: OnFull::default(),
            lease: None,
            forgotten: false,
            remembers_from: INCARNATION,
        };
        hub.on_event(CALLED, Event::Said(ToCaller::Opened(Box::new(opened))));
    }

    /// The host answers a call.
    fn answer(hub: &Arc<Hub>, seq: u64) {
        let ending = Ending {
            outcome: Outcome::Value(Box::new(Value::text("done"))),
            queue: Span::ZERO,
            run: Span::ZERO,
            lsn: 0,
            incarnation: INCARNATION,
        };
        let reply = ToCaller::Reply { seq, ending: Box::new(ending) };
        hub.on_event(CALLED, Event::Said(reply));
    }

    #[tokio::test]
    async fn a_checkpoint_of_before_says_nothing_of_calls_that_are_numbered_anew() {
        let (own, hub) = own();
        let first = call(&hub);
        open(&hub, first);
        answer(&hub, first);
        let before = own.callees();
        let expected = Callee { lane: 0, actor: CALLED, next_seq: 2, left_out: 0 };
        assert_eq!(before, from_ref(&expected));
        own.begin(0, 1);
        let again = call(&hub);
        assert_eq!(again, first, "another life numbers its own");
        open(&hub, again);
        answer(&hub, again);
        let now = own.callees();
        call(&hub);
        for (kept, owed) in [(before, 1), (now, 0)] {
            own.kept(&kept);
            // What is needed no more is said at the latest when a conversation begins.
            hub.on_event(CALLED, Event::StreamDown(WORKER));
            hub.on_event(CALLED, Event::Resolved(Ok(Box::new(place()))));
            open(&hub, 2);
            assert_eq!(hub.unacknowledged(CALLED), Some(owed), "{kept:?}");
        }
    }
}
