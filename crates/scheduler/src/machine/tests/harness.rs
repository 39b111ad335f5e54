//! Reads scripts, drives the machine, writes transcripts.

mod fleet;
mod told;

use std::collections::BTreeMap;

use bireme_core::error::Exit;
use bireme_core::graph::{
    ArrayInput, GraphChunk, GraphOptions, OnWorkerLost, Rows, Runtime, TaskArray, TaskClass,
    TaskSpec, Watch,
};
use bireme_core::id::{
    AttemptId, AttemptNo, Epoch, GraphId, SessionId, SessionToken, SubmissionId, TaskId, WorkerId,
};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Output, Report, Timing};
use bireme_core::resources::UNITS;
use bireme_core::session::{Command, IndexRange, Open, Put, Replica};
use bireme_core::{ErrorClass, Resources, RetryPolicy, Span, TaskError, Time};
use expect_test::Expect;

use crate::machine::{Config, ConnId, Effect, Event, Machine, Peer};

/// Runs the steps of `script`, separated by `|`, and compares what each brought about.
pub(super) fn check(script: &str, expected: &Expect) {
    let mut run = Run::new();
    let steps: Vec<&str> = script.split(" | ").collect();
    let width = steps.iter().map(|step| step.len()).max().unwrap_or(0);
    let mut transcript = String::new();
    for step in steps {
        let told = run.step(step).join(" | ");
        transcript.push_str(format!("{step:width$} -> {told}").trim_end());
        transcript.push('\n');
    }
    expected.assert_eq(&transcript);
}

/// A machine with one worker.
pub(super) fn cluster() -> Machine {
    let mut run = Run::new();
    run.step("join 1 1");
    run.machine
}

const SESSION: SessionId = SessionId(1);

struct Run {
    machine: Machine,
    now: Time,
    class: TaskClass,
    keys: BTreeMap<TaskId, String>,
    attempts: BTreeMap<String, u32>,
    graph: u32,
    commands: u128,
    /// Whose the next commands are, and every session that there was.
    session: SessionId,
    sessions: Vec<SessionId>,
    /// Tasks that come before the rows of the next array.
    first: Vec<TaskSpec>,
    /// What each task of further graphs takes besides.
    externals: Vec<ObjectId>,
    /// How long outputs of further graphs are kept.
    ttl: Option<Span>,
    /// What was announced last was no news.
    equal: bool,
}

impl Run {
    fn new() -> Self {
        let machine = Machine::new(Config {
            epoch: Epoch(1),
            seed: 1,
            first_session: 1,
            small_bytes: bireme_core::limits::SMALL_VALUES_BYTES,
        });
        let class = TaskClass::default();
        let mut run = Self {
            machine,
            now: Time(1),
            class,
            keys: BTreeMap::new(),
            attempts: BTreeMap::new(),
            graph: 0,
            commands: 0,
            session: SESSION,
            sessions: vec![SESSION],
            first: Vec::new(),
            externals: Vec::new(),
            ttl: None,
            equal: false,
        };
        let open = Open::new(SessionToken(7));
        run.handle(Event::SessionOpened { conn: Some(ConnId(1)), open });
        run.tell();
        run
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.machine.handle(self.now, event, &mut effects);
        assert_eq!(self.machine.check(), Ok(()));
        effects
    }

