//! The scheduler at its limits. They are far beyond what a random load reaches, so each is walked up to here: the last thing
//! that fits is taken in, and the next meets what `bireme_core::limits` says.

use std::collections::BTreeSet;

use bireme_core::graph::{GraphChunk, Rows, TaskArray, TaskClass, TaskSpec};
use bireme_core::id::{AttemptId, AttemptNo, Epoch, GraphId, HolderId, SessionToken, TaskId};
use bireme_core::protocol::{Order, Report, Timing};
use bireme_core::session::{Command, Open};
use bireme_core::{ObjectId, Reason, Resources, Span, limits};
use bireme_scheduler::machine::{ConnId, Effect, Event};

use crate::alone::{Run, SESSION, cut, taker, tasks};
use crate::sources;

#[test]
fn sessions() {
    let mut run = Run::new();
    let refusals: Vec<_> = (2..=limits::SESSIONS as u128).filter_map(|n| run.open(n)).collect();
    assert_eq!(refusals, []);
    assert_eq!(run.open(u128::MAX), Some(Reason::Busy));
    assert_eq!(run.open(1), Some(Reason::Superseded), "the older stream of one that is there");
}

#[test]
fn session_ttl_max() {
    let mut run = Run::new();
    let open = Open { ttl: Some(Span(u64::MAX)), ..Open::new(SessionToken(2)) };
    let effects = run.handle(Event::SessionOpened { conn: Some(ConnId(2)), open });
    let ttl = effects.iter().find_map(|effect| match effect {
        Effect::SessionOpened { opened, .. } => Some(opened.ttl),
        _ => None,
    });
    assert_eq!(ttl, Some(limits::SESSION_TTL_MAX));
}

#[test]
fn workers() {
    let mut run = Run::new();
    let last = u32::try_from(limits::WORKERS).expect("it fits");
    let refusals: Vec<_> = (1..=last).filter_map(|n| run.join(n, 1)).collect();
    assert_eq!(refusals, []);
    assert_eq!(run.join(last + 1, 1), Some(Reason::Busy));
}

#[test]
fn session_graphs() {
    let mut run = Run::new();
    let submitted =
        (0..limits::SESSION_GRAPHS).filter_map(|_| run.submit(Vec::new(), TaskClass::default()));
    assert_eq!(submitted.collect::<Vec<_>>(), []);
    assert_eq!(run.submit(Vec::new(), TaskClass::default()), Some(Reason::Busy));
    let (submission, graph) = (run.submission(), GraphId::new(SESSION, 1));
    assert_eq!(run.command(Command::Forget { submission, graph }), None);
    assert_eq!(run.submit(Vec::new(), TaskClass::default()), None, "there is room again");
}

#[test]
fn tasks_and_graph_tasks() {
    let mut run = Run::new();
    let array = |count| TaskArray {
        key_prefix: "row".to_owned(),
        count,
        class: 0,
        payload: bytes::Bytes::new(),
        rows: Rows::Range { start: 0, step: 1 },
        inputs: Vec::new(),
        priority: 0,
        order: 0,
    };
    let mut submit = |count| {
        let (arrays, classes) = (vec![array(count)], vec![TaskClass::default()]);
        let chunk = GraphChunk { arrays, classes, ..run.chunk() };
        run.command(Command::Chunk(Box::new(chunk)))
    };
    assert_eq!(submit(limits::GRAPH_TASKS + 1), Some(Reason::GraphTooLarge));
    assert_eq!(submit(u32::try_from(limits::TASKS).expect("it fits")), None);
    assert_eq!(submit(1), Some(Reason::TooManyTasks));
}

#[test]
fn answers() {
    let mut run = Run::new();
    let mut ping = |n| {
        let command = Command::Ping(n);
        cut(&run.handle(Event::Commanded { session: SESSION, command }))
    };
    let cuts: Vec<_> = (0..=limits::ANSWERS as u64).filter_map(&mut ping).collect();
    assert_eq!(cuts, []);
    assert_eq!(ping(u64::MAX), Some(Reason::Busy));
    assert_eq!(run.open(1), None, "it can come back");
}

