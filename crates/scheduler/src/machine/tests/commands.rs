//! What sessions ask for besides graphs: why something was cancelled, values that are put.

use bireme_core::graph::{Dep, GraphBuilder, GraphOptions, TaskClass, TaskSpec, TaskState};
use bireme_core::id::{GraphId, SessionId, SubmissionId, TaskId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::reason::Reason;
use bireme_core::session::{Command, Put};
use bireme_core::{Span, Time};

use super::harness::cluster;
use crate::machine::session::Outcome;
use crate::machine::{Effect, Event, Machine};

const SESSION: SessionId = SessionId(1);

/// Has a command carried out.
pub(super) fn command(machine: &mut Machine, command: Command) -> Outcome {
    let mut effects = Vec::new();
    machine.handle(Time(5), Event::Commanded { session: SESSION, command }, &mut effects);
    assert_eq!(machine.check(), Ok(()));
    let answer = effects.into_iter().find_map(|effect| match effect {
        Effect::Answered { outcome, .. } => Some(outcome),
        _ => None,
    });
    answer.expect("an answer")
}

/// A graph of so many tasks, and one that takes the outputs of all of them.
fn submit(machine: &mut Machine, tasks: u32) -> GraphId {
    let mut graph = GraphBuilder::new(GraphOptions::default());
    let class = graph.class(TaskClass::default());
    let mut spec = TaskSpec { class, ..TaskSpec::default() };
    for _ in 0..tasks {
        spec.deps.push(Dep::from(graph.task(TaskSpec { class, ..TaskSpec::default() }).unwrap()));
    }
    graph.task(spec).unwrap();
    let id = GraphId::new(SESSION, 1);
    let mut submissions = 100..;
    let fresh = || SubmissionId(submissions.next().unwrap());
    for chunk in graph.into_chunks(Some(id), fresh) {
        command(machine, Command::Chunk(Box::new(chunk))).unwrap();
    }
    id
}

#[test]
fn whoever_looks_at_a_cancelled_graph_reads_why_until_it_is_tried_again() {
    let mut machine = cluster();
    let graph = submit(&mut machine, 1);
    let (submission, tasks, grace) = (SubmissionId(1), Vec::new(), Span::ZERO);
    let reason = "not needed any more".to_owned();
    command(&mut machine, Command::Cancel { submission, graph, tasks, grace, reason }).unwrap();
    let view = machine.find_graph(graph).unwrap();
    assert_eq!(view.error.unwrap().message, "not needed any more");
    assert_eq!(view.counts.of(TaskState::Cancelled), 2);
    let (story, _) = machine.story(TaskId { graph, index: 0 });
    assert_eq!(story.last().unwrap().message, "the attempt was cancelled: not needed any more");
    let retry = Command::Retry { submission: SubmissionId(2), graph, tasks: Vec::new() };
    command(&mut machine, retry).unwrap();
    assert_eq!(machine.find_graph(graph).unwrap().error, None);
}

#[test]
fn an_explanation_counts_the_inputs_that_it_leaves_out() {
    let mut machine = cluster();
    let graph = submit(&mut machine, 14);
    let why = machine.explain(TaskId { graph, index: 14 }).unwrap();
    assert_eq!((why.missing.len(), why.missing_left_out), (10, 4));
}

#[test]
fn a_value_that_is_put_counts_and_more_copies_of_one_are_refused() {
    let mut machine = cluster();
    let object = ObjectId::Held { holder: SESSION.into(), n: 1 };
    let mut put = |copies: u32| {
        let put = Put { object, size: 7, worker: WorkerId(1), copies };
        let submission = SubmissionId(u128::from(copies));
        command(&mut machine, Command::Put { submission, objects: vec![put] })
    };
    let refused = put(2).unwrap_err();
    let (reason, field) = (refused.reason, refused.field.as_str());
    assert_eq!((reason, field), (Reason::Unsupported, "objects[0].copies"));
    put(1).unwrap();
    assert_eq!(machine.sessions().next().unwrap().values, (1, 7));
}
