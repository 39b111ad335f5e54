//! Builds a graph and cuts it into chunks that fit into messages.

mod chunks;
mod packed;

use std::collections::BTreeMap;

pub use chunks::Chunks;
use chunks::Orders;
use packed::Packed;

use super::{GraphOptions, Producers, TaskArray, TaskClass, TaskSpec, order};
use crate::hash::{Keys, Seeded};
use crate::id::{GraphId, SubmissionId};
use crate::limits;
use crate::object::ObjectId;
use crate::reason::{Reason, Refusal};

/// A graph in the making. Tasks are numbered as they are added.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    options: GraphOptions,
    classes: Vec<TaskClass>,
    places: BTreeMap<TaskClass, u32>,
    keys: Keys,
    /// What will be the chunks; only the last one grows.
    packed: Vec<Packed>,
    externals: Vec<ObjectId>,
    outputs: Vec<u32>,
    tasks: u32,
    /// How many outputs of tasks the tasks take, in all.
    inputs: usize,
    has_arrays: bool,
    /// An order was set somewhere.
    is_ordered: bool,
}

impl GraphBuilder {
    /// An empty graph with these settings.
    pub fn new(options: GraphOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The settings.
    pub fn options(&self) -> &GraphOptions {
        &self.options
    }

    /// Lets the graph outlive its session.
    pub fn detach(&mut self) {
        self.options.detached = true;
    }

    /// How many tasks there are so far.
    pub fn len(&self) -> u32 {
        self.tasks
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks == 0
    }

    /// The place of a class in the graph's table; equal classes share one.
    pub fn class(&mut self, class: TaskClass) -> u32 {
        if let Some(place) = self.places.get(&class) {
            return *place;
        }
        let place = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        self.classes.push(class.clone());
        self.places.insert(class, place);
        place
    }

    /// The place of a value from outside.
    pub fn external(&mut self, object: ObjectId) -> u32 {
        self.externals.push(object);
        u32::try_from(self.externals.len() - 1).unwrap_or(u32::MAX)
    }

    /// Adds a task and returns its index. Refuses a key that is taken.
    pub fn task(&mut self, task: TaskSpec) -> Result<u32, Refusal> {
        let index = self.make_room(&task.key, 1)?;
        self.inputs += task.deps.len();
        self.is_ordered |= task.order != 0;
        self.open(|packed| packed.has_room(&task)).push(&task);
        self.tasks += 1;
        Ok(index)
    }

    /// Adds an array and returns the index of its first row. Refuses a prefix that is taken.
    pub fn array(&mut self, array: TaskArray) -> Result<u32, Refusal> {
        let first = self.make_room(&array.key_prefix, array.count)?;
        self.inputs += array.inputs.len() * array.count as usize;
        self.has_arrays = true;
        self.is_ordered |= array.order != 0;
        let count = array.count;
        self.open(|packed| packed.has_room_for_array(&array)).push_array(array);
        self.tasks += count;
        Ok(first)
    }

    /// Keeps the outputs of a task, with [`super::Outputs::Listed`].
    pub fn keep(&mut self, task: u32) {
        self.outputs.push(task);
    }

    /// The tasks whose outputs are kept, with [`super::Outputs::Listed`].
    pub fn kept(&self) -> &[u32] {
        &self.outputs
    }

    /// Every task whose output another takes, once for each that does.
    pub fn taken(&self) -> impl Iterator<Item = u32> {
        // An input with stride 0 names one task, however many rows take it.
        let of_arrays = self.packed.iter().flat_map(Packed::arrays).flat_map(|array| {
            array.inputs.iter().flat_map(|input| {
                let rows = if input.stride == 0 { array.count.min(1) } else { array.count };
                (0..rows).map(|row| input.of_row(row))
            })
        });
        let views = self.packed.iter().flat_map(Packed::views);
        of_arrays.chain(views.flat_map(|view| view.deps().map(|dep| dep.task)))
    }

    /// The chunks that the graph is cut into, in order, each unpacked when its turn comes. `submission` draws a fresh id for
    /// each.
    ///
    /// Unless an order was set somewhere, the tasks get one in which few results wait at a time.
    pub fn into_chunks<F: FnMut() -> SubmissionId>(
        mut self,
        graph: Option<GraphId>,
        submission: F,
    ) -> Chunks<F> {
        // What only the making needs goes first.
        self.keys = Keys::default();
        let orders = self.orders();
        Chunks::new(self, orders, graph, submission)
    }

    /// Takes the key of what is to be added, if the limit allows so many tasks more. Returns the index of the first.
    fn make_room(&mut self, key: &str, count: u32) -> Result<u32, Refusal> {
        let first = self.tasks;
        if first.checked_add(count).is_none_or(|tasks| tasks > limits::GRAPH_TASKS) {
            let message =
                format!("{first} and {count} tasks, the limit is {}", limits::GRAPH_TASKS);
            return Err(Refusal::at(Reason::GraphTooLarge, "tasks", message));
        }
        if key.is_empty() {
            return Ok(first);
        }
        let packed = &self.packed;
        let has = |task| key_of(packed, task) == Some(key);
        // Whoever chooses keys that collide slows down nobody else.
        let hasher = Seeded::new(0);
        self.keys.take(&hasher, key, first, has).map_err(|taken| {
            let message = format!("key {key:?} is taken by task {taken}");
            Refusal::at(Reason::KeyDuplicate, format!("tasks[{first}].key"), message)
        })?;
        Ok(first)
    }

    /// Where the next task or array goes: the last chunk if that has room, else a new one.
    fn open(&mut self, has_room: impl Fn(&Packed) -> bool) -> &mut Packed {
        if !self.packed.last().is_some_and(has_room) {
            if let Some(full) = self.packed.last_mut() {
                full.close();
            }
            self.packed.push(Packed::new(self.tasks));
        }
        self.packed.last_mut().expect("one was pushed if there was none")
    }

    /// The orders of all tasks. Without arrays, 0 throughout stands for the order of submission, and takes no room in a
    /// message.
    fn orders(&self) -> Orders {
        if self.is_ordered || (self.inputs == 0 && !self.has_arrays) {
            return Orders::AsSet;
        }
        if self.inputs == 0 {
            return Orders::Submission;
        }
        let places = order(self.producers());
        if !self.has_arrays && places.is_sorted() {
            return Orders::AsSet;
        }
        Orders::Places(places)
    }

    /// The tasks whose outputs each task takes.
    fn producers(&self) -> Producers {
        let mut producers = Producers::with_capacity(self.tasks as usize, self.inputs);
        for packed in &self.packed {
            for view in packed.views() {
                producers.push(view.deps().map(|dep| dep.task));
            }
            for array in packed.arrays() {
                for row in 0..array.count {
                    producers.push(array.inputs.iter().map(|input| input.of_row(row)));
                }
            }
        }
        producers
    }
}

/// The key of a task, or the prefix of an array by its first row.
fn key_of(packed: &[Packed], index: u32) -> Option<&str> {
    let after = packed.partition_point(|packed| packed.first() <= index);
    packed.get(after.checked_sub(1)?)?.key(index)
}

#[cfg(test)]
mod tests;
