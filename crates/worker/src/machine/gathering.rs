//! Values that are gathered for something that is no attempt: an actor that is to begin, a call that was made to one.

use std::collections::BTreeMap;

use bireme_core::actor::place::ActorOrder;
use bireme_core::id::ActorId;
use bireme_core::protocol::Input;
use bireme_core::{ObjectId, TaskError, Time, limits};
use smallvec::SmallVec;

use super::attempts::Slot;
use super::{Effect, Machine};

/// Whoever waits for an object.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Waiter {
    /// An attempt.
    Attempt(Slot),
    /// Something else.
    Gatherer(Gatherer),
}

/// What values are gathered for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Gatherer {
    /// An actor that is to begin.
    Actor(ActorId),
    /// A call, by the number that the driver gave it.
    Call(u64),
}

/// All that is being gathered.
pub(super) type Gatherings = BTreeMap<Gatherer, Gathering>;

/// What is gathered for one of them.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Each is pinned once for each time it occurs here.
    pub(super) objects: SmallVec<[ObjectId; 2]>,
    /// How many of them are not here. The driver has been asked to take all of them where none is.
    pub(super) missing: usize,
    pub(super) since: Time,
    /// When those that nobody is known to have are asked for again: what did not exist then may have been made since.
    retry: Time,
}

impl Machine {
    /// Begins to gather.
    pub(super) fn gather(
        &mut self,
        now: Time,
        gatherer: Gatherer,
        inputs: impl IntoIterator<Item = Input>,
        effects: &mut Vec<Effect>,
    ) {
        let inputs: Vec<Input> = inputs.into_iter().collect();
        let objects = inputs.iter().map(|input| input.object).collect();
        let retry = now + limits::GATHER_RETRY;
        // The one that counts as missing until all have been looked at keeps it from being complete half-way.
        let gathering = Gathering { objects, missing: 1, since: now, retry };
        self.gatherings.insert(gatherer, gathering);
        for input in inputs {
            self.need(Waiter::Gatherer(gatherer), input, false, effects);
        }
        self.one_fewer(Waiter::Gatherer(gatherer));
    }

    /// Makes note that one of the things that are gathered is here.
    pub(super) fn one_fewer_gathered(&mut self, gatherer: Gatherer) {
        let Some(gathering) = self.gatherings.get_mut(&gatherer) else { return };
        gathering.missing -= 1;
        if gathering.missing == 0 {
            self.gathered.push(gatherer);
        }
    }

    /// Hands over what is complete.
    pub(super) fn hand_gathered(&mut self, effects: &mut Vec<Effect>) {
        for gatherer in std::mem::take(&mut self.gathered) {
            // Something may have been lost again in the same step.
            let is_complete = |gathering: &Gathering| gathering.missing == 0;
            if !self.gatherings.get(&gatherer).is_some_and(is_complete) {
                continue;
            }
            match gatherer {
                Gatherer::Actor(actor) => self.actor_gathered(actor),
                Gatherer::Call(ticket) => {
                    self.hand_over(ticket, None, effects);
                    self.ungather(gatherer, effects);
                }
            }
        }
    }

    /// Makes note that an object is gone that was gathered already.
    pub(super) fn lose_gathered(&mut self, object: ObjectId, waiters: &mut Vec<Waiter>) {
        for (gatherer, gathering) in &mut self.gatherings {
            let uses = gathering.objects.iter().filter(|gathered| **gathered == object).count();
            if uses > 0 {
                gathering.missing += uses;
                waiters.extend(std::iter::repeat_n(Waiter::Gatherer(*gatherer), uses));
                self.actors.gather_again(*gatherer);
            }
        }
    }

    /// Gives up what was gathered; the driver has it, or nobody wants it.
    pub(super) fn ungather(&mut self, gatherer: Gatherer, effects: &mut Vec<Effect>) {
        let Some(gathering) = self.gatherings.remove(&gatherer) else { return };
        for object in gathering.objects {
            if self.objects.unpin(object, Waiter::Gatherer(gatherer)) {
                self.discard(object, effects);
            }
        }
    }

    /// Asks again for what nobody is known to have, and gives up calls that have waited for long.
    pub(super) fn regather(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let mut sought = Vec::new();
        let mut given_up = Vec::new();
        for (gatherer, gathering) in &mut self.gatherings {
            if gathering.missing == 0 || gathering.retry > now {
                continue;
            }
            gathering.retry = now + limits::GATHER_RETRY;
            let lacking =
                gathering.objects.iter().filter(|object| !self.objects.is_stored(**object));
            if let Gatherer::Call(ticket) = gatherer
                && now.since(gathering.since) >= limits::GATHER_WAIT
            {
                given_up.push((*ticket, lacking.clone().next().copied()));
            }
            sought.extend(lacking.copied());
        }
        for object in sought {
            self.miss(object, effects);
        }
        for (ticket, missing) in given_up {
            self.hand_over(ticket, missing.map(|object| (object, None)), effects);
            self.ungather(Gatherer::Call(ticket), effects);
        }
    }

    /// The scheduler says that an object will not be had: calls that wait for it end. All else that does is its own affair.
    pub(super) fn on_gone(
        &mut self,
        object: ObjectId,
        error: &TaskError,
        effects: &mut Vec<Effect>,
    ) {
        if self.objects.is_stored(object) {
            return; // It has come since.
        }
        let waits = |(gatherer, gathering): (&Gatherer, &Gathering)| match gatherer {
            Gatherer::Call(ticket) if gathering.objects.contains(&object) => Some(*ticket),
            Gatherer::Actor(_) | Gatherer::Call(_) => None,
        };
        let tickets: Vec<u64> = self.gatherings.iter().filter_map(waits).collect();
        for ticket in tickets {
            self.hand_over(ticket, Some((object, Some(Box::new(error.clone())))), effects);
            self.ungather(Gatherer::Call(ticket), effects);
        }
    }

    fn hand_over(
        &self,
        ticket: u64,
        missing: Option<(ObjectId, Option<Box<TaskError>>)>,
        effects: &mut Vec<Effect>,
    ) {
        let gathering = self.gatherings.get(&Gatherer::Call(ticket));
        let objects = gathering.map(|gathering| gathering.objects.clone()).unwrap_or_default();
        effects.push(Effect::Gathered { ticket, objects, missing });
    }

    /// When something has to be asked for again.
    pub(super) fn next_regather(&self) -> Option<Time> {
        let waits = |gathering: &&Gathering| gathering.missing > 0;
        self.gatherings.values().filter(waits).map(|gathering| gathering.retry).min()
    }

    /// Has the values of a call's arguments fetched.
    pub(super) fn on_gather(
        &mut self,
        now: Time,
        ticket: u64,
        objects: SmallVec<[ObjectId; 1]>,
        effects: &mut Vec<Effect>,
    ) {
        let nowhere = |object| Input {
            object,
            holders: SmallVec::new(),
            size: 0,
            value: None,
            made_by: None,
        };
        self.gather(now, Gatherer::Call(ticket), objects.into_iter().map(nowhere), effects);
    }
}

/// Which actor an order is about.
pub(super) fn named(order: &ActorOrder) -> (ActorId, bireme_core::id::Incarnation) {
    match order {
        ActorOrder::Checkpoint { actor, incarnation, .. }
        | ActorOrder::Copy { actor, incarnation, .. }
        | ActorOrder::End { actor, incarnation, .. }
        | ActorOrder::Move { actor, incarnation, .. }
        | ActorOrder::Settle { actor, incarnation } => (*actor, *incarnation),
        ActorOrder::Host(order) => (order.actor, order.incarnation),
    }
}
