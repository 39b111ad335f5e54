//! All scheduling state, and every decision about it.
//!
//! [`Machine`] is pure: events go in, effects come out, and neither the clock, the network nor the disk is within its
//! reach. It is level-triggered towards its peers: for each worker and session it keeps the set of things whose state the
//! peer has not seen ([`bireme_core::link::Outbox`]), and says [`Effect::Wake`] when that set stops being empty; the driver
//! then asks for messages ([`Machine::take_orders`], [`Machine::take_notices`]) whenever the peer's stream has room.
//!
//! Where to look: `graph`, `task`, `table`, `object` and `holders` hold the records, `intake` takes chunks in, `queue`, `room` and `place` decide
//! what goes where, `ended` hears how attempts ended, `fleet` how workers come and go, `announced` what they say they have, `lost` whom a lost one is blamed on, `suspects` where those run, `drain` how a worker is sent away, `attach` how sessions come and go, `client` what they ask, `tell` makes the
//! messages, `check` recounts every invariant, and [`view`] shows all this to people.

pub mod actor;
mod announced;
mod attach;
mod cache;
mod check;
mod class;
mod client;
mod drain;
mod ended;
mod fleet;
mod function;
mod graph;
mod holders;
mod inputs;
mod intake;
mod lost;
mod nested;
mod number;
mod object;
mod outputs;
mod place;
mod put;
mod queue;
mod room;
mod session;
mod spread;
pub mod story;
mod suspects;
mod table;
mod task;
mod tell;
pub mod view;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::actor::place::Beat;
use bireme_core::hash::{IdMap, Seeded};
use bireme_core::id::{
    ActorId, Epoch, GraphId, SessionId, SessionToken, SubmissionId, WorkerId, WorkerUid,
};
use bireme_core::protocol::{Announce, Heartbeat, Join, Report};
use bireme_core::reason::Refusal;
use bireme_core::session::{Command, Open, Opened};
use bireme_core::{ObjectId, Span, Time};

use self::actor::{ActorRequest, Actors, Asker};
use self::cache::Cache;
use self::class::Classes;
use self::drain::Dismissals;
use self::graph::Graph;
use self::number::{ClassNo, GraphNo, ObjectNo, TaskRef};
use self::object::Objects;
use self::room::Kinds;
use self::session::Session;
use self::story::Stories;
use self::task::Task;
use self::worker::Workers;

/// A connection, as numbered by the driver. A newer one of the same peer has a greater number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId(pub u64);

/// Whoever has a stream to the scheduler.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Peer {
    /// A client's session.
    Session(SessionId),
    /// A worker.
    Worker(WorkerId),
}

/// Everything that can happen to the scheduler.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody asks something of an actor. The same submission again is the same request; [`Machine::actor_answer`] has what
    /// became of it.
    ActorAsked {
        /// Names the request.
        submission: SubmissionId,
        /// Who asks.
        asker: Asker,
        /// What.
        request: ActorRequest,
    },
    /// A chunk came that cannot be decoded, and was refused at the door: its graph will never be whole.
    ChunkUnreadable {
        /// Whose.
        session: SessionId,
        /// The graph it was for.
        graph: GraphId,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// A client asks for something. Commands for a session that is gone are dropped.
    Commanded {
        /// Who.
        session: SessionId,
        /// What.
        command: Command,
    },
    /// A stream ended. Nothing happens if a newer one has taken its place.
    Disconnected {
        /// Which.
        conn: ConnId,
        /// Whose.
        peer: Peer,
    },
    /// A client opens a session or comes back to one.
    SessionOpened {
        /// Over this connection; `None` for a session that is driven by unary calls.
        conn: Option<ConnId>,
        /// As whom.
        open: Open,
    },
    /// The time that [`Machine::next_timer`] told has come.
    TimerDue,
    /// A part of what a worker holds.
    WorkerAnnounced {
        /// Who.
        worker: WorkerId,
        /// What.
        announce: Announce,
    },
    /// A worker is alive.
    WorkerBeat {
        /// Who.
        worker: WorkerId,
        /// How it is.
        heartbeat: Heartbeat,
        /// What its actors have counted since.
        actors: Vec<Beat>,
    },
    /// Somebody asks that a worker leave in order. The same submission again is the same request.
    WorkerDrainAsked {
        /// Names the request.
        submission: SubmissionId,
        /// Which worker.
        worker: WorkerId,
        /// When it leaves all the same.
        deadline: Option<Span>,
        /// For people.
        reason: String,
    },
    /// A worker opens a stream.
    WorkerJoined {
        /// Over this connection.
        conn: ConnId,
        /// Who it is and what it has.
        join: Join,
    },
    /// A worker tells something.
    WorkerReported {
        /// Who.
        worker: WorkerId,
        /// What.
        report: Report,
    },
    /// Somebody asks that a worker leave now. The same submission again is the same request.
    WorkerStopAsked {
        /// Names the request.
        submission: SubmissionId,
        /// Which worker.
        worker: WorkerId,
        /// How long running code may go on.
        grace: Span,
        /// For people.
        reason: String,
    },
}

