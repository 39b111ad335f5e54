//! What is known of each task of a graph, in as few bytes as will do.
//!
//! A graph of a million tasks has a million slots of four bytes; only what must be remembered of an ended task beyond its
//! state has an entry in a side table. Nobody waits on a slot: waiters are woken by graph and look again.

mod ends;

use bireme_core::graph::{GraphBuilder, Outputs, Watch};
use bireme_core::id::WorkerId;
use bireme_core::session::IndexRange;
use bireme_core::{Codec, ErrorClass, TaskError, Value, limits};
use bytes::Bytes;
use smallvec::SmallVec;

use self::ends::News;

/// The slots of one graph.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    tasks: Vec<Slot>,
    entries: Vec<Entry>,
    news: News,
}

/// What is known of a task: one of these states, or the place in `entries` of how it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Slot(u32);

impl Slot {
    /// Not ended; the scheduler tells of its end without being asked.
    const EXPECTED: Self = Self(u32::MAX);
    /// Not ended; nobody asked to be told.
    const UNASKED: Self = Self(u32::MAX - 1);
    /// Finished with the value of a task that returns nothing.
    const NOTHING: Self = Self(u32::MAX - 2);
    /// Finished; its outputs are not kept.
    const UNKEPT: Self = Self(u32::MAX - 3);
    /// Not ended; the scheduler was asked to tell of its end.
    const ASKED: Self = Self(u32::MAX - 4);

    /// Where the entry of an ended task is. There are never so many that a place could be taken for a state.
    fn place(self) -> Option<usize> {
        (self.0 < Self::ASKED.0).then_some(self.0 as usize)
    }

    fn has_ended(self) -> bool {
        !matches!(self, Self::EXPECTED | Self::UNASKED | Self::ASKED)
    }
}

/// How a task ended, where that is more than a state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// It failed or was cancelled.
    Failed(Box<TaskError>),
    /// Several outputs, each a value or a place.
    Many(Box<[Self]>),
    /// A value that others have.
    Placed(Place),
    /// A small value of one buffer.
    Plain(Codec, Bytes),
    /// Any other small value.
    Whole(Box<Value>),
}

/// Where a value is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Who has it.
    pub(crate) holders: SmallVec<[WorkerId; 2]>,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// What a look at a slot finds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Look {
    /// The task failed or was cancelled.
    Failed(Box<TaskError>),
    /// There is no such task.
    NoTask,
    /// The task finished, and the output asked for is not kept or does not exist.
    NotKept,
    /// The task has not ended.
    Pending {
        /// Its end is told without being asked for.
        expected: bool,
    },
    /// The value is elsewhere.
    Placed(Place),
    /// The value.
    Value(Value),
}

impl Slots {
    /// The slots of a graph that is about to be sent.
    pub(crate) fn new(graph: &GraphBuilder) -> Self {
        let options = graph.options();
        // Whether the session is told of the ends of tasks that keep their outputs.
        let told = options.watch != Watch::Graph;
        let expected = told && matches!(options.outputs, Outputs::All | Outputs::Sinks);
        let slot = if expected { Slot::EXPECTED } else { Slot::UNASKED };
        let mut slots = Self { tasks: vec![slot; graph.len() as usize], ..Self::default() };
        match options.outputs {
            Outputs::Listed if told => {
                graph.kept().iter().for_each(|&task| slots.set(task, Slot::EXPECTED));
            }
            Outputs::Sinks if told => graph.taken().for_each(|task| slots.set(task, Slot::UNASKED)),
            _ => {}
        }
        slots
    }