    fn step(&mut self, step: &str) -> Vec<String> {
        let words: Vec<&str> = step.split(' ').collect();
        match words.as_slice() {
            ["join", worker, cpus, others @ ..] => self.join(number(worker), number(cpus), others),
            ["crash", worker, "as", next, started @ ..] => {
                self.crash(number(worker), number(next), started, 0);
            }
            ["crash", worker, "of", "old", "as", next, started @ ..] => {
                self.crash(number(worker), number(next), started, 9);
            }
            ["crashes", max] => {
                let retry = RetryPolicy { max_crashes: number(max), ..RetryPolicy::default() };
                self.class = TaskClass { retry, ..TaskClass::default() };
            }
            ["class", "once"] => {
                let on_worker_lost = OnWorkerLost::Fail;
                self.class = TaskClass { on_worker_lost, ..TaskClass::default() };
            }
            ["away", worker] => {
                let peer = Peer::Worker(WorkerId(number(worker)));
                let conn = ConnId(100 + u64::from(number(worker)));
                self.handle(Event::Disconnected { conn, peer });
            }
            ["back", worker, what @ ..] => self.come_back(number(worker), what),
            ["missing", worker, key, "at", holder, "of", n] => {
                let no = AttemptNo { epoch: Epoch(1), n: number(n) };
                let report = Report::InputMissing {
                    object: ObjectId::output(self.task(key), 0),
                    asked: [WorkerId(number(holder))].into_iter().collect(),
                    made_by: Some(no),
                };
                self.handle(Event::WorkerReported { worker: WorkerId(number(worker)), report });
            }
            ["missing", worker, n, "of", session] => {
                let holder = SessionId(number(session)).into();
                let report = Report::InputMissing {
                    object: ObjectId::Held { holder, n: number(n).into() },
                    asked: std::iter::empty().collect(),
                    made_by: None,
                };
                self.handle(Event::WorkerReported { worker: WorkerId(number(worker)), report });
            }
            ["retry", key] => {
                let task = self.task(key);
                let tasks = vec![IndexRange { first: task.index, count: 1 }];
                let submission = self.submission();
                self.command(Command::Retry { submission, graph: task.graph, tasks });
            }
            ["error", key] => return vec![self.error(key)],
            ["lose", worker] => {
                let peer = Peer::Worker(WorkerId(number(worker)));
                self.handle(Event::Disconnected {
                    conn: ConnId(100 + u64::from(number(worker))),
                    peer,
                });
                self.tick(bireme_core::limits::WORKER_GRACE);
            }
            ["drain", worker, deadline @ ..] => {
                let deadline = deadline.get(1).map(|ms| Span::millis(number(ms).into()));
                let (submission, worker) = (self.submission(), WorkerId(number(worker)));
                let reason = String::new();
                self.handle(Event::WorkerDrainAsked { submission, worker, deadline, reason });
            }
            ["stop", worker] => {
                let (submission, worker) = (self.submission(), WorkerId(number(worker)));
                let (grace, reason) = (Span::ZERO, String::new());
                self.handle(Event::WorkerStopAsked { submission, worker, grace, reason });
            }
            ["gone", worker] => {
                let worker = WorkerId(number(worker));
                self.handle(Event::WorkerReported {
                    worker,
                    report: Report::Draining { waits: false },
                });
                let conn = ConnId(100 + u64::from(worker.0));
                self.handle(Event::Disconnected { conn, peer: Peer::Worker(worker) });
            }
            ["leaves", worker] => {
                let (worker, report) = (WorkerId(number(worker)), Report::Draining { waits: true });
                self.handle(Event::WorkerReported { worker, report });
            }
            ["replica", worker, key] => {
                let object = ObjectId::output(self.task(key), 0);
                let report = Report::ReplicaAdded { object, size: 1 << 20 };
                self.handle(Event::WorkerReported { worker: WorkerId(number(worker)), report });
            }
            ["replica", worker, key, "lost"] => {
                let report = Report::ReplicaLost(ObjectId::output(self.task(key), 0));
                self.handle(Event::WorkerReported { worker: WorkerId(number(worker)), report });
            }
            ["drop", worker, key] => {
                let (object, worker) =
                    (ObjectId::output(self.task(key), 0), WorkerId(number(worker)));
                let (submission, replicas) = (self.submission(), vec![Replica { object, worker }]);
                self.command(Command::DropReplicas { submission, replicas });
            }
            ["class", "calls", function] => {
                let function = Some((*function).to_owned());
                self.class = TaskClass { function, ..TaskClass::default() };
            }
            ["class", "speaks", runtime] => {
                let runtime = Runtime::external(*runtime);
                self.class = TaskClass { runtime, ..TaskClass::default() };
            }
            ["take", keys @ ..] => {
                let output = |key: &&str| ObjectId::output(self.task(key), 0);
                self.externals = keys.iter().map(output).collect();
            }
            ["unreachable", worker, "n", n, "at", holder] => {
                let report = Report::InputMissing {
                    object: ObjectId::Held { holder: SESSION.into(), n: number(n).into() },
                    asked: [WorkerId(number(holder))].into_iter().collect(),
                    made_by: None,
                };
                self.handle(Event::WorkerReported { worker: WorkerId(number(worker)), report });
            }
            ["put", n, worker] => {
                let object = ObjectId::Held { holder: SESSION.into(), n: number(n).into() };
                let put = Put { object, size: 1, worker: WorkerId(number(worker)), copies: 1 };
                let submission = self.submission();
                self.command(Command::Put { submission, objects: vec![put] });
                self.externals = vec![object];
            }
            ["why", key] => {
                let why = self.machine.explain(self.task(key)).expect("the task is there");
                let each = why.workers.into_iter().filter_map(|worker| {
                    let forever = if worker.permanent { ", for ever" } else { "" };
                    Some(format!("{} {}{forever}", worker.name, worker.reason?))
                });
                return [why.summary].into_iter().chain(each).collect();
            }
            ["around", key] => {
                let around = self.machine.neighbours(self.task(key));
                let keys = |tasks: &[TaskId]| {
                    tasks.iter().map(|task| self.keys[task].clone()).collect::<Vec<_>>().join(",")
                };
                let (needs, needed_by) = (keys(&around.needs.0), keys(&around.needed_by.0));
                return vec![format!("needs {needs}"), format!("needed by {needed_by}")];
            }
            ["class", "prefers", worker] => {
                let workers = vec![(*worker).to_owned()];
                self.class =
                    TaskClass { workers, allow_other_workers: true, ..TaskClass::default() };
            }
            ["class", "two", "outputs"] => {
                self.class = TaskClass { outputs: 2, ..TaskClass::default() };
            }
            ["class", "plain"] => self.class = TaskClass::default(),
            ["class", "gpu"] => {
                let gpu = Resources::one_cpu().with_others([("gpu".to_owned(), UNITS)]).unwrap();
                self.class = TaskClass { resources: gpu, ..TaskClass::default() };
            }
            ["class", "retry"] => {
                let retry = RetryPolicy {
                    max_retries: 2,
                    backoff: Span::secs(1),
                    ..RetryPolicy::default()
                };
                self.class = TaskClass { retry, ..TaskClass::default() };
            }
            ["ttl", ms] => self.ttl = Some(Span::millis(number(ms).into())),
            ["submit", tasks @ ..] => self.submit(tasks),
            ["array", count, "after", key] => {
                let first = TaskSpec { key: (*key).to_owned(), ..TaskSpec::default() };
                self.first = vec![first];
                self.array(number(count), false);
            }
            ["array", count] => self.array(number(count), false),
            ["array", count, "twice"] => self.array(number(count), true),
            ["cancel", key] => {
                let (graph, index) = (self.task(key).graph, self.task(key).index);
                let tasks = vec![IndexRange { first: index, count: 1 }];
                let submission = self.submission();
                let (grace, reason) = (Span::ZERO, String::new());
                self.command(Command::Cancel { submission, graph, tasks, grace, reason });
            }
            ["inside", worker, key] => return self.enter(WorkerId(number(worker)), key),
            ["outside"] => self.session = SESSION,
            ["tick", ms] => self.tick(Span::millis(u64::from(number(ms)))),
            [report, worker, key] => self.report(report, WorkerId(number(worker)), key),
            _ => panic!("no such step: {step}"),
        }
        let mut told = self.tell();
        if std::mem::take(&mut self.equal) {
            told.insert(0, "no news".to_owned());
        }
        told
    }

