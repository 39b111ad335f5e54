//! A session's client: submits its graphs, does its deeds, and looks whether what comes back is what it must be.

mod collect;
mod hear;
mod put;
mod rude;

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::graph::{GraphCounts, TaskState};
use bireme_core::id::{Epoch, GraphId, SessionId, SessionToken, SubmissionId, WorkerId};
use bireme_core::session::{Command, IndexRange, Known, Notice, Open, Owner, TaskUpdate};
use bireme_core::{ObjectId, Reason, Span, TaskId, Time};
use bireme_scheduler::machine::ConnId;

use self::put::Deposit;
use crate::coverage::Moment;
use crate::load::{Deed, External, GraphPlan};
use crate::world::{Item, LifeId, Side, Up, World};

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    /// Place of its session in the load.
    pub(crate) place: usize,
    pub(crate) conn: Option<ConnId>,
    /// Not before this time does it open another stream.
    pub(crate) away: Time,
    /// Its number, and in which life of the scheduler it has that.
    session: Option<(Epoch, SessionId)>,
    /// The scheduler has answered on this stream.
    opened: bool,
    /// Commands without an answer, in order: they are sent again over a new stream.
    unanswered: Vec<(Ticket, Command)>,
    tickets: u64,
    /// How many values it has numbered.
    values: u64,
    /// How many of them it had numbered when everything began anew.
    old_values: u64,
    pub(crate) graphs: Vec<Graph>,
    /// It comes back by the name of its session, and
    by_name: bool,
    /// has done so that often: each time it brings another token.
    takeovers: u32,
    workers: BTreeMap<WorkerId, LifeId>,
    /// Which graph a chunk is part of.
    chunks: BTreeMap<SubmissionId, usize>,
    /// Notices about graphs that the client does not know the numbers of yet.
    early: Vec<(GraphId, Notice)>,
    /// Commands that must be refused, and why.
    rudeness: BTreeMap<SubmissionId, Reason>,
    /// Graphs that were made for rudeness.
    rude_graphs: u32,
    stage: Stage,
}

/// By what the answer to a command is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ticket {
    Request(u64),
    Submission(SubmissionId),
}

/// How far a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It has graphs to see through.
    Working,
    /// It has left, and is to come back by its session's name.
    Away,
    /// It has asked for the end of its session.
    Closing,
    /// It has left.
    Gone,
}

/// A graph, as its client knows it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) id: Option<GraphId>,
    begun: Option<Time>,
    /// How many chunks were sent.
    sent: usize,
    /// No further ones will be.
    cut_short: bool,
    /// The values that it was planned to put, in order.
    deposits: Vec<Deposit>,
    released_values: bool,
    /// What several workers have of them was asked to be dropped but for one.
    thinned_out: bool,
    pub(crate) accepted: u32,
    all_accepted: bool,
    done: bool,
    /// Since when it was heard to be done.
    ended: Option<Time>,
    counts: GraphCounts,
    pub(crate) error: Option<String>,
    pub(crate) updates: BTreeMap<u32, TaskUpdate>,
    deeds: usize,
    wanted: bool,
    /// Outputs that were given up.
    released: BTreeSet<u32>,
    pub(crate) collected: BTreeMap<ObjectId, u64>,
    /// Outputs that were dropped before they could be had.
    pub(crate) expired: BTreeSet<ObjectId>,
    /// Outputs that somebody was asked for.
    asked: BTreeSet<ObjectId>,
    stage: GraphStage,
}

/// How far a graph is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum GraphStage {
    #[default]
    Running,
    /// All its results are here.
    Complete,
    Forgetting,
    Forgotten,
}

impl Client {
    pub(crate) fn new(place: usize, graphs: usize) -> Self {
        Self {
            place,
            conn: None,
            away: Time::default(),
            session: None,
            opened: false,
            unanswered: Vec::new(),
            tickets: 0,
            values: 0,
            old_values: 0,
            graphs: (0..graphs).map(|_| Graph::default()).collect(),
            by_name: false,
            takeovers: 0,
            workers: BTreeMap::new(),
            chunks: BTreeMap::new(),
            early: Vec::new(),
            rudeness: BTreeMap::new(),
            rude_graphs: 0,
            stage: Stage::Working,
        }
    }

