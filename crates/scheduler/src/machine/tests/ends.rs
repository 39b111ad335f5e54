//! A session that hears that a graph is done has heard of every end before, however late it reads.

use bireme_core::graph::{GraphChunk, GraphOptions, TaskClass, TaskSpec, Watch};
use bireme_core::id::{GraphId, SessionId, SessionToken, SubmissionId, TaskId, WorkerId};
use bireme_core::protocol::{Order, Output, Report, Timing};
use bireme_core::session::{Command, IndexRange, Notice, Open};
use bireme_core::{ObjectId, Span, Time, limits};

use super::harness::cluster;
use crate::machine::{ConnId, Event, Machine, Peer};

const SESSION: SessionId = SessionId(1);
/// When all of it ends, and how long its outputs are kept after that.
const ENDED: Time = Time(5);
const TTL: Span = Span::millis(1);

#[test]
fn a_client_that_reads_late_hears_of_every_end_first() {
    let mut machine = cluster();
    run_a_graph(&mut machine);
    assert_eq!(told(&mut machine), ["end", "end", "end", "done"]);
}

#[test]
fn a_client_that_comes_back_hears_of_every_end_first() {
    let mut machine = cluster();
    run_a_graph(&mut machine);
    leave(&mut machine);
    come_back(&mut machine);
    assert_eq!(told(&mut machine), ["end", "end", "end", "done"]);
}

#[test]
fn a_client_that_comes_back_hears_of_the_ends_whose_outputs_have_expired() {
    let mut machine = cluster();
    run_a_graph(&mut machine);
    leave(&mut machine);
    machine.handle(ENDED + TTL, Event::TimerDue, &mut Vec::new());
    assert!(machine.object(ObjectId::output(first_task(), 0)).is_none(), "its time is over");
    come_back(&mut machine);
    assert_eq!(told(&mut machine), ["end", "end", "end", "done"]);
}

#[test]
fn a_client_that_comes_back_hears_nothing_of_what_it_gave_up() {
    let mut machine = cluster();
    run_a_graph(&mut machine);
    let (submission, graph) = (SubmissionId(2), first_task().graph);
    let tasks = vec![IndexRange { first: 0, count: 2 }];
    let command = Command::Release { submission, graph, tasks };
    handle(&mut machine, Event::Commanded { session: SESSION, command });
    leave(&mut machine);
    come_back(&mut machine);
    assert_eq!(told(&mut machine), ["end", "done"]);
}

#[test]
fn a_task_has_no_output_beyond_its_last() {
    let mut machine = cluster();
    run_a_graph(&mut machine);
    assert!(machine.object(ObjectId::output(first_task(), 0)).is_some());
    assert!(machine.object(ObjectId::output(first_task(), 1)).is_none());
}

fn first_task() -> TaskId {
    TaskId { graph: GraphId::new(SESSION, 1), index: 0 }
}

/// Submits three tasks and has them finish; the session reads nothing meanwhile.
fn run_a_graph(machine: &mut Machine) {
    let chunk = GraphChunk {
        submission: SubmissionId(1),
        graph: None,
        first_index: 0,
        tasks: vec![TaskSpec::default(); 3],
        arrays: Vec::new(),
        classes: vec![TaskClass::default()],
        externals: Vec::new(),
        outputs: Vec::new(),
        options: Some(GraphOptions {
            watch: Watch::Outputs,
            ttl: Some(TTL),
            ..GraphOptions::default()
        }),
        last: true,
    };
    let command = Command::Chunk(Box::new(chunk));
    handle(machine, Event::Commanded { session: SESSION, command });
    let (worker, mut orders) = (WorkerId(1), Vec::new());
    while machine.take_orders(worker, limits::BATCH_BYTES, &mut orders) {}
    for order in orders {
        let Order::Start(start) = order else { continue };
        let outputs = std::iter::once(Output { size: 8, value: None }).collect();
        let (attempt, timing) = (start.attempt, Timing::default());
        let report = Report::Finished { attempt, outputs, timing };
        handle(machine, Event::WorkerReported { worker, report });
    }
}

fn leave(machine: &mut Machine) {
    handle(machine, Event::Disconnected { conn: ConnId(1), peer: Peer::Session(SESSION) });
}

/// The client connects anew, and knows nothing.
fn come_back(machine: &mut Machine) {
    let open = Open::new(SessionToken(7));
    handle(machine, Event::SessionOpened { conn: Some(ConnId(9)), open });
}

fn handle(machine: &mut Machine, event: Event) {
    machine.handle(ENDED, event, &mut Vec::new());
    assert_eq!(machine.check(), Ok(()));
}

/// What the session reads of its graph, one message at a time.
fn told(machine: &mut Machine) -> Vec<&'static str> {
    let mut notices = Vec::new();
    while machine.take_notices(SESSION, 1, &mut notices) {}
    let word = |notice: &Notice| match notice {
        Notice::Graph { done: true, .. } => Some("done"),
        Notice::Task { .. } => Some("end"),
        _ => None,
    };
    notices.iter().filter_map(word).collect()
}
