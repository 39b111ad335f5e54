//! What is added to a load that is made: from numbers of its own, so that the rest of a seed's load stays what it was.

use bireme_core::{Span, Time};

use super::Load;
use crate::faults::Fault;
use crate::rng::Rng;

/// Memory for values that is soon full: a large one takes up to 20 MB.
const SMALL_STORES: [u64; 3] = [4_000_000, 20_000_000, 60_000_000];

/// How long a session that has a detached graph outlives its stream: soon over.
const SHORT_TTL: Span = Span::secs(5);

impl Load {
    /// Adds to a load for which these faults are planned.
    pub(crate) fn add_extras(&mut self, rng: &mut Rng, faults: &mut Vec<(Time, Fault)>) {
        if rng.chance(30) {
            for worker in &mut self.workers {
                worker.store_bytes = *rng.pick(&SMALL_STORES);
            }
        }
        if rng.chance(30) {
            self.let_graphs_expire(rng);
        }
        if rng.chance(20) {
            self.let_graphs_outlive(rng, faults);
        }
        if !faults.is_empty() && rng.chance(20) {
            let last = faults.last().map_or(1_000, |(time, _)| time.0.max(1_000));
            for _ in 0..rng.between(1, 3) {
                faults.push((Time(rng.between(1_000, last)), self.fault(rng)));
            }
            faults.sort_by_key(|(time, _)| *time);
        }
    }

    /// Outputs of some graphs from which no other takes any are kept for a while only.
    fn let_graphs_expire(&mut self, rng: &mut Rng) {
        let graphs = self.sessions.iter().flat_map(|session| &session.graphs);
        let externals = graphs.flat_map(|graph| &graph.externals);
        let taken: Vec<_> = externals.map(|one| (one.session, one.graph)).collect();
        for (session, plan) in self.sessions.iter_mut().enumerate() {
            for (place, graph) in plan.graphs.iter_mut().enumerate() {
                if !taken.contains(&(session, place)) && rng.chance(50) {
                    graph.options.ttl = Some(rng.span(0, 200_000));
                }
            }
        }
    }

    /// Some graphs of sessions whose clients leave and come back outlive them.
    fn let_graphs_outlive(&mut self, rng: &mut Rng, faults: &[(Time, Fault)]) {
        for (place, plan) in self.sessions.iter_mut().enumerate() {
            let abandons =
                |fault: &Fault| matches!(fault, Fault::Abandon { session } if *session == place);
            if faults.iter().any(|(_, fault)| abandons(fault)) {
                continue; // Nobody would end it.
            }
            plan.ttl = SHORT_TTL;
            plan.leaves = Some(rng.span(0, 2 * SHORT_TTL.0));
            for graph in &mut plan.graphs {
                graph.options.detached = rng.chance(50);
            }
        }
    }

    fn fault(&self, rng: &mut Rng) -> Fault {
        let worker = rng.place(self.workers.len());
        match rng.below(3) {
            0 => Fault::Cut { worker },
            1 => Fault::Fill { worker, span: rng.span(1_000, 500_000) },
            _ => {
                let session = rng.place(self.sessions.len());
                Fault::TakeOver { session, away: rng.span(0, 100_000) }
            }
        }
    }
}
