//! Builds a graph and cuts it into chunks that fit into messages.

use std::collections::BTreeMap;

use super::{GraphChunk, GraphOptions, Producers, TaskArray, TaskClass, TaskSpec, order};
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
    keys: BTreeMap<String, u32>,
    parts: Vec<Part>,
    externals: Vec<ObjectId>,
    outputs: Vec<u32>,
    tasks: u32,
    /// How many outputs of tasks the tasks take, in all.
    inputs: usize,
    has_arrays: bool,
    /// An order was set somewhere.
    is_ordered: bool,
}

#[derive(Debug)]
enum Part {
    Array(TaskArray),
    Task(TaskSpec),
}

impl GraphBuilder {
    /// An empty graph with these settings.
    pub fn new(options: GraphOptions) -> Self {
        Self { options, ..Self::default() }
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
        self.take_key(&task.key)?;
        let first = self.grow(1)?;
        self.inputs += task.deps.len();
        self.is_ordered |= task.order != 0;
        self.parts.push(Part::Task(task));
        Ok(first)
    }

    /// Adds an array and returns the index of its first row. Refuses a prefix that is taken.
    pub fn array(&mut self, array: TaskArray) -> Result<u32, Refusal> {
        self.take_key(&array.key_prefix)?;
        let first = self.grow(array.count)?;
        self.inputs += array.inputs.len() * array.count as usize;
        self.has_arrays = true;
        self.is_ordered |= array.order != 0;
        self.parts.push(Part::Array(array));
        Ok(first)
    }

    /// Keeps the outputs of a task, with [`super::Outputs::Listed`].
    pub fn keep(&mut self, task: u32) {
        self.outputs.push(task);
    }

    fn take_key(&mut self, key: &str) -> Result<(), Refusal> {
        if key.is_empty() {
            return Ok(());
        }
        if let Some(first) = self.keys.get(key) {
            let message = format!("key {key:?} is taken by task {first}");
            return Err(Refusal::at(
                Reason::KeyDuplicate,
                format!("tasks[{}].key", self.tasks),
                message,
            ));
        }
        self.keys.insert(key.to_owned(), self.tasks);
        Ok(())
    }

    fn grow(&mut self, count: u32) -> Result<u32, Refusal> {
        let first = self.tasks;
        self.tasks = first
            .checked_add(count)
            .filter(|&tasks| tasks <= limits::GRAPH_TASKS)
            .ok_or_else(|| {
                let message =
                    format!("{first} and {count} tasks, the limit is {}", limits::GRAPH_TASKS);
                Refusal::at(Reason::GraphTooLarge, "tasks", message)
            })?;
        Ok(first)
    }

    /// Cuts the graph into chunks in order. `submission` draws a fresh id for each.
    ///
    /// Unless an order was set somewhere, the tasks get one in which few results wait at a time.
    pub fn into_chunks(
        mut self,
        graph: Option<GraphId>,
        mut submission: impl FnMut() -> SubmissionId,
    ) -> Vec<GraphChunk> {
        self.set_orders();
        let mut start = |first_index| GraphChunk {
            submission: submission(),
            graph,
            first_index,
            tasks: Vec::new(),
            arrays: Vec::new(),
            classes: Vec::new(),
            externals: Vec::new(),
            outputs: Vec::new(),
            options: None,
            last: false,
        };
        let mut chunk = start(0);
        chunk.options = Some(self.options);
        chunk.classes = self.classes;
        chunk.externals = self.externals;
        let (mut chunks, mut bytes, mut index) = (Vec::new(), 0, 0);
        for part in self.parts {
            let size = part.wire_bytes();
            let task_after_array = matches!(part, Part::Task(_)) && !chunk.arrays.is_empty();
            if bytes + size > limits::BATCH_BYTES
                || chunk.tasks.len() >= limits::CHUNK_TASKS
                || task_after_array
            {
                chunks.push(std::mem::replace(&mut chunk, start(index)));
                bytes = 0;
            }
            bytes += size;
            match part {
                Part::Array(array) => {
                    index += array.count;
                    chunk.arrays.push(array);
                }
                Part::Task(task) => {
                    index += 1;
                    chunk.tasks.push(task);
                }
            }
        }
        chunk.outputs = self.outputs;
        chunk.last = true;
        chunks.push(chunk);
        chunks
    }

