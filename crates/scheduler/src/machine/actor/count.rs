//! What hosts count, added up: of each actor over its incarnations, and of each class over its actors.
//!
//! A heartbeat has the counters of an incarnation as they stand, so that one that is lost or comes twice does no harm.

use std::collections::BTreeMap;

use bireme_core::actor::place::Beat;
use bireme_core::actor::statistics::{ActorStatistics, MethodStatistics};
use bireme_core::id::{ActorId, Incarnation, WorkerId};
use bireme_core::limits;

use super::Machine;

/// Counters by class and method, of all actors there ever were.
pub type ClassCounts = BTreeMap<(String, String), MethodStatistics>;

/// What stands for the classes and methods beyond [`limits::ACTOR_SERIES`].
const OTHER: &str = "(other)";

/// All counters.
#[derive(Debug, Default)]
pub(super) struct Counts {
    actors: BTreeMap<ActorId, Counted>,
    classes: ClassCounts,
}

/// The counters of one actor.
#[derive(Debug, Default)]
struct Counted {
    /// Of incarnations that are over.
    past: BTreeMap<String, MethodStatistics>,
    incarnation: Incarnation,
    now: ActorStatistics,
}

impl Counts {
    /// Takes the counters of an incarnation in. Those of an earlier one come too late.
    fn take(&mut self, class: &str, (actor, incarnation, counted): Beat) {
        let known = self.actors.entry(actor).or_default();
        if incarnation < known.incarnation {
            return;
        }
        if incarnation > known.incarnation {
            for (method, counters) in std::mem::take(&mut known.now.methods) {
                known
                    .past
                    .entry(method)
                    .or_default()
                    .merge(&MethodStatistics { running: 0, ..counters });
            }
            known.incarnation = incarnation;
        }
        for (method, counters) in &counted.methods {
            let news = match known.now.methods.get(method) {
                Some(before) => counters.since(before),
                None => counters.clone(),
            };
            let key = (class.to_owned(), method.clone());
            let is_shown =
                self.classes.len() < limits::ACTOR_SERIES || self.classes.contains_key(&key);
            let key = if is_shown { key } else { (OTHER.to_owned(), OTHER.to_owned()) };
            self.classes.entry(key).or_default().merge(&MethodStatistics { running: 0, ..news });
        }
        known.now = counted;
    }

    /// The counters of an actor over all its incarnations; what is not a count is as of the last.
    pub(super) fn of(&self, actor: ActorId) -> ActorStatistics {
        let Some(counted) = self.actors.get(&actor) else { return ActorStatistics::default() };
        let mut all = counted.now.clone();
        for (method, counters) in &counted.past {
            all.methods.entry(method.clone()).or_default().merge(counters);
        }
        all
    }

    pub(super) fn forget(&mut self, actor: ActorId) {
        self.actors.remove(&actor);
    }
}

impl Machine {
    /// A worker tells what its actors have counted.
    pub(in super::super) fn on_actors_counted(&mut self, worker: WorkerId, beats: Vec<Beat>) {
        for beat in beats {
            let Some(actor) = self.actors.records.get(&beat.0) else { continue };
            if actor.lives(worker, beat.1) {
                let spec = std::sync::Arc::clone(&actor.spec);
                self.actors.counts.take(&spec.class_name, beat);
            }
        }
    }

    /// Counters by class and method, of all actors there ever were.
    pub fn class_counts(&self) -> &ClassCounts {
        &self.actors.counts.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(incarnation: u32, calls: u64) -> Beat {
        let mut method = MethodStatistics { calls, ..MethodStatistics::default() };
        (0..calls).for_each(|n| method.run_us.add(n));
        let methods = [("m".to_owned(), method)].into();
        let statistics = ActorStatistics { methods, ..ActorStatistics::default() };
        (ActorId(1), Incarnation(incarnation), statistics)
    }

    #[test]
    fn incarnations_add_up_and_what_comes_twice_counts_once() {
        let mut counts = Counts::default();
        for (incarnation, calls) in [(1, 3), (1, 5), (1, 5), (2, 4), (1, 9), (2, 6)] {
            counts.take("C", beat(incarnation, calls));
        }
        assert_eq!(counts.of(ActorId(1)).methods["m"].calls, 11);
        let class = &counts.classes[&("C".to_owned(), "m".to_owned())];
        assert_eq!((class.calls, class.run_us.count), (11, 11));
        counts.forget(ActorId(1));
        assert_eq!(counts.of(ActorId(1)), ActorStatistics::default());
        assert_eq!(counts.classes.len(), 1, "what a class counted only grows");
    }

    #[test]
    fn series_are_bounded() {
        let mut counts = Counts::default();
        for n in 0..limits::ACTOR_SERIES as u128 + 9 {
            let (_, incarnation, statistics) = beat(1, 1);
            counts.take(&n.to_string(), (ActorId(n), incarnation, statistics));
        }
        assert_eq!(counts.classes.len(), limits::ACTOR_SERIES + 1);
        let other = &counts.classes[&(OTHER.to_owned(), OTHER.to_owned())];
        assert_eq!(other.calls, 9);
    }
}
