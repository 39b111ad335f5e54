//! How a client gets its results.

use bireme_core::graph::{TaskState, Watch};
use bireme_core::session::{Command, IndexRange, Place};
use bireme_core::{ObjectId, TaskId};

use super::{Client, Graph, GraphStage, Ticket};
use crate::coverage::Moment;
use crate::executor::read;
use crate::load::GraphPlan;
use crate::world::{Fetch, Side, Stored, World};

/// Objects that one request asks for.
const ASKED_AT_ONCE: usize = 8;

impl Client {
    /// Gets the results of a graph that is done, as far as they are not here.
    pub(super) fn collect(&mut self, world: &mut World, graph: usize) {
        if !matches!(self.graph(graph).stage, GraphStage::Running | GraphStage::Complete) {
            return;
        }
        // What was complete may run again.
        self.graph_mut(graph).stage = GraphStage::Running;
        if !self.is_over(world, graph) {
            return;
        }
        let missing = self.missing(world, graph);
        if missing.is_empty() {
            self.graph_mut(graph).stage = GraphStage::Complete;
            return;
        }
        let state = self.graph_mut(graph);
        let objects: Vec<ObjectId> = missing
            .into_iter()
            .filter(|object| !state.asked.contains(object))
            .take(ASKED_AT_ONCE)
            .collect();
        if !objects.is_empty() {
            state.asked.extend(&objects);
            let request = self.request();
            self.ask(world, Ticket::Request(request), Command::Locate { request, objects });
        }
    }

    /// Whether a graph is done, as far as is known, and each end that is to be heard of was heard of.
    fn is_over(&mut self, world: &mut World, graph: usize) -> bool {
        let plan = world.load.graph(self.place, graph);
        let state = self.graph(graph);
        let all_sent = state.all_accepted || state.cut_short;
        let (Some(id), true) = (state.id, state.done && all_sent) else { return false };
        if state.deeds < plan.deeds.len() || self.awaits_answers(graph) {
            return false;
        }
        let has_heard = state.has_heard(plan);
        if !has_heard && !state.wanted && plan.options.watch == Watch::Graph {
            self.graph_mut(graph).wanted = true;
            let tasks = vec![IndexRange { first: 0, count: u32::MAX }];
            self.tell(world, Command::Want { graph: id, tasks, values: true });
        }
        has_heard
    }

    /// Something that changes the graph is not answered yet.
    fn awaits_answers(&self, graph: usize) -> bool {
        let id = self.graph(graph).id;
        let concerns = |(ticket, command): &(Ticket, Command)| match (ticket, command) {
            (Ticket::Submission(submission), Command::Chunk(_)) => {
                self.chunks.get(submission) == Some(&graph)
            }
            (
                _,
                Command::Cancel { graph, .. }
                | Command::Forget { graph, .. }
                | Command::Release { graph, .. }
                | Command::Retry { graph, .. },
            ) => Some(*graph) == id,
            _ => false,
        };
        self.unanswered.iter().any(concerns)
    }

    /// Outputs that are kept and whose values are not here. Those that came with a notice are taken from there.
    fn missing(&mut self, world: &mut World, graph: usize) -> Vec<ObjectId> {
        let plan = world.load.graph(self.place, graph);
        let state = self.graphs.get_mut(graph).expect("graphs are named by place");
        let Some(id) = state.id else { return Vec::new() };
        let mut missing = Vec::new();
        for (index, update) in &state.updates {
            if update.state != TaskState::Finished
                || !plan.keeps(*index)
                || state.released.contains(index)
            {
                continue;
            }
            let outputs = plan.class(plan.task(*index)).outputs;
            for output in 0..outputs {
                let object = ObjectId::output(TaskId { graph: id, index: *index }, output);
                let told = update
                    .outputs
                    .get(usize::from(output))
                    .and_then(|(output, _)| output.value.as_deref());
                if let Some(value) = told.and_then(read) {
                    state.collected.insert(object, value);
                } else if !state.collected.contains_key(&object) && !state.expired.contains(&object)
                {
                    missing.push(object);
                }
            }
        }
        missing
    }

    pub(super) fn on_places(&mut self, world: &mut World, places: Vec<Place>) {
        for place in places {
            let Place { object, holders, value, .. } = place;
            if let Some(value) = value.as_deref().and_then(read) {
                self.got(object, Some(value));
            } else if holders.is_empty() {
                self.note_expiry(world, object);
                self.got(object, None);
            } else {
                self.fetch(
                    world,
                    Fetch { by: Side::Client(self.place), object, holders, at: 0, target: None },
                );
            }
        }
    }

    /// Nobody has an object. If it is one of a graph that is done for as long as its outputs are kept, that is how it must be.
    fn note_expiry(&mut self, world: &mut World, object: ObjectId) {
        let id = object.task().map(|task| task.graph);
        let Some(place) = self.graphs.iter().position(|graph| graph.id == id) else { return };
        let ttl = world.load.graph(self.place, place).options.ttl;
        let graph = self.graph_mut(place);
        if ttl.zip(graph.ended).is_some_and(|(ttl, ended)| ended + ttl <= world.now()) {
            graph.expired.insert(object);
            world.coverage.saw(&Moment::Expired);
        }
    }

    fn fetch(&self, world: &mut World, mut fetch: Fetch) {
        fetch.target =
            fetch.holders.get(fetch.at).and_then(|holder| self.workers.get(holder)).copied();
        world.ask(fetch);
    }

    /// A worker has answered, or could not be reached.
    pub(crate) fn on_answer(&mut self, world: &mut World, mut fetch: Fetch, value: Option<Stored>) {
        if value.is_none() && fetch.at + 1 < fetch.holders.len() {
            fetch.at += 1;
            self.fetch(world, fetch);
        } else {
            self.got(fetch.object, value.map(|stored| stored.value));
        }
    }

    fn got(&mut self, object: ObjectId, value: Option<u64>) {
        let id = object.task().map(|task| task.graph);
        let Some(graph) = self.graphs.iter_mut().find(|graph| graph.id == id) else { return };
        graph.asked.remove(&object);
        if let Some(value) = value {
            graph.collected.insert(object, value);
        }
    }
}

impl Graph {
    /// Whether the end of every task that the session is to hear of came: with [`Watch::Graph`] it asks for all of them.
    pub(super) fn has_heard(&self, plan: &GraphPlan) -> bool {
        let total = self.counts.total();
        if plan.options.watch == Watch::Graph {
            return self.updates.len() >= total as usize;
        }
        let bad =
            self.updates.values().filter(|update| update.state != TaskState::Finished).count();
        let expected = self.counts.of(TaskState::Failed) + self.counts.of(TaskState::Cancelled);
        let is_missing = |index: &u32| {
            plan.keeps(*index)
                && !self.released.contains(index)
                && !self.updates.contains_key(index)
        };
        bad >= expected as usize && !(0..total).any(|index| is_missing(&index))
    }
}
