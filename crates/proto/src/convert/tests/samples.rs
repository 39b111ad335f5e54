//! Values that are not the default, at least one of each variant.

use std::iter::successors;

use bireme_core::error::{ErrorClass, Exit, TaskError};
use bireme_core::graph::{
    ArrayInput, Dep, GraphChunk, GraphCounts, GraphOptions, OnWorkerLost, Outputs, Row, Rows,
    Runtime, TaskArray, TaskClass, TaskSpec, TaskState, Watch,
};
use bireme_core::id::{
    ActorId, AttemptId, AttemptNo, Digest, Epoch, GraphId, HolderId, SessionId, SessionToken,
    SubmissionId, TaskId, WorkerId, WorkerLife, WorkerUid,
};
use bireme_core::protocol::{
    Address, Input, Join, Order, Output, Peer, PreviousLife, Report, Start, Timing,
};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::retry::RetryPolicy;
use bireme_core::session::{
    Command, IndexRange, Known, Notice, Open, Owner, Place, Put, Replica, TaskUpdate,
};
use bireme_core::value::{Buffer, Codec, Compression, PoolFile, Ref, Value};
use bireme_core::{ObjectId, Resources, Span};
use bytes::Bytes;
use smallvec::smallvec;

use super::hosting;
use crate::pb;

pub(super) fn graph(n: u32) -> GraphId {
    GraphId::new(SessionId(7), n)
}

pub(super) fn task(index: u32) -> TaskId {
    TaskId { graph: graph(1), index }
}

pub(super) fn attempt(n: u32) -> AttemptId {
    AttemptId { task: task(12), no: AttemptNo { epoch: Epoch(2), n } }
}

pub(super) fn worker(number: u32) -> WorkerId {
    WorkerId(number)
}

pub(super) fn output() -> ObjectId {
    ObjectId::Output { task: task(0), output: 3 }
}

pub(super) fn held() -> ObjectId {
    ObjectId::Held { holder: HolderId(1 << 33), n: 9 }
}

pub(super) fn digest() -> Digest {
    Digest([0xd1; 32])
}

pub(super) fn submission() -> SubmissionId {
    SubmissionId(0xfeed)
}

pub(super) fn label(n: u32, length: usize) -> pb::Label {
    pb::Label { key: n.to_string(), value: "v".repeat(length) }
}

pub(super) fn address() -> Address {
    Address { scheme: "https".into(), host: "::1".into(), port: 9_700, network: "ib".into() }
}

fn peer() -> Peer {
    Peer { worker: worker(4), addresses: vec![address()], machine: "boot host".into() }
}

fn ranges() -> Vec<IndexRange> {
    vec![IndexRange { first: 3, count: 4 }, IndexRange { first: 9, count: u32::MAX }]
}

fn timing() -> Timing {
    Timing { wait: Span(1), run: Span(2), cpu: Span(3), peak_bytes: 4 }
}

fn resources() -> Resources {
    let others = [("gpu".to_owned(), 5_000), ("licence".to_owned(), 10_000)];
    Resources::new(15_000, 1 << 33).with_others(others).unwrap()
}

/// A value with every kind of buffer and reference, an empty one, and one that is another object.
pub(super) fn values() -> Vec<Value> {
    fn next(buffer: Option<&Buffer>) -> Option<Buffer> {
        Some(match buffer {
            None => Buffer::Inline(Bytes::from_static(b"bytes")),
            Some(Buffer::Inline(_)) => Buffer::Blob(digest()),
            Some(Buffer::Blob(_)) => Buffer::Object(held()),
            Some(Buffer::Object(_)) => Buffer::PoolFile(PoolFile {
                name: "p1".into(),
                offset: 4_096,
                length: 10,
                generation: 3,
            }),
            Some(Buffer::PoolFile(_)) => return None,
        })
    }
    let full = Value {
        codec: Codec::Pickle5,
        buffers: successors(next(None), |buffer| next(Some(buffer))).collect(),
        size: 99,
        contains: vec![Ref::Actor(ActorId(8)), Ref::Object(output())],
        type_hint: "numpy.ndarray".into(),
        compression: Compression::Zstd,
        digest: Some(digest()),
    };
    let object = Value { buffers: vec![Buffer::Object(output())], ..Value::none() };
    vec![full, Value::none(), Value::text("text"), object]
}

