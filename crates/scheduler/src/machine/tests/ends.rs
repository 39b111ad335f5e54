//! A session that hears that a graph is done has heard of every end before, however late it reads.

use bireme_core::graph::{GraphChunk, GraphOptions, TaskClass, TaskSpec, Watch};
use bireme_core::id::{GraphId, SessionId, SessionToken, SubmissionId, TaskId, WorkerId};
use bireme_core::protocol::{Order, Output, Report, Timing};
use bireme_core::session::{Command, Notice, Open};
use bireme_core::{ObjectId, Time, limits};

use super::harness::cluster;
use crate::machine::{ConnId, Event, Machine, Peer};

const SESSION: SessionId = SessionId(1);

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
    handle(&mut machine, Event::Disconnected { conn: ConnId(1), peer: Peer::Session(SESSION) });
    let open = Open::new(SessionToken(7));
    handle(&mut machine, Event::SessionOpened { conn: Some(ConnId(9)), open });
    assert_eq!(told(&mut machine), ["end", "end", "end", "done"]);
}

#[test]
fn a_task_has_no_output_beyond_its_last() {
    let mut machine = cluster();
    run_a_graph(&mut machine);
    let task = TaskId { graph: GraphId::new(SESSION, 1), index: 0 };
    assert!(machine.object(ObjectId::output(task, 0)).is_some());
    assert!(machine.object(ObjectId::output(task, 1)).is_none());
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
        options: Some(GraphOptions { watch: Watch::Outputs, ..GraphOptions::default() }),
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

fn handle(machine: &mut Machine, event: Event) {
    machine.handle(Time(5), event, &mut Vec::new());
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
