//! The actors that a worker hosts, as far as the scheduler and its resources are concerned.
//!
//! An incarnation is accepted, has its inputs gathered, waits for its resources and holds them until it has ended. Everything
//! else about it (callers, process, log) is the driver's, who tells here what the scheduler is to know: that it takes calls,
//! and how it ended. That is told until the scheduler settles it.
//!
//! Incarnations of one actor are numbered by the scheduler and only grow. Orders about one that is over are answered with how
//! it ended; a later one that is ordered while an earlier one lives ends the earlier one and begins when that is gone. An order
//! may be heard again after all that: which incarnation was settled last is remembered, and none up to it begins again.

use std::collections::{BTreeMap, VecDeque};

use bireme_core::actor::ActorSpec;
use bireme_core::actor::copies::CopyPlaces;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind, HostOrder, Hosted};
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::limits::ACTORS_SETTLED;
use bireme_core::protocol::Report;
use bireme_core::resources::Pieces;
use bireme_core::{ErrorClass, ObjectId, Reason, Resources, Span, TaskError, Time};
use smallvec::SmallVec;

use super::gathering::{Gatherer, named};
use super::pool::Held;
use super::reports::Mark;
use super::{Effect, Machine};

/// An incarnation of an actor, as the driver is to host it.
#[derive(Clone, Debug, PartialEq)]
pub struct Hosting {
    /// Which actor.
    pub actor: ActorId,
    /// Which incarnation.
    pub incarnation: Incarnation,
    /// What it is.
    pub spec: ActorSpec,
    /// The values of [`ActorSpec::inputs`], in their order; all are in the store.
    pub inputs: SmallVec<[ObjectId; 2]>,
    /// What the last incarnation left when it came to rest elsewhere; in the store.
    pub checkpoint: Option<ObjectId>,
    /// There was an incarnation before whose state must be found here.
    pub restores: bool,
    /// Where copies of its log and its checkpoint are kept.
    pub copies: CopyPlaces,
    /// Which numbered pieces it holds.
    pub held: Pieces,
}

/// All that is known of actors.
#[derive(Debug, Default)]
pub(super) struct Actors {
    /// Accepted and not ended.
    pub(super) hosted: BTreeMap<ActorId, Actor>,
    /// Those that have their inputs and wait for their resources, in the order in which they got ready.
    pub(super) waiting: VecDeque<ActorId>,
    /// How incarnations ended, until that is settled. At most one of each actor, and later than any that is hosted.
    pub(super) ended: BTreeMap<ActorId, ActorReport>,
    pub(super) settled: Settled,
}

/// The last incarnation that was settled, of the [`ACTORS_SETTLED`] actors of which one was most recently.
#[derive(Debug, Default)]
pub(super) struct Settled {
    last: BTreeMap<ActorId, Incarnation>,
    /// Who is in there, in the order in which they came.
    order: VecDeque<ActorId>,
}

impl Settled {
    fn insert(&mut self, actor: ActorId, incarnation: Incarnation) {
        if self.last.insert(actor, incarnation).is_none() {
            self.order.push_back(actor);
        }
        if self.order.len() > ACTORS_SETTLED
            && let Some(first) = self.order.pop_front()
        {
            self.last.remove(&first);
        }
    }

    fn covers(&self, actor: ActorId, incarnation: Incarnation) -> bool {
        self.last.get(&actor).is_some_and(|last| *last >= incarnation)
    }

    /// Whether what is kept agrees and is bounded.
    pub(super) fn is_sound(&self) -> bool {
        self.order.len() == self.last.len()
            && self.order.len() <= ACTORS_SETTLED
            && self.order.iter().all(|actor| self.last.contains_key(actor))
    }
}

/// An incarnation that was accepted and has not ended.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) incarnation: Incarnation,
    pub(super) need: Resources,
    pub(super) state: State,
    /// A later one, which begins when this has ended.
    successor: Option<Box<HostOrder>>,
    /// A later one that was to follow and was ended before it could: the end is told as that one's.
    ends_as: Option<Incarnation>,
}

