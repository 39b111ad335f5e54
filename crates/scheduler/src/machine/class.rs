//! Task classes and their queues.
//!
//! Placement is decided for a class, not for a task: what a task asks for is interned once, ready tasks stand in the queue
//! of their class, and in it in the lane of their session. A lane is served in order of priority, then submission; among
//! lanes the session that has had least for its weight goes first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use bireme_core::TaskClass;
use bireme_core::id::SessionId;

use super::number::{ClassNo, GraphNo, KindNo, TaskRef};
use super::room::Kinds;

/// Where a ready task stands in its lane: smaller runs earlier. From the most significant bits down: priority, graph, order
/// in the graph, index.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank(u128);

impl Rank {
    pub(super) fn new(task: TaskRef, priority: i32, order: u32) -> Self {
        // Flips the order: the greatest priority becomes 0.
        let urgency = !(priority.cast_unsigned() ^ (1 << 31));
        Self(
            u128::from(urgency) << 96
                | u128::from(task.graph.0) << 64
                | u128::from(order) << 32
                | u128::from(task.index),
        )
    }

    #[expect(clippy::cast_possible_truncation, reason = "the fields are 32 bits each")]
    pub(super) fn task(self) -> TaskRef {
        TaskRef { graph: GraphNo((self.0 >> 64) as u32), index: self.0 as u32 }
    }

    /// The rank of the row after this one.
    fn next_row(self) -> Self {
        Self(self.0 + (1 << 32 | 1))
    }

    /// What a worker sorts by: all but the index.
    #[expect(clippy::cast_possible_truncation, reason = "priority and order are what is wanted")]
    pub(super) fn for_worker(self) -> u64 {
        ((self.0 >> 96) as u64) << 32 | ((self.0 >> 32) as u64 & 0xffff_ffff)
    }
}

/// A priority queue that costs a push and a pop at the ends of a deque while ranks come in order, as they mostly do.
#[derive(Debug, Default)]
pub(super) struct Lane {
    run: VecDeque<Rank>,
    heap: BinaryHeap<Reverse<Rank>>,
    /// Rows of arrays: the rank of the next, and how many there are. One entry stands for all of them.
    spans: BinaryHeap<Reverse<(Rank, u32)>>,
}

impl Lane {
    pub(super) fn push(&mut self, rank: Rank) {
        if self.run.back().is_none_or(|back| *back <= rank) {
            self.run.push_back(rank);
        } else {
            self.heap.push(Reverse(rank));
        }
    }

    /// Rows whose ranks follow each other.
    pub(super) fn push_rows(&mut self, first: Rank, count: u32) {
        if count > 0 {
            self.spans.push(Reverse((first, count)));
        }
    }

    pub(super) fn peek(&self) -> Option<Rank> {
        let run = self.run.front().copied();
        let heap = self.heap.peek().map(|rank| rank.0);
        let span = self.spans.peek().map(|span| span.0.0);
        [run, heap, span].into_iter().flatten().min()
    }

    pub(super) fn pop(&mut self) -> Option<Rank> {
        let next = self.peek()?;
        if self.run.front() == Some(&next) {
            return self.run.pop_front();
        }
        if self.heap.peek() == Some(&Reverse(next)) {
            return self.heap.pop().map(|rank| rank.0);
        }
        let Reverse((rank, count)) = self.spans.pop()?;
        self.push_rows(rank.next_row(), count - 1);
        Some(rank)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.run.is_empty() && self.heap.is_empty() && self.spans.is_empty()
    }
}

/// A class and its ready tasks.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) spec: Arc<TaskClass>,
    /// Graphs that use it.
    pub(super) users: u32,
    /// Tasks in phase `Ready`. The lanes may hold more: entries of tasks that have left that phase are dropped when met.
    pub(super) ready: u32,
    pub(super) lanes: BTreeMap<SessionId, Lane>,
    /// Kinds of workers that could run it, of the first `kinds_seen`.
    pub(super) kinds: Vec<KindNo>,
    kinds_seen: usize,
}

/// All classes; equal ones are one.
#[derive(Debug, Default)]
pub(super) struct Classes {
    slots: Vec<Option<Class>>,
    by_spec: BTreeMap<Arc<TaskClass>, ClassNo>,
    free: Vec<u32>,
}