#[test]
fn submissions() {
    let mut run = Run::new();
    let first = GraphChunk { last: true, graph: Some(GraphId::new(SESSION, 1)), ..run.chunk() };
    let again = |run: &mut Run| run.command(Command::Chunk(Box::new(first.clone())));
    assert_eq!(again(&mut run), None);
    for n in 1..limits::SUBMISSIONS {
        let (submission, objects) = (run.submission(), Vec::new());
        assert_eq!(run.command(Command::Put { submission, objects }), None, "command {n}");
    }
    assert_eq!(again(&mut run), None, "it is remembered");
    let (submission, objects) = (run.submission(), Vec::new());
    run.command(Command::Put { submission, objects });
    assert_eq!(again(&mut run), Some(Reason::GraphClosed), "it was forgotten");
}

#[test]
fn worker_owed() {
    let mut run = Run::new();
    run.join(1, 1);
    let mut report = |n| {
        let task = TaskId { graph: GraphId::new(SESSION, 9), index: n };
        let attempt = AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: 1 } };
        let outputs = std::iter::empty().collect();
        cut(&run.report(Report::Finished { attempt, outputs, timing: Timing::default() }))
    };
    let last = u32::try_from(limits::WORKER_OWED).expect("it fits");
    assert_eq!((0..last).filter_map(&mut report).collect::<Vec<_>>(), []);
    assert_eq!(report(last), Some(Reason::Busy));
}

#[test]
fn untold_values() {
    let mut run = Run::new();
    run.join(1, 1);
    for n in 0..=limits::UNTOLD_VALUES as u64 {
        let object = ObjectId::Held { holder: HolderId::from(SESSION), n };
        run.report(Report::ReplicaAdded { object, size: 1 });
    }
    let n = limits::UNTOLD_VALUES as u64;
    let last = ObjectId::Held { holder: HolderId::from(SESSION), n };
    assert_eq!(run.orders(), [Order::Release(last)]);
}

#[test]
fn worker_sent() {
    let mut run = Run::new();
    run.join(1, 1);
    let resources = Resources::new(0, 0);
    let class = TaskClass { resources, ..TaskClass::default() };
    assert_eq!(run.submit(tasks(limits::WORKER_SENT + 9), class), None);
    assert_eq!(run.started().len(), limits::WORKER_SENT);
}

#[test]
fn prefill_max() {
    let mut run = Run::new();
    run.join(1, 1);
    assert_eq!(run.submit(tasks(4_000), TaskClass::default()), None);
    let unknown = run.started();
    let prefill = limits::PREFILL_UNKNOWN as usize;
    assert_eq!(unknown.len(), 1 + prefill, "nothing is known of how long they take");
    let mut held = unknown;
    for _ in 0..200 {
        let attempt = held.remove(0);
        run.finish(attempt, Span(1));
        held.extend(run.started());
    }
    assert_eq!(held.len(), 1 + limits::PREFILL_MAX as usize);
}

#[test]
fn ahead_max_and_ahead_inputs() {
    let mut run = Run::new();
    run.join(1, 1);
    let followers = vec![taker(1); limits::AHEAD_MAX as usize + 9];
    let chain: Vec<TaskSpec> = tasks(1).into_iter().chain(followers).collect();
    assert_eq!(run.submit(chain, TaskClass::default()), None);
    assert_eq!(run.started().len(), 1 + limits::AHEAD_MAX as usize);

    let sent_of = |inputs: u32| {
        let mut run = Run::new();
        run.join(1, 64);
        let mut all = tasks(inputs as usize);
        all.push(taker(inputs));
        assert_eq!(run.submit(all, TaskClass::default()), None);
        run.started().len()
    };
    let most = limits::AHEAD_INPUTS;
    assert_eq!(sent_of(most), most as usize + 1, "the taker is sent ahead");
    assert_eq!(sent_of(most + 1), most as usize + 1, "the taker waits");
}

