//! An order of a graph's tasks in which few results wait at a time.
//!
//! A result waits from the task that makes it until the last task that takes it. The order goes towards one goal at a time:
//! everything the goal lacks, of its inputs the most demanding first, then the goal. On the way, a task that gives back at
//! least what it takes up goes as soon as it can. The next goal takes the newest result that waits. So a subtree is finished
//! before the next is begun, and a tree over n leaves has about log n results waiting. Where that gains nothing over the order
//! of submission, as in many graphs that were written down step by step, the order of submission is kept.
//!
//! Nothing is known of sizes and durations: each result counts as one. Ties go by index, so equal graphs have equal orders.
//! Time and memory are linear in tasks and inputs, but for sorting the inputs of each task, and nothing recurses.
#![expect(clippy::indexing_slicing, reason = "every index is a task or edge counted beforehand")]

mod walk;

use std::cmp::Reverse;
use std::ops::Range;

use walk::Walk;

/// The tasks whose outputs each task takes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Producers(Lists);

impl Producers {
    /// None yet, with room for so many tasks and inputs.
    pub fn with_capacity(tasks: usize, inputs: usize) -> Self {
        Self(Lists { ends: Vec::with_capacity(tasks), items: Vec::with_capacity(inputs) })
    }

    /// Adds the next task with the tasks whose outputs it takes. Naming one twice is naming it once.
    pub fn push(&mut self, producers: impl IntoIterator<Item = u32>) {
        let Lists { ends, items } = &mut self.0;
        let start = items.len();
        items.extend(producers);
        if !items[start..].is_sorted_by(|one, next| one < next) {
            items[start..].sort_unstable();
            let mut kept = start;
            for at in start..items.len() {
                if at == start || items[at] != items[kept - 1] {
                    items[kept] = items[at];
                    kept += 1;
                }
            }
            items.truncate(kept);
        }
        ends.push(items.len());
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.0.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.ends.is_empty()
    }
}

/// The place of each task in an order that keeps few results waiting: a permutation, in which each task comes after those
/// whose outputs it takes. The order of submission for a graph that has none: one with a cycle, or that lacks a task.
pub fn order(mut producers: Producers) -> Vec<u32> {
    let tasks = producers.len();
    let submission = || (0..).take(tasks).collect();
    if producers.0.items.iter().any(|&producer| producer as usize >= tasks) {
        return submission();
    }
    let consumers = producers.0.inverted();
    let Some(sequence) = Sequence::of(&producers.0, &consumers) else { return submission() };
    demanding_first(&mut producers.0, &sequence);
    let (places, held) = Walk::new(&producers.0, &consumers).run();
    let keeps_submission = matches!(sequence, Sequence::Submission)
        && Held::as_submitted(&producers.0, &consumers).score(tasks) <= held.score(tasks);
    if keeps_submission { submission() } else { places }
}

/// How many results wait where one worker runs tasks in some order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Held {
    now: u64,
    /// Most at a time.
    most: u64,
    /// How many after each task, added up.
    sum: u64,
}

impl Held {
    /// The order of submission, in which each task comes after those whose outputs it takes.
    fn as_submitted(producers: &Lists, consumers: &Lists) -> Self {
        let mut uses: Vec<usize> =
            (0..consumers.ends.len()).map(|task| consumers.range(task).len()).collect();
        let mut held = Self::default();
        for task in 0..uses.len() {
            held.start(uses[task] > 0);
            for &producer in &producers.items[producers.range(task)] {
                uses[producer as usize] -= 1;
                held.now -= u64::from(uses[producer as usize] == 0);
            }
            held.sum += held.now;
        }
        held
    }

    /// A task has made its result, and still has its inputs.
    fn start(&mut self, is_wanted: bool) {
        self.now += u64::from(is_wanted);
        self.most = self.most.max(self.now);
    }

    /// Peak plus mean, times the number of tasks: the lower, the better. Both count, as one result more at the peak is nothing
    /// against half as many in between.
    fn score(self, tasks: usize) -> u64 {
        self.most.saturating_mul(tasks as u64).saturating_add(self.sum)
    }
}

/// A list for each task, one after the other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Lists {
    /// Where the list of each task ends; it begins where that of the task before ends.
    ends: Vec<usize>,
    items: Vec<u32>,
}

impl Lists {
    fn range(&self, task: usize) -> Range<usize> {
        let start = task.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[task]
    }

    fn of(&self, task: u32) -> &[u32] {
        &self.items[self.range(task as usize)]
    }

    /// For each task those whose lists it is in, in order of their indexes.
    fn inverted(&self) -> Self {
        // Each end starts out as where its list begins, and moves as the list fills.
        let mut ends = vec![0; self.ends.len() + 1];
        for &item in &self.items {
            ends[item as usize + 1] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut items = vec![0; self.items.len()];
        for (task, number) in (0..self.ends.len()).zip(0..) {
            for &item in &self.items[self.range(task)] {
                let end = &mut ends[item as usize];
                items[*end] = number;
                *end += 1;
            }
        }
        ends.pop();
        Self { ends, items }
    }
}

/// Every task after those whose outputs it takes.
enum Sequence {
    /// As submitted.
    Submission,
    /// Otherwise: some task was submitted before one whose output it takes.
    Sorted(Vec<u32>),
}

impl Sequence {
    /// `None` if the graph has a cycle.
    fn of(producers: &Lists, consumers: &Lists) -> Option<Self> {
        let tasks = producers.ends.len();
        let is_forward =
            |(task, number)| producers.items[producers.range(task)].last() >= Some(&number);
        if !(0..tasks).zip(0..).any(is_forward) {
            return Some(Self::Submission);
        }
        let mut missing: Vec<usize> = (0..tasks).map(|task| producers.range(task).len()).collect();
        let is_free = |task: &u32| missing[*task as usize] == 0;
        let mut sorted: Vec<u32> = (0..).take(tasks).filter(is_free).collect();
        let mut at = 0;
        while let Some(&task) = sorted.get(at) {
            at += 1;
            for &consumer in consumers.of(task) {
                missing[consumer as usize] -= 1;
                if missing[consumer as usize] == 0 {
                    sorted.push(consumer);
                }
            }
        }
        (sorted.len() == tasks).then_some(Self::Sorted(sorted))
    }

    fn at(&self, place: usize) -> usize {
        match self {
            Self::Submission => place,
            Self::Sorted(sorted) => sorted[place] as usize,
        }
    }
}

/// Sorts the producers of each task by how many results wait at most while each is made, most first.
///
/// That is the best order if they share nothing: whichever goes second has the first one's result waiting beside it.
fn demanding_first(producers: &mut Lists, sequence: &Sequence) {
    let mut demand = vec![1_u32; producers.ends.len()];
    let mut sorted = Vec::new();
    for place in 0..demand.len() {
        let task = sequence.at(place);
        let own = producers.range(task);
        let own = &mut producers.items[own];
        sorted.clear();
        sorted.extend(own.iter().map(|&producer| (Reverse(demand[producer as usize]), producer)));
        sorted.sort_unstable();
        // While a task runs, all its inputs wait, and room is needed for its result.
        let mut most = 1;
        for ((waiting, to), &(Reverse(alone), producer)) in (0..).zip(own).zip(&sorted) {
            *to = producer;
            most = most.max(alone.saturating_add(waiting)).max(waiting + 2);
        }
        demand[task] = most;
    }
}

#[cfg(test)]
mod tests;
