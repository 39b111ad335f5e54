//! Copies of one actor's log at other workers, in virtual time and with faults: no answer is forgotten.
//!
//! The scheduler is the real machine, and so is what a host makes of what its copies say ([`CopySet`]). Workers, their disks and
//! the streams between them are models that do what the real ones do. Scheduler and workers lose sight of each other, and workers
//! of each other; daemons die, machines forget what had not reached their disks, disks are lost or cannot be read, the actor moves.
//! Of all that only so much happens at once that somebody in step still has everything. Then it must hold that
//! - an incarnation begins with every call that anybody was answered;
//! - an earlier one that still lives answers nothing that the later one does not have;
//! - in the end the actor lives.
//!
//! Bugs that could be in the real thing can be planted; each has to be found.

mod disk;
mod faults;
mod hosting;
mod scheduler;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};

use bireme_core::actor::copies::CopySet;
use bireme_core::actor::place::{ActorOrder, ActorReport, HostOrder, Hosted};
use bireme_core::id::{ActorId, Epoch, Incarnation, WorkerId, WorkerUid};
use bireme_core::object::ObjectId;
use bireme_core::protocol::Report;
use bireme_core::{Span, Time, limits};
use bireme_scheduler::machine::{Config, ConnId, Event, Machine};

use self::disk::Disk;
use self::faults::Fault;
use self::streams::{Kept, Part, Stream};
use crate::agenda::Agenda;
use crate::report::{Detail, Failure, Trace};
use crate::rng::Rng;
use crate::seed::{caught, explained};

const ACTOR: ActorId = ActorId(7);
const WORKERS: usize = 4;
/// Until when things go wrong.
const CALM: Time = Time(180_000_000);
/// When a run is over.
const END: Time = Time(1_000_000_000);

/// A mistake that is made on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bug {
    /// A host goes on without a copy that has failed before the scheduler has struck it off.
    CommitsAlone,
    /// Of two streams of one incarnation that is taken for the later which comes last.
    LastStreamWins,
    /// Copies are kept of whoever sends them.
    Unfenced,
    /// A copy says that it is whole before it is.
    WholeTooSoon,
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Calls that were answered.
    pub answers: u64,
    /// Parts of copies that were not taken in, for a later incarnation was known.
    pub fenced: u64,
    /// Incarnations that began with a copy.
    pub heirs: u64,
    /// Incarnations that came to rest, to begin elsewhere.
    pub moves: u64,
    /// Copies that were left out.
    pub struck_off: u64,
    /// Incarnations that could not begin where they were to.
    pub unreadable: u64,
}

impl Seen {
    /// Adds what was seen in another run.
    pub fn add(&mut self, other: Self) {
        let Self { answers, fenced, heirs, moves, struck_off, unreadable } = other;
        self.answers += answers;
        self.fenced += fenced;
        self.heirs += heirs;
        self.moves += moves;
        self.struck_off += struck_off;
        self.unreadable += unreadable;
    }

    /// How often each kind of thing happened.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("calls were answered", self.answers),
            ("parts of copies were refused", self.fenced),
            ("incarnations began with a copy", self.heirs),
            ("incarnations came to rest", self.moves),
            ("copies were left out", self.struck_off),
            ("incarnations could not begin", self.unreadable),
        ]
        .into_iter()
    }
}

/// Something that happens at a time.
#[derive(Debug)]
enum Item {
    /// A daemon is up again.
    Back(usize),
    /// Workers are heard of.
    Beat,
    /// An incarnation begins, if what it was brought is there.
    Begin(usize, Incarnation),
    Broken(u64),
    Call,
    /// A worker reaches the scheduler.
    Connect(usize),
    Fault,
    /// A worker hears the scheduler.
    Heard(ConnId, Box<ActorOrder>),
    /// The scheduler hears a worker.
    Reported(ConnId, Box<Report>),
    /// What was written so far has reached a host's disk.
    Synced(usize, Incarnation, usize),
    Timer,
    ToCopy(u64, Part),
    ToHost(u64, Kept),
}

