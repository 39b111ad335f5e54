//! The attempts a worker has accepted and not ended.

use bireme_core::hash::{IdMap, Seeded};
use bireme_core::id::{AttemptId, TaskId};
use bireme_core::{ObjectId, Span, Time};
use smallvec::SmallVec;

use super::Execution;
use super::pool::Held;
use super::queues::{QueueId, Turn};

/// An attempt's place in the table; given again when the attempt has ended and nothing names it any more.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Slot(u32);

/// An attempt that was accepted and has not ended.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: AttemptId,
    pub(super) state: State,
    pub(super) fate: Fate,
    /// Where it stands in line, whether or not it is runnable yet.
    pub(super) queue: QueueId,
    pub(super) turn: Turn,
    /// How many later ones started while it was the first that did not fit.
    pub(super) passed: u32,
    pub(super) accepted: Time,
    pub(super) timeout: Option<Span>,
    /// Each is pinned once for each time it occurs here.
    pub(super) inputs: SmallVec<[ObjectId; 2]>,
    /// Until it is handed to an executor.
    pub(super) execution: Option<Box<Execution>>,
    /// It has given its cpus back at some time.
    pub(super) has_seceded: bool,
    /// How it stands with its cpus is marked in the outbox.
    pub(super) cpus_marked: bool,
    /// What it runs in is being made.
    pub(super) prepares: bool,
}

/// How far an attempt has come. Only a running one holds resources.
#[derive(Debug)]
pub(super) enum State {
    /// The executor starts it when another of its queue ends.
    Following(Recall),
    /// It can run.
    Ready,
    /// The executor was told to run it, or told that it does.
    Running { since: Time, held: Held, cpus: Cpus },
    /// So many inputs are not here; an older attempt of the same task that has not ended counts as one.
    Waiting { missing: usize },
}

/// How it stands with the cpus of a running attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cpus {
    /// It has given them back while it waits for others.
    Given,
    /// It has them.
    Held,
    /// It has none and wants them again since then. That time is none of its own.
    Wanted { since: Time },
}

/// How it stands with taking a follower back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Recall {
    /// The executor was asked and has not answered.
    Asked,
    /// Nobody asked.
    No,
    /// It had started already; whose resources it took over will be told by that one's end.
    Refused,
}

/// What is to be made of an attempt, if it does not finish first. A greater one replaces a smaller one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Fate {
    /// It runs, and its end is told as it is.
    Run,
    /// It is given back if it has not started.
    GiveBack,
    /// It was over its time.
    TimeOut,
    /// Somebody cancelled it; running code may go on for so long.
    Cancel { grace: Span },
    /// The worker ends.
    Stop,
    /// A later attempt of the task is here: nobody hears of this one.
    Supersede,
}

impl Fate {
    /// How long code may go on that has this fate; `None` if it may go on as it likes.
    pub(super) fn grace(self) -> Option<Span> {
        match self {
            Self::Run | Self::GiveBack => None,
            Self::TimeOut => Some(bireme_core::limits::TIMEOUT_GRACE),
            Self::Cancel { grace } => Some(grace),
            Self::Stop | Self::Supersede => Some(Span::ZERO),
        }
    }
}

impl Attempt {
    /// Whether user code has started, as far as anybody has said.
    pub(super) fn has_started(&self) -> bool {
        match self.state {
            State::Running { .. } | State::Following(Recall::Refused) => true,
            State::Following(Recall::Asked | Recall::No) | State::Ready | State::Waiting { .. } => {
                false
            }
        }
    }

    /// When a running attempt's time is up; `None` while it waits for cpus, or for what it runs in.
    pub(super) fn deadline(&self) -> Option<Time> {
        match (&self.state, self.timeout) {
            _ if self.prepares => None,
            (State::Running { cpus: Cpus::Wanted { .. }, .. }, _) => None,
            (State::Running { since, .. }, Some(timeout)) => Some(*since + timeout),
            _ => None,
        }
    }
}

/// All attempts, found by task.
#[derive(Debug)]
pub(super) struct Attempts {
    slots: Vec<Option<Attempt>>,
    vacant: Vec<Slot>,
    /// The latest attempt of each task.
    current: IdMap<TaskId, Slot>,
    /// The attempt that the executor still has of a task of which a later one was accepted. There is never a second: the
    /// later one is not handed to an executor before this one has ended.
    superseded: IdMap<TaskId, Slot>,
}

const NAMED: &str = "a slot is freed with everything that names it";

impl Attempts {
    pub(super) fn new(seed: u64) -> Self {
        let map = || IdMap::with_hasher(Seeded::new(seed));
        Self { slots: Vec::new(), vacant: Vec::new(), current: map(), superseded: map() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.superseded.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.current.len() + self.superseded.len()
    }

    pub(super) fn at(&self, Slot(slot): Slot) -> &Attempt {
        self.slots.get(slot as usize).and_then(Option::as_ref).expect(NAMED)
    }

    pub(super) fn at_mut(&mut self, Slot(slot): Slot) -> &mut Attempt {
        self.slots.get_mut(slot as usize).and_then(Option::as_mut).expect(NAMED)
    }

    /// The latest attempt of a task.
    pub(super) fn current(&self, task: TaskId) -> Option<Slot> {
        self.current.get(&task).copied()
    }

    /// The older attempt of a task, if the executor still has it.
    pub(super) fn superseded(&self, task: TaskId) -> Option<Slot> {
        if self.superseded.is_empty() {
            return None;
        }
        self.superseded.get(&task).copied()
    }

    /// Exactly this attempt, if it is here.
    pub(super) fn find(&self, id: AttemptId) -> Option<Slot> {
        let is_it = |slot: &Slot| self.at(*slot).id == id;
        self.current(id.task).filter(is_it).or_else(|| self.superseded(id.task).filter(is_it))
    }

    /// Adds the latest attempt of its task.
    pub(super) fn insert(&mut self, attempt: Attempt) -> Slot {
        let task = attempt.id.task;
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Slot(u32::try_from(self.slots.len() - 1).expect("attempts are bounded by `TASKS`"))
        });
        if let Some(place) = self.slots.get_mut(slot.0 as usize) {
            *place = Some(attempt);
        }
        self.current.insert(task, slot);
        slot
    }

    /// Removes an attempt; nothing may name it any more.
    pub(super) fn remove(&mut self, slot: Slot) -> Attempt {
        let attempt = self.slots.get_mut(slot.0 as usize).and_then(Option::take).expect(NAMED);
        self.vacant.push(slot);
        let task = attempt.id.task;
        if self.current(task) == Some(slot) {
            self.current.remove(&task);
        } else {
            self.superseded.remove(&task);
        }
        attempt
    }

    /// Makes room for a later attempt of the same task.
    pub(super) fn supersede(&mut self, slot: Slot) {
        let task = self.at(slot).id.task;
        self.current.remove(&task);
        self.superseded.insert(task, slot);
    }

    /// Every attempt, in no meaningful order, but always the same one.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Attempt)> {
        let slots = (0..).map(Slot).zip(&self.slots);
        slots.filter_map(|(slot, attempt)| Some((slot, attempt.as_ref()?)))
    }
}
