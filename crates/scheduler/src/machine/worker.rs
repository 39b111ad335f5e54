//! What the machine knows of a worker.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bireme_core::actor::CLASS_PREFIX;
use bireme_core::graph::TaskClass;
use bireme_core::hash::{IdMap, Seeded};
use bireme_core::id::{ActorId, AttemptId, Incarnation, WorkerId};
use bireme_core::link::Outbox;
use bireme_core::protocol::{Announce, Heartbeat, Join, Timing};
use bireme_core::resources::UNITS;
use bireme_core::{ObjectId, Resources, Span, Time, limits};

use super::ConnId;
use super::drain::Drain;
use super::number::{KindNo, ObjectNo, TaskRef};
use super::room::lacks_runtime;

/// Functions of a worker that are named where it lacks one.
const SHOWN_FUNCTIONS: usize = 8;

/// Something a worker has still to be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Errand {
    /// How things stand with an actor that is to live there.
    Actor(ActorId),
    /// End an attempt; running code may go on for this long.
    Cancel(AttemptId, Span),
    /// End an incarnation of an actor that should not live there, or whose calls still wait there for the next; with `forget`,
    /// there will be none, and what it left is of no use.
    EndActor(ActorId, Incarnation, bool),
    /// Leave when nothing runs any more, or after this long.
    Leave(Option<Span>),
    /// Where a worker is.
    Peer(WorkerId),
    /// Where an input can be had.
    Place(ObjectId),
    /// Drop a replica.
    Release(ObjectId),
    /// Make a replica.
    Replicate(ObjectId),
    /// Give an attempt back.
    Retract(AttemptId),
    /// The end of an attempt is known.
    Settle(AttemptId),
    /// The end of an incarnation of an actor is known.
    SettleActor(ActorId, Incarnation),
    /// Accept the attempt of this task with this number, unless the task has moved on.
    Start(TaskRef, u32),
    /// Leave now.
    Stop,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    /// Boxed, like all that is seldom looked at: what every task touches should lie close together.
    pub(super) join: Box<Join>,
    /// The stream; `None` while it is lost and may come back.
    pub(super) conn: Option<ConnId>,
    /// Cpus it has in all, in units.
    cpu_units: u64,
    /// What no reserved attempt holds.
    pub(super) free: Resources,
    /// Every task sent here that has not ended.
    pub(super) sent: Vec<TaskRef>,
    /// Prefilled tasks with the attempt they were sent as, in the order sent; those that have moved on are dropped when met.
    pub(super) prefill: VecDeque<(TaskRef, u32)>,
    pub(super) prefilled: u32,
    pub(super) ahead: u32,
    /// Prefilled tasks that were asked back.
    pub(super) retracting: u32,
    /// Tasks sent here whose dependents could follow once fewer are ahead.
    pub(super) frontier: VecDeque<(TaskRef, u32)>,
    /// Actors that hold resources here.
    pub(super) actors: BTreeSet<ActorId>,
    /// Incarnations that ended here and whose callers may still wait here for the next.
    pub(super) mourned: BTreeMap<ActorId, Incarnation>,
    pub(super) outbox: Outbox<Errand>,
    /// How much of the outbox its own reports have brought about, at most.
    pub(super) owed: usize,
    /// Tasks sent here that have given their cpus back.
    pub(super) seceded: BTreeSet<TaskRef>,
    /// Those of them that want cpus again, in the order in which they asked.
    pub(super) rejoining: VecDeque<TaskRef>,
    /// Objects that it is believed to hold.
    pub(super) held: IdMap<ObjectNo, ()>,
    /// Objects that earlier attempts left here while later ones are to make them anew.
    pub(super) strays: BTreeSet<ObjectId>,
    /// Values of sessions that have not told of them yet, at most [`limits::UNTOLD_VALUES`].
    pub(super) untold: BTreeSet<ObjectId>,
    /// Values that were put here while its announcement was awaited, which may be older.
    pub(super) put_meanwhile: BTreeSet<ObjectId>,
    /// Peers whose address the worker was told on this stream.
    pub(super) knows: BTreeSet<WorkerId>,
    /// How long attempts ran of late, in nanoseconds; 0 is not known.
    run_ns: u64,
    pub(super) heartbeat: Heartbeat,
    pub(super) heard: Time,
    pub(super) joined: Time,
    /// It is given nothing more: it was sent away, or said that it leaves.
    pub(super) draining: bool,
    /// It said that it leaves: once it is gone it does not come back.
    pub(super) leaving: bool,
    /// How far it is on its way out, where it was sent away.
    pub(super) drain: Option<Box<Drain>>,
    /// The suspect that it is set apart for.
    pub(super) alone: Option<TaskRef>,
    /// What it has announced so far on this stream; `None` once that is complete.
    pub(super) announcing: Option<Box<Announce>>,
    /// What classes can tell of it.
    pub(super) kind: KindNo,
    /// The load under which it stands among its kind's workers with room.
    pub(super) listed: Option<u64>,
    pub(super) finished: u64,
}

