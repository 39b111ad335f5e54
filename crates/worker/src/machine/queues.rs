//! Who is next: runnable attempts, kept by what they need.

use std::collections::{BTreeMap, VecDeque};

use bireme_core::Resources;
use bireme_core::graph::Runtime;

use super::attempts::Slot;

/// A place in line: smaller goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Turn {
    /// As the scheduler ranked the attempt.
    pub(super) rank: u64,
    /// Counts the attempts accepted.
    pub(super) arrival: u64,
}

/// A queue's place in the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct QueueId(usize);

/// Attempts that can stand in for each other: they need the same resources and the same kind of executor.
#[derive(Debug)]
pub(super) struct Queue {
    /// What each of them takes.
    pub(super) need: Resources,
    /// What runs them.
    runtime: Runtime,
    /// Attempts in any state that belong here; the queue may be given to another need when there are none.
    pub(super) members: usize,
    /// Those that can run, in order.
    pub(super) ready: BTreeMap<Turn, Slot>,
    /// Followers that nobody wants back, in the order they were handed over.
    pub(super) followers: VecDeque<Slot>,
    /// How many run.
    pub(super) running: usize,
}

impl Queue {
    /// Whether it is worthwhile to hand attempts over before there is room: those that need more than cpus are few and long,
    /// and those that need nothing start at once.
    pub(super) fn can_follow(&self) -> bool {
        !matches!(self.runtime, Runtime::Wasm)
            && self.need.cpu_units > 0
            && self.need.memory_bytes == 0
            && self.need.others().next().is_none()
    }

    /// Whether its attempts take nothing away from others.
    pub(super) fn is_free(&self) -> bool {
        self.need.cpu_units == 0
            && self.need.memory_bytes == 0
            && self.need.others().next().is_none()
    }
}

/// All queues. There are as many as different needs were ever here at once.
#[derive(Debug, Default)]
pub(super) struct Queues(Vec<Queue>);

const NAMED: &str = "a queue is never removed";

impl Queues {
    /// Adds a member to the queue of this need.
    pub(super) fn join(&mut self, need: &Resources, runtime: &Runtime) -> QueueId {
        let same = |queue: &Queue| queue.need == *need && queue.runtime == *runtime;
        let found = self.0.iter().position(same);
        let at = found.or_else(|| {
            let unused = self.0.iter().position(|queue| queue.members == 0)?;
            let queue = self.0.get_mut(unused)?;
            (queue.need, queue.runtime) = (need.clone(), runtime.clone());
            Some(unused)
        });
        let at = at.unwrap_or_else(|| {
            self.0.push(Queue {
                need: need.clone(),
                runtime: runtime.clone(),
                members: 0,
                ready: BTreeMap::new(),
                followers: VecDeque::new(),
                running: 0,
            });
            self.0.len() - 1
        });
        let id = QueueId(at);
        self.at_mut(id).members += 1;
        id
    }

    pub(super) fn at(&self, QueueId(at): QueueId) -> &Queue {
        self.0.get(at).expect(NAMED)
    }

    pub(super) fn at_mut(&mut self, QueueId(at): QueueId) -> &mut Queue {
        self.0.get_mut(at).expect(NAMED)
    }

    /// Every queue, always in the same order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (QueueId, &Queue)> {
        self.0.iter().enumerate().map(|(at, queue)| (QueueId(at), queue))
    }

    /// The first runnable attempt of the queues that `which` names.
    pub(super) fn first(&self, which: impl Fn(&Queue) -> bool) -> Option<(Turn, Slot, QueueId)> {
        let queues = self.iter().filter(|(_, queue)| which(queue));
        let heads = queues.filter_map(|(id, queue)| {
            let (turn, slot) = queue.ready.first_key_value()?;
            Some((*turn, *slot, id))
        });
        heads.min_by_key(|(turn, ..)| *turn)
    }
}
