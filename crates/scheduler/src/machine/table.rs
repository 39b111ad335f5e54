//! The tasks of a graph by index: a record for each, but for the rows of arrays next to nothing while they wait and once
//! they are over.
//!
//! A row that was never sent looks like its array's first; one that finished without incident looks like every other that
//! did, but for its object. So a row is four bytes, and becomes a record when something is written to it
//! ([`Tasks::get_mut`]); [`Tasks::fold`] takes the record away again when it says nothing of its own.

use bireme_core::graph::{Row, Rows};

use super::number::{NONE, ObjectNo};
use super::task::{Phase, Task, flag};

/// A row that was never sent.
const FRESH: u32 = u32::MAX;
/// A row that was cancelled before it was sent.
const CANCELLED: u32 = u32::MAX - 1;
/// Marks a row that finished; the other bits are its object's number.
const DONE: u32 = 1 << 31;
/// Those bits where its outputs were released.
const RELEASED: u32 = DONE - 3;

/// All tasks of a graph.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    /// Those that are no rows, in order.
    records: Vec<Task>,
    arrays: Vec<Array>,
    len: u32,
}

/// The rows of one array.
#[derive(Debug)]
struct Array {
    first: u32,
    /// Rows of this array and of those before it.
    rows_so_far: u32,
    prefix: Box<str>,
    arguments: Rows,
    fresh: Task,
    done: Task,
    /// Like `done`, and its outputs are given up.
    released: Task,
    cancelled: Task,
    /// For each row what it looks like, or the place of its record.
    rows: Vec<u32>,
    records: Vec<Task>,
    vacant: Vec<u32>,
}

/// Where a task is kept.
enum Place {
    Record(usize),
    Row(usize, u32),
}

impl Tasks {
    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn reserve(&mut self, count: usize) {
        self.records.reserve(count);
    }

    pub(super) fn push(&mut self, task: Task) {
        self.records.push(task);
        self.len += 1;
    }

    /// Adds the rows of an array: `fresh` is what the first looks like.
    pub(super) fn push_array(&mut self, prefix: &str, count: u32, arguments: Rows, fresh: Task) {
        let before = self.arrays.last().map_or(0, |array| array.rows_so_far);
        let done = Task { phase: Phase::Finished, ran: 1, attempt: 1, ..fresh.clone() };
        self.arrays.push(Array {
            first: self.len,
            rows_so_far: before + count,
            prefix: prefix.into(),
            arguments,
            cancelled: Task { phase: Phase::Cancelled, ..fresh.clone() },
            released: Task { flags: flag::GIVEN_UP, ..done.clone() },
            done,
            fresh,
            rows: vec![FRESH; count as usize],
            records: Vec::new(),
            vacant: Vec::new(),
        });
        self.len += count;
    }

