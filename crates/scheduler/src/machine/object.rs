//! The table of objects: every stored or promised value, and who has it.

use bireme_core::id::WorkerId;
use bireme_core::{Codec, ObjectId, Value};
use smallvec::SmallVec;

use super::number::{ObjectNo, TaskRef};

/// A value small enough to live with the scheduler. The machine passes it on and never looks inside.
#[derive(Clone, Debug, Default)]
pub(super) enum Small {
    /// The scheduler does not have it.
    #[default]
    Absent,
    /// The value of a task that returns nothing: needs no memory of its own.
    Unit,
    /// Here it is.
    Here(Box<Value>),
}

impl Small {
    pub(super) fn new(value: Option<Box<Value>>) -> Self {
        match value {
            None => Self::Absent,
            Some(value)
                if value.codec == Codec::None && value.size == 0 && value.type_hint.is_empty() =>
            {
                Self::Unit
            }
            Some(value) => Self::Here(value),
        }
    }

    pub(super) fn is_here(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    pub(super) fn value(&self) -> Option<Box<Value>> {
        match self {
            Self::Absent => None,
            Self::Unit => Some(Box::new(Value::none())),
            Self::Here(value) => Some(value.clone()),
        }
    }
}

/// A stored or promised value.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: ObjectId,
    pub(super) size: u64,
    /// Workers that have it.
    pub(super) holders: SmallVec<[WorkerId; 2]>,
    pub(super) small: Small,
    /// Which of the cache's entries is this value's.
    pub(super) stamp: u32,
    /// The small value was passed on since the cache last looked.
    pub(super) used: bool,
    /// The session that put it wants it no more.
    pub(super) given_up: bool,
    /// Tasks of other graphs that take it and have not ended; hardly any object has some.
    #[expect(clippy::box_collection, reason = "a word in each of millions of records, not three")]
    takers: Option<Box<Vec<TaskRef>>>,
}

impl Object {
    pub(super) fn new(id: ObjectId) -> Self {
        Self {
            id,
            size: 0,
            holders: SmallVec::new(),
            small: Small::Absent,
            stamp: 0,
            used: false,
            given_up: false,
            takers: None,
        }
    }

    /// Tasks of other graphs that take it and have not ended.
    pub(super) fn takers(&self) -> &[TaskRef] {
        self.takers.as_deref().map_or(&[], Vec::as_slice)
    }

    pub(super) fn add_taker(&mut self, task: TaskRef) {
        self.takers.get_or_insert_default().push(task);
    }

    pub(super) fn remove_taker(&mut self, task: TaskRef) {
        if let Some(takers) = &mut self.takers
            && let Some(place) = takers.iter().position(|taker| *taker == task)
        {
            takers.swap_remove(place);
            if takers.is_empty() {
                self.takers = None;
            }
        }
    }

    /// Whether its bytes can be had.
    pub(super) fn is_stored(&self) -> bool {
        self.small.is_here() || !self.holders.is_empty()
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