    /// Sets the orders of all tasks, if none was set and they make a difference. Without arrays, 0 throughout stands for the
    /// order of submission, and takes no room in a message.
    fn set_orders(&mut self) {
        if self.is_ordered || (self.inputs == 0 && !self.has_arrays) {
            return;
        }
        if self.inputs == 0 {
            let mut index = 0;
            for part in &mut self.parts {
                *part.order_mut() = index;
                index += part.tasks();
            }
            return;
        }
        let places = order(self.producers());
        if !self.has_arrays && places.is_sorted() {
            return;
        }
        let mut places = places.into_iter();
        for part in &mut self.parts {
            // The rows of an array follow each other. So it comes where its last row would: what takes the outputs of the
            // first ones goes before further rows are run.
            let rows = places.by_ref().take(part.tasks() as usize);
            *part.order_mut() = rows.max().unwrap_or_default();
        }
    }

    /// The tasks whose outputs each task takes.
    fn producers(&self) -> Producers {
        let mut producers = Producers::with_capacity(self.tasks as usize, self.inputs);
        for part in &self.parts {
            match part {
                Part::Task(task) => producers.push(task.deps.iter().map(|dep| dep.task)),
                Part::Array(array) => {
                    for row in 0..array.count {
                        let inputs = array.inputs.iter();
                        producers.push(inputs.map(|input| {
                            input.first.saturating_add(row.saturating_mul(input.stride))
                        }));
                    }
                }
            }
        }
        producers
    }
}

impl Part {
    /// How many tasks it is.
    fn tasks(&self) -> u32 {
        match self {
            Self::Array(array) => array.count,
            Self::Task(_) => 1,
        }
    }

    fn order_mut(&mut self) -> &mut u32 {
        match self {
            Self::Array(array) => &mut array.order,
            Self::Task(task) => &mut task.order,
        }
    }

