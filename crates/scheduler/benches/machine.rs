//! What a task costs the pure machine, with simulated workers that finish everything at once.
//!
//! `cargo bench -p bireme-scheduler --bench machine -- [--workers 10,100,1000,10000] [--tasks N] [--load NAME,..]` prints one
//! JSON line for each load and number of workers: CPU time of the machine for each task, in nanoseconds, taking the chunk in,
//! placing, making the messages and hearing of the end.

use std::collections::{BTreeSet, VecDeque};

use bireme_core::graph::{Dep, GraphChunk, GraphOptions, Outputs, TaskClass, TaskSpec};
use bireme_core::id::{
    Epoch, GraphId, SessionId, SessionToken, SubmissionId, WorkerId, WorkerLife, WorkerUid,
};
use bireme_core::protocol::{Announce, Join, Order, Output, Report, Timing};
use bireme_core::resources::UNITS;
use bireme_core::session::{Command, Open};
use bireme_core::{Resources, Span, Time, Value, limits};
use bireme_scheduler::machine::{Config, ConnId, Effect, Event, Machine, Peer};

const SESSION: SessionId = SessionId(1);
/// Tasks of one chunk.
const CHUNK: u32 = 2_048;
/// Unfinished tasks beyond which no chunk is submitted.
const WINDOW: u64 = 200_000;

/// What the tasks ask for.
#[derive(Clone, Copy, Debug)]
enum Load {
    /// One cpu each, no inputs.
    Uniform,
    /// Half of the tasks only run on a tenth of the workers, by label.
    Restricted,
    /// One task in ten takes a GPU, which one worker in ten has.
    Gpu,
    /// Each task takes the outputs of two others.
    TwoInputs,
}

impl Load {
    const ALL: [(&str, Self); 4] = [
        ("uniform", Self::Uniform),
        ("restricted", Self::Restricted),
        ("gpu", Self::Gpu),
        ("two-inputs", Self::TwoInputs),
    ];

    fn classes(self) -> Vec<TaskClass> {
        let plain = TaskClass::default();
        match self {
            Self::Uniform | Self::TwoInputs => vec![plain],
            Self::Restricted => {
                let labels = vec![("zone".to_owned(), "a".to_owned())];
                vec![plain.clone(), TaskClass { labels, ..plain }]
            }
            Self::Gpu => {
                let gpu = Resources::one_cpu()
                    .with_others([("gpu".to_owned(), UNITS)])
                    .expect("gpu is a name");
                vec![plain.clone(), TaskClass { resources: gpu, ..plain }]
            }
        }
    }

    fn task(self, index: u32) -> TaskSpec {
        let (class, deps) = match self {
            Self::Uniform => (0, [].as_slice()),
            Self::Restricted => (index % 2, [].as_slice()),
            Self::Gpu => (u32::from(index.is_multiple_of(10)), [].as_slice()),
            Self::TwoInputs if index < CHUNK => (0, [].as_slice()),
            Self::TwoInputs => (0, [CHUNK, CHUNK - 1].as_slice()),
        };
        TaskSpec {
            key: format!("task-{index:019}"),
            class,
            deps: deps.iter().map(|back| Dep::from(index - back)).collect(),
            payload: PAYLOAD.into(),
            order: index,
            ..TaskSpec::default()
        }
    }
}

static PAYLOAD: &[u8] = &[7; 32];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned()
    };
    let workers = option("--workers").unwrap_or_else(|| "10,100,1000,10000".to_owned());
    let tasks: u64 =
        option("--tasks").map_or(1_000_000, |tasks| tasks.parse().expect("--tasks takes a number"));
    let wanted: Option<BTreeSet<String>> =
        option("--load").map(|names| names.split(',').map(str::to_owned).collect());
    for (name, load) in Load::ALL {
        if wanted.as_ref().is_some_and(|wanted| !wanted.contains(name)) {
            continue;
        }
        for workers in workers.split(',') {
            let workers = workers.parse().expect("--workers takes numbers");
            let run = Run::new(load, workers).run(tasks);
            println(&format!(
                r#"{{"peer":"bireme","workload":"machine","load":"{name}","workers":{workers},"n":{tasks},"unit":"ns/task","cpu":{},"submit":{},"steps":{}}}"#,
                run.cpu_ns / tasks,
                run.submit_ns / tasks,
                run.steps
            ));
        }
    }
}

#[expect(clippy::print_stdout, reason = "figures are what it is for")]
fn println(line: &str) {
    println!("{line}");
}

struct Run {
    load: Load,
    machine: Machine,
    effects: Vec<Effect>,
    now: Time,
    submitted: u32,
    cpu_ns: u64,
    submit_ns: u64,
    steps: u64,
}