    /// Opens a stream to the scheduler.
    pub(crate) fn connect(&mut self, world: &mut World) {
        if self.conn.is_some() || self.stage == Stage::Gone {
            return;
        }
        if self.away > world.now() {
            let away = self.away;
            world.agenda.at(away, Item::Connect(Side::Client(self.place)));
            return;
        }
        let conn = world.network.open(&mut world.rng, Side::Client(self.place));
        self.conn = Some(conn);
        let plan = world.load.session(self.place);
        let open = Open {
            token: SessionToken(plan.token.0 ^ u128::from(self.takeovers) << 64),
            name: format!("session-{}", self.place),
            by_name: self.by_name,
            owner: Owner::default(),
            ttl: Some(plan.ttl),
            weight_percent: plan.weight_percent,
            known: self.graphs.iter().filter_map(Graph::known).collect(),
            parent: None,
        };
        world.send_up(conn, Up::Open(open));
    }

    /// The stream is broken, or was ended by the scheduler.
    pub(crate) fn on_severed(&mut self, world: &mut World, conn: ConnId) {
        if self.conn == Some(conn) {
            self.conn = None;
            self.opened = false;
            world.after_a_break(Item::Connect(Side::Client(self.place)));
        }
    }

    /// Looks what there is to do.
    pub(crate) fn on_tick(&mut self, world: &mut World) {
        if self.stage == Stage::Gone {
            return;
        }
        let pause = if self.is_content() { 50_000 } else { 8_000 };
        world.soon(500, pause, Item::Tick(self.place));
        if !self.opened || self.stage != Stage::Working {
            return;
        }
        for graph in 0..self.graphs.len() {
            self.put(world, graph);
            self.submit(world, graph);
            self.act(world, graph);
            self.collect(world, graph);
        }
    }

    /// Sends the next chunks of a graph, if all they depend on is there.
    fn submit(&mut self, world: &mut World, graph: usize) {
        let plan = world.load.graph(self.place, graph);
        let state = self.graph(graph);
        let numbers = world.load.session(self.place).numbers_graphs;
        let must_wait = state.sent > 0 && state.id.is_none();
        if state.cut_short || state.sent >= plan.chunks.len() || must_wait {
            return;
        }
        if !self.has_begun_before(world, graph) || !state.has_put(plan) {
            return;
        }
        let is_there = |external: &External| {
            let accepted = world.accepted.get(&(external.session, external.graph));
            accepted.is_some_and(|(_, tasks)| *tasks > external.task)
        };
        if !plan.externals.iter().all(is_there) {
            return;
        }
        let (sent, left) = (state.sent, plan.chunks.len() - state.sent);
        let is_sure = numbers && world.load.session(self.place).has_no_values();
        let count = if state.id.is_some() || is_sure { 1 + world.rng.place(left) } else { 1 };
        for n in sent..sent + count {
            self.send_chunk(world, graph, n, numbers);
        }
    }

    /// Whether the graphs before this one have their numbers, or will.
    fn has_begun_before(&self, world: &World, graph: usize) -> bool {
        let Some(before) = graph.checked_sub(1) else { return true };
        let state = self.graph(before);
        let is_sure = world.load.session(self.place).has_no_values();
        state.id.is_some() || (is_sure && state.begun.is_some())
    }

    fn send_chunk(&mut self, world: &mut World, graph: usize, n: usize, numbers: bool) {
        let submission = self.submission();
        let number = u32::try_from(graph + 1).expect("few graphs");
        // A number is used up with the first chunk, and that may be refused.
        let chooses = numbers && world.load.session(self.place).has_no_values();
        let chosen =
            self.session.filter(|_| chooses).map(|(_, session)| GraphId::new(session, number));
        let id = self.graph(graph).id.or(chosen);
        let object = |external: External| {
            let (graph, _) =
                world.accepted.get(&(external.session, external.graph)).expect("it was looked for");
            ObjectId::output(TaskId { graph: *graph, index: external.task }, external.output)
        };
        let values = self.graph(graph).deposited();
        let chunk = world.load.graph(self.place, graph).chunk(n, submission, id, object, &values);
        let now = world.now();
        let state = self.graph_mut(graph);
        state.sent = n + 1;
        state.begun.get_or_insert(now);
        self.chunks.insert(submission, graph);
        self.ask(world, Ticket::Submission(submission), Command::Chunk(Box::new(chunk)));
    }