    fn place(&self, index: u32) -> Place {
        let after = self.arrays.partition_point(|array| array.first <= index);
        let Some(at) = after.checked_sub(1) else { return Place::Record(index as usize) };
        let array = self.arrays.get(at).expect("partition_point is within");
        let row = index - array.first;
        if (row as usize) < array.rows.len() {
            Place::Row(at, row)
        } else {
            Place::Record((index - array.rows_so_far) as usize)
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&Task> {
        if index >= self.len {
            return None;
        }
        match self.place(index) {
            Place::Record(at) => self.records.get(at),
            Place::Row(at, row) => {
                let array = self.arrays.get(at)?;
                match *array.rows.get(row as usize)? {
                    FRESH => Some(&array.fresh),
                    CANCELLED => Some(&array.cancelled),
                    place if place == DONE | RELEASED => Some(&array.released),
                    place if place & DONE != 0 => Some(&array.done),
                    place => array.records.get(place as usize),
                }
            }
        }
    }

    /// A task's record, which a row may get by this.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Task> {
        if index >= self.len {
            return None;
        }
        match self.place(index) {
            Place::Record(at) => self.records.get_mut(at),
            Place::Row(at, row) => self.arrays.get_mut(at)?.record(row),
        }
    }

    /// The object of a task with one output.
    pub(super) fn object(&self, index: u32) -> Option<ObjectNo> {
        let folded = match self.place(index) {
            Place::Record(_) => None,
            Place::Row(at, row) => {
                let place = *self.arrays.get(at)?.rows.get(row as usize)?;
                (place < CANCELLED && place & DONE != 0).then_some(place & !DONE)
            }
        };
        let object = match folded {
            Some(RELEASED) => ObjectNo::NONE,
            Some(number) => ObjectNo(number),
            None => self.get(index)?.object,
        };
        (object.0 != NONE).then_some(object)
    }

    /// Takes a row's record away if it says nothing that its array does not.
    pub(super) fn fold(&mut self, index: u32) {
        if self.arrays.is_empty() || index >= self.len {
            return;
        }
        if let Place::Row(at, row) = self.place(index)
            && let Some(array) = self.arrays.get_mut(at)
        {
            array.fold(row);
        }
    }

    /// The row that a task is, with its array's prefix; `None` where it is no row.
    pub(super) fn row(&self, index: u32) -> Option<(&str, u32)> {
        match self.place(index) {
            Place::Record(_) => None,
            Place::Row(at, row) => Some((&self.arrays.get(at)?.prefix, row)),
        }
    }

    /// The own argument of a row.
    pub(super) fn row_argument(&self, index: u32) -> Row {
        match self.place(index) {
            Place::Record(_) => Row::None,
            Place::Row(at, row) => {
                self.arrays.get(at).map_or(Row::None, |array| array.arguments.argument(row))
            }
        }
    }

    /// The row with this key, `PREFIX[ROW]`.
    pub(super) fn find_row(&self, key: &str) -> Option<u32> {
        let (prefix, row) = row_of(key)?;
        let array = self.arrays.iter().find(|array| *array.prefix == *prefix)?;
        ((row as usize) < array.rows.len()).then_some(array.first + row)
    }

    /// Whether an array has this prefix.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.arrays.iter().any(|array| *array.prefix == *prefix)
    }

    /// Every task in order; rows as what they look like.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Task> {
        (0..self.len).filter_map(|index| self.get(index))
    }
}

/// Takes the key of a row apart, `PREFIX[ROW]`.
pub(super) fn row_of(key: &str) -> Option<(&str, u32)> {
    let (prefix, row) = key.strip_suffix(']')?.rsplit_once('[')?;
    Some((prefix, row.parse().ok()?))
}

impl Array {
    fn record(&mut self, row: u32) -> Option<&mut Task> {
        let slot = self.rows.get_mut(row as usize)?;
        let mut task = match *slot {
            FRESH => self.fresh.clone(),
            CANCELLED => self.cancelled.clone(),
            place if place & DONE == 0 => return self.records.get_mut(place as usize),
            place if place == DONE | RELEASED => self.released.clone(),
            place => Task { object: ObjectNo(place & !DONE), ..self.done.clone() },
        };
        task.order = self.fresh.order.saturating_add(row);
        let place = if let Some(place) = self.vacant.pop() {
            place
        } else {
            self.records.push(task.clone());
            u32::try_from(self.records.len() - 1).expect("limits::GRAPH_TASKS is below 2^31")
        };
        *slot = place;
        let record = self.records.get_mut(place as usize)?;
        *record = task;
        Some(record)
    }