/// A worker.
#[derive(Debug)]
struct Node {
    uid: WorkerUid,
    /// The workers that have listened here, this one among them.
    was: Vec<WorkerUid>,
    /// Counts starts of the daemon.
    start: u64,
    /// Counts starts of the machine.
    boot: u64,
    up: bool,
    conn: Option<(ConnId, WorkerId)>,
    /// When what was said last arrives, each way.
    heard: Time,
    reported: Time,
    disk: Disk,
    /// The stream of the copy that is kept here.
    open: Option<u64>,
    life: Option<Life>,
    ended: Option<ActorReport>,
    settled: Incarnation,
    /// What it has kept could not be read, and nobody has heard that it has anything since.
    has_failed: bool,
    /// Checkpoints with which incarnations that were here came to rest.
    values: BTreeMap<ObjectId, Vec<u64>>,
}

/// All workers, by number.
#[derive(Debug)]
struct Nodes(Vec<Node>);

impl Nodes {
    fn iter(&self) -> std::slice::Iter<'_, Node> {
        self.0.iter()
    }
}

impl Index<usize> for Nodes {
    type Output = Node;

    fn index(&self, at: usize) -> &Node {
        self.0.get(at).expect("there are so many workers")
    }
}

impl IndexMut<usize> for Nodes {
    fn index_mut(&mut self, at: usize) -> &mut Node {
        self.0.get_mut(at).expect("there are so many workers")
    }
}

/// An incarnation.
#[derive(Debug)]
struct Life {
    incarnation: Incarnation,
    /// What it was ordered with, until it begins.
    order: Option<Box<HostOrder>>,
    set: CopySet,
    streams: BTreeMap<WorkerUid, u64>,
    calls: Vec<u64>,
    /// So many of them were answered.
    answered: usize,
    is_alive: bool,
}

/// Everything.
struct World {
    agenda: Agenda<Item>,
    rng: Rng,
    trace: Trace,
    bug: Option<Bug>,
    machine: Machine,
    /// When the scheduler is to be woken.
    timer: Option<Time>,
    nodes: Nodes,
    /// Until when two workers do not hear each other, the first number first.
    cuts: BTreeMap<(usize, usize), Time>,
    streams: BTreeMap<u64, Stream>,
    /// Counts streams, connections, submissions and calls.
    last: u64,
    /// Records have to survive a power cut.
    synced: bool,
    /// Starts of daemons where callers have found the actor.
    known: BTreeSet<(usize, u64)>,
    answered: BTreeSet<u64>,
    /// The last incarnation that came alive, and the calls that it began with.
    newest: (Incarnation, BTreeSet<u64>),
    seen: Seen,
    steps: u64,
}

/// Runs a seed, with faults or without. If it fails it runs again, with the last lines of its trace kept for the report.
pub fn run(seed: u64, faults: bool, detail: Detail) -> Result<Seen, Failure> {
    explained(detail, |detail| run_once(seed, (faults, None), detail)).map(|(seen, _)| seen)
}

/// Runs a seed with faults and a bug.
pub fn run_with(bug: Bug, seed: u64) -> Result<Seen, Failure> {
    run_once(seed, (true, Some(bug)), Detail::Last).map(|(seen, _)| seen)
}

/// Everything that happens in a run, line by line.
pub fn trace(seed: u64, faults: bool) -> Result<Vec<String>, Failure> {
    run_once(seed, (faults, None), Detail::All).map(|(_, lines)| lines)
}