    fn tick(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(due) = self.machine.next_timer().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.handle(Event::TimerDue);
        }
        self.now = end;
    }

    /// Code of an attempt opens a session: what is submitted from here on is its.
    fn enter(&mut self, worker: WorkerId, key: &str) -> Vec<String> {
        let conn = ConnId(10 + self.sessions.len() as u64);
        let parent = Some(self.attempt(worker, key));
        let token = SessionToken(10 + self.sessions.len() as u128);
        let effects = self.handle(Event::SessionOpened {
            conn: Some(conn),
            open: Open { parent, ..Open::new(token) },
        });
        for effect in effects {
            match effect {
                Effect::SessionOpened { opened, .. } => {
                    self.session = opened.session;
                    self.sessions.push(opened.session);
                }
                Effect::Disconnect { refusal, .. } => return vec![refusal.to_string()],
                _ => {}
            }
        }
        self.tell()
    }

    fn submit(&mut self, tasks: &[&str]) {
        self.graph += 1;
        let graph = GraphId::new(self.session, self.graph);
        let keys: Vec<&str> = tasks.iter().map(|task| task.split(':').next().unwrap()).collect();
        for (index, key) in (0..).zip(&keys) {
            self.keys.insert(TaskId { graph, index }, (*key).to_owned());
        }
        let place = |key: &str| {
            keys.iter().position(|other| *other == key).map_or(99, |at| u32::try_from(at).unwrap())
        };
        let externals = self.externals.clone();
        let spec = |task: &&str| {
            let (key, deps) = task.split_once(':').unwrap_or((task, ""));
            let deps = deps
                .split(',')
                .filter(|dep| !dep.is_empty())
                .map(|dep| place(dep).into())
                .collect();
            let externals = (0..).zip(&externals).map(|(at, _)| at).collect();
            let (key, order) = (key.to_owned(), place(key));
            TaskSpec { key, deps, externals, order, ..TaskSpec::default() }
        };
        let chunk = GraphChunk {
            submission: self.submission(),
            graph: Some(graph),
            first_index: 0,
            tasks: tasks.iter().map(spec).collect(),
            arrays: Vec::new(),
            classes: vec![self.class.clone()],
            externals: self.externals.clone(),
            outputs: Vec::new(),
            options: Some(GraphOptions {
                watch: Watch::Values,
                ttl: self.ttl,
                ..GraphOptions::default()
            }),
            last: true,
        };
        self.command(Command::Chunk(Box::new(chunk)));
    }

    /// Submits `count` rows without inputs, and after them as many that take one of those each where `twice`.
    fn array(&mut self, count: u32, twice: bool) {
        self.graph += 1;
        let graph = GraphId::new(self.session, self.graph);
        for index in 0..2 * count {
            let name = if index < count { "r" } else { "s" };
            self.keys.insert(TaskId { graph, index }, format!("{name}[{}]", index % count));
        }
        let rows = |prefix: &str, inputs| TaskArray {
            key_prefix: prefix.to_owned(),
            count,
            class: 0,
            payload: bytes::Bytes::from_static(b"work"),
            rows: Rows::Range { start: 10, step: 5 },
            inputs,
            priority: 0,
            order: 0,
        };
        let mut arrays = vec![rows("r", Vec::new())];
        if twice {
            arrays.push(rows("s", vec![ArrayInput { first: 0, stride: 1, output: 0 }]));
        }
        let chunk = GraphChunk {
            submission: self.submission(),
            graph: Some(graph),
            first_index: 0,
            tasks: std::mem::take(&mut self.first),
            arrays,
            classes: vec![self.class.clone()],
            externals: Vec::new(),
            outputs: Vec::new(),
            options: Some(GraphOptions { watch: Watch::Values, ..GraphOptions::default() }),
            last: true,
        };
        self.command(Command::Chunk(Box::new(chunk)));
    }

    fn submission(&mut self) -> SubmissionId {
        self.commands += 1;
        SubmissionId(self.commands)
    }

    fn command(&mut self, command: Command) {
        let session = self.session;
        self.handle(Event::Commanded { session, command });
    }

    fn task(&self, key: &str) -> TaskId {
        *self.keys.iter().rev().find(|(_, other)| *other == key).unwrap().0
    }

    /// The newest attempt that a worker, or else any, was told of.
    fn attempt(&self, worker: WorkerId, key: &str) -> AttemptId {
        let n = self
            .attempts
            .get(&format!("{}{key}", worker.0))
            .or_else(|| self.attempts.get(key))
            .copied()
            .unwrap_or(1);
        AttemptId { task: self.task(key), no: AttemptNo { epoch: Epoch(1), n } }
    }

    /// Why a task failed, with the errors behind it.
    fn error(&self, key: &str) -> String {
        let view = self.machine.find_task_view(self.task(key)).expect("the task is there");
        let chain = std::iter::successors(view.error.as_ref(), |error| error.cause.as_ref());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(" <- ")
    }

    /// Reports about the newest attempt that the worker was told of.
    fn report(&mut self, report: &str, worker: WorkerId, key: &str) {
        let attempt = self.attempt(worker, key);
        let timing = Timing { run: Span::secs(1), ..Timing::default() };
        let report = match report {
            "finish" => Report::Finished {
                attempt,
                outputs: vec![Output { size: 1 << 20, value: None }; self.class.outputs.into()]
                    .into(),
                timing,
            },
            "fail" => {
                let error = Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", "it failed"));
                Report::Failed { attempt, error, timing }
            }
            "died" => {
                let exit = Some(Exit { code: 0, signal: 9 });
                let error =
                    TaskError::new(ErrorClass::ProcessDied, "PROCESS_DIED", "it was killed");
                Report::Failed { attempt, error: Box::new(TaskError { exit, ..error }), timing }
            }
            "reschedule" => {
                let error = TaskError::new(ErrorClass::Reschedule, "SHUTTING_DOWN", "told to end");
                Report::Failed { attempt, error: Box::new(error), timing }
            }
            "retracted" => Report::Retracted(attempt),
            "seceded" => Report::Seceded(attempt),
            "rejoined" => Report::Rejoined(attempt),
            "started" => Report::Started(attempt),
            _ => panic!("no such report: {report}"),
        };
        self.handle(Event::WorkerReported { worker, report });
    }
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or_else(|_| panic!("not a number: {word}"))
}
