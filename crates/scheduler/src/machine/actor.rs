//! Actors: which there are, where they live, and which of their lives it is.
//!
//! An actor is placed like a task that never ends: it holds its resources on one worker as long as an incarnation lives
//! there. What a worker is told of it is made from its record at that moment, so that a lost stream is mended by telling it
//! again; what a worker tells of it counts only for the incarnation that is believed to live. Calls never come here.
//!
//! `record` is what is known of one, `ask` hears what people want, `host` finds workers, `report` hears what workers say,
//! `life` decides what follows when an incarnation is lost, `fleet` what follows when a worker is lost, comes back or is sent
//! away, `copies` says who else keeps logs, `inputs` keeps what constructors take, `count` adds up what hosts count, `show` makes the views.

mod ask;
mod check;
mod copies;
mod count;
mod fleet;
mod host;
mod inputs;
mod life;
mod record;
mod report;
mod show;
mod waits;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bireme_core::actor::ActorName;
use bireme_core::id::{ActorId, SessionId};
use bireme_core::{ObjectId, limits};

use self::ask::Answers;
pub use self::ask::{ActorAnswer, ActorRequest, Asker};
use self::copies::AllCopies;
pub use self::count::ClassCounts;
use self::count::Counts;
use self::record::Actor;
pub use self::show::{ActorView, DeathView};
use super::Machine;
use super::worker::Errand;

/// All actors.
#[derive(Debug, Default)]
pub(super) struct Actors {
    records: BTreeMap<ActorId, Actor>,
    names: BTreeMap<ActorName, ActorId>,
    /// Those that end with the session that made them.
    owned: BTreeSet<(SessionId, ActorId)>,
    /// Those that want a worker, in the order in which they are looked at.
    waiting: VecDeque<ActorId>,
    /// So many of them, the first, were not looked at since something has changed.
    // Invariant: at most their number.
    unlooked: usize,
    answers: Answers,
    /// How many actors take an object, of objects that any takes.
    pins: BTreeMap<ObjectId, u32>,
    /// Numbers the orders that are answered.
    last_request: u64,
    changes: Changes,
    counts: Counts,
    copies: AllCopies,
}

impl Actors {
    fn get(&self, id: ActorId) -> Option<&Actor> {
        self.records.get(&id)
    }

    fn get_mut(&mut self, id: ActorId) -> Option<&mut Actor> {
        self.records.get_mut(&id)
    }

    /// Whether some actor takes an object.
    pub(super) fn take(&self, object: ObjectId) -> bool {
        self.pins.contains_key(&object)
    }

    /// Has those that want a worker looked at again before the step ends.
    pub(super) fn stir(&mut self) {
        self.unlooked = self.waiting.len();
        self.copies.stir();
    }

    /// Adds one that wants a worker, before those that were looked at in vain.
    fn await_worker(&mut self, id: ActorId) {
        self.waiting.insert(self.unlooked, id);
        self.unlooked += 1;
    }

    /// The next one to be looked at.
    fn next_unlooked(&mut self) -> Option<ActorId> {
        self.unlooked = self.unlooked.checked_sub(1)?;
        self.waiting.pop_front()
    }

    fn next_request(&mut self) -> u64 {
        self.last_request += 1;
        self.last_request
    }
}

/// Which actors changed when, for those who watch.
#[derive(Debug, Default)]
struct Changes {
    /// Counts what happens to actors.
    version: u64,
    /// Each actor under the number of its last change.
    order: BTreeMap<u64, ActorId>,
    /// Those that were forgotten of late, with the number of that.
    gone: VecDeque<(u64, ActorId)>,
    /// Up to this number, who has gone is not known any more.
    gone_before: u64,
}

impl Changes {
    /// Something happened to an actor whose last change was `before`. Returns the number of this one.
    fn note(&mut self, actor: ActorId, before: u64) -> u64 {
        self.order.remove(&before);
        self.version += 1;
        self.order.insert(self.version, actor);
        self.version
    }

    fn forget(&mut self, actor: ActorId, before: u64) {
        self.order.remove(&before);
        self.version += 1;
        self.gone.push_back((self.version, actor));
        if self.gone.len() > limits::ACTORS_GONE
            && let Some((version, _)) = self.gone.pop_front()
        {
            self.gone_before = version;
        }
    }
}

impl Machine {
    /// The state of an actor is not what it was.
    fn actor_changed(&mut self, id: ActorId) {
        if let Some(actor) = self.actors.records.get_mut(&id) {
            actor.version = self.actors.changes.note(id, actor.version);
        }
    }

    /// Has the worker of an actor told how things stand.
    fn tell_host(&mut self, id: ActorId) {
        if let Some(worker) = self.actors.get(id).and_then(Actor::worker) {
            self.errand(worker, Errand::Actor(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_looked_at_in_vain_are_looked_at_again_only_after_a_change() {
        let mut actors = Actors::default();
        let look = |actors: &mut Actors| {
            let id = actors.next_unlooked()?;
            actors.waiting.push_back(id);
            Some(id.0)
        };
        (1..=3).for_each(|id| actors.await_worker(ActorId(id)));
        assert_eq!([1, 2].map(|_| look(&mut actors)), [Some(1), Some(2)]);
        actors.await_worker(ActorId(4));
        assert_eq!([1, 2, 3].map(|_| look(&mut actors)), [Some(3), Some(4), None]);
        actors.stir();
        let again: Vec<u128> = std::iter::from_fn(|| look(&mut actors)).collect();
        assert_eq!(again, [1, 2, 3, 4]);
    }
}
