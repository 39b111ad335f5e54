//! Tasks of a graph in the making, packed: as many as go into one chunk, one after the other in one run of bytes.
//!
//! A million tasks are a million of everything that is kept for each. As [`TaskSpec`]s they would be some 350 bytes and two
//! pieces of memory each; packed, they are their key, their payload and about eight bytes.
#![expect(clippy::indexing_slicing, reason = "what is unpacked was packed here")]

use bytes::Bytes;

use super::super::{Dep, Rows, TaskArray, TaskSpec};
use crate::limits;

/// The tasks of a chunk, then its arrays.
#[derive(Debug, Default)]
pub(super) struct Packed {
    first: u32,
    tasks: u32,
    bytes: Vec<u8>,
    arrays: Vec<TaskArray>,
    /// About how many bytes all take on the wire; never fewer.
    wire_bytes: usize,
}

/// A packed task. What it is made of is read in this order.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    class: u32,
    priority: i32,
    order: u32,
    deps: usize,
    externals: usize,
    key: usize,
    payload: usize,
    /// Deps, externals, key and payload, and then further tasks.
    rest: &'a [u8],
}

impl Packed {
    /// Nothing yet; the first task to come is this one.
    pub(super) fn new(first: u32) -> Self {
        Self { first, ..Self::default() }
    }

    /// Index of its first task.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// Whether a chunk with one task more may be sent.
    pub(super) fn has_room(&self, task: &TaskSpec) -> bool {
        (self.tasks as usize) < limits::CHUNK_TASKS
            && self.wire_bytes + task_bytes(task) <= limits::BATCH_BYTES
            && self.arrays.is_empty()
    }

    /// The same of an array.
    pub(super) fn has_room_for_array(&self, array: &TaskArray) -> bool {
        self.wire_bytes + array_bytes(array) <= limits::BATCH_BYTES
    }

    pub(super) fn push_array(&mut self, array: TaskArray) {
        self.wire_bytes += array_bytes(&array);
        self.arrays.push(array);
    }

    pub(super) fn push(&mut self, task: &TaskSpec) {
        let TaskSpec { key, class, deps, externals, payload, priority, order } = task;
        self.wire_bytes += task_bytes(task);
        self.tasks += 1;
        let bytes = &mut self.bytes;
        put(bytes, (*class).into());
        put(bytes, priority.cast_unsigned().into());
        put(bytes, (*order).into());
        for length in [deps.len(), externals.len(), key.len(), payload.len()] {
            put(bytes, length as u64);
        }
        for dep in deps {
            put(bytes, dep.task.into());
            put(bytes, dep.output.into());
        }
        for &external in externals {
            put(bytes, external.into());
        }
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(payload);
    }

    /// No further task comes: gives back the room kept for one.
    pub(super) fn close(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// The tasks in order.
    pub(super) fn views(&self) -> impl Iterator<Item = View<'_>> {
        let mut bytes = self.bytes.as_slice();
        (0..self.tasks).map(move |_| {
            let view = View::read(bytes);
            bytes = view.after();
            view
        })
    }

    pub(super) fn arrays(&self) -> &[TaskArray] {
        &self.arrays
    }

    /// The key of a task, or the prefix of an array by its first row.
    pub(super) fn key(&self, index: u32) -> Option<&str> {
        let nth = index.checked_sub(self.first)?;
        if let Some(mut rows) = nth.checked_sub(self.tasks) {
            let array = self.arrays.iter().find(|array| {
                let is_it = rows == 0;
                rows = rows.wrapping_sub(array.count);
                is_it
            })?;
            return Some(&array.key_prefix);
        }
        let view = self.views().nth(nth as usize)?;
        str::from_utf8(view.key()).ok()
    }

    /// Unpacks all. `order` gives the order of a task by its index and the one that was set.
    pub(super) fn unpack(
        self,
        mut order: impl FnMut(u32, u32, u32) -> u32,
    ) -> (Vec<TaskSpec>, Vec<TaskArray>) {
        // One piece of memory, which all payloads share.
        let all = Bytes::from(self.bytes);
        let (mut bytes, mut index) = (all.as_ref(), self.first);
        let mut tasks = Vec::with_capacity(self.tasks as usize);
        for _ in 0..self.tasks {
            let view = View::read(bytes);
            bytes = view.after();
            let mut task = view.unpack(&all);
            task.order = order(index, 1, task.order);
            tasks.push(task);
            index += 1;
        }
        let mut arrays = self.arrays;
        for array in &mut arrays {
            array.order = order(index, array.count, array.order);
            index += array.count;
        }
        (tasks, arrays)
    }
}

