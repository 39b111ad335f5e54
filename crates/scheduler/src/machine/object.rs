//! The table of objects: every stored or promised value, and who has it.
//!
//! There may be one for each of millions of finished tasks, so what hardly any has is not in the record.

use bireme_core::id::{GraphId, HolderId, TaskId, WorkerId};
use bireme_core::{Codec, ObjectId, Value};

use super::number::{ObjectNo, TaskRef};

/// A stored or promised value.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts that have nothing to do with each other, in a byte each"
)]
pub(super) struct Object {
    /// The number of its task's graph, or of its holder.
    owner: u64,
    /// Its task's index and which output it is, or its number among its holder's values.
    number: u64,
    pub(super) size: u64,
    /// A value small enough to live with the scheduler, if that is here. The machine passes it on and never looks inside.
    small: Option<Box<Value>>,
    rare: Option<Box<Rare>>,
    /// The worker that has it where only one does; 0 is none.
    holder: WorkerId,
    /// Which of the cache's entries is this value's.
    pub(super) stamp: u32,
    is_output: bool,
    /// It is the value of a task that returns nothing, which is always here.
    is_unit: bool,
    /// The small value was passed on since the cache last looked.
    pub(super) used: bool,
    /// The session that put it wants it no more.
    pub(super) given_up: bool,
}

const _: () = assert!(size_of::<Option<Object>>() <= 56, "there are millions of them");

/// What hardly any object has.
#[derive(Debug, Default)]
struct Rare {
    /// Workers that have it, where several do.
    holders: Vec<WorkerId>,
    /// Tasks of other graphs that take it and have not ended.
    takers: Vec<TaskRef>,
}

/// Bits of an output's number that say which output of its task it is.
const OUTPUT_BITS: u32 = u16::BITS;

