//! What is known of each task of a graph, in as few bytes as will do.
//!
//! A graph of a million tasks has a million slots of eight bytes; only what must be remembered of an ended task beyond its
//! state has an entry in a side table. Nobody waits on a slot: waiters are woken by graph and look again.

use bireme_core::graph::{GraphChunk, Outputs};
use bireme_core::id::WorkerId;
use bireme_core::session::IndexRange;
use bireme_core::{Codec, ErrorClass, TaskError, Value};
use bytes::Bytes;
use smallvec::SmallVec;

/// The slots of one graph.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Slot {
    state: State,
    /// Place in `entries`, where the state has an entry.
    at: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Not ended; the scheduler tells of its end without being asked.
    Expected,
    /// Not ended; nobody asked to be told.
    Unasked,
    /// Ended: see the entry.
    Ended,
    /// Finished with the value of a task that returns nothing.
    Nothing,
    /// Finished; its outputs are not kept.
    Unkept,
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
    /// The slots of the tasks of these chunks. `told` is whether the session is told of the ends of tasks that keep their
    /// outputs.
    pub(crate) fn new(chunks: &[GraphChunk], outputs: Outputs, told: bool) -> Self {
        let tasks: u64 = chunks.iter().map(GraphChunk::task_count).sum();
        let tasks = usize::try_from(tasks).unwrap_or(usize::MAX);
        let expected = told && matches!(outputs, Outputs::All | Outputs::Sinks);
        let state = if expected { State::Expected } else { State::Unasked };
        let mut slots = Self { slots: vec![Slot { state, at: 0 }; tasks], entries: Vec::new() };
        match outputs {
            Outputs::Listed if told => {
                for &task in chunks.iter().flat_map(|chunk| &chunk.outputs) {
                    slots.set_state(task, State::Expected);
                }
            }
            Outputs::Sinks if told => slots.unexpect_producers(chunks),
            _ => {}
        }
        slots
    }

    /// Takes back the expectation of every task that another depends on.
    fn unexpect_producers(&mut self, chunks: &[GraphChunk]) {
        for chunk in chunks {
            for dep in chunk.tasks.iter().flat_map(|task| &task.deps) {
                self.set_state(dep.task, State::Unasked);
            }
            for array in &chunk.arrays {
                for input in &array.inputs {
                    let rows = if input.stride == 0 { 1 } else { array.count };
                    for row in 0..rows {
                        let task = input.first.saturating_add(row.saturating_mul(input.stride));
                        self.set_state(task, State::Unasked);
                    }
                }
            }
        }
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Notes that the end of a task was asked for. Returns whether it was not, and has not come.
    pub(crate) fn expect(&mut self, task: u32) -> bool {
        let unasked = self.state(task) == Some(State::Unasked);
        if unasked {
            self.set_state(task, State::Expected);
        }
        unasked
    }

    /// Notes that a task finished with these outputs; none if they are not kept.
    pub(crate) fn finish(&mut self, task: u32, mut outputs: SmallVec<[Entry; 1]>) {
        match outputs.len() {
            0 => self.set_state(task, State::Unkept),
            1 => match outputs.pop() {
                Some(Entry::Plain(Codec::None, _)) => self.set_state(task, State::Nothing),
                Some(entry) => self.end(task, entry),
                None => {}
            },
            _ => self.end(task, Entry::Many(outputs.into_vec().into())),
        }
    }

    /// Notes that a task failed or was cancelled.
    pub(crate) fn fail(&mut self, task: u32, error: Box<TaskError>) {
        self.end(task, Entry::Failed(error));
    }

    /// Every failure that does not merely follow from another, in order of tasks.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (u32, TaskError)> {
        (0..).zip(&self.slots).filter(|(_, slot)| slot.state == State::Ended).filter_map(
            |(task, slot)| match self.entries.get(slot.at as usize) {
                Some(Entry::Failed(error)) if error.class != ErrorClass::Dependency => {
                    Some((task, (**error).clone()))
                }
                _ => None,
            },
        )
    }

    /// Forgets the values of tasks, which then count as not kept.
    pub(crate) fn release(&mut self, tasks: IndexRange) {
        for task in tasks.within(self.len()) {
            self.release_one(task);
        }
    }

    fn release_one(&mut self, task: u32) {
        let Some(slot) = self.slots.get_mut(task as usize) else { return };
        match slot.state {
            State::Ended => {
                let at = slot.at as usize;
                let failed = matches!(self.entries.get(at), Some(Entry::Failed(_)));
                if !failed {
                    slot.state = State::Unkept;
                    if let Some(entry) = self.entries.get_mut(at) {
                        *entry = Entry::Plain(Codec::None, Bytes::new());
                    }
                }
            }
            State::Nothing => slot.state = State::Unkept,
            State::Expected | State::Unasked | State::Unkept => {}
        }
    }

    /// What is known of an output of a task.
    pub(crate) fn look(&self, task: u32, output: u16) -> Look {
        let Some(slot) = self.slots.get(task as usize) else { return Look::NoTask };
        match slot.state {
            State::Expected => Look::Pending { expected: true },
            State::Unasked => Look::Pending { expected: false },
            State::Nothing if output == 0 => Look::Value(Value::none()),
            State::Nothing | State::Unkept => Look::NotKept,
            State::Ended => match self.entries.get(slot.at as usize) {
                Some(Entry::Many(entries)) => {
                    entries.get(usize::from(output)).map_or(Look::NotKept, Entry::look)
                }
                Some(entry) if output == 0 || matches!(entry, Entry::Failed(_)) => entry.look(),
                _ => Look::NotKept,
            },
        }
    }

    fn state(&self, task: u32) -> Option<State> {
        self.slots.get(task as usize).map(|slot| slot.state)
    }

    fn set_state(&mut self, task: u32, state: State) {
        if let Some(slot) = self.slots.get_mut(task as usize) {
            slot.state = state;
        }
    }

    /// A task that ends again, because it was retried or its result was lost, takes its old entry.
    fn end(&mut self, task: u32, entry: Entry) {
        let next = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let Some(slot) = self.slots.get_mut(task as usize) else { return };
        if slot.state == State::Ended
            && let Some(old) = self.entries.get_mut(slot.at as usize)
        {
            *old = entry;
        } else {
            *slot = Slot { state: State::Ended, at: next };
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