fn run_once(
    seed: u64,
    (faults, bug): (bool, Option<Bug>),
    detail: Detail,
) -> Result<(Seen, Vec<String>), Failure> {
    let mut world = World::new(seed, bug, detail);
    let result = caught(|| world.run(faults));
    let lines = world.trace.take_lines();
    match result {
        Ok(()) => Ok((world.seen, lines)),
        Err(what) => Err(Failure { seed, faults, step: world.steps, what, lines }),
    }
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, detail: Detail) -> Self {
        let mut rng = Rng::new(seed);
        let config = Config {
            epoch: Epoch(1),
            seed,
            first_session: 1,
            small_bytes: limits::SMALL_VALUES_BYTES,
        };
        let node = |at: usize| Node {
            uid: WorkerUid(at as u128 + 1),
            was: vec![WorkerUid(at as u128 + 1)],
            start: 1,
            boot: 1,
            up: true,
            conn: None,
            heard: Time(0),
            reported: Time(0),
            disk: Disk::default(),
            open: None,
            life: None,
            ended: None,
            settled: Incarnation(0),
            has_failed: false,
            values: BTreeMap::new(),
        };
        let synced = rng.chance(30);
        Self {
            agenda: Agenda::default(),
            rng,
            trace: Trace::new(detail),
            bug,
            machine: Machine::new(config),
            timer: None,
            nodes: Nodes((0..WORKERS).map(node).collect()),
            cuts: BTreeMap::new(),
            streams: BTreeMap::new(),
            last: 0,
            synced,
            known: BTreeSet::new(),
            answered: BTreeSet::new(),
            newest: (Incarnation(0), BTreeSet::new()),
            seen: Seen::default(),
            steps: 0,
        }
    }

    fn run(&mut self, faults: bool) -> Result<(), String> {
        for at in 0..WORKERS {
            self.connect(at);
        }
        self.create();
        for item in [Item::Beat, Item::Call].into_iter().chain(faults.then_some(Item::Fault)) {
            self.agenda.after(Span::millis(1), item);
        }
        while self.agenda.now() < END
            && let Some(item) = self.agenda.next()
        {
            self.steps += 1;
            self.happen(item)?;
        }
        self.must_live()
    }

    fn happen(&mut self, item: Item) -> Result<(), String> {
        match item {
            Item::Back(at) => self.come_back(at),
            Item::Beat => {
                self.beat();
                return self.must_not_be_dead();
            }
            Item::Begin(at, incarnation) => return self.begin(at, incarnation),
            Item::Broken(stream) => return self.on_broken(stream),
            Item::Call => return self.call(),
            Item::Connect(at) => self.connect(at),
            Item::Fault => {
                if self.agenda.now() < CALM {
                    self.agenda.after(self.rng.span(50_000, 4_000_000), Item::Fault);
                    let fault = Fault::draw(&mut self.rng);
                    self.go_wrong(fault);
                }
            }
            Item::Heard(conn, order) => return self.on_heard(conn, *order),
            Item::Reported(conn, report) => self.on_reported(conn, *report),
            Item::Synced(at, incarnation, count) => return self.on_synced(at, incarnation, count),
            Item::Timer => {
                self.timer = None;
                self.handle(Event::TimerDue);
            }
            Item::ToCopy(stream, part) => self.on_part(stream, part),
            Item::ToHost(stream, kept) => return self.on_kept(stream, kept),
        }
        Ok(())
    }

    fn must_not_be_dead(&self) -> Result<(), String> {
        let place = self.machine.actor_place(ACTOR).ok_or("the actor is forgotten")?;
        match place.cause {
            Some(cause) => Err(format!("the actor is dead: {cause}")),
            None => Ok(()),
        }
    }

    fn must_live(&self) -> Result<(), String> {
        let view = self.machine.actor(ACTOR).ok_or("the actor is forgotten")?;
        let lives = self.nodes.iter().filter_map(|node| node.life.as_ref());
        let is_it = |life: &&Life| life.is_alive && life.incarnation == view.place.incarnation;
        match lives.filter(is_it).count() {
            1 => Ok(()),
            _ => Err(format!("the actor does not live: {:?} after {:?}", view.place, view.deaths)),
        }
    }
}

impl Life {
    fn hosted(&self) -> Hosted {
        let (incarnation, alive) = (self.incarnation, self.is_alive);
        Hosted { actor: ACTOR, incarnation, alive, checkpoints: alive }
    }
}