impl Worker {
    pub(super) fn new(id: WorkerId, join: Join, kind: KindNo, hasher: Seeded, now: Time) -> Self {
        Self {
            id,
            free: join.resources.clone(),
            cpu_units: join.resources.cpu_units,
            join: Box::new(join),
            conn: None,
            sent: Vec::new(),
            prefill: VecDeque::new(),
            prefilled: 0,
            ahead: 0,
            retracting: 0,
            frontier: VecDeque::new(),
            actors: BTreeSet::new(),
            mourned: BTreeMap::new(),
            outbox: Outbox::default(),
            owed: 0,
            seceded: BTreeSet::new(),
            rejoining: VecDeque::new(),
            held: IdMap::with_hasher(hasher),
            strays: BTreeSet::new(),
            untold: BTreeSet::new(),
            put_meanwhile: BTreeSet::new(),
            knows: BTreeSet::new(),
            run_ns: 0,
            heartbeat: Heartbeat::default(),
            heard: now,
            joined: now,
            draining: false,
            leaving: false,
            drain: None,
            alone: None,
            announcing: Some(Box::default()),
            kind,
            listed: None,
            finished: 0,
        }
    }

    /// Whether it may be given tasks at all.
    pub(super) fn is_open(&self) -> bool {
        self.alone.is_none() && self.is_up()
    }

    /// The same of one that is set apart, for the task that it is set apart for.
    pub(super) fn is_up(&self) -> bool {
        self.conn.is_some() && self.announcing.is_none() && !self.draining && !self.heartbeat.paused
    }

    /// Takes note of how long an attempt ran: a moving average that one odd run hardly moves.
    pub(super) fn note_run(&mut self, timing: &Timing) {
        let run_ns = timing.run.0.saturating_mul(1_000).max(500);
        self.run_ns =
            if self.run_ns == 0 { run_ns } else { self.run_ns - self.run_ns / 8 + run_ns / 8 };
    }

    /// How many attempts it may hold beyond what it runs: about two round trips of work.
    pub(super) fn prefill_max(&self) -> u32 {
        let cpus = (self.cpu_units / UNITS).max(1);
        let depth = match self.run_ns {
            0 => u64::from(limits::PREFILL_UNKNOWN) * cpus,
            run_ns => (2 * limits::PREFILL_ROUND_TRIP.0 * 1_000 * cpus).div_ceil(run_ns),
        };
        // A task that takes long enough to make the round trip invisible is better kept where any worker can have it.
        let depth =
            if self.run_ns > 100 * limits::PREFILL_ROUND_TRIP.0 * 1_000 { 0 } else { depth };
        u32::try_from(depth).unwrap_or(u32::MAX).min(limits::PREFILL_MAX)
    }

    /// Whether an attempt of this class would run at once. Where somebody waits for others, cpus that are free are for these,
    /// even if what waits here already lacks something else: perhaps just what is held meanwhile.
    pub(super) fn runs_now(&self, class: &TaskClass) -> bool {
        (self.prefilled == 0 || !self.seceded.is_empty())
            && (self.rejoining.is_empty() || class.resources.cpu_units == 0)
            && self.free.fits(&class.resources)
            && self.sent.len() < limits::WORKER_SENT
    }

    /// Whether an attempt of this class may be sent to wait here.
    pub(super) fn has_prefill(&self) -> bool {
        self.prefilled < self.prefill_max()
    }

    /// Whether tasks that take cpus may be sent here.
    pub(super) fn has_room(&self) -> bool {
        self.sent.len() < limits::WORKER_SENT
            && (self.has_prefill()
                || (self.free.cpu_units > 0 && (self.prefilled == 0 || !self.seceded.is_empty())))
    }

    /// A task that was sent as this attempt waits here.
    pub(super) fn wait(&mut self, task: TaskRef, attempt: u32) {
        self.prefilled += 1;
        self.prefill.push_back((task, attempt));
    }

    /// Whole cpus that are free, at least one.
    pub(super) fn free_cpus(&self) -> u32 {
        u32::try_from(self.free.cpu_units / UNITS).unwrap_or(u32::MAX).max(1)
    }