/// Everything the driver must do for the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A command was answered. A session with a stream is told over it as well; this is for those who wait in a call.
    Answered {
        /// Whose command.
        session: SessionId,
        /// Which.
        submission: SubmissionId,
        /// The graph it was about and how many tasks that has, or why it was refused.
        outcome: Result<(Option<GraphId>, u32), Refusal>,
    },
    /// End a connection: it was refused, or a newer one has taken its place.
    Disconnect {
        /// Which.
        conn: ConnId,
        /// Why.
        refusal: Refusal,
    },
    /// A session is gone, with all it had.
    SessionGone(SessionId),
    /// A session is open; tell the client, then deliver its notices over this connection.
    SessionOpened {
        /// Over this connection.
        conn: Option<ConnId>,
        /// The answer.
        opened: Opened,
    },
    /// The outbox of a peer whose stream is up has something to tell.
    Wake(Peer),
    /// A worker is accepted; tell it its number, then deliver its orders over this connection.
    WorkerJoined {
        /// Over this connection.
        conn: ConnId,
        /// Its number.
        worker: WorkerId,
    },
}

/// What a machine is made with.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// This life of the scheduler.
    pub epoch: Epoch,
    /// Seed of the hash function for user keys.
    pub seed: u64,
    /// The first session number that no earlier life has given.
    pub first_session: u32,
    /// How much small values may take up, in bytes: [`bireme_core::limits::SMALL_VALUES_BYTES`], or less in tests.
    pub small_bytes: u64,
}

/// Something to be done at a time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Timer {
    /// See what an actor waits for.
    Actor(ActorId),
    /// See how far the way out of a worker is.
    Drain(WorkerId),
    /// Drop the outputs of a graph whose time is up.
    Expire(GraphNo),
    /// Tell a session how a graph stands.
    Graph(GraphNo),
    /// Try a task again.
    Retry(TaskRef, u32),
    /// See whether a session's time has run out.
    Session(SessionId),
    /// See whether a worker has been silent for too long.
    Worker(WorkerId),
}

/// The scheduler's state.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    now: Time,
    hasher: Seeded,
    actors: Actors,
    graphs: Vec<Option<Box<Graph>>>,
    graph_numbers: IdMap<GraphId, GraphNo>,
    classes: Classes,
    /// Classes with ready tasks.
    active: BTreeSet<ClassNo>,
    objects: Objects,
    cache: Cache,
    /// Objects that are no task's output.
    held: BTreeMap<ObjectId, ObjectNo>,
    workers: Workers,
    worker_uids: BTreeMap<WorkerUid, WorkerId>,
    last_worker: u32,
    worker_names: BTreeMap<String, WorkerId>,
    kinds: Kinds,
    /// Workers where prefilled tasks wait.
    crowded: BTreeSet<WorkerId>,
    sessions: BTreeMap<SessionId, Session>,
    tokens: BTreeMap<SessionToken, SessionId>,
    next_session: u32,
    /// The least [`Session::served`] that a session with ready tasks had when last asked: a new one starts there.
    served: u64,
    timers: BTreeSet<(Time, Timer)>,
    /// Tasks that may have killed their worker and wait for one of their own or have it, and that worker.
    suspects: BTreeMap<TaskRef, Option<WorkerId>>,
    /// Sessions that belong to attempts, by the task.
    nested: BTreeMap<TaskRef, Vec<SessionId>>,
    /// Those of attempts that are over; empty between steps.
    orphans: Vec<SessionId>,
    /// Workers on their way out that have not been told to go.
    drains: BTreeSet<WorkerId>,
    dismissals: Dismissals,
    stories: Stories,
    /// Counts what happens to the list of workers and their states.
    fleet_version: u64,
    /// Tasks that have not ended.
    unfinished: u64,
    /// Graphs that changed since this step began.
    stirred: Vec<GraphNo>,
    /// Peers that have something to tell since this step began.
    wakes: Vec<Peer>,
}

impl Machine {
    /// A scheduler that knows nobody.
    pub fn new(config: Config) -> Self {
        let hasher = Seeded::new(config.seed);
        Self {
            now: Time::default(),
            actors: Actors::default(),
            graphs: Vec::new(),
            graph_numbers: IdMap::with_hasher(hasher.clone()),
            hasher,
            classes: Classes::default(),
            active: BTreeSet::new(),
            objects: Objects::default(),
            cache: Cache::new(config.small_bytes),
            held: BTreeMap::new(),
            workers: Workers::default(),
            worker_uids: BTreeMap::new(),
            last_worker: 0,
            worker_names: BTreeMap::new(),
            kinds: Kinds::default(),
            crowded: BTreeSet::new(),
            sessions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_session: config.first_session.max(1),
            served: 0,
            timers: BTreeSet::new(),
            suspects: BTreeMap::new(),
            nested: BTreeMap::new(),
            orphans: Vec::new(),
            drains: BTreeSet::new(),
            dismissals: Dismissals::default(),
            stories: Stories::default(),
            fleet_version: 0,
            unfinished: 0,
            stirred: Vec::new(),
            wakes: Vec::new(),
            config,
        }
    }