pub(super) fn error() -> TaskError {
    let cause = TaskError::new(ErrorClass::Dependency, "DEPENDENCY_FAILED", "the other one");
    TaskError {
        traceback: "at line 3".into(),
        language: "python".into(),
        attempt: Some(attempt(2)),
        worker: "w".into(),
        exit: Some(Exit { code: -1, signal: 9 }),
        last_lines: vec!["one".into(), "two".into()],
        cause: Some(Box::new(cause)),
        opaque: Some(Value::raw("opaque")),
        ..TaskError::new(ErrorClass::ProcessDied, "PROCESS_DIED", "killed")
    }
}

fn classes() -> Vec<TaskClass> {
    fn next(runtime: Option<&Runtime>) -> Option<Runtime> {
        Some(match runtime {
            None => Runtime::Command,
            Some(Runtime::Command) => Runtime::External {
                name: "python".into(),
                environment: Some(digest()),
                fresh_process: true,
            },
            Some(Runtime::External { .. }) => Runtime::Native,
            Some(Runtime::Native) => Runtime::Wasm,
            Some(Runtime::Wasm) => return None,
        })
    }
    let full = |runtime| TaskClass {
        function: Some("count".into()),
        resources: resources(),
        runtime,
        workers: vec!["w1".into(), "w2".into()],
        allow_other_workers: true,
        labels: vec![("zone".into(), "a".into())],
        retry: RetryPolicy {
            max_retries: 3,
            backoff: Span::millis(1),
            backoff_max: Span::secs(2),
            retry_on: vec![ErrorClass::Timeout, ErrorClass::User],
            max_crashes: 0,
        },
        timeout: Some(Span::secs(9)),
        on_worker_lost: OnWorkerLost::Fail,
        outputs: 4,
    };
    let runtimes = successors(next(None), |runtime| next(Some(runtime)));
    let free = TaskClass { resources: Resources::none(), ..TaskClass::default() };
    runtimes.map(full).chain([TaskClass::default(), free]).collect()
}

/// A first chunk that has everything, and a last one that has nothing.
pub(super) fn chunks() -> Vec<GraphChunk> {
    let spec = TaskSpec {
        key: "a".into(),
        class: 1,
        deps: smallvec![Dep { task: 4, output: 1 }, Dep::from(2), Dep::from(3)],
        externals: smallvec![0, 1],
        payload: Bytes::from_static(b"payload"),
        priority: -5,
        order: 6,
    };
    let simple = TaskSpec { deps: smallvec![Dep::from(0)], ..TaskSpec::default() };
    let array = |rows| TaskArray {
        key_prefix: "rows".into(),
        count: 2,
        class: 3,
        payload: Bytes::from_static(b"row"),
        rows,
        inputs: vec![ArrayInput { first: 1, stride: 2, output: 3 }],
        priority: i32::MIN,
        order: 9,
    };
    let values = Rows::Values(vec![Bytes::from_static(b"x"), Bytes::new()]);
    let first = GraphChunk {
        submission: submission(),
        graph: Some(graph(1)),
        first_index: 0,
        tasks: vec![spec, simple, TaskSpec::default()],
        arrays: vec![array(values), array(Rows::Range { start: i64::MIN, step: -1 })],
        classes: classes(),
        externals: vec![output(), held()],
        outputs: vec![0, 2],
        options: Some(GraphOptions {
            name: "graph".into(),
            outputs: Outputs::Listed,
            watch: Watch::Values,
            ttl: Some(Span::secs(60)),
            max_failures: Some(0),
            priority: -1,
            detached: true,
        }),
        last: false,
    };
    let last = GraphChunk {
        graph: None,
        first_index: 3,
        tasks: Vec::new(),
        arrays: Vec::new(),
        classes: Vec::new(),
        externals: Vec::new(),
        outputs: Vec::new(),
        options: Some(GraphOptions::default()),
        last: true,
        ..first.clone()
    };
    vec![first, last]
}

pub(super) fn open() -> Open {
    Open {
        token: SessionToken(1),
        name: "session".into(),
        by_name: true,
        owner: Owner::default(),
        ttl: Some(Span::secs(1)),
        weight_percent: 250,
        known: vec![Known { graph: graph(2), accepted_tasks: 12, seen: ranges() }],
        parent: Some(attempt(4)),
    }
}