impl Object {
    pub(super) fn new(id: ObjectId) -> Self {
        let (owner, number, is_output) = match id {
            ObjectId::Held { holder, n } => (holder.0, n, false),
            ObjectId::Output { task, output } => {
                (task.graph.0, u64::from(task.index) << OUTPUT_BITS | u64::from(output), true)
            }
        };
        Self {
            owner,
            number,
            size: 0,
            small: None,
            rare: None,
            holder: WorkerId(0),
            stamp: 0,
            is_output,
            is_unit: false,
            used: false,
            given_up: false,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the parts that were put together")]
    pub(super) fn id(&self) -> ObjectId {
        if !self.is_output {
            return ObjectId::Held { holder: HolderId(self.owner), n: self.number };
        }
        let index = (self.number >> OUTPUT_BITS) as u32;
        let task = TaskId { graph: GraphId(self.owner), index };
        ObjectId::Output { task, output: self.number as u16 }
    }

    /// Workers that have it.
    pub(super) fn holders(&self) -> &[WorkerId] {
        match &self.rare {
            Some(rare) if !rare.holders.is_empty() => &rare.holders,
            _ if self.holder.0 == 0 => &[],
            _ => std::slice::from_ref(&self.holder),
        }
    }

    /// A worker that did not have it does.
    pub(super) fn add_holder(&mut self, worker: WorkerId) {
        if self.holders().is_empty() {
            self.holder = worker;
            return;
        }
        let rare = self.rare.get_or_insert_default();
        if rare.holders.is_empty() {
            rare.holders.push(self.holder);
        }
        rare.holders.push(worker);
    }

    pub(super) fn remove_holder(&mut self, worker: WorkerId) {
        if self.holder == worker {
            self.holder = WorkerId(0);
        }
        let Some(rare) = &mut self.rare else { return };
        rare.holders.retain(|holder| *holder != worker);
        if let [last] = *rare.holders {
            self.holder = last;
            rare.holders = Vec::new();
        }
        self.drop_empty();
    }

    /// Whether the scheduler has the value.
    pub(super) fn has_small(&self) -> bool {
        self.is_unit || self.small.is_some()
    }

    /// The small value, if that is here.
    pub(super) fn small(&self) -> Option<Box<Value>> {
        if self.is_unit { Some(Box::new(Value::none())) } else { self.small.clone() }
    }

    /// Bytes of the small value, if that is here and takes memory of its own.
    pub(super) fn small_bytes(&self) -> Option<u64> {
        self.small.as_ref().map(|value| value.size)
    }

    /// Keeps a small value, in place of any there was.
    pub(super) fn set_small(&mut self, value: Option<Box<Value>>) {
        let is_unit = |value: &Value| {
            value.codec == Codec::None && value.size == 0 && value.type_hint.is_empty()
        };
        self.is_unit = value.as_deref().is_some_and(is_unit);
        self.small = value.filter(|_| !self.is_unit);
    }

    /// Tasks of other graphs that take it and have not ended.
    pub(super) fn takers(&self) -> &[TaskRef] {
        self.rare.as_deref().map_or(&[], |rare| &rare.takers)
    }

    pub(super) fn add_taker(&mut self, task: TaskRef) {
        self.rare.get_or_insert_default().takers.push(task);
    }

    pub(super) fn remove_taker(&mut self, task: TaskRef) {
        if let Some(rare) = &mut self.rare
            && let Some(place) = rare.takers.iter().position(|taker| *taker == task)
        {
            rare.takers.swap_remove(place);
            self.drop_empty();
        }
    }

    fn drop_empty(&mut self) {
        self.rare.take_if(|rare| rare.holders.is_empty() && rare.takers.is_empty());
    }

    /// Whether its bytes can be had.
    pub(super) fn is_stored(&self) -> bool {
        self.has_small() || !self.holders().is_empty()
    }
}

/// All objects; numbers of those that are gone are given again.
#[derive(Debug, Default)]
pub(super) struct Objects {
    slots: Vec<Option<Object>>,
    free: Vec<u32>,
}

impl Objects {
    pub(super) fn insert(&mut self, object: Object) -> ObjectNo {
        if let Some(no) = self.free.pop() {
            *self.slots.get_mut(no as usize).expect("free numbers are below the table's end") =
                Some(object);
            return ObjectNo(no);
        }
        self.slots.push(Some(object));
        ObjectNo(u32::try_from(self.slots.len() - 1).expect("limits::TASKS is below 2^32"))
    }

    pub(super) fn remove(&mut self, no: ObjectNo) -> Option<Object> {
        let object = self.slots.get_mut(no.0 as usize)?.take()?;
        self.free.push(no.0);
        Some(object)
    }

    pub(super) fn get(&self, no: ObjectNo) -> Option<&Object> {
        self.slots.get(no.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, no: ObjectNo) -> Option<&mut Object> {
        self.slots.get_mut(no.0 as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ObjectNo, &Object)> {
        (0..).zip(&self.slots).filter_map(|(no, slot)| Some((ObjectNo(no), slot.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_called_as_it_was_made() {
        let task = TaskId { graph: GraphId(u64::MAX), index: u32::MAX };
        for id in [
            ObjectId::output(task, 0),
            ObjectId::output(task, u16::MAX),
            ObjectId::Held { holder: HolderId(3), n: u64::MAX },
        ] {
            assert_eq!(Object::new(id).id(), id);
        }
    }

    #[test]
    fn holders_come_and_go_in_order() {
        let [a, b, c] = [1, 2, 3].map(WorkerId);
        let mut object = Object::new(ObjectId::Held { holder: HolderId(1), n: 1 });
        assert_eq!(object.holders(), []);
        object.add_holder(a);
        assert!(object.rare.is_none());
        object.add_holder(b);
        object.add_holder(c);
        assert_eq!(object.holders(), [a, b, c]);
        object.remove_holder(a);
        assert_eq!(object.holders(), [b, c]);
        object.remove_holder(c);
        assert_eq!((object.holders(), object.rare.is_none()), (&[b][..], true));
        object.remove_holder(b);
        assert!(!object.is_stored());
    }
}