    /// Does the deeds whose time has come.
    fn act(&mut self, world: &mut World, graph: usize) {
        let plan = world.load.graph(self.place, graph);
        let state = self.graph(graph);
        let (Some(begun), Some(id)) = (state.begun, state.id) else { return };
        let Some(&(after, deed)) = plan.deeds.get(state.deeds) else { return };
        if begun + after > world.now()
            || (deed == Deed::Rude && self.graphs.iter().any(|graph| graph.id.is_none()))
        {
            return;
        }
        self.graph_mut(graph).deeds += 1;
        let tasks = |first, count| vec![IndexRange { first, count }];
        let submission = self.submission();
        let ticket = Ticket::Submission(submission);
        match deed {
            Deed::Cancel { first, count, grace } => {
                let tasks = if count == 0 { Vec::new() } else { tasks(first, count) };
                self.graph_mut(graph).cut_short |= count == 0;
                let reason = String::new();
                let cancel = Command::Cancel { submission, graph: id, tasks, grace, reason };
                self.ask(world, ticket, cancel);
            }
            Deed::Forget => self.forget(world, graph),
            Deed::Locate { task } => {
                let object = ObjectId::output(TaskId { graph: id, index: task }, 0);
                let request = self.request();
                self.ask(
                    world,
                    Ticket::Request(request),
                    Command::Locate { request, objects: vec![object] },
                );
            }
            Deed::Ping => {
                let request = self.request();
                self.ask(world, Ticket::Request(request), Command::Ping(request));
            }
            Deed::Release { first, count } => {
                self.graph_mut(graph).released.extend(first..first + count);
                self.ask(
                    world,
                    ticket,
                    Command::Release { submission, graph: id, tasks: tasks(first, count) },
                );
            }
            Deed::Retry => {
                // Those that run again are heard of again.
                let state = self.graph_mut(graph);
                state.updates.retain(|_, update| update.state == TaskState::Finished);
                state.wanted = false;
                self.ask(
                    world,
                    ticket,
                    Command::Retry { submission, graph: id, tasks: Vec::new() },
                );
            }
            Deed::Rude => {
                let is_closed = self.graph(graph).all_accepted;
                self.be_rude(world, id, is_closed);
            }
            Deed::Want { first, count } => {
                self.tell(
                    world,
                    Command::Want { graph: id, tasks: tasks(first, count), values: true },
                );
            }
        }
    }

    /// Drops a graph.
    fn forget(&mut self, world: &mut World, graph: usize) {
        let submission = self.submission();
        let state = self.graph_mut(graph);
        let Some(id) = state.id else { return };
        state.cut_short = true;
        state.stage = GraphStage::Forgetting;
        self.ask(world, Ticket::Submission(submission), Command::Forget { submission, graph: id });
    }

    /// Ends the session, graph by graph where the plan says so.
    pub(crate) fn close(&mut self, world: &mut World) {
        if self.stage == Stage::Gone {
            return;
        }
        match world.load.session(self.place).leaves {
            Some(away) => self.leave(world, away),
            None => self.end(world, |plan| plan.forget || plan.options.detached),
        }
    }

    /// Leaves without an end: another will come, who knows the session's name.
    fn leave(&mut self, world: &mut World, away: Span) {
        if let Some(conn) = self.conn.take() {
            world.send_up(conn, Up::End);
        }
        (self.stage, self.opened, self.away) = (Stage::Away, false, world.now() + away);
        self.come_by_name();
        world.agenda.at(self.away, Item::Connect(Side::Client(self.place)));
    }

    /// From now on it knows its session by name only.
    pub(crate) fn come_by_name(&mut self) {
        self.by_name = true;
        self.takeovers += 1;
    }

    /// No session has the name by which it came.
    fn on_session_unknown(&mut self, world: &mut World) {
        self.by_name = false;
        if self.stage != Stage::Away {
            return; // It begins anew.
        }
        self.stage = Stage::Gone;
        let lives_on = |place: usize, graph: &Graph| {
            world.load.graph(self.place, place).options.detached
                && graph.stage == GraphStage::Complete
        };
        if self.graphs.iter().enumerate().any(|(place, graph)| lives_on(place, graph)) {
            world.fail(format!("session {} has gone with a detached graph", self.place));
        }
    }

