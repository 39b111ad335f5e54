//! Actors that call each other and wait, in virtual time: deadlocks are found where they are, and nowhere else.
//!
//! The hosts are the real ones. Processes run scripts that chance has written: they compute, call other actors, and wait for
//! what they called or do not, some with a limit of time. Nobody says which calls wait for a call, so that only probes find a
//! circle. `truth` knows everything and looks after each step which calls wait for themselves. Then it must hold that
//! - a call that ends as a deadlock waited for itself at some moment, and where nothing goes wrong does so when it ends;
//! - where nothing goes wrong, no circle of calls in lanes that run one at a time is left in the end.

mod lines;
mod process;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bireme_core::actor::call::{CallCode, CallId};
use bireme_core::actor::host::{
    Config, Effect, Event, Host, Line, Record, Restored, RunEnd, RunNo,
};
use bireme_core::actor::place::Checkpoint;
use bireme_core::actor::probe::Probe;
use bireme_core::actor::wire::ToCaller;
use bireme_core::actor::{ActorSpec, Delivery, LaneSpec};
use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, WorkerId};
use bireme_core::{Span, Time};

use self::lines::{Asked, Said};
use self::process::Process;
use crate::agenda::Agenda;
use crate::report::{Detail, Failure, Trace};
use crate::rng::Rng;
use crate::seed::{caught, explained};

/// What a message between a daemon and a process takes: as long for each, so that they stay in order.
const PIPE: Span = Span(60);
/// When a run is over, whatever still waits.
const HORIZON: Time = Time(90_000_000);

/// Something that happens at a time.
#[derive(Debug)]
enum Item {
    /// A client makes a call.
    Begin,
    /// Records of an incarnation are durable.
    Durable {
        actor: usize,
        incarnation: u32,
        lsn: u64,
    },
    /// A process comes to the next step of a call.
    Go {
        actor: usize,
        process: u64,
        run: RunNo,
        at: usize,
    },
    /// Something goes wrong.
    Fault,
    /// A caller hears how a call ended.
    Heard(CallId),
    Kept {
        actor: usize,
        incarnation: u32,
        lsn: u64,
    },
    /// The next incarnation begins.
    Next(usize),
    /// A process is told something.
    Order {
        actor: usize,
        process: u64,
        order: Order,
    },
    /// A daemon hears its process.
    Report {
        actor: usize,
        process: u64,
        event: Event,
    },
    /// A host hears a caller.
    Said(Said),
    Timer(usize),
}

#[derive(Debug)]
enum Order {
    Probe(RunNo, Box<Probe>),
    Run(Box<bireme_core::actor::host::Run>),
    Stop(RunNo),
    TakeBack(RunNo),
}

/// An actor and its process.
#[derive(Debug)]
struct Actor {
    /// Absent for a moment only.
    host: Option<Host>,
    spec: Arc<ActorSpec>,
    incarnation: u32,
    process: Process,
    records: Vec<Record>,
    timer: Option<Time>,
}

/// Everything.
struct World {
    rng: Rng,
    agenda: Agenda<Item>,
    actors: Vec<Actor>,
    calls: BTreeMap<CallId, Asked>,
    /// Which call speaks over which line.
    lines: BTreeMap<Line, CallId>,
    faults: bool,
    /// Longest time that a word of a caller takes.
    slow: u64,
    /// Calls that are still to be made by clients.
    left: u64,
    /// Calls that have waited for themselves, and those that do now.
    ever: BTreeSet<CallId>,
    circles: BTreeSet<CallId>,
    ended: Ends,
    trace: Trace,
    steps: u64,
}

/// How calls ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ends {
    /// As a deadlock, by a host that had not given them to its process.
    pub deadlocks: u64,
    /// As a deadlock, after the process had given them back.
    pub taken_back: u64,
    /// As a deadlock, with a record in a log.
    pub unrun: u64,
    /// In another way.
    pub others: u64,
}

impl Ends {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.deadlocks += other.deadlocks;
        self.taken_back += other.taken_back;
        self.unrun += other.unrun;
        self.others += other.others;
    }
}

/// Runs a seed, and tells how its calls ended.
///
/// # Errors
/// What does not hold, and the way there.
pub fn run(seed: u64, faults: bool) -> Result<Ends, Failure> {
    explained(Detail::Nothing, |detail| run_once(seed, faults, detail))
}

fn run_once(seed: u64, faults: bool, detail: Detail) -> Result<Ends, Failure> {
    let mut world = World::new(seed, faults, detail);
    let result = caught(|| world.run());
    let lines = world.trace.take_lines();
    match result {
        Ok(()) => Ok(world.ended),
        Err(what) => Err(Failure { seed, faults, step: world.steps, what, lines }),
    }
}