    /// About how many bytes the part takes on the wire; never fewer.
    fn wire_bytes(&self) -> usize {
        match self {
            Self::Array(array) => {
                let rows = match &array.rows {
                    super::Rows::Range { .. } => 24,
                    super::Rows::Values(values) => values.iter().map(|value| value.len() + 6).sum(),
                };
                array.key_prefix.len() + array.payload.len() + array.inputs.len() * 20 + rows + 48
            }
            Self::Task(task) => {
                task.key.len()
                    + task.payload.len()
                    + task.deps.len() * 8
                    + task.externals.len() * 5
                    + 48
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ArrayInput, Rows};

    fn build(tasks: u32) -> Vec<GraphChunk> {
        let mut builder = GraphBuilder::new(GraphOptions::default());
        let class = builder.class(TaskClass::default());
        assert_eq!(builder.class(TaskClass::default()), class);
        for n in 0..tasks {
            let deps = n.checked_sub(1).map(Into::into).into_iter().collect();
            let task = TaskSpec {
                key: format!("t{n}"),
                class,
                deps,
                payload: vec![0; 50].into(),
                ..TaskSpec::default()
            };
            assert_eq!(builder.task(task), Ok(n));
        }
        let mut n = 0;
        builder.into_chunks(None, || {
            n += 1;
            SubmissionId(n)
        })
    }

    /// An array whose rows take the outputs of as many tasks from there on.
    fn array(prefix: &str, count: u32, first: Option<u32>) -> TaskArray {
        let input = |first| ArrayInput { first, stride: 1, output: 0 };
        TaskArray {
            key_prefix: prefix.into(),
            count,
            class: 0,
            payload: bytes::Bytes::new(),
            rows: Rows::Range { start: 0, step: 1 },
            inputs: first.map(input).into_iter().collect(),
            priority: 0,
            order: 0,
        }
    }

    fn task(deps: &[u32]) -> TaskSpec {
        TaskSpec { deps: deps.iter().copied().map(Into::into).collect(), ..TaskSpec::default() }
    }

    /// The orders of the parts of a graph.
    fn orders(parts: Vec<Part>) -> Vec<u32> {
        let mut builder = GraphBuilder::new(GraphOptions::default());
        for part in parts {
            let added = match part {
                Part::Array(array) => builder.array(array),
                Part::Task(task) => builder.task(task),
            };
            assert!(added.is_ok());
        }
        let mut orders = Vec::new();
        for chunk in builder.into_chunks(None, || SubmissionId(0)) {
            orders.extend(chunk.tasks.iter().map(|task| task.order));
            orders.extend(chunk.arrays.iter().map(|array| array.order));
        }
        orders
    }

    #[test]
    fn chunks_follow_each_other_and_fit() {
        let chunks = build(5_000);
        assert!(chunks.len() > 2);
        let mut next = 0;
        for (n, chunk) in chunks.iter().enumerate() {
            assert_eq!(chunk.first_index, next);
            next += u32::try_from(chunk.task_count()).unwrap();
            assert_eq!((chunk.options.is_some(), chunk.last), (n == 0, n + 1 == chunks.len()));
        }
        assert_eq!(next, 5_000);
        assert_eq!(chunks[0].check(&()), Ok(()));
    }

    #[test]
    fn an_empty_graph_is_one_chunk() {
        let chunks = build(0);
        assert_eq!(chunks.len(), 1);
        assert!(chunks[0].last && chunks[0].options.is_some());
    }

    #[test]
    fn a_task_after_an_array_keeps_its_index() {
        let mut builder = GraphBuilder::new(GraphOptions::default());
        builder.class(TaskClass::default());
        assert_eq!(builder.array(array("a", 7, None)), Ok(0));
        assert_eq!(builder.task(TaskSpec { key: "b".into(), ..TaskSpec::default() }), Ok(7));
        assert_eq!(
            builder.task(TaskSpec { key: "b".into(), ..TaskSpec::default() }).unwrap_err().reason,
            Reason::KeyDuplicate
        );
        let chunks = builder.into_chunks(None, || SubmissionId(0));
        assert_eq!(chunks.iter().map(|chunk| chunk.first_index).collect::<Vec<_>>(), [0, 7]);
    }

    #[test]
    fn tasks_get_orders_where_they_make_a_difference() {
        let tasks =
            |deps: &[&[u32]]| deps.iter().map(|deps| Part::Task(task(deps))).collect::<Vec<_>>();
        let tree: [&[u32]; 7] = [&[], &[], &[], &[], &[0, 1], &[2, 3], &[4, 5]];
        assert_eq!(orders(tasks(&tree)), [0, 1, 3, 4, 2, 5, 6]);
        assert_eq!(orders(tasks(&[&[], &[], &[]])), [0, 0, 0]);
        assert_eq!(orders(tasks(&[&[], &[0], &[1]])), [0, 0, 0]);
        let mut set = tasks(&tree);
        *set[3].order_mut() = 9;
        assert_eq!(orders(set), [0, 0, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn what_takes_rows_of_an_array_goes_before_further_rows() {
        let rows = Part::Array(array("a", 4, None));
        let more = Part::Array(array("b", 4, Some(0)));
        // Rows 0 to 3 go at 4, 5, 6 and 7; what takes rows 0 and 1 at 2, what takes 2 and 3 at 5.
        let merges = [Part::Task(task(&[0, 1])), Part::Task(task(&[2, 3]))];
        let merged = orders([rows].into_iter().chain(merges).collect());
        assert_eq!(merged, [4, 2, 5]);
        // Row 0 of `a`, row 0 of `b`, row 1 of `a`: where two are equal, the index decides.
        assert_eq!(orders(vec![Part::Array(array("a", 4, None)), more]), [6, 7]);
        let apart = vec![Part::Array(array("a", 4, None)), Part::Array(array("b", 4, None))];
        assert_eq!(orders(apart), [0, 4]);
    }
}