impl Run {
    fn new(load: Load, workers: u32) -> Self {
        let machine = Machine::new(Config {
            epoch: Epoch(1),
            seed: 7,
            first_session: 1,
            small_bytes: limits::SMALL_VALUES_BYTES,
        });
        let mut run = Self {
            load,
            machine,
            effects: Vec::new(),
            now: Time(1),
            submitted: 0,
            cpu_ns: 0,
            submit_ns: 0,
            steps: 0,
        };
        let open = Open::new(SessionToken(1));
        run.handle([Event::SessionOpened { conn: Some(ConnId(1)), open }]);
        for number in 1..=workers {
            run.join(number);
        }
        run
    }

    fn join(&mut self, number: u32) {
        let special = number % 10 == 1;
        let others = special.then(|| ("gpu".to_owned(), 4 * UNITS));
        let join = Join {
            uid: WorkerUid(u128::from(number)),
            life: WorkerLife(1),
            name: format!("w{number}"),
            resources: Resources::new(4 * UNITS, 0).with_others(others).expect("gpu is a name"),
            labels: if special { vec![("zone".to_owned(), "a".to_owned())] } else { Vec::new() },
            addresses: Vec::new(),
            machine: String::new(),
            pid: 0,
            functions: Vec::new(),
            runtimes: Vec::new(),
            previous: None,
        };
        let announce = Announce { last: true, ..Announce::default() };
        let joined = Event::WorkerJoined { conn: ConnId(1 + u64::from(number)), join };
        self.handle([joined, Event::WorkerAnnounced { worker: WorkerId(number), announce }]);
    }

    fn handle(&mut self, events: impl IntoIterator<Item = Event>) {
        self.machine.handle_all(self.now, events, &mut self.effects);
    }

    fn run(mut self, tasks: u64) -> Self {
        let mut reports: VecDeque<Event> = VecDeque::new();
        let mut orders = Vec::new();
        let mut notices = Vec::new();
        let mut unfinished = 0;
        while u64::from(self.submitted) < tasks || unfinished > 0 {
            self.steps += 1;
            self.now = self.now + Span(100);
            if u64::from(self.submitted) < tasks && unfinished < WINDOW {
                unfinished += u64::from(CHUNK);
                let chunk = self.chunk(tasks);
                let start = cpu_ns();
                self.handle([Event::Commanded {
                    session: SESSION,
                    command: Command::Chunk(Box::new(chunk)),
                }]);
                self.submit_ns += cpu_ns() - start;
            }
            // A real driver drains at most so many events before it flushes.
            let batch: Vec<Event> =
                reports.drain(..reports.len().min(limits::INBOX_DRAIN)).collect();
            unfinished -= batch.len() as u64;
            let start = cpu_ns();
            self.handle(batch);
            let effects = std::mem::take(&mut self.effects);
            for effect in effects {
                match effect {
                    Effect::Wake(Peer::Worker(worker)) => {
                        while self.machine.take_orders(worker, limits::BATCH_BYTES, &mut orders) {}
                        reports.extend(orders.drain(..).filter_map(|order| finish(worker, order)));
                    }
                    Effect::Wake(Peer::Session(session)) => {
                        while self.machine.take_notices(session, limits::BATCH_BYTES, &mut notices)
                        {
                        }
                        notices.clear();
                    }
                    _ => {}
                }
            }
            self.cpu_ns += cpu_ns() - start;
        }
        self.cpu_ns += self.submit_ns;
        self
    }

    fn chunk(&mut self, tasks: u64) -> GraphChunk {
        let first = self.submitted;
        self.submitted += CHUNK;
        GraphChunk {
            submission: SubmissionId(u128::from(first)),
            graph: Some(GraphId::new(SESSION, 1)),
            first_index: first,
            tasks: (first..first + CHUNK).map(|index| self.load.task(index)).collect(),
            arrays: Vec::new(),
            classes: if first == 0 { self.load.classes() } else { Vec::new() },
            externals: Vec::new(),
            outputs: Vec::new(),
            options: (first == 0)
                .then(|| GraphOptions { outputs: Outputs::None, ..GraphOptions::default() }),
            last: u64::from(self.submitted) >= tasks,
        }
    }
}

fn finish(worker: WorkerId, order: Order) -> Option<Event> {
    let Order::Start(start) = order else { return None };
    let output = Output { size: 0, value: Some(Box::new(Value::none())) };
    let timing = Timing { run: Span(5), ..Timing::default() };
    let report = Report::Finished {
        attempt: start.attempt,
        outputs: [output].into_iter().collect(),
        timing,
    };
    Some(Event::WorkerReported { worker, report })
}

/// CPU time of this thread, in nanoseconds.
fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}