impl World {
    fn new(seed: u64, faults: bool, detail: Detail) -> Self {
        let mut rng = Rng::new(seed);
        let actors = (0..rng.place(3) + 2).map(|n| Actor::new(n, &mut rng)).collect();
        let mut world = Self {
            actors,
            agenda: Agenda::default(),
            calls: BTreeMap::new(),
            lines: BTreeMap::new(),
            faults,
            slow: if faults && rng.chance(70) { 400_000 } else { 3_000 },
            left: rng.between(2, 10),
            ever: BTreeSet::new(),
            circles: BTreeSet::new(),
            ended: Ends::default(),
            trace: Trace::new(detail),
            steps: 0,
            rng,
        };
        for _ in 0..world.left {
            let at = world.rng.span(0, 20_000);
            world.agenda.after(at, Item::Begin);
        }
        let troubles = if faults { world.rng.between(1, 40) } else { 0 };
        for _ in 0..troubles {
            let at = world.rng.span(1_000, 6_000_000);
            world.agenda.after(at, Item::Fault);
        }
        world
    }

    fn run(&mut self) -> Result<(), String> {
        for actor in 0..self.actors.len() {
            self.drive(actor, Event::Alive { checkpoints: true })?;
        }
        while !self.is_done()
            && let Some(item) = self.agenda.next()
        {
            if self.agenda.now() > HORIZON {
                break;
            }
            self.steps += 1;
            self.trace.line(self.agenda.now(), || format!("{item:?}"));
            self.step(item)?;
            self.circles = self.in_circles();
            self.ever.extend(&self.circles);
        }
        if self.faults || self.circles.is_empty() {
            return Ok(());
        }
        Err(format!("these calls wait for themselves for ever: {:?}", self.circles))
    }

    fn is_done(&self) -> bool {
        self.left == 0 && self.calls.values().all(|asked| asked.has_ended)
    }

    fn step(&mut self, item: Item) -> Result<(), String> {
        match item {
            Item::Begin => {
                self.left -= 1;
                self.ask(None, 0);
            }
            Item::Durable { actor, incarnation, lsn } => {
                return self.drive_if(actor, incarnation, Event::Durable { lsn });
            }
            Item::Fault => return self.strike(),
            Item::Go { actor, process, run, at } => self.on_step(actor, process, run, at),
            Item::Heard(call) => self.on_heard(call),
            Item::Kept { actor, incarnation, lsn } => {
                let kept = Checkpoint { lsn, bytes: 1, took: Span(1) };
                return self.drive_if(actor, incarnation, Event::StateKept(Ok(kept)));
            }
            Item::Next(actor) => return self.on_next(actor),
            Item::Order { actor, process, order } => self.on_order(actor, process, order),
            Item::Report { actor, process, event } => return self.on_report(actor, process, event),
            Item::Said(said) => return self.on_said(said),
            Item::Timer(actor) => return self.on_timer(actor),
        }
        Ok(())
    }

    fn actor(&mut self, actor: usize) -> &mut Actor {
        self.actors.get_mut(actor).expect("it is one")
    }

    fn drive_if(&mut self, actor: usize, incarnation: u32, event: Event) -> Result<(), String> {
        if self.actor(actor).incarnation == incarnation {
            return self.drive(actor, event);
        }
        Ok(())
    }

    fn drive(&mut self, actor: usize, event: Event) -> Result<(), String> {
        let (now, mut effects) = (self.agenda.now(), Vec::new());
        let host = self.actor(actor).host.as_mut().expect("it is there");
        host.handle(now, event, &mut effects);
        self.carry_out(actor, effects)
    }

    fn on_timer(&mut self, actor: usize) -> Result<(), String> {
        let now = self.agenda.now();
        let it = self.actor(actor);
        it.timer = None;
        let next = it.host.as_ref().and_then(Host::next_timer);
        if next.is_some_and(|at| at <= now) {
            return self.drive(actor, Event::TimerDue);
        }
        self.set_timer(actor);
        Ok(())
    }

    fn set_timer(&mut self, actor: usize) {
        let it = self.actor(actor);
        let Some(at) = it.host.as_ref().and_then(Host::next_timer) else { return };
        if it.timer.is_none_or(|set| at < set) {
            it.timer = Some(at);
            self.agenda.at(at, Item::Timer(actor));
        }
    }

    fn carry_out(&mut self, actor: usize, effects: Vec<Effect>) -> Result<(), String> {
        let it = self.actor(actor);
        let (process, incarnation) = (it.process.number, it.incarnation);
        for effect in effects {
            let order = match effect {
                Effect::Append { lsn, record } => {
                    self.ended.unrun += u64::from(matches!(record, Record::Unrun { .. }));
                    self.actor(actor).records.push(record);
                    let at = self.rng.span(0, 4_000);
                    self.agenda.after(at, Item::Durable { actor, incarnation, lsn });
                    continue;
                }
                Effect::Checkpoint { lsn, .. } => {
                    let at = self.rng.span(0, 4_000);
                    self.agenda.after(at, Item::Kept { actor, incarnation, lsn });
                    continue;
                }
                Effect::Over { .. } => {
                    let at = self.rng.span(0, 200_000);
                    self.agenda.after(at, Item::Next(actor));
                    continue;
                }
                Effect::Say { line, word } => {
                    self.on_word(line, &word)?;
                    continue;
                }
                Effect::Probe { run, probe } => Order::Probe(run, probe),
                Effect::Run(run) => Order::Run(run),
                Effect::Stop { run, .. } => Order::Stop(run),
                Effect::TakeBack { run } => Order::TakeBack(run),
                Effect::Checkpointed { .. }
                | Effect::Credit { .. }
                | Effect::Gather { .. }
                | Effect::Ungather { .. } => continue,
            };
            self.agenda.after(PIPE, Item::Order { actor, process, order });
        }
        self.set_timer(actor);
        Ok(())
    }