    /// Applies one event and appends to `effects` what must be done about it.
    ///
    /// Total: any event is legal in any state. News of a lost worker or of a superseded attempt is dropped here, and
    /// nowhere else.
    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        self.apply(now, event, effects);
        self.settle(effects);
    }

    /// Applies events that came together, and places tasks once after all of them.
    pub fn handle_all(
        &mut self,
        now: Time,
        events: impl IntoIterator<Item = Event>,
        effects: &mut Vec<Effect>,
    ) {
        for event in events {
            self.apply(now, event, effects);
        }
        self.settle(effects);
    }

    fn apply(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        match event {
            Event::ActorAsked { submission, asker, request } => {
                self.on_actor_asked(submission, asker, request);
            }
            Event::ChunkUnreadable { session, graph, refusal } => {
                self.on_chunk_unreadable(session, graph, &refusal);
            }
            Event::Commanded { session, command } => self.on_commanded(session, command, effects),
            Event::Disconnected { conn, peer } => self.on_disconnected(conn, peer),
            Event::SessionOpened { conn, open } => self.on_session_opened(conn, open, effects),
            Event::TimerDue => self.on_timer_due(effects),
            Event::WorkerAnnounced { worker, announce } => {
                self.on_worker_announced(worker, announce, effects);
            }
            Event::WorkerBeat { worker, heartbeat, actors } => {
                self.on_worker_beat(worker, heartbeat);
                self.on_actors_counted(worker, actors);
            }
            Event::WorkerDrainAsked { submission, worker, deadline, reason } => {
                self.on_worker_drain_asked(submission, worker, deadline, reason);
            }
            Event::WorkerJoined { conn, join } => self.on_worker_joined(conn, join, effects),
            Event::WorkerReported { worker, report } => {
                self.on_worker_reported(worker, report);
                self.bound_owed(worker, effects);
            }
            Event::WorkerStopAsked { submission, worker, grace, reason } => {
                self.on_worker_stop_asked(submission, worker, grace, reason);
            }
        }
    }

    /// Ends a step: every worker with room has been offered what is ready, and whoever has news is woken.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        // What ends in the course of that has attempts of its own end.
        loop {
            self.end_orphans(effects);
            self.place_actors();
            self.place_ready();
            if self.orphans.is_empty() {
                break;
            }
        }
        self.step_drains();
        self.trim_cache();
        self.tell_progress();
        effects.extend(self.wakes.drain(..).map(Effect::Wake));
    }

    /// When [`Event::TimerDue`] is to be sent.
    pub fn next_timer(&self) -> Option<Time> {
        self.timers.first().map(|(time, _)| *time)
    }

    fn on_timer_due(&mut self, effects: &mut Vec<Effect>) {
        while let Some(&(time, timer)) = self.timers.first().filter(|(time, _)| *time <= self.now) {
            self.timers.remove(&(time, timer));
            match timer {
                Timer::Actor(actor) => self.on_actor_timer(actor),
                Timer::Drain(worker) => self.on_drain_timer(worker),
                Timer::Expire(graph) => self.on_expiry(graph),
                Timer::Graph(graph) => self.on_graph_timer(graph),
                Timer::Retry(task, attempt) => self.on_retry_due(task, attempt),
                Timer::Session(session) => self.on_session_timer(session, effects),
                Timer::Worker(worker) => self.on_worker_timer(worker, effects),
            }
        }
    }

    fn on_disconnected(&mut self, conn: ConnId, peer: Peer) {
        match peer {
            Peer::Session(session) => self.on_session_disconnected(conn, session),
            Peer::Worker(worker) => self.on_worker_disconnected(conn, worker),
        }
    }

    fn graph(&self, no: GraphNo) -> &Graph {
        self.graphs
            .get(no.0 as usize)
            .and_then(Option::as_deref)
            .expect("the graph is there while it is spoken of")
    }

    fn graph_mut(&mut self, no: GraphNo) -> &mut Graph {
        self.graphs
            .get_mut(no.0 as usize)
            .and_then(Option::as_deref_mut)
            .expect("the graph is there while it is spoken of")
    }

    fn task(&self, task: TaskRef) -> &Task {
        self.graph(task.graph).task(task.index)
    }

    fn task_mut(&mut self, task: TaskRef) -> &mut Task {
        self.graph_mut(task.graph).task_mut(task.index)
    }

    /// A task that may have been forgotten.
    fn find_task(&self, task: TaskRef) -> Option<&Task> {
        self.graphs.get(task.graph.0 as usize)?.as_ref()?.tasks.get(task.index)
    }

    fn wake(&mut self, wake: bool, peer: Peer) {
        if wake {
            self.wakes.push(peer);
        }
    }
}

#[cfg(test)]
mod tests;