    fn fold(&mut self, row: u32) {
        let Some(slot) = self.rows.get_mut(row as usize) else { return };
        let place = *slot;
        let Some(record) = (place & DONE == 0).then(|| self.records.get(place as usize)).flatten()
        else {
            return;
        };
        let is_released = record.phase == Phase::Finished && record.object == ObjectNo::NONE;
        let quiet = (record.flags == 0 || (is_released && record.flags == flag::GIVEN_UP))
            && (record.retries, record.crashes, record.consumers, record.dependents)
                == (0, 0, 0, NONE)
            && (record.outputs, record.edges) == (1, 0);
        *slot = match record.phase {
            Phase::Finished if quiet && (record.ran, record.attempt) == (1, 1) => {
                let number =
                    if record.object == ObjectNo::NONE { RELEASED } else { record.object.0 };
                if number > RELEASED {
                    return; // A number that would look like a mark; it keeps its record.
                }
                DONE | number
            }
            Phase::Cancelled if quiet && (record.attempt, record.object) == (0, ObjectNo::NONE) => {
                CANCELLED
            }
            _ => return,
        };
        self.vacant.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::ClassNo;
    use super::*;

    fn task() -> Task {
        Task {
            phase: Phase::Ready,
            flags: 0,
            retries: 0,
            crashes: 0,
            outputs: 1,
            ran: 0,
            key_len: 0,
            payload_len: 0,
            chunk: 0,
            text: 0,
            class: ClassNo(0),
            first_edge: 0,
            edges: 0,
            dependents: NONE,
            missing: 0,
            consumers: 0,
            priority: 0,
            order: 40,
            worker: 0,
            place: 0,
            attempt: 0,
            object: ObjectNo::NONE,
        }
    }

    /// Two tasks, five rows, a task, two rows.
    fn tasks() -> Tasks {
        let mut tasks = Tasks::default();
        tasks.push(task());
        tasks.push(task());
        tasks.push_array("a", 5, Rows::Range { start: 0, step: 1 }, task());
        tasks.push(Task { order: 99, ..task() });
        tasks.push_array("b", 2, Rows::Range { start: 7, step: 1 }, task());
        tasks
    }

    fn finish(tasks: &mut Tasks, index: u32, object: u32) {
        let record = tasks.get_mut(index).unwrap();
        (record.phase, record.ran, record.attempt) = (Phase::Finished, 1, 1);
        record.object = ObjectNo(object);
        tasks.fold(index);
    }

    #[test]
    fn indexes_find_tasks_and_rows() {
        let mut tasks = tasks();
        assert_eq!((tasks.len(), tasks.iter().count()), (10, 10));
        assert_eq!(tasks.row(1), None);
        assert_eq!(tasks.row(2), Some(("a", 0)));
        assert_eq!((tasks.row(6), tasks.row(7)), (Some(("a", 4)), None));
        assert_eq!(tasks.get(7).unwrap().order, 99);
        assert_eq!((tasks.row_argument(9), tasks.row_argument(7)), (Row::Number(8), Row::None));
        assert_eq!(
            (tasks.find_row("b[1]"), tasks.find_row("b[2]"), tasks.find_row("c[0]")),
            (Some(9), None, None)
        );
        assert!(tasks.get(10).is_none() && tasks.get_mut(10).is_none());
    }

    #[test]
    fn a_row_has_a_record_only_while_it_says_something() {
        let mut tasks = tasks();
        assert_eq!(tasks.get_mut(4).unwrap().order, 42, "its own place in the order");
        finish(&mut tasks, 4, 17);
        assert_eq!(tasks.arrays[0].vacant, [0], "the record is free for another row");
        assert_eq!(tasks.get(4).unwrap().phase, Phase::Finished);
        assert_eq!((tasks.object(4), tasks.object(3)), (Some(ObjectNo(17)), None));
        let again = tasks.get_mut(4).unwrap();
        assert_eq!((again.object, again.attempt, again.order), (ObjectNo(17), 1, 42));
        again.object = ObjectNo::NONE;
        tasks.fold(4);
        assert_eq!(tasks.object(4), None);
        assert!(tasks.get_mut(4).unwrap().has(flag::GIVEN_UP), "nobody keeps what was released");
    }

    #[test]
    fn what_a_row_alone_knows_is_kept() {
        let mut tasks = tasks();
        let record = tasks.get_mut(3).unwrap();
        (record.phase, record.ran, record.attempt) = (Phase::Finished, 2, 3);
        tasks.fold(3);
        assert_eq!(tasks.get(3).unwrap().attempt, 3);
        tasks.get_mut(5).unwrap().phase = Phase::Cancelled;
        tasks.fold(5);
        assert_eq!(tasks.get(5).unwrap().phase, Phase::Cancelled);
        assert_eq!(tasks.arrays[0].vacant.len(), 1);
    }

    #[test]
    fn a_cancelled_row_keeps_its_object_until_that_is_dropped() {
        let mut tasks = tasks();
        let record = tasks.get_mut(5).unwrap();
        (record.phase, record.object) = (Phase::Cancelled, ObjectNo(17));
        tasks.fold(5);
        assert_eq!(tasks.object(5), Some(ObjectNo(17)));
        tasks.get_mut(5).unwrap().object = ObjectNo::NONE;
        tasks.fold(5);
        assert_eq!(tasks.arrays[0].vacant, [0]);
    }
}
