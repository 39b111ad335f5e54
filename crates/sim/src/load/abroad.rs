//! Further inputs from other graphs, whose tasks may run, fail or be cancelled meanwhile: from numbers of their own, as extras
//! are.

use bireme_core::graph::Row;

use super::{External, GraphPlan, Load};
use crate::rng::Rng;

/// Tasks of which a graph takes all outputs.
const MAKERS_MAX: u64 = 4;

impl Load {
    /// Has tasks of some graphs take outputs of graphs that were planned before. Most loads stay what they were.
    pub(crate) fn take_from_others(&mut self, rng: &mut Rng) {
        if !rng.chance(30) {
            return;
        }
        let mut before = Vec::new();
        for session in 0..self.sessions.len() {
            for graph in 0..self.session(session).graphs.len() {
                if !before.is_empty() && rng.chance(80) {
                    let outputs = self.pick_outputs(rng, &before);
                    self.graph_mut(session, graph).take(rng, outputs);
                }
                before.push((session, graph));
            }
        }
    }

    /// All outputs of some tasks of these graphs.
    fn pick_outputs(&self, rng: &mut Rng, graphs: &[(usize, usize)]) -> Vec<External> {
        let mut picked: Vec<External> = Vec::new();
        for _ in 0..rng.between(1, MAKERS_MAX) {
            let &(session, graph) = rng.pick(graphs);
            let plan = self.graph(session, graph);
            let offered: Vec<u32> = (0..plan.len()).filter(|task| plan.offers(*task)).collect();
            if offered.is_empty() {
                continue;
            }
            let task = *rng.pick(&offered);
            let outputs = 0..plan.class(plan.task(task)).outputs;
            picked.extend(outputs.map(|output| External { session, graph, task, output }));
        }
        picked.sort_unstable();
        picked.dedup();
        picked
    }
}

impl GraphPlan {
    /// Whether others may take a task's outputs: it is certain to be accepted, and they are kept or can be made again.
    fn offers(&self, index: u32) -> bool {
        // A graph that is cancelled may be cut short after its first chunk.
        let first_chunk = self.chunks.first().copied().unwrap_or_default();
        (self.stays(index) || self.may_run_again())
            && self.options.ttl.is_none()
            && !self.may_be_lost()
            && (!self.may_be_cancelled() || index < first_chunk)
    }

    /// Has some tasks take these outputs too.
    fn take(&mut self, rng: &mut Rng, outputs: Vec<External>) {
        let place = |n: usize| u32::try_from(n).expect("externals are few");
        let (first, more) = (place(self.externals.len()), place(outputs.len()));
        for task in &mut self.tasks {
            let values = task.externals.iter_mut().filter(|place| **place >= first);
            values.for_each(|place| *place += more); // They come last.
            if task.row == Row::None {
                task.externals.extend((first..first + more).filter(|_| rng.chance(20)));
            }
        }
        self.externals.extend(outputs);
    }
}