    /// The slots of a graph that is there already: the ends of its tasks are told when asked for.
    pub(crate) fn unasked(tasks: u32) -> Self {
        Self { tasks: vec![Slot::UNASKED; tasks as usize], ..Self::default() }
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.tasks.len()).unwrap_or(u32::MAX)
    }

    /// Notes that the end of a task was asked for. Returns whether it was not, and has not come.
    pub(crate) fn expect(&mut self, task: u32) -> bool {
        let unasked = self.tasks.get(task as usize) == Some(&Slot::UNASKED);
        if unasked {
            self.set(task, Slot::ASKED);
        }
        unasked
    }

    /// Tasks that have not ended and whose ends were asked for.
    pub(crate) fn asked(&self) -> Vec<IndexRange> {
        self.ranges(|slot| slot == Slot::ASKED)
    }

    /// Tasks that have ended: the longest ranges of them, as many as may be named.
    pub(crate) fn ended(&self) -> Vec<IndexRange> {
        let mut ended = self.ranges(Slot::has_ended);
        ended.sort_by_key(|range| std::cmp::Reverse(range.count));
        ended.truncate(limits::KNOWN_RANGES);
        ended
    }

    fn ranges(&self, is_in: impl Fn(Slot) -> bool) -> Vec<IndexRange> {
        let mut ranges: Vec<IndexRange> = Vec::new();
        for (index, _) in (0..).zip(&self.tasks).filter(|(_, slot)| is_in(**slot)) {
            match ranges.last_mut() {
                Some(range) if range.first + range.count == index => range.count += 1,
                _ => ranges.push(IndexRange { first: index, count: 1 }),
            }
        }
        ranges
    }

    /// Notes that a task finished with these outputs; none if they are not kept.
    pub(crate) fn finish(&mut self, task: u32, mut outputs: SmallVec<[Entry; 1]>) {
        self.news.add(task);
        match outputs.len() {
            0 => self.set(task, Slot::UNKEPT),
            1 => match outputs.pop() {
                Some(Entry::Plain(Codec::None, _)) => self.set(task, Slot::NOTHING),
                Some(entry) => self.end(task, entry),
                None => {}
            },
            _ => self.end(task, Entry::Many(outputs.into_vec().into())),
        }
    }

    /// Notes that a task failed or was cancelled.
    pub(crate) fn fail(&mut self, task: u32, error: Box<TaskError>) {
        self.news.add(task);
        self.end(task, Entry::Failed(error));
    }

    /// Every failure that does not merely follow from another, in order of tasks.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (u32, TaskError)> {
        (0..).zip(&self.tasks).filter_map(|(task, slot)| match self.entries.get(slot.place()?)? {
            Entry::Failed(error) if error.class != ErrorClass::Dependency => {
                Some((task, (**error).clone()))
            }
            _ => None,
        })
    }

    /// Forgets the values of tasks, which then count as not kept.
    pub(crate) fn release(&mut self, tasks: IndexRange) {
        for task in tasks.within(self.len()) {
            self.release_one(task);
        }
    }

    fn release_one(&mut self, task: u32) {
        let Some(slot) = self.tasks.get_mut(task as usize) else { return };
        if *slot == Slot::NOTHING {
            *slot = Slot::UNKEPT;
        }
        let entry = slot.place().and_then(|place| self.entries.get_mut(place));
        if let Some(entry) = entry
            && !matches!(entry, Entry::Failed(_))
        {
            *slot = Slot::UNKEPT;
            *entry = Entry::Plain(Codec::None, Bytes::new());
        }
    }

    /// What is known of an output of a task.
    pub(crate) fn look(&self, task: u32, output: u16) -> Look {
        let Some(slot) = self.tasks.get(task as usize) else { return Look::NoTask };
        match *slot {
            Slot::EXPECTED | Slot::ASKED => Look::Pending { expected: true },
            Slot::UNASKED => Look::Pending { expected: false },
            Slot::NOTHING if output == 0 => Look::Value(Value::none()),
            Slot::NOTHING | Slot::UNKEPT => Look::NotKept,
            ended => match ended.place().and_then(|place| self.entries.get(place)) {
                Some(Entry::Many(entries)) => {
                    entries.get(usize::from(output)).map_or(Look::NotKept, Entry::look)
                }
                Some(entry) if output == 0 || matches!(entry, Entry::Failed(_)) => entry.look(),
                _ => Look::NotKept,
            },
        }
    }

    fn set(&mut self, task: u32, state: Slot) {
        if let Some(slot) = self.tasks.get_mut(task as usize) {
            *slot = state;
        }
    }

    /// A task that ends again, because it was retried or its result was lost, takes its old entry.
    fn end(&mut self, task: u32, entry: Entry) {
        let next = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let Some(slot) = self.tasks.get_mut(task as usize) else { return };
        let old = slot.place().and_then(|place| self.entries.get_mut(place));
        if let Some(old) = old {
            *old = entry;
        } else {
            *slot = Slot(next);
            self.entries.push(entry);
        }
    }
}

impl Entry {
    /// The leanest entry for a value that is all here.
    pub(crate) fn of(mut value: Value) -> Self {
        let is_plain = value.contains.is_empty()
            && value.type_hint.is_empty()
            && value.digest.is_none()
            && value.compression == bireme_core::value::Compression::None
            && value.buffers.len() <= 1
            && value.is_inline();
        if !is_plain {
            return Self::Whole(Box::new(value));
        }
        match value.buffers.pop() {
            Some(bireme_core::value::Buffer::Inline(bytes)) => Self::Plain(value.codec, bytes),
            _ if value.codec == Codec::None => Self::Plain(Codec::None, Bytes::new()),
            _ => Self::Whole(Box::new(value)),
        }
    }

    fn look(&self) -> Look {
        match self {
            Self::Failed(error) => Look::Failed(error.clone()),
            Self::Many(_) => Look::NotKept,
            Self::Placed(place) => Look::Placed(place.clone()),
            Self::Plain(Codec::None, _) => Look::Value(Value::none()),
            Self::Plain(codec, bytes) => Look::Value(Value::inline(*codec, bytes.clone())),
            Self::Whole(value) => Look::Value((**value).clone()),
        }
    }
}

#[cfg(test)]
mod tests;