impl<'a> View<'a> {
    fn read(mut bytes: &'a [u8]) -> Self {
        let from = &mut bytes;
        let (class, priority, order) = (take_u32(from), take_u32(from), take_u32(from));
        let mut length = || usize::try_from(take(from)).unwrap_or(usize::MAX);
        let (deps, externals, key, payload) = (length(), length(), length(), length());
        let priority = priority.cast_signed();
        Self { class, priority, order, deps, externals, key, payload, rest: bytes }
    }

    /// The outputs that it takes.
    pub(super) fn deps(&self) -> impl Iterator<Item = Dep> + use<'a> {
        let mut rest = self.rest;
        (0..self.deps).map(move |_| read_dep(&mut rest))
    }

    /// Key, payload and what comes after.
    fn texts(&self) -> &'a [u8] {
        let mut rest = self.rest;
        for _ in 0..2 * self.deps + self.externals {
            take(&mut rest);
        }
        rest
    }

    fn key(&self) -> &'a [u8] {
        &self.texts()[..self.key]
    }

    /// What comes after it.
    fn after(&self) -> &'a [u8] {
        &self.texts()[self.key + self.payload..]
    }

    /// The task; `all` is what it is packed in.
    fn unpack(&self, all: &Bytes) -> TaskSpec {
        let mut rest = self.rest;
        let deps = (0..self.deps).map(|_| read_dep(&mut rest)).collect();
        let externals = (0..self.externals).map(|_| take_u32(&mut rest)).collect();
        let (key, rest) = rest.split_at(self.key);
        TaskSpec {
            key: str::from_utf8(key).map(str::to_owned).unwrap_or_default(),
            class: self.class,
            deps,
            externals,
            payload: all.slice_ref(&rest[..self.payload]),
            priority: self.priority,
            order: self.order,
        }
    }
}

fn read_dep(from: &mut &[u8]) -> Dep {
    let task = take_u32(from);
    Dep { task, output: u16::try_from(take(from)).unwrap_or(u16::MAX) }
}

/// Seven bits a byte, least significant first; all but the last have the upper bit set.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        let [low, ..] = number.to_le_bytes();
        bytes.push(low | 0x80);
        number >>= 7;
    }
    let [low, ..] = number.to_le_bytes();
    bytes.push(low);
}

fn take(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

fn take_u32(bytes: &mut &[u8]) -> u32 {
    u32::try_from(take(bytes)).unwrap_or(u32::MAX)
}

/// About how many bytes a task takes on the wire; never fewer.
fn task_bytes(task: &TaskSpec) -> usize {
    task.key.len() + task.payload.len() + task.deps.len() * 8 + task.externals.len() * 5 + 48
}

/// The same of an array.
fn array_bytes(array: &TaskArray) -> usize {
    let rows = match &array.rows {
        Rows::Range { .. } => 24,
        Rows::Values(values) => values.iter().map(|value| value.len() + 6).sum(),
    };
    array.key_prefix.len() + array.payload.len() + array.inputs.len() * 20 + rows + 48
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let tasks = [
            TaskSpec::default(),
            TaskSpec {
                key: "schlüssel".to_owned(),
                class: u32::MAX,
                deps: smallvec![
                    Dep { task: 300, output: 9 },
                    Dep { task: 1 << 27, output: 65_535 }
                ],
                externals: smallvec![0, 127, 128],
                payload: vec![0xff; 70_000].into(),
                priority: i32::MIN,
                order: 1 << 31,
            },
            TaskSpec { key: "last".to_owned(), priority: -1, ..TaskSpec::default() },
        ];
        let mut packed = Packed::new(5);
        for task in &tasks {
            packed.push(task);
        }
        packed.close();
        assert_eq!(
            (packed.key(6), packed.key(7), packed.key(8)),
            (Some("schlüssel"), Some("last"), None)
        );
        assert_eq!(packed.views().map(|view| view.deps().count()).collect::<Vec<_>>(), [0, 2, 0]);
        let mut indexes = Vec::new();
        let (unpacked, arrays) = packed.unpack(|index, _, order| {
            indexes.push(index);
            order
        });
        assert_eq!((unpacked.as_slice(), arrays.len()), (tasks.as_slice(), 0));
        assert_eq!(indexes, [5, 6, 7]);
    }

    #[test]
    fn a_task_takes_few_bytes_beyond_key_and_payload() {
        let mut packed = Packed::new(0);
        let task =
            TaskSpec { key: "k".repeat(24), payload: vec![0; 60].into(), ..TaskSpec::default() };
        packed.push(&task);
        packed.close();
        assert!(packed.bytes.capacity() <= 24 + 60 + 8, "{}", packed.bytes.capacity());
    }
}