/// Limits that the machines enforce and that this file walks up to.
const REACHED: &[&str] = &[
    "AHEAD_INPUTS",
    "AHEAD_MAX",
    "ANSWERS",
    "GRAPH_TASKS",
    "PREFILL_MAX",
    "PREFILL_ROUND_TRIP",
    "PREFILL_UNKNOWN",
    "SESSIONS",
    "SESSION_GRAPHS",
    "SESSION_TTL_MAX",
    "SUBMISSIONS",
    "TASKS",
    "UNTOLD_VALUES",
    "WORKERS",
    "WORKER_OWED",
    "WORKER_SENT",
];

/// Limits that they name and that are not, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ACTORS", "not walked up to: a million records; the scheduler's machine refuses one more"),
    ("ACTORS_SETTLED", "forgets the first, whose orders of before are not known as such any more"),
    ("ACTORS_GONE", "drops what watches are told; they begin anew"),
    ("ACTORS_LOOKED_AT", "a step's share of work: the rest has its turn in the next"),
    ("ACTOR_DEATHS", "drops what is shown to people; nothing depends on it"),
    ("ACTOR_FENCE", "a pause: the tests of the scheduler's machine outlast it"),
    ("ACTOR_HOME_WAIT", "a pause: the tests of the scheduler's machine outlast it"),
    ("ACTOR_SERIES", "the tests of the scheduler's machine"),
    ("ANNOUNCED", "what reaches it takes half a gigabyte"),
    ("BATCH_BYTES", "the size of a message; random seeds send far shorter and full ones"),
    ("COPIES_LOOKED_AT", "a step's share of work: the rest has its turn in the next"),
    ("COPY_AGAIN", "a pause: random seeds with workers that leave outlast it"),
    ("COPY_RETRY", "a pause: the tests of the scheduler's machine outlast it"),
    ("DRAIN_COPIES", "not walked up to yet: a random load makes fewer values"),
    ("DRAIN_LOOK", "a pause: random seeds with workers that leave outlast it"),
    ("DRAIN_WAIT", "a pause: random seeds with workers that leave"),
    ("FETCHES", "the tests of the worker's machine"),
    ("FETCHING", "the tests of the worker's machine"),
    ("FETCHING_BYTES", "the tests of the worker's machine"),
    ("FOLLOWERS", "a default that the load of each seed replaces"),
    ("GATHER_RETRY", "a pause: the tests of the worker's machine"),
    ("GATHER_WAIT", "a pause: the tests of the worker's machine"),
    ("GRAPH_UPDATE", "a pause: random seeds outlast it"),
    ("KEY_BYTES", "the door's: the machine only relies on it"),
    (
        "NESTED",
        "not walked up to: sessions of attempts of the load are not nested; the machine refuses one more",
    ),
    ("PASSES", "the tests of the worker's machine"),
    ("PAYLOAD_BYTES", "the door's: the machine only relies on it"),
    ("SESSION_TTL", "a pause: random seeds with clients that never come back outlast their own"),
    ("SMALL_VALUES_BYTES", "random seeds have room for 0, 40 or 400 bytes"),
    ("STORY_MESSAGE_BYTES", "cuts a text; nothing depends on it"),
    ("STORY_TURNS", "drops what is shown to people; nothing depends on it"),
    ("TASK_INPUTS", "the door's: the machine only relies on it"),
    ("TASK_NEIGHBOURS", "how many are shown to people; nothing depends on it"),
    ("TASK_OUTPUTS", "the door's: the machine only relies on it"),
    ("TIMEOUT_GRACE", "a pause: random seeds with tasks that hang outlast it"),
    ("VALUE_BYTES", "the door's: the machine trusts no size beyond it"),
    ("WORKER_GRACE", "a pause: random seeds with workers that stay away outlast it"),
    ("WORKER_LOST", "a pause: random seeds with workers that fall silent outlast it"),
];

#[test]
fn every_limit_that_a_machine_names_is_reached_or_said_why_not() {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let named = sources::names(sources::MACHINES, "limits::", is_part);
    let elsewhere = ELSEWHERE.iter().map(|(name, _)| *name);
    let listed: BTreeSet<String> =
        REACHED.iter().copied().chain(elsewhere).map(str::to_owned).collect();
    assert_eq!(named.difference(&listed).collect::<Vec<_>>(), Vec::<&String>::new(), "unlisted");
    assert_eq!(listed.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "not named");
}
