//! Every reason that the machines can give is met: by random loads, which `bireme_sim` counts, or here by hand.

use std::collections::BTreeSet;

use bireme_core::graph::{GraphChunk, TaskClass, TaskSpec};
use bireme_core::id::{HolderId, WorkerId};
use bireme_core::protocol::{Order, Report, Timing};
use bireme_core::session::{Command, Put};
use bireme_core::{ObjectId, Reason, Span, limits};
use bireme_sim::{FAILURES, REFUSALS};

use crate::alone::{Run, SESSION, WORKER, tasks};
use crate::sources;

/// Reasons of which a test of this crate sees that the machines give them, and where it is.
const BY_HAND: &[(Reason, &str)] = &[
    (Reason::Busy, "bounds: sessions, workers, session_graphs, answers, worker_owed"),
    (Reason::GraphTooLarge, "bounds: tasks_and_graph_tasks"),
    (Reason::Malformed, "an_attempt_with_too_few_outputs_has_failed"),
    (Reason::PayloadTooLarge, "a_payload_beyond_its_limit"),
    (Reason::TaskUnknown, "an_output_that_is_no_task"),
    (Reason::TooManyTasks, "bounds: tasks_and_graph_tasks"),
    (Reason::Unsupported, "a_value_at_a_worker_that_is_not_there"),
];

/// Reasons that they name and that neither meets, and why.
const ELSEWHERE: &[(Reason, &str)] = &[
    (Reason::ActorExited, ACTORS),
    (Reason::ActorGone, ACTORS),
    (Reason::ActorKilled, ACTORS),
    (Reason::ActorUnknown, ACTORS),
    (Reason::NameTaken, ACTORS),
    (Reason::RestartsExhausted, ACTORS),
    (Reason::RoleMissing, ACTORS),
    (
        Reason::ShuttingDown,
        "told only if an attempt ends in the very step in which its worker leaves: the tests of the worker's machine",
    ),
    (Reason::StateLost, ACTORS),
    (
        Reason::WouldDeadlock,
        "attempts of the load wait and open no sessions: the tests of the scheduler's machine, `nested`",
    ),
];

/// Where actors meet the scheduler's machine.
const ACTORS: &str = "the load has no actors: the tests of the scheduler's machine, `actors`";

#[test]
fn a_payload_beyond_its_limit() {
    let mut run = Run::new();
    let mut submit = |bytes: usize| {
        let payload = vec![0; bytes].into();
        run.submit(vec![TaskSpec { payload, ..TaskSpec::default() }], TaskClass::default())
    };
    assert_eq!(submit(limits::PAYLOAD_BYTES), None);
    assert_eq!(submit(limits::PAYLOAD_BYTES + 1), Some(Reason::PayloadTooLarge));
}

#[test]
fn an_output_that_is_no_task() {
    let mut run = Run::new();
    let mut submit = |output: u32| {
        let (tasks, classes) = (tasks(2), vec![TaskClass::default()]);
        let chunk = GraphChunk { tasks, classes, outputs: vec![output], ..run.chunk() };
        run.command(Command::Chunk(Box::new(chunk)))
    };
    assert_eq!(submit(1), None);
    assert_eq!(submit(2), Some(Reason::TaskUnknown));
}

#[test]
fn a_value_at_a_worker_that_is_not_there() {
    let mut run = Run::new();
    run.join(1, 1);
    let mut put = |worker, n, copies| {
        let object = ObjectId::Held { holder: HolderId::from(SESSION), n };
        let objects = vec![Put { object, size: 1, worker, copies }];
        let submission = run.submission();
        run.command(Command::Put { submission, objects })
    };
    assert_eq!(put(WorkerId(2), 1, 1), Some(Reason::WorkerUnknown));
    assert_eq!(put(WORKER, 1, 2), Some(Reason::Unsupported), "copies are made later");
    assert_eq!(put(WORKER, 1, 1), None);
}

#[test]
fn an_attempt_with_too_few_outputs_has_failed() {
    let mut run = Run::new();
    run.join(1, 1);
    assert_eq!(run.submit(tasks(1), TaskClass::default()), None);
    let attempt = *run.started().first().expect("it is started");
    let timing = Timing { run: Span(1), ..Timing::default() };
    let outputs = std::iter::empty().collect();
    run.report(Report::Finished { attempt, outputs, timing });
    assert!(run.orders().contains(&Order::Settle(attempt)), "the worker may forget it");
    let task = run.machine.tasks_from(attempt.task.graph, 0).next();
    let error = task.and_then(|task| task.error);
    assert_eq!(error.map(|error| error.reason).as_deref(), Some(Reason::Malformed.name()));
}

#[test]
fn every_reason_that_a_machine_names_is_met_or_said_why_not() {
    let mut named = sources::names(sources::MACHINES, "Reason::", char::is_alphanumeric);
    named.extend(sources::names(sources::CHECKS, "Reason::", char::is_alphanumeric));
    let listed: BTreeSet<String> = REFUSALS
        .iter()
        .chain(FAILURES)
        .chain(BY_HAND.iter().chain(ELSEWHERE).map(|(reason, _)| reason))
        .map(|reason| format!("{reason:?}"))
        .collect();
    let unlisted: Vec<_> = named.difference(&listed).collect();
    assert_eq!(unlisted, Vec::<&String>::new(), "no test sees that the machines give them");
    // These the executors of the simulation give.
    let theirs = ["ProcessDied", "StoreFull", "UserError"].map(str::to_owned);
    let stale: Vec<_> = listed.difference(&named).filter(|name| !theirs.contains(name)).collect();
    assert_eq!(stale, Vec::<&String>::new(), "no machine names them");
}