pub(super) fn commands() -> Vec<Command> {
    fn next(command: Option<&Command>) -> Option<Command> {
        let (submission, graph, tasks) = (submission(), graph(3), ranges());
        Some(match command {
            None => {
                let reason = "not needed any more".to_owned();
                Command::Cancel { submission, graph, tasks, grace: Span(5), reason }
            }
            Some(Command::Cancel { .. }) => Command::Chunk(Box::new(chunks().remove(0))),
            Some(Command::Chunk(_)) => Command::Close { submission },
            Some(Command::Close { .. }) => Command::DropReplicas {
                submission,
                replicas: vec![Replica { object: held(), worker: worker(1) }],
            },
            Some(Command::DropReplicas { .. }) => Command::Forget { submission, graph },
            Some(Command::Forget { .. }) => {
                Command::Locate { request: 3, objects: vec![output(), held()] }
            }
            Some(Command::Locate { .. }) => Command::Ping(u64::MAX),
            Some(Command::Ping(_)) => Command::Put {
                submission,
                objects: vec![Put { object: held(), size: 3, worker: worker(1), copies: 2 }],
            },
            Some(Command::Put { .. }) => Command::Release { submission, graph, tasks },
            Some(Command::Release { .. }) => {
                Command::ReleaseValues { submission, objects: vec![held()] }
            }
            Some(Command::ReleaseValues { .. }) => Command::Retry { submission, graph, tasks },
            Some(Command::Retry { .. }) => Command::Want { graph, tasks, values: true },
            Some(Command::Want { .. }) => return None,
        })
    }
    successors(next(None), |command| next(Some(command))).collect()
}

pub(super) fn task_notice(
    graph: u64,
    index: u32,
    state: TaskState,
    value: Option<Value>,
) -> Notice {
    let output = Output { size: 5, value: value.map(Box::new) };
    let outputs = smallvec![(output, smallvec![worker(1), worker(2), worker(3)])];
    Notice::Task {
        graph: GraphId(graph),
        update: TaskUpdate { index, state, outputs, error: None },
    }
}

pub(super) fn notices() -> Vec<Notice> {
    fn next(notice: Option<&Notice>) -> Option<Notice> {
        let (submission, graph) = (submission(), Some(graph(3)));
        let refusal = |field: &str| Refusal::at(Reason::NoWorker, field, "nobody has a gpu");
        Some(match notice {
            None => Notice::Accepted { submission, graph, tasks: 8 },
            Some(Notice::Accepted { .. }) => Notice::Closing(refusal("")),
            Some(Notice::Closing(_)) => Notice::Graph {
                graph: super::samples::graph(3),
                counts: GraphCounts::default(),
                done: true,
                error: Some(Box::new(error())),
            },
            Some(Notice::Graph { .. }) => Notice::Places {
                request: 3,
                places: vec![Place {
                    object: output(),
                    size: 4,
                    holders: smallvec![worker(1)],
                    value: Some(Box::new(Value::text("here"))),
                }],
            },
            Some(Notice::Places { .. }) => Notice::Pong(u64::MAX),
            Some(Notice::Pong(_)) => Notice::Refused { submission, refusal: refusal("chunk.last") },
            Some(Notice::Refused { .. }) => {
                task_notice(1, 0, TaskState::Finished, Some(Value::raw("small")))
            }
            Some(Notice::Task { .. }) => {
                Notice::Warning { graph, task: Some(0), refusal: refusal("") }
            }
            Some(Notice::Warning { .. }) => Notice::Workers(vec![(peer(), "name".into())]),
            Some(Notice::Workers(_)) => return None,
        })
    }
    let failed = TaskUpdate {
        index: 9,
        state: TaskState::Failed,
        outputs: smallvec![],
        error: Some(Box::new(error())),
    };
    successors(next(None), |notice| next(Some(notice)))
        .chain([
            Notice::Task { graph: graph(1), update: failed },
            task_notice(graph(1).0, 10, TaskState::Cancelled, None),
            Notice::Accepted { submission: submission(), graph: None, tasks: 0 },
        ])
        .collect()
}

pub(super) fn input() -> Input {
    Input {
        object: output(),
        holders: smallvec![worker(1), worker(2), worker(3)],
        size: 7,
        value: Some(Box::new(Value::text("inline"))),
        made_by: Some(attempt(6).no),
    }
}