/// How far an incarnation has come.
#[derive(Debug)]
pub(super) enum State {
    /// Its inputs are gathered.
    Gathering(Box<Hosting>),
    /// The driver has it.
    Hosted { held: Held, alive: bool, checkpoints: bool },
    /// It waits for its resources.
    Waiting(Box<Hosting>),
}

impl Actors {
    /// Whether nothing is here whose end the scheduler does not know. What it left for the next incarnation is stored by then.
    pub(super) fn is_empty(&self) -> bool {
        self.hosted.is_empty() && self.ended.is_empty()
    }

    /// What those hosted hold.
    pub(super) fn held(&self) -> impl Iterator<Item = &Held> {
        self.hosted.values().filter_map(|actor| match &actor.state {
            State::Hosted { held, .. } => Some(held),
            State::Gathering(_) | State::Waiting(_) => None,
        })
    }

    fn need_of(&self, actor: ActorId) -> Option<&Resources> {
        self.hosted.get(&actor).map(|hosted| &hosted.need)
    }

    /// Something that was gathered for an actor is gone: it is gathered again.
    pub(super) fn gather_again(&mut self, gatherer: Gatherer) {
        let Gatherer::Actor(actor) = gatherer else { return };
        let Some(hosted) = self.hosted.get_mut(&actor) else { return };
        if let State::Waiting(hosting) = &hosted.state {
            hosted.state = State::Gathering(hosting.clone());
            self.waiting.retain(|waiting| *waiting != actor);
        }
    }

    /// What is announced of them.
    pub(super) fn announced(&self) -> impl Iterator<Item = Hosted> {
        self.hosted.iter().map(|(&actor, hosted)| hosted.announced(actor))
    }

    fn known(&self, actor: ActorId) -> Option<Incarnation> {
        let hosted = self.hosted.get(&actor).map(|hosted| {
            let successor = hosted.successor.as_ref().map(|order| order.incarnation);
            successor.or(hosted.ends_as).unwrap_or(hosted.incarnation)
        });
        hosted.or_else(|| Some(ended_incarnation(self.ended.get(&actor)?)))
    }
}

impl Actor {
    fn announced(&self, actor: ActorId) -> Hosted {
        let (alive, checkpoints) = match self.state {
            State::Hosted { alive, checkpoints, .. } => (alive, checkpoints),
            State::Gathering(_) | State::Waiting(_) => (false, false),
        };
        Hosted { actor, incarnation: self.incarnation, alive, checkpoints }
    }
}

impl Machine {
    /// Applies an order about an actor.
    pub(super) fn on_actor_ordered(
        &mut self,
        now: Time,
        order: ActorOrder,
        effects: &mut Vec<Effect>,
    ) {
        let (actor, incarnation) = named(&order);
        match order {
            ActorOrder::Host(order) => self.on_host(now, order, effects),
            ActorOrder::Settle { .. } => {
                if self
                    .actors
                    .ended
                    .get(&actor)
                    .is_some_and(|report| ended_incarnation(report) == incarnation)
                {
                    self.actors.ended.remove(&actor);
                    self.actors.settled.insert(actor, incarnation);
                }
            }
            ActorOrder::Copy { copies, .. } => {
                self.on_copy_actor(actor, incarnation, copies, effects);
            }
            ActorOrder::End { .. } => self.on_end_actor(actor, incarnation, order, effects),
            ActorOrder::Checkpoint { .. } | ActorOrder::Move { .. } => {
                let is_here = |hosted: &Actor| {
                    hosted.incarnation == incarnation
                        && matches!(hosted.state, State::Hosted { .. })
                };
                if self.actors.hosted.get(&actor).is_some_and(is_here) {
                    effects.push(Effect::Actor(order));
                } else {
                    self.refuse_request(order, effects);
                }
            }
        }
    }

