//! Commands that must be refused, each for its reason.

use bireme_core::graph::{
    ArrayInput, Dep, GraphChunk, GraphOptions, Rows, TaskArray, TaskClass, TaskSpec,
};
use bireme_core::id::{GraphId, HolderId, SessionId, SubmissionId};
use bireme_core::session::Command;
use bireme_core::{ObjectId, Reason, Span};

use super::{Client, Ticket};
use crate::load::{Act, Job, Size};
use crate::world::World;

/// Numbers of graphs that are made for rudeness are so far apart, and from those of others.
const NUMBERS: u32 = 1 << 20;

impl Client {
    /// Asks for a few things that cannot be.
    pub(super) fn be_rude(&mut self, world: &mut World, graph: GraphId, is_closed: bool) {
        for _ in 0..world.rng.between(1, 4) {
            let kind = world.rng.below(if is_closed { 16 } else { 15 });
            let submission = self.submission();
            let (command, reason) = rudeness(kind, submission, graph);
            self.ask_rudely(world, submission, command, reason);
        }
        if world.rng.chance(50) {
            self.be_rude_later(world, graph);
        }
    }

    fn ask_rudely(
        &mut self,
        world: &mut World,
        submission: SubmissionId,
        command: Command,
        reason: Reason,
    ) {
        self.rudeness.insert(submission, reason);
        self.ask(world, Ticket::Submission(submission), command);
    }

    /// Begins a graph well and goes on badly; then forgets it.
    fn be_rude_later(&mut self, world: &mut World, graph: GraphId) {
        self.rude_graphs += 1;
        let id = GraphId::new(graph.session(), self.rude_graphs * NUMBERS);
        let submission = self.submission();
        let job = Job { identity: 1, run: Span::millis(1), act: Act::Succeed, size: Size::Small };
        let tasks = vec![TaskSpec { payload: job.encode(), ..TaskSpec::default() }];
        let first = GraphChunk { last: false, tasks, ..chunk(submission, Some(id)) };
        self.ask(world, Ticket::Submission(submission), Command::Chunk(Box::new(first)));
        let submission = self.submission();
        let mut second =
            GraphChunk { first_index: 1, classes: Vec::new(), ..chunk(submission, Some(id)) };
        let reason = if world.rng.chance(50) {
            Reason::Malformed // Its options.
        } else {
            (second.options, second.first_index) = (None, 7);
            Reason::ChunkOrder
        };
        self.ask_rudely(world, submission, Command::Chunk(Box::new(second)), reason);
        let submission = self.submission();
        self.ask(world, Ticket::Submission(submission), Command::Forget { submission, graph: id });
    }
}

/// A command that must be refused, and why. The last kind is for a graph whose last chunk has come.
fn rudeness(kind: u64, submission: SubmissionId, graph: GraphId) -> (Command, Reason) {
    let unknown = GraphId::new(graph.session(), u32::MAX);
    match kind {
        0 => {
            (Command::Retry { submission, graph: unknown, tasks: Vec::new() }, Reason::GraphUnknown)
        }
        1 => {
            let (tasks, grace, reason) = (Vec::new(), Span::ZERO, String::new());
            let cancel = Command::Cancel { submission, graph: unknown, tasks, grace, reason };
            (cancel, Reason::GraphUnknown)
        }
        kind => {
            let (chunk, reason) = rude_chunk(kind, chunk(submission, None), graph);
            (Command::Chunk(Box::new(chunk)), reason)
        }
    }
}

fn rude_chunk(kind: u64, good: GraphChunk, graph: GraphId) -> (GraphChunk, Reason) {
    let task = TaskSpec::default();
    let takes = |task, output| TaskSpec {
        deps: [Dep { task, output }].into_iter().collect(),
        ..TaskSpec::default()
    };
    let keyed = |key: &str| TaskSpec { key: key.to_owned(), ..TaskSpec::default() };
    let of = |tasks: Vec<TaskSpec>| GraphChunk { tasks, ..good.clone() };
    match kind {
        2 => (of(vec![keyed("twice"), keyed("once"), keyed("twice")]), Reason::KeyDuplicate),
        3 => (of(vec![keyed("a\nb")]), Reason::KeyInvalid),
        4 => (of(vec![task, takes(9, 0)]), Reason::DependencyUnknown),
        5 => (of(vec![task, takes(1, 0)]), Reason::DependencySelf),
        6 => (of(vec![takes(1, 0), takes(0, 0)]), Reason::GraphCycle),
        7 => (of(vec![task, takes(0, 3)]), Reason::OutputUnknown),
        8 => (of(vec![TaskSpec { class: 4, ..task }]), Reason::ClassUnknown),
        9 => {
            let externals = vec![ObjectId::Held { holder: HolderId(1), n: u64::MAX }];
            (GraphChunk { externals, ..good }, Reason::ObjectUnknown)
        }
        10 => (
            GraphChunk { arrays: vec![array(Rows::Values(Vec::new()))], ..good },
            Reason::Malformed,
        ),
        14 => {
            // Its second row takes what a task does not make.
            let classes =
                vec![TaskClass::default(), TaskClass { outputs: 0, ..TaskClass::default() }];
            let mut array = array(Rows::Range { start: 0, step: 1 });
            array.inputs = vec![ArrayInput { first: 0, stride: 1, output: 0 }];
            let arrays = vec![array];
            let tasks = vec![TaskSpec::default(), TaskSpec { class: 1, ..task }];
            (GraphChunk { classes, arrays, tasks, ..good }, Reason::OutputUnknown)
        }
        11 => (GraphChunk { first_index: 5, ..good }, Reason::ChunkOrder),
        12 => {
            let foreign = GraphId::new(SessionId(graph.session().0 + 1), 1);
            (GraphChunk { graph: Some(foreign), ..good }, Reason::GraphNumber)
        }
        13 => {
            let classes = vec![TaskClass { outputs: 0, ..TaskClass::default() }];
            (GraphChunk { classes, ..of(vec![task, takes(0, 0)]) }, Reason::OutputUnknown)
        }
        _ => (GraphChunk { graph: Some(graph), ..good }, Reason::GraphClosed),
    }
}

/// A whole graph of one class and no tasks.
fn chunk(submission: SubmissionId, graph: Option<GraphId>) -> GraphChunk {
    GraphChunk {
        submission,
        graph,
        first_index: 0,
        tasks: Vec::new(),
        arrays: Vec::new(),
        classes: vec![TaskClass::default()],
        externals: Vec::new(),
        outputs: Vec::new(),
        options: Some(GraphOptions::default()),
        last: true,
    }
}

fn array(rows: Rows) -> TaskArray {
    TaskArray {
        key_prefix: "row".to_owned(),
        count: 2,
        class: 0,
        payload: bytes::Bytes::new(),
        rows,
        inputs: Vec::new(),
        priority: 0,
        order: 0,
    }
}