impl Classes {
    /// The number of a class, which from here on has one user more.
    pub(super) fn intern(&mut self, spec: TaskClass) -> ClassNo {
        if let Some(&no) = self.by_spec.get(&spec) {
            self.get_mut(no).users += 1;
            return no;
        }
        let spec = Arc::new(spec);
        let class = Class {
            spec: Arc::clone(&spec),
            users: 1,
            ready: 0,
            lanes: BTreeMap::new(),
            kinds: Vec::new(),
            kinds_seen: 0,
        };
        let no = if let Some(no) = self.free.pop() {
            *self.slots.get_mut(no as usize).expect("free numbers are below the table's end") =
                Some(class);
            ClassNo(no)
        } else {
            self.slots.push(Some(class));
            ClassNo(
                u32::try_from(self.slots.len() - 1)
                    .expect("graphs and classes of each are bounded"),
            )
        };
        self.by_spec.insert(spec, no);
        no
    }

    /// One user less; a class without users is dropped.
    pub(super) fn release(&mut self, no: ClassNo) {
        let class = self.get_mut(no);
        class.users -= 1;
        if class.users == 0 {
            let spec = Arc::clone(&class.spec);
            self.by_spec.remove(&spec);
            if let Some(slot) = self.slots.get_mut(no.0 as usize) {
                *slot = None;
            }
            self.free.push(no.0);
        }
    }

    pub(super) fn get(&self, no: ClassNo) -> &Class {
        self.slots.get(no.0 as usize).and_then(Option::as_ref).expect("tasks keep their class")
    }

    pub(super) fn get_mut(&mut self, no: ClassNo) -> &mut Class {
        self.slots.get_mut(no.0 as usize).and_then(Option::as_mut).expect("tasks keep their class")
    }

    /// Brings the kinds that could run a class up to date.
    pub(super) fn refresh_kinds(&mut self, no: ClassNo, kinds: &Kinds) {
        let class = self.get_mut(no);
        if class.kinds_seen < kinds.len() {
            class.kinds = kinds.able(&class.spec);
            class.kinds_seen = kinds.len();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClassNo, &Class)> {
        (0..).zip(&self.slots).filter_map(|(no, slot)| Some((ClassNo(no), slot.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(priority: i32, order: u32, index: u32) -> Rank {
        Rank::new(TaskRef { graph: GraphNo(3), index }, priority, order)
    }

    #[test]
    fn ranks_sort_by_priority_then_order_then_index() {
        let mut ranks = [
            rank(0, 0, 2),
            rank(i32::MIN, 0, 0),
            rank(i32::MAX, 9, 9),
            rank(0, 0, 1),
            rank(0, 1, 0),
            rank(1, 5, 5),
        ];
        ranks.sort();
        let expected = [
            rank(i32::MAX, 9, 9),
            rank(1, 5, 5),
            rank(0, 0, 1),
            rank(0, 0, 2),
            rank(0, 1, 0),
            rank(i32::MIN, 0, 0),
        ];
        assert_eq!(ranks, expected);
        assert_eq!(rank(-1, 7, 8).task(), TaskRef { graph: GraphNo(3), index: 8 });
    }

    #[test]
    fn rows_take_their_turn_among_other_tasks() {
        let mut lane = Lane::default();
        lane.push_rows(rank(0, 2, 2), 3);
        lane.push(rank(0, 0, 0));
        lane.push(rank(0, 9, 9));
        lane.push(rank(1, 7, 7));
        let indexes: Vec<_> =
            std::iter::from_fn(|| lane.pop()).map(|rank| rank.task().index).collect();
        assert_eq!(indexes, [7, 0, 2, 3, 4, 9]);
    }

    #[test]
    fn a_lane_gives_ranks_in_order_however_they_came() {
        let mut lane = Lane::default();
        for order in [5, 6, 1, 7, 3, 2, 9] {
            lane.push(rank(0, order, order));
        }
        let orders: Vec<_> =
            std::iter::from_fn(|| lane.pop()).map(|rank| rank.task().index).collect();
        assert_eq!(orders, [1, 2, 3, 5, 6, 7, 9]);
        assert!(lane.is_empty());
    }
}
