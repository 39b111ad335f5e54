//! A machine that is driven by hand.

use bireme_core::graph::{Dep, GraphChunk, GraphOptions, TaskClass, TaskSpec};
use bireme_core::id::{
    AttemptId, Epoch, SessionId, SessionToken, SubmissionId, WorkerId, WorkerLife, WorkerUid,
};
use bireme_core::protocol::{Announce, Join, Order, Output, Report, Timing};
use bireme_core::resources::UNITS;
use bireme_core::session::{Command, Notice, Open};
use bireme_core::{Reason, Resources, Span, Time, limits};
use bireme_scheduler::machine::{Config, ConnId, Effect, Event, Machine};

pub(super) const SESSION: SessionId = SessionId(1);
pub(super) const WORKER: WorkerId = WorkerId(1);

/// A machine with one session.
pub(super) struct Run {
    pub(super) machine: Machine,
    conns: u64,
    submissions: u128,
}

impl Run {
    pub(super) fn new() -> Self {
        let config = Config { epoch: Epoch(1), seed: 1, first_session: 1, small_bytes: 0 };
        let mut run = Self { machine: Machine::new(config), conns: 0, submissions: 0 };
        run.open(1);
        run
    }

    pub(super) fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.handle(Time(1), event, &mut effects);
        effects
    }

    /// Opens a session. Returns why not.
    pub(super) fn open(&mut self, token: u128) -> Option<Reason> {
        self.conns += 1;
        let open = Open::new(SessionToken(token));
        cut(&self.handle(Event::SessionOpened { conn: Some(ConnId(self.conns)), open }))
    }

    /// Has a worker join. Returns why not.
    pub(super) fn join(&mut self, n: u32, cpus: u64) -> Option<Reason> {
        self.conns += 1;
        let join = Join {
            uid: WorkerUid(n.into()),
            life: WorkerLife(1),
            name: format!("w{n}"),
            resources: Resources::new(cpus * UNITS, 0),
            labels: Vec::new(),
            addresses: Vec::new(),
            machine: String::new(),
            pid: 1,
            functions: Vec::new(),
            runtimes: Vec::new(),
            previous: None,
        };
        let joined = cut(&self.handle(Event::WorkerJoined { conn: ConnId(self.conns), join }));
        let announce = Announce { last: true, ..Announce::default() };
        self.handle(Event::WorkerAnnounced { worker: WorkerId(n), announce });
        joined
    }

    /// Submits tasks as a graph of their own. Returns why not.
    pub(super) fn submit(&mut self, tasks: Vec<TaskSpec>, class: TaskClass) -> Option<Reason> {
        let chunk = GraphChunk { tasks, classes: vec![class], ..self.chunk() };
        self.command(Command::Chunk(Box::new(chunk)))
    }

    pub(super) fn chunk(&mut self) -> GraphChunk {
        GraphChunk {
            submission: self.submission(),
            graph: None,
            first_index: 0,
            tasks: Vec::new(),
            arrays: Vec::new(),
            classes: Vec::new(),
            externals: Vec::new(),
            outputs: Vec::new(),
            options: Some(GraphOptions::default()),
            last: false,
        }
    }

    pub(super) fn submission(&mut self) -> SubmissionId {
        self.submissions += 1;
        SubmissionId(self.submissions)
    }

    /// Returns why it was refused.
    pub(super) fn command(&mut self, command: Command) -> Option<Reason> {
        let effects = self.handle(Event::Commanded { session: SESSION, command });
        self.read();
        refused(&effects)
    }

    /// The session reads what there is to read.
    pub(super) fn read(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        while self.machine.take_notices(SESSION, limits::BATCH_BYTES, &mut notices) {}
        notices
    }

    pub(super) fn orders(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        while self.machine.take_orders(WORKER, limits::BATCH_BYTES, &mut orders) {}
        orders
    }

    /// Attempts that the worker is sent.
    pub(super) fn started(&mut self) -> Vec<AttemptId> {
        let start = |order| match order {
            Order::Start(start) => Some(start.attempt),
            _ => None,
        };
        self.orders().into_iter().filter_map(start).collect()
    }

    pub(super) fn report(&mut self, report: Report) -> Vec<Effect> {
        self.handle(Event::WorkerReported { worker: WORKER, report })
    }

    pub(super) fn finish(&mut self, attempt: AttemptId, ran: Span) -> Vec<Effect> {
        let outputs = std::iter::once(Output { size: 8, value: None }).collect();
        let timing = Timing { run: ran, ..Timing::default() };
        self.report(Report::Finished { attempt, outputs, timing })
    }
}

pub(super) fn cut(effects: &[Effect]) -> Option<Reason> {
    effects.iter().find_map(|effect| match effect {
        Effect::Disconnect { refusal, .. } => Some(refusal.reason),
        _ => None,
    })
}

pub(super) fn refused(effects: &[Effect]) -> Option<Reason> {
    effects.iter().find_map(|effect| match effect {
        Effect::Answered { outcome, .. } => outcome.as_ref().err().map(|refusal| refusal.reason),
        _ => None,
    })
}

pub(super) fn tasks(count: usize) -> Vec<TaskSpec> {
    vec![TaskSpec::default(); count]
}

/// A task that takes an output of each of the first `count` tasks.
pub(super) fn taker(count: u32) -> TaskSpec {
    let deps = (0..count).map(|task| Dep { task, output: 0 }).collect();
    TaskSpec { deps, ..TaskSpec::default() }
}