    /// Forgets the graphs that are to be, and ends the session.
    fn end(&mut self, world: &mut World, is_forgotten: fn(&GraphPlan) -> bool) {
        for graph in 0..self.graphs.len() {
            let plan = world.load.graph(self.place, graph);
            if is_forgotten(plan) && self.graph(graph).stage == GraphStage::Complete {
                self.forget(world, graph);
            }
        }
        self.stage = Stage::Closing;
        let submission = self.submission();
        self.ask(world, Ticket::Submission(submission), Command::Close { submission });
    }

    /// Is gone without a word.
    pub(crate) fn vanish(&mut self) {
        self.stage = Stage::Gone;
        self.conn = None;
        self.unanswered.clear();
    }

    pub(crate) fn has_vanished(&self) -> bool {
        self.stage == Stage::Gone
    }

    /// Dies and comes back: what it submitted and asked for is on its disk, what it was told is not.
    pub(crate) fn forget_what_was_heard(&mut self) {
        self.workers.clear();
        for graph in &mut self.graphs {
            graph.counts = GraphCounts::default();
            (graph.done, graph.wanted, graph.error) = (false, false, None);
            graph.updates.clear();
            graph.collected.clear();
            graph.expired.clear();
            graph.ended = None;
            graph.asked.clear();
            if graph.stage == GraphStage::Complete {
                graph.stage = GraphStage::Running;
            }
        }
    }

    /// The scheduler does not know the session any more, nor anything it had: everything begins anew.
    fn begin_anew(&mut self) {
        let graphs = self.graphs.len();
        let Self { place, conn, session, tickets, values, takeovers, .. } = *self;
        let new = Self::new(place, graphs);
        *self = Self { conn, session, tickets, values, old_values: values, takeovers, ..new };
    }

    /// Sends a command and keeps it until it is answered.
    fn ask(&mut self, world: &mut World, ticket: Ticket, command: Command) {
        self.unanswered.push((ticket, command.clone()));
        if world.rng.chance(world.repeated_percent) {
            world.coverage.saw(&Moment::Repeated);
            self.tell(world, command.clone());
        }
        self.tell(world, command);
    }

    /// Sends a command that has no answer.
    fn tell(&self, world: &mut World, command: Command) {
        world.coverage.saw(&command);
        if let Some(conn) = self.conn {
            world.send_up(conn, Up::Commands(vec![command]));
        }
    }

    fn submission(&mut self) -> SubmissionId {
        let number = self.request();
        SubmissionId(u128::from(number) << 8 | self.place as u128)
    }

    fn request(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Whether all it wanted has come.
    pub(crate) fn is_content(&self) -> bool {
        if self.stage == Stage::Gone {
            return true;
        }
        self.unanswered.is_empty()
            && self
                .graphs
                .iter()
                .all(|graph| matches!(graph.stage, GraphStage::Complete | GraphStage::Forgotten))
    }

    /// In one line, for whoever looks why it waits.
    pub(crate) fn story(&self) -> String {
        let graphs = self.graphs.iter().map(|graph| {
            let counts = graph.counts;
            format!(
                "{:?} {:?} done={} accepted={} heard={} {counts:?}",
                graph.id,
                graph.stage,
                graph.done,
                graph.accepted,
                graph.updates.len()
            )
        });
        let graphs: Vec<_> = graphs.collect();
        format!(
            "session {}: opened={} unanswered={} {graphs:?}",
            self.place,
            self.opened,
            self.unanswered.len()
        )
    }

    fn graph(&self, graph: usize) -> &Graph {
        self.graphs.get(graph).expect("graphs are named by place")
    }

    fn graph_mut(&mut self, graph: usize) -> &mut Graph {
        self.graphs.get_mut(graph).expect("graphs are named by place")
    }
}

impl Graph {
    /// What the scheduler need not tell again.
    fn known(&self) -> Option<Known> {
        let seen =
            self.updates.keys().map(|index| IndexRange { first: *index, count: 1 }).collect();
        Some(Known { graph: self.id?, accepted_tasks: self.accepted, seen })
    }

    pub(crate) fn stage(&self) -> GraphStage {
        self.stage
    }

    pub(crate) fn has_released(&self, index: u32) -> bool {
        self.released.contains(&index)
    }
}