    /// How many tasks wait here that were not asked back, if it may be asked for some and they take long enough that moving
    /// them gains anything. Of workers with as many the one with the lowest number is the greatest.
    pub(super) fn relief(&self) -> Option<(u32, Reverse<WorkerId>)> {
        let waiting = self.prefilled - self.retracting;
        let cpus = (self.cpu_units / UNITS).max(1);
        let takes_long = self.run_ns == 0
            || u64::from(waiting) * self.run_ns / cpus > limits::PREFILL_ROUND_TRIP.0 * 1_000;
        (self.conn.is_some() && waiting > 0 && takes_long).then_some((waiting, Reverse(self.id)))
    }

    /// How full it is, for choosing among workers: what it runs and what waits there.
    pub(super) fn load(&self) -> u64 {
        let used = self.cpu_units.saturating_sub(self.free.cpu_units);
        (used + u64::from(self.prefilled) * UNITS) * 1_000 / self.cpu_units.max(1)
    }

    /// Why tasks of a class could never run here; `None` if they could.
    pub(super) fn refuses(&self, class: &TaskClass) -> Option<String> {
        if let Some((name, have, need)) = self.join.resources.lacks(&class.resources) {
            return Some(format!(
                "has {} of {name} in all, the task takes {}",
                show(name, have),
                show(name, need)
            ));
        }
        if !class.workers.is_empty()
            && !class.allow_other_workers
            && !class.workers.contains(&self.join.name)
        {
            return Some(format!("is not among the workers named: {}", class.workers.join(", ")));
        }
        if let Some(name) =
            class.function.as_ref().filter(|name| !self.join.functions.contains(name))
        {
            let is_own =
                |name: &&String| !name.starts_with("builtin/") && !name.starts_with(CLASS_PREFIX);
            let has = self.join.functions.iter().filter(is_own);
            let has: Vec<&str> = has.map(String::as_str).take(SHOWN_FUNCTIONS).collect();
            let has = if has.is_empty() { "none of its own".to_owned() } else { has.join(", ") };
            return Some(format!("lacks the function {name}; it has {has}"));
        }
        if let Some(name) = lacks_runtime(&self.join, class) {
            let has = self.join.runtimes.join(", ");
            let has = if has.is_empty() { "none" } else { has.as_str() };
            return Some(format!(
                "lacks the runtime {name}, it has {has}: start it with --runtime {name}=COMMAND"
            ));
        }
        let missing = class.labels.iter().find(|label| !self.join.labels.contains(label));
        missing.map(|(key, value)| format!("lacks the label {key}={value}"))
    }

    /// Why a task of a class that could run here does not at this moment; `None` if it would.
    pub(super) fn is_busy_for(&self, class: &TaskClass) -> Option<String> {
        if self.conn.is_none() {
            return Some("is disconnected".to_owned());
        }
        if self.announcing.is_some() {
            return Some("is announcing what it holds".to_owned());
        }
        if self.draining {
            return Some("is draining".to_owned());
        }
        if self.heartbeat.paused {
            return Some("is paused: its memory is above the pause mark".to_owned());
        }
        if self.alone.is_some() {
            return Some("is set apart for a task that may have killed its worker".to_owned());
        }
        if let Some((name, have, need)) = self.free.lacks(&class.resources) {
            return Some(format!(
                "is busy: {name} free {}, needed {}",
                show(name, have),
                show(name, need)
            ));
        }
        (self.prefilled > 0)
            .then(|| format!("is busy: {} tasks wait there already", self.prefilled))
    }
}

/// An amount of a resource, for people.
pub(super) fn show(name: &str, amount: u64) -> String {
    if name == "memory" {
        format!("{amount} bytes")
    } else {
        bireme_core::resources::show_units(amount)
    }
}

/// All workers, found by their number in one step: they are numbered from 1 and never twice.
#[derive(Debug, Default)]
pub(super) struct Workers {
    slots: Vec<Option<Box<Worker>>>,
    count: usize,
}

impl Workers {
    pub(super) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.slots.get(id.0 as usize)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.slots.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(super) fn contains_key(&self, id: WorkerId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn insert(&mut self, id: WorkerId, worker: Worker) {
        let place = id.0 as usize;
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(place) {
            self.count += usize::from(slot.is_none());
            *slot = Some(Box::new(worker));
        }
    }

    pub(super) fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        let worker = self.slots.get_mut(id.0 as usize)?.take()?;
        self.count -= 1;
        Some(*worker)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Worker> {
        self.slots.iter().flatten().map(AsRef::as_ref)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.slots.iter_mut().flatten().map(AsMut::as_mut)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = WorkerId> {
        self.values().map(|worker| worker.id)
    }
}
