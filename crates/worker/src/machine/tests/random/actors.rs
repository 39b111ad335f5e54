//! Actors and calls among the random orders.

use bireme_core::actor::ActorSpec;
use bireme_core::actor::copies::CopyPlaces;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind, HostOrder, Hosted};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::protocol::Order;
use bireme_core::resources::UNITS;
use bireme_core::{Resources, Span};
use bytes::Bytes;

use super::World;
use crate::machine::{Effect, Event};

const ACTORS: u64 = 3;

impl World {
    /// The driver hosts, ends and gathers.
    pub(super) fn on_actor(&mut self, effect: Effect) {
        if let Effect::Host(hosting) = effect {
            let wanted = hosting.inputs.iter().chain(&hosting.checkpoint);
            for input in wanted {
                assert!(self.store.contains(input), "an actor begins without {input}");
            }
            let before = self.hosted.insert(hosting.actor, hosting.incarnation);
            assert_eq!(before, None, "two incarnations live");
        } else if let Effect::Actor(ActorOrder::End { actor, incarnation, .. }) = effect {
            if self.hosted.get(&actor).is_some_and(|hosted| *hosted <= incarnation) {
                self.end_actor(actor);
            }
        } else if let Effect::Gathered { ticket, objects, missing } = effect {
            assert!(self.gathering.remove(&ticket), "nobody gathers {ticket}");
            if missing.is_none() {
                assert!(objects.iter().all(|object| self.store.contains(object)));
            }
        }
    }

    fn end_actor(&mut self, actor: ActorId) {
        let Some(incarnation) = self.hosted.remove(&actor) else { return };
        let (end, cause, checkpoint) = (EndKind::Crashed, None, None);
        let ended = ActorReport::Ended { actor, incarnation, end, cause, checkpoint };
        self.handle(Event::ActorTold(ended));
    }

    /// Something happens to an actor, or a call is made that wants something.
    pub(super) fn act(&mut self) {
        let actor = ActorId(self.rng.below(ACTORS).into());
        match self.rng.below(8) {
            0..3 => self.host(actor),
            3 => {
                let incarnation = Incarnation(self.incarnations);
                let forget = self.rng.below(2) == 0;
                let (grace, reason) = (Span::ZERO, String::new());
                let end = ActorOrder::End { actor, incarnation, grace, forget, reason };
                self.order(Order::Actor(end));
            }
            4 => {
                if let Some(incarnation) = self.hosted.get(&actor).copied() {
                    let hosted = Hosted { actor, incarnation, alive: true, checkpoints: true };
                    self.handle(Event::ActorTold(ActorReport::Alive(hosted)));
                }
            }
            5 => self.end_actor(actor),
            6 => {
                self.incarnations += 1;
                let ticket = u64::from(self.incarnations);
                let objects = (0..self.rng.below(3)).map(|_| self.random_input().object).collect();
                self.gathering.insert(ticket);
                self.handle(Event::Gather { ticket, objects });
            }
            _ => {
                if let Some(ticket) = self.gathering.pop_first() {
                    // One that is on its way is not wanted any more either.
                    self.towards.retain(
                        |effect| !matches!(effect, Effect::Gathered { ticket: of, .. } if *of == ticket),
                    );
                    self.handle(Event::Ungather(ticket));
                }
            }
        }
    }

    fn host(&mut self, actor: ActorId) {
        self.incarnations += 1;
        let mut spec = ActorSpec::new("Counter", Runtime::Native, Bytes::new());
        spec.resources = Resources::new(self.rng.below(3) * UNITS, 0);
        let inputs = (0..self.rng.below(2)).map(|_| self.random_input()).collect();
        let checkpoint = (self.rng.below(4) == 0).then(|| self.random_input());
        let incarnation = Incarnation(self.incarnations);
        let (restores, copies) = (false, CopyPlaces::default());
        let order = HostOrder { actor, incarnation, spec, inputs, checkpoint, restores, copies };
        self.order(Order::Actor(ActorOrder::Host(Box::new(order))));
    }

    /// All actors end.
    pub(super) fn end_actors(&mut self) {
        for actor in 0..ACTORS {
            let (actor, incarnation) = (ActorId(actor.into()), Incarnation(u32::MAX));
            let (grace, reason) = (Span::ZERO, String::new());
            let end = ActorOrder::End { actor, incarnation, grace, forget: true, reason };
            self.order(Order::Actor(end));
        }
        while let Some(ticket) = self.gathering.pop_first() {
            self.towards.retain(
                |effect| !matches!(effect, Effect::Gathered { ticket: of, .. } if *of == ticket),
            );
            self.handle(Event::Ungather(ticket));
        }
    }
}