    /// Takes note of where copies of an actor are kept: for the driver, or for when it is handed over.
    fn on_copy_actor(
        &mut self,
        actor: ActorId,
        incarnation: Incarnation,
        places: CopyPlaces,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hosted) = self.actors.hosted.get_mut(&actor) else { return };
        let later = hosted.successor.as_mut().filter(|order| order.incarnation == incarnation);
        if let Some(order) = later {
            order.copies = places;
        } else if hosted.incarnation == incarnation {
            match &mut hosted.state {
                State::Gathering(hosting) | State::Waiting(hosting) => hosting.copies = places,
                State::Hosted { .. } => {
                    let copies = places;
                    effects.push(Effect::Actor(ActorOrder::Copy { actor, incarnation, copies }));
                }
            }
        }
    }

    /// Accepts an incarnation, unless it or a later one is known or was settled.
    fn on_host(&mut self, now: Time, order: Box<HostOrder>, effects: &mut Vec<Effect>) {
        let (actor, incarnation) = (order.actor, order.incarnation);
        if self.actors.known(actor).is_some_and(|known| known >= incarnation) {
            self.mark(Mark::Actor(actor), effects);
            return;
        }
        if self.actors.settled.covers(actor, incarnation) {
            return self.refuse_settled(actor, incarnation, effects);
        }
        self.actors.ended.remove(&actor);
        let Some(earlier) = self.actors.hosted.get_mut(&actor) else {
            return self.accept_actor(now, *order, effects);
        };
        let earlier_incarnation = earlier.incarnation;
        (earlier.successor, earlier.ends_as) = (Some(order), None);
        let end = ActorOrder::End {
            actor,
            incarnation: earlier_incarnation,
            grace: Span::ZERO,
            forget: false,
            reason: format!("incarnation {} takes its place", incarnation.0),
        };
        match earlier.state {
            State::Hosted { .. } => effects.push(Effect::Actor(end)),
            State::Gathering(_) | State::Waiting(_) => {
                self.drop_actor(now, actor, effects);
            }
        }
    }

    /// Begins an incarnation of an actor that has none here. A worker that leaves takes none on, nor one that never fits.
    fn accept_actor(&mut self, now: Time, order: HostOrder, effects: &mut Vec<Effect>) {
        if self.leaving.is_asked() {
            return self.refuse_leaving(&order, effects);
        }
        let HostOrder { actor, incarnation, spec, inputs, checkpoint, restores, copies } = order;
        if !self.pool.total().fits(&spec.resources) {
            let (need, total) = (&spec.resources, self.pool.total());
            let message = format!(
                "the actor needs {need}, all this worker has is {total}: ask for less, or add workers"
            );
            let error = TaskError::new(ErrorClass::Reschedule, Reason::NoWorker.name(), message);
            return self.actor_over(actor, incarnation, EndKind::Failed, Some(error), effects);
        }
        let need = spec.resources.clone();
        let hosting = Hosting {
            actor,
            incarnation,
            spec,
            inputs: inputs.iter().map(|input| input.object).collect(),
            checkpoint: checkpoint.as_ref().map(|input| input.object),
            restores,
            copies,
            held: Pieces::none(),
        };
        let state = State::Gathering(Box::new(hosting));
        self.actors
            .hosted
            .insert(actor, Actor { incarnation, need, state, successor: None, ends_as: None });
        self.gather(now, Gatherer::Actor(actor), inputs.into_iter().chain(checkpoint), effects);
    }

    /// What an actor begins with is here.
    pub(super) fn actor_gathered(&mut self, actor: ActorId) {
        let Some(hosted) = self.actors.hosted.get_mut(&actor) else { return };
        if let State::Gathering(hosting) = &hosted.state {
            hosted.state = State::Waiting(hosting.clone());
            self.actors.waiting.push_back(actor);
        }
    }

    /// Hands actors to the driver whose resources are free, first ones first. While one waits nothing that takes anything
    /// starts, and what tasks hold is not passed on among them; unless what it lacks is held by attempts that wait for others,
    /// which may be those that would start.
    pub(super) fn seat_actors(&mut self, effects: &mut Vec<Effect>) {
        let mut at = 0;
        while let Some(&actor) = self.actors.waiting.get(at) {
            let Some(need) = self.actors.need_of(actor) else { break };
            if self.pool.fits(need) {
                self.actors.waiting.remove(at);
                self.seat(actor, effects);
            } else if self.is_kept_waiting(need) {
                at += 1;
            } else {
                return self.give_back_followers(effects);
            }
        }
    }

    /// Whether an actor waits for resources that nobody else is to take before it.
    pub(super) fn actor_goes_first(&self) -> bool {
        let mut needs = self.actors.waiting.iter().filter_map(|actor| self.actors.need_of(*actor));
        needs.any(|need| !self.is_kept_waiting(need))
    }

    /// Hands an actor to the driver.
    fn seat(&mut self, actor: ActorId, effects: &mut Vec<Effect>) {
        let Some(hosted) = self.actors.hosted.get_mut(&actor) else { return };
        let State::Waiting(hosting) = &hosted.state else { return };
        let held = self.pool.take(&hosted.need);
        let mut hosting = hosting.clone();
        hosting.held.clone_from(held.pieces());
        hosted.state = State::Hosted { held, alive: false, checkpoints: false };
        effects.push(Effect::Host(hosting));
        // Whoever hosts it has the values by now.
        self.ungather(Gatherer::Actor(actor), effects);
    }

    /// Ends an incarnation. What the driver keeps of an actor that is not hosted goes too where it is to be forgotten.
    fn on_end_actor(
        &mut self,
        actor: ActorId,
        incarnation: Incarnation,
        order: ActorOrder,
        effects: &mut Vec<Effect>,
    ) {
        let known = self.actors.known(actor);
        if known.is_some_and(|known| known > incarnation) {
            return;
        }
        if let Some(hosted) = self.actors.hosted.get_mut(&actor) {
            let successor = hosted.successor.take().map(|order| order.incarnation);
            hosted.ends_as = successor.or(hosted.ends_as);
        }
        match self.actors.hosted.get(&actor).map(|hosted| &hosted.state) {
            Some(State::Hosted { .. }) => effects.push(Effect::Actor(order)),
            Some(State::Gathering(_) | State::Waiting(_)) => {
                effects.push(Effect::Actor(order));
                self.remove_unhosted(actor, effects);
                self.actor_over(actor, incarnation, EndKind::Killed, None, effects);
            }
            None => {
                effects.push(Effect::Actor(order));
                if known == Some(incarnation) {
                    self.mark(Mark::Actor(actor), effects);
                } else {
                    self.actor_over(actor, incarnation, EndKind::Killed, None, effects);
                }
            }
        }
    }

    /// The driver tells something of an actor.
    pub(super) fn on_actor_told(
        &mut self,
        now: Time,
        report: ActorReport,
        effects: &mut Vec<Effect>,
    ) {
        match report {
            ActorReport::Alive(told) => {
                let Some(hosted) = self.actors.hosted.get_mut(&told.actor) else { return };
                if hosted.incarnation != told.incarnation {
                    return;
                }
                if let State::Hosted { alive, checkpoints, .. } = &mut hosted.state {
                    (*alive, *checkpoints) = (true, told.checkpoints);
                    self.mark(Mark::Actor(told.actor), effects);
                }
            }
            ActorReport::Checkpointed { .. } => {
                self.mark(Mark::Checkpointed(Box::new(report)), effects);
            }
            ActorReport::Copied { .. } => self.mark(Mark::Copied(Box::new(report)), effects),
            ActorReport::Ended { actor, incarnation, .. } => {
                let is_it = |hosted: &Actor| hosted.incarnation == incarnation;
                if !self.actors.hosted.get(&actor).is_some_and(is_it) {
                    return;
                }
                self.end_actor(now, actor, Some(report), effects);
            }
        }
    }

    /// Takes an incarnation away that the driver does not have, for a later one.
    fn drop_actor(&mut self, now: Time, actor: ActorId, effects: &mut Vec<Effect>) {
        self.end_actor(now, actor, None, effects);
    }

    /// An incarnation is gone: gives back what it held, and begins the next or has its end told.
    fn end_actor(
        &mut self,
        now: Time,
        actor: ActorId,
        ended: Option<ActorReport>,
        effects: &mut Vec<Effect>,
    ) {
        let ends_as = self.actors.hosted.get(&actor).and_then(|hosted| hosted.ends_as);
        let successor = self.remove_unhosted(actor, effects);
        if let (None, Some(later)) = (&successor, ends_as) {
            return self.actor_over(actor, later, EndKind::Killed, None, effects);
        }
        match (successor, ended) {
            (Some(order), _) => self.accept_actor(now, *order, effects),
            (None, Some(report)) => self.tell_actor_end(actor, report, effects),
            (None, None) => {}
        }
    }

    /// Removes an incarnation and all that is kept for it.
    fn remove_unhosted(
        &mut self,
        actor: ActorId,
        effects: &mut Vec<Effect>,
    ) -> Option<Box<HostOrder>> {
        let gone = self.actors.hosted.remove(&actor)?;
        self.actors.waiting.retain(|waiting| *waiting != actor);
        self.ungather(Gatherer::Actor(actor), effects);
        if let State::Hosted { held, .. } = gone.state {
            self.pool.give(held);
        }
        gone.successor
    }

    /// Says of an order for a worker that leaves that the actor may begin elsewhere, with what it would have begun with here.
    fn refuse_leaving(&mut self, order: &HostOrder, effects: &mut Vec<Effect>) {
        let message = "the worker leaves and hosts nothing new";
        let error = TaskError::new(ErrorClass::Reschedule, Reason::ShuttingDown.name(), message);
        let checkpoint = order.checkpoint.as_ref().map(|input| (input.object, input.size));
        let (actor, incarnation) = (order.actor, order.incarnation);
        let lost = order.restores && checkpoint.is_none();
        let end = if lost { EndKind::Crashed } else { EndKind::Moved };
        let cause = Some(Box::new(error));
        let report = ActorReport::Ended { actor, incarnation, end, cause, checkpoint };
        self.tell_actor_end(actor, report, effects);
    }

    /// Says of an order that came again, or late, that what it asks for has been and is over.
    fn refuse_settled(
        &mut self,
        actor: ActorId,
        incarnation: Incarnation,
        effects: &mut Vec<Effect>,
    ) {
        let message =
            format!("incarnation {} of the actor has ended on this worker", incarnation.0);
        let error = TaskError::new(ErrorClass::Reschedule, Reason::Superseded.name(), message);
        self.actor_over(actor, incarnation, EndKind::Crashed, Some(error), effects);
    }

    fn actor_over(
        &mut self,
        actor: ActorId,
        incarnation: Incarnation,
        end: EndKind,
        cause: Option<TaskError>,
        effects: &mut Vec<Effect>,
    ) {
        let cause = cause.map(Box::new);
        let report = ActorReport::Ended { actor, incarnation, end, cause, checkpoint: None };
        self.tell_actor_end(actor, report, effects);
    }

    /// Has the end of an incarnation told, until it is settled.
    fn tell_actor_end(&mut self, actor: ActorId, report: ActorReport, effects: &mut Vec<Effect>) {
        self.actors.ended.insert(actor, report);
        self.mark(Mark::Actor(actor), effects);
    }

    /// Answers a wish about an incarnation that is not hosted.
    fn refuse_request(&mut self, order: ActorOrder, effects: &mut Vec<Effect>) {
        let (ActorOrder::Checkpoint { actor, incarnation, request }
        | ActorOrder::Move { actor, incarnation, request, .. }) = order
        else {
            return;
        };
        let message = format!("incarnation {} of the actor is not hosted here", incarnation.0);
        let error = TaskError::new(ErrorClass::NotFound, Reason::Superseded.name(), message);
        let made = Err(Box::new(error));
        let report = ActorReport::Checkpointed { actor, incarnation, request, made };
        self.mark(Mark::Checkpointed(Box::new(report)), effects);
    }

    /// What there is to tell about an actor by now.
    pub(super) fn actor_report(&self, actor: ActorId) -> Option<Report> {
        if let Some(ended) = self.actors.ended.get(&actor) {
            return Some(Report::Actor(ended.clone()));
        }
        let hosted = self.actors.hosted.get(&actor)?.announced(actor);
        hosted.alive.then_some(Report::Actor(ActorReport::Alive(hosted)))
    }
}

/// Which incarnation has ended.
pub(super) fn ended_incarnation(report: &ActorReport) -> Incarnation {
    match report {
        ActorReport::Alive(hosted) => hosted.incarnation,
        ActorReport::Checkpointed { incarnation, .. }
        | ActorReport::Copied { incarnation, .. }
        | ActorReport::Ended { incarnation, .. } => *incarnation,
    }
}