    /// A host speaks: of all that it says only the ends of calls matter here.
    fn on_word(&mut self, line: Line, word: &ToCaller) -> Result<(), String> {
        let ToCaller::Reply { ending, .. } = word else { return Ok(()) };
        let call = *self.lines.get(&line).expect("somebody listens");
        let asked = self.calls.get_mut(&call).expect("it was made");
        if asked.has_ended {
            return Ok(());
        }
        let is_deadlock = ending.outcome.code() == Some(CallCode::Deadlock);
        asked.has_ended = true;
        match (is_deadlock, asked.taken_back) {
            (false, _) => self.ended.others += 1,
            (true, false) => self.ended.deadlocks += 1,
            (true, true) => self.ended.taken_back += 1,
        }
        if is_deadlock && asked.has_begun {
            return Err(format!("{call:?} has begun, and ends as a deadlock"));
        }
        if is_deadlock && !self.ever.contains(&call) {
            return Err(format!("{call:?} never waited for itself: {ending:?}"));
        }
        if is_deadlock && !self.faults && !self.circles.contains(&call) {
            return Err(format!("{call:?} does not wait for itself any more: {ending:?}"));
        }
        let after = self.rng.span(50, 3_000);
        self.agenda.after(after, Item::Heard(call));
        Ok(())
    }

    fn on_report(&mut self, actor: usize, process: u64, event: Event) -> Result<(), String> {
        if self.actor(actor).process.number != process {
            return Ok(());
        }
        self.drive(actor, event)
    }

    /// A call is cancelled, or a process dies.
    fn strike(&mut self) -> Result<(), String> {
        if self.rng.chance(50) {
            let open: Vec<CallId> =
                self.calls.iter().filter(|(_, it)| !it.has_ended).map(|(id, _)| *id).collect();
            if !open.is_empty() {
                let call = *self.rng.pick(&open);
                self.cancel(call);
            }
            return Ok(());
        }
        let actor = self.rng.place(self.actors.len());
        let it = self.actor(actor);
        if !it.process.alive {
            return Ok(());
        }
        it.process.die();
        let error = Box::new(TaskError::new(ErrorClass::ProcessDied, "PROCESS_DIED", "killed"));
        self.drive(actor, Event::ProcessLost { reached: None, error })
    }

    fn on_next(&mut self, actor: usize) -> Result<(), String> {
        let (now, mut effects) = (self.agenda.now(), Vec::new());
        let it = self.actor(actor);
        it.incarnation += 1;
        it.process = Process::new(it.process.number + 1);
        let records = it.records.clone();
        let is_logged = it.spec.delivery == Delivery::EffectivelyOnce;
        let restored = is_logged.then(|| Restored { records, ..Restored::default() });
        let host = it.host.take().expect("it is there");
        let next = Incarnation(it.incarnation);
        it.host = Some(host.succeed(now, next, restored, &mut effects));
        self.carry_out(actor, effects)?;
        self.drive(actor, Event::Alive { checkpoints: true })
    }
}

impl Actor {
    fn new(n: usize, rng: &mut Rng) -> Self {
        let mut spec = ActorSpec::new(format!("Class{n}"), Runtime::Native, "");
        spec.delivery =
            *rng.pick(&[Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::EffectivelyOnce]);
        spec.reentrant = rng.chance(10);
        let lane = |n: usize, rng: &mut Rng| {
            let concurrency = if rng.chance(15) { 2 } else { 1 };
            LaneSpec { name: n.to_string(), concurrency }
        };
        spec.lanes = (0..=rng.place(2)).map(|n| lane(n, rng)).collect();
        let spec = Arc::new(spec);
        let config = Config {
            actor: ActorId(n as u128 + 1),
            incarnation: Incarnation(1),
            spec: Arc::clone(&spec),
            worker: WorkerId(1),
            restored: None,
        };
        Self {
            host: Some(Host::new(Time(1), config)),
            spec,
            incarnation: 1,
            process: Process::new(1),
            records: Vec::new(),
            timer: None,
        }
    }

    /// How many calls of a lane run at a time.
    fn concurrency(&self, lane: u32) -> u32 {
        let lane = usize::try_from(lane).ok().and_then(|lane| self.spec.lanes.get(lane));
        lane.map_or(1, |lane| lane.concurrency)
    }
}

/// How a script ends.
fn done() -> RunEnd {
    RunEnd::Value(Box::new(bireme_core::value::Value::text("done")))
}
