//! Values that a client puts into the stores of workers for its graphs.

use bireme_core::ObjectId;
use bireme_core::reason::Refusal;
use bireme_core::session::{Command, Put, Replica};

use super::{Client, Graph, Stage, Ticket};
use crate::load::GraphPlan;
use crate::world::{Item, Parcel, Stored, World};

/// How far a value is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deposit {
    /// No worker has it, as far as is known.
    Nowhere,
    /// It is on its way to a worker, or the scheduler has not answered.
    Underway(ObjectId),
    /// The scheduler knows of it.
    Known(ObjectId),
}

impl Client {
    /// Puts what is to be put for a graph, and gives it up when all of the graph was accepted.
    pub(super) fn put(&mut self, world: &mut World, graph: usize) {
        let plan = world.load.graph(self.place, graph);
        let (values, releases) = (plan.values.clone(), plan.releases_values);
        self.graph_mut(graph).deposits.resize(values.len(), Deposit::Nowhere);
        for (place, value) in values.iter().enumerate() {
            let stored = Stored { value: value.value, size: value.size };
            if self.graph(graph).deposits.get(place) == Some(&Deposit::Nowhere)
                && self.graph(graph).sent == 0
                && let Some(object) = self.send_value(world, stored)
            {
                self.move_deposit(graph, place, Deposit::Underway(object));
            }
        }
        if !values.is_empty() && self.graph(graph).all_accepted {
            self.thin_out(world, graph);
        }
        let state = self.graph_mut(graph);
        if releases && state.all_accepted && !state.released_values && !values.is_empty() {
            state.released_values = true;
            let objects = state.deposited();
            let submission = self.submission();
            let release = Command::ReleaseValues { submission, objects };
            self.ask(world, Ticket::Submission(submission), release);
        }
    }

    /// Has every worker that is known drop what others have too, once.
    fn thin_out(&mut self, world: &mut World, graph: usize) {
        if std::mem::replace(&mut self.graph_mut(graph).thinned_out, true) {
            return;
        }
        let workers: Vec<_> = self.workers.keys().copied().collect();
        let objects = self.graph(graph).deposited();
        let of_all = |worker| objects.iter().map(move |object| Replica { object: *object, worker });
        let replicas = workers.into_iter().flat_map(of_all).collect();
        let submission = self.submission();
        let drop = Command::DropReplicas { submission, replicas };
        self.ask(world, Ticket::Submission(submission), drop);
    }

    fn move_deposit(&mut self, graph: usize, place: usize, to: Deposit) {
        if let Some(deposit) = self.graph_mut(graph).deposits.get_mut(place) {
            *deposit = to;
        }
    }

    /// Sends a value to one of the workers that are known.
    fn send_value(&mut self, world: &mut World, stored: Stored) -> Option<ObjectId> {
        let (_, session) = self.session?;
        let workers: Vec<_> = self.workers.iter().map(|(id, life)| (*id, *life)).collect();
        if workers.is_empty() {
            return None;
        }
        let (worker, target) = *world.rng.pick(&workers);
        self.values += 1;
        let object = ObjectId::Held { holder: session.into(), n: self.values };
        let parcel = Parcel { client: self.place, object, stored, worker, target };
        world.soon(20, 1_000 + stored.size / 1_000, Item::Put(parcel));
        Some(object)
    }

    /// A worker has stored a value, or did not answer.
    pub(crate) fn on_put_answer(&mut self, world: &mut World, parcel: &Parcel, stored: bool) {
        let Parcel { object, worker, .. } = *parcel;
        let is_old = matches!(object, ObjectId::Held { n, .. } if n <= self.old_values);
        if self.stage == Stage::Gone || is_old {
            return;
        }
        if !stored {
            return self.on_value_lost(object);
        }
        let submission = self.submission();
        let put = Put { object, size: parcel.stored.size, worker, copies: 1 };
        let command = Command::Put { submission, objects: vec![put] };
        self.ask(world, Ticket::Submission(submission), command);
    }

    pub(super) fn on_value_accepted(&mut self, object: ObjectId) {
        self.replace_deposit(object, Deposit::Known(object));
    }

    pub(super) fn on_value_lost(&mut self, object: ObjectId) {
        self.replace_deposit(object, Deposit::Nowhere);
    }

    fn replace_deposit(&mut self, object: ObjectId, to: Deposit) {
        let deposits = self.graphs.iter_mut().flat_map(|graph| &mut graph.deposits);
        deposits
            .filter(|deposit| deposit.object() == Some(object))
            .for_each(|deposit| *deposit = to);
    }

    /// The first chunk of a graph was refused, because a value that it names is lost: they are all put again.
    pub(super) fn put_anew(&mut self, world: &mut World, graph: usize, refusal: &Refusal) {
        let state = self.graph_mut(graph);
        if state.deposits.is_empty() || state.id.is_some() {
            world.fail(format!("graph {graph} of session {} was refused: {refusal}", self.place));
            return;
        }
        state.sent = 0;
        state.deposits.fill(Deposit::Nowhere);
    }
}

impl Deposit {
    fn object(self) -> Option<ObjectId> {
        match self {
            Self::Nowhere => None,
            Self::Underway(object) | Self::Known(object) => Some(object),
        }
    }
}

impl Graph {
    /// Whether every value that the graph takes is where it is to be.
    pub(super) fn has_put(&self, plan: &GraphPlan) -> bool {
        let is_known = |deposit: &Deposit| matches!(deposit, Deposit::Known(_));
        self.deposits.len() == plan.values.len() && self.deposits.iter().all(is_known)
    }

    /// The values that were put, in order.
    pub(super) fn deposited(&self) -> Vec<ObjectId> {
        self.deposits.iter().filter_map(|deposit| deposit.object()).collect()
    }
}
