//! A scenario by itself: a session with little work beside one with much. In a random load sessions seldom compete for the
//! same workers long enough to show who waits for whom.

use bireme_core::graph::{GraphChunk, GraphOptions, TaskClass, TaskSpec};
use bireme_core::id::{
    Epoch, SessionId, SessionToken, SubmissionId, WorkerId, WorkerLife, WorkerUid,
};
use bireme_core::protocol::{Announce, Join, Order, Output, Report, Timing};
use bireme_core::resources::UNITS;
use bireme_core::session::{Command, Open};
use bireme_core::{AttemptId, Resources, Span, Time, limits};
use bireme_scheduler::machine::{Config, ConnId, Event, Machine};

const WORKER: WorkerId = WorkerId(1);
/// Tasks of the session that came first.
const MUCH: usize = 200;
/// Tasks of the other.
const LITTLE: usize = 10;

/// Whether a session that asks for little has it before one of the same weight has much more, though that one came first.
pub fn shares() -> Result<(), String> {
    let config = Config { epoch: Epoch(1), seed: 1, first_session: 1, small_bytes: 0 };
    let mut machine = Machine::new(config);
    let (much, little) = (SessionId(1), SessionId(2));
    for session in [much, little] {
        open(&mut machine, session);
    }
    join(&mut machine);
    submit(&mut machine, much, MUCH);
    submit(&mut machine, little, LITTLE);
    let mut started: Vec<AttemptId> = Vec::new();
    let mut ended = 0;
    while started.len() < MUCH + LITTLE {
        started.extend(starts(&mut machine));
        let attempt = *started.get(ended).ok_or("nothing is started any more")?;
        ended += 1;
        let outputs = std::iter::once(Output { size: 8, value: None }).collect();
        let timing = Timing { run: Span::millis(10), ..Timing::default() };
        let report = Report::Finished { attempt, outputs, timing };
        handle(&mut machine, Event::WorkerReported { worker: WORKER, report })?;
    }
    let of_little = |attempt: &AttemptId| attempt.task.graph.session() == little;
    let last = started.iter().rposition(of_little).ok_or("one session was given nothing")?;
    // What was sent before it came, and from then on as many of the one as of the other.
    let prefilled = 1 + limits::PREFILL_UNKNOWN as usize;
    let latest = prefilled + 2 * LITTLE;
    if last > latest {
        return Err(format!("a session with {LITTLE} tasks waits for {last} starts, not {latest}"));
    }
    Ok(())
}

fn handle(machine: &mut Machine, event: Event) -> Result<(), String> {
    machine.handle(Time(1), event, &mut Vec::new());
    machine.check()
}

fn open(machine: &mut Machine, session: SessionId) {
    let open = Open::new(SessionToken(session.0.into()));
    let conn = Some(ConnId(session.0.into()));
    machine.handle(Time(1), Event::SessionOpened { conn, open }, &mut Vec::new());
}

fn join(machine: &mut Machine) {
    let join = Join {
        uid: WorkerUid(1),
        life: WorkerLife(1),
        name: "worker".to_owned(),
        resources: Resources::new(UNITS, 0),
        labels: Vec::new(),
        addresses: Vec::new(),
        machine: String::new(),
        pid: 1,
        functions: Vec::new(),
        runtimes: Vec::new(),
        previous: None,
    };
    machine.handle(Time(1), Event::WorkerJoined { conn: ConnId(9), join }, &mut Vec::new());
    let announce = Announce { last: true, ..Announce::default() };
    let announced = Event::WorkerAnnounced { worker: WORKER, announce };
    machine.handle(Time(1), announced, &mut Vec::new());
}

fn submit(machine: &mut Machine, session: SessionId, count: usize) {
    let chunk = GraphChunk {
        submission: SubmissionId(session.0.into()),
        graph: None,
        first_index: 0,
        tasks: vec![TaskSpec::default(); count],
        arrays: Vec::new(),
        classes: vec![TaskClass::default()],
        externals: Vec::new(),
        outputs: Vec::new(),
        options: Some(GraphOptions::default()),
        last: true,
    };
    let command = Command::Chunk(Box::new(chunk));
    machine.handle(Time(1), Event::Commanded { session, command }, &mut Vec::new());
}

/// Attempts that the worker is sent.
fn starts(machine: &mut Machine) -> Vec<AttemptId> {
    let mut orders = Vec::new();
    while machine.take_orders(WORKER, limits::BATCH_BYTES, &mut orders) {}
    let start = |order| match order {
        Order::Start(start) => Some(start.attempt),
        _ => None,
    };
    orders.into_iter().filter_map(start).collect()
}