pub(super) fn start() -> Start {
    Start {
        attempt: attempt(1),
        payload: Bytes::from_static(b"payload"),
        inputs: smallvec![input(), Input { value: None, holders: smallvec![], ..input() }],
        resources: resources(),
        outputs: 2,
        key: "key".into(),
        timeout: Some(Span::secs(4)),
        row: Row::Value(Bytes::from_static(b"row")),
        rank: 1 << 50,
        ahead: true,
        runtime: Runtime::Command,
    }
}

pub(super) fn orders() -> Vec<Order> {
    fn next(order: Option<&Order>) -> Option<Order> {
        Some(match order {
            None => Order::Actor(hosting::orders().remove(0)),
            Some(Order::Actor(_)) => Order::Cancel { attempt: attempt(1), grace: Span::secs(1) },
            Some(Order::Cancel { .. }) => Order::Drain { deadline: Some(Span::secs(2)) },
            Some(Order::Drain { .. }) => Order::Gone { object: output(), error: Box::new(error()) },
            Some(Order::Gone { .. }) => Order::Peers(vec![peer()]),
            Some(Order::Peers(_)) => Order::Places(vec![input()]),
            Some(Order::Places(_)) => Order::Release(output()),
            Some(Order::Release(_)) => Order::Replicate(vec![input(), input()]),
            Some(Order::Replicate(_)) => Order::Retract(attempt(3)),
            Some(Order::Retract(_)) => Order::Settle(attempt(4)),
            Some(Order::Settle(_)) => Order::Start(start()),
            Some(Order::Start(_)) => Order::Stop,
            Some(Order::Stop) => return None,
        })
    }
    let usual = Start {
        inputs: smallvec![],
        resources: Resources::one_cpu(),
        outputs: 1,
        timeout: None,
        row: Row::Number(-7),
        ahead: false,
        runtime: Runtime::Native,
        ..start()
    };
    successors(next(None), |order| next(Some(order)))
        .chain([
            Order::Settle(attempt(5)),
            Order::Settle(attempt(6)),
            Order::Release(held()),
            Order::Release(output()),
            Order::Start(usual),
            Order::Drain { deadline: None },
        ])
        .chain(hosting::orders().into_iter().map(Order::Actor))
        .collect()
}

pub(super) fn reports() -> Vec<Report> {
    fn next(report: Option<&Report>) -> Option<Report> {
        let (attempt, object, timing) = (attempt(2), output(), timing());
        Some(match report {
            None => Report::Actor(hosting::reports().remove(0)),
            Some(Report::Actor(_)) => Report::Draining { waits: true },
            Some(Report::Draining { .. }) => {
                Report::Failed { attempt, error: Box::new(error()), timing }
            }
            Some(Report::Failed { .. }) => Report::Finished {
                attempt,
                outputs: smallvec![
                    Output { size: 3, value: Some(Box::new(Value::raw("abc"))) },
                    Output { size: 1 << 40, value: None },
                ],
                timing,
            },
            Some(Report::Finished { .. }) => Report::InputMissing {
                object,
                asked: smallvec![worker(1), worker(2)],
                made_by: Some(attempt.no),
            },
            Some(Report::InputMissing { .. }) => Report::ReplicaAdded { object, size: 77 },
            Some(Report::ReplicaAdded { .. }) => Report::ReplicaLost(held()),
            Some(Report::ReplicaLost(_)) => Report::Retracted(attempt),
            Some(Report::Retracted(_)) => Report::Started(attempt),
            Some(Report::Started(_)) => Report::Seceded(attempt),
            Some(Report::Seceded(_)) => Report::Rejoined(attempt),
            Some(Report::Rejoined(_)) => return None,
        })
    }
    successors(next(None), |report| next(Some(report)))
        .chain(hosting::reports().into_iter().map(Report::Actor))
        .collect()
}

pub(super) fn join() -> Join {
    Join {
        uid: WorkerUid(1),
        life: WorkerLife(2),
        name: "worker".into(),
        resources: resources(),
        labels: vec![("disk".into(), "ssd".into()), ("zone".into(), "a".into())],
        addresses: vec![
            address(),
            Address {
                scheme: "unix".into(),
                host: "/run/w".into(),
                port: 0,
                network: String::new(),
            },
        ],
        machine: "boot host".into(),
        pid: 77,
        functions: vec!["builtin/echo".into(), "builtin/noop".into()],
        runtimes: vec!["python".into()],
        previous: Some(PreviousLife {
            life: WorkerLife(1),
            exit: Exit { code: 0, signal: 9 },
            started: vec![attempt(1)],
        }),
    }
}
