//! Whether a chunk may join its graph.

use super::{GraphChunk, TaskArray, TaskClass, TaskSpec};
use crate::limits;
use crate::reason::{Reason, Refusal};

/// What a graph holds before a chunk joins it.
pub trait GraphSoFar {
    /// How many tasks.
    fn tasks(&self) -> u32;
    /// How many classes.
    fn classes(&self) -> usize;
    /// How many outputs the tasks of a class have; the class exists.
    fn outputs_of_class(&self, class: u32) -> u16;
    /// The class of a task; the task exists.
    fn class_of(&self, task: u32) -> u32;
    /// How many values from outside.
    fn externals(&self) -> usize;
}

/// The graph of which nothing has come.
impl GraphSoFar for () {
    fn tasks(&self) -> u32 {
        0
    }

    fn classes(&self) -> usize {
        0
    }

    fn outputs_of_class(&self, _class: u32) -> u16 {
        1
    }

    fn class_of(&self, _task: u32) -> u32 {
        0
    }

    fn externals(&self) -> usize {
        0
    }
}

impl GraphChunk {
    /// How many tasks the chunk adds, array rows included.
    pub fn task_count(&self) -> u64 {
        self.tasks.len() as u64
            + self.arrays.iter().map(|array| u64::from(array.count)).sum::<u64>()
    }

    /// Whether the chunk may join the graph. Keys are judged by whoever has a table of them.
    pub fn check(&self, graph: &impl GraphSoFar) -> Result<(), Refusal> {
        let checker = self.checker(graph)?;
        for class in &self.classes {
            check_class(class)?;
        }
        let mut forward = false;
        for (n, task) in self.tasks.iter().enumerate() {
            let index =
                self.first_index + u32::try_from(n).map_err(|_| too_large("tasks", n as u64, 0))?;
            forward |= checker.check_task(n, index, task)?;
        }
        for (n, array) in self.arrays.iter().enumerate() {
            checker.check_array(n, array)?;
        }
        if let Some(&missing) = self.outputs.iter().find(|&&index| index >= checker.end) {
            let message = format!(
                "output {missing} is no task of the graph, which has {} so far",
                checker.end
            );
            return Err(Refusal::at(Reason::TaskUnknown, "outputs", message));
        }
        if forward { self.check_acyclic() } else { Ok(()) }
    }

    /// Checks the chunk as a whole.
    fn checker<'a, G: GraphSoFar>(&'a self, graph: &'a G) -> Result<Checker<'a, G>, Refusal> {
        if self.first_index != graph.tasks() {
            let message = format!(
                "first_index is {}, the graph has {} tasks so far",
                self.first_index,
                graph.tasks()
            );
            return Err(Refusal::at(Reason::ChunkOrder, "first_index", message));
        }
        if self.tasks.len() > limits::CHUNK_TASKS {
            return Err(too_large("tasks", self.tasks.len() as u64, limits::CHUNK_TASKS as u64));
        }
        let end = u64::from(self.first_index) + self.task_count();
        if end > u64::from(limits::GRAPH_TASKS) {
            return Err(too_large("tasks", end, u64::from(limits::GRAPH_TASKS)));
        }
        let classes = graph.classes() + self.classes.len();
        if classes > limits::GRAPH_CLASSES {
            return Err(too_large("classes", classes as u64, limits::GRAPH_CLASSES as u64));
        }
        let externals = graph.externals() + self.externals.len();
        if externals > limits::GRAPH_EXTERNALS {
            return Err(too_large("externals", externals as u64, limits::GRAPH_EXTERNALS as u64));
        }
        let is_barren = |class| graph.outputs_of_class(class) == 0;
        let has_barren = self.classes.iter().any(|class| class.outputs == 0)
            || (0..).take(graph.classes()).any(is_barren);
        Ok(Checker {
            chunk: self,
            graph,
            end: u32::try_from(end).unwrap_or(u32::MAX),
            classes,
            externals,
            has_barren,
        })
    }

    /// Refuses a cycle among the chunk's own tasks; the others cannot be part of one.
    fn check_acyclic(&self) -> Result<(), Refusal> {
        let local = |task: u32| {
            task.checked_sub(self.first_index).map(|n| n as usize).filter(|&n| n < self.tasks.len())
        };
        let mut missing = vec![0_u32; self.tasks.len()];
        let mut consumers = vec![Vec::new(); self.tasks.len()];
        for (n, task) in self.tasks.iter().enumerate() {
            for producer in task.deps.iter().filter_map(|dep| local(dep.task)) {
                if let (Some(count), Some(list)) = (missing.get_mut(n), consumers.get_mut(producer))
                {
                    *count += 1;
                    list.push(n);
                }
            }
        }
        let mut free: Vec<usize> =
            (0..self.tasks.len()).filter(|&n| missing.get(n) == Some(&0)).collect();
        while let Some(n) = free.pop() {
            for consumer in consumers.get_mut(n).map(std::mem::take).unwrap_or_default() {
                if let Some(count) = missing.get_mut(consumer) {
                    *count -= 1;
                    if *count == 0 {
                        free.push(consumer);
                    }
                }
            }
        }
        match missing.iter().position(|&count| count > 0) {
            None => Ok(()),
            Some(n) => {
                let key = self.tasks.get(n).map(|task| task.key.as_str()).unwrap_or_default();
                let index = self.first_index as usize + n;
                let message =
                    format!("task {index} (key {key:?}) depends on itself through others");
                Err(Refusal::at(Reason::GraphCycle, format!("tasks[{n}].deps"), message))
            }
        }
    }
}

/// A chunk beside the graph it wants to join.
struct Checker<'a, G> {
    chunk: &'a GraphChunk,
    graph: &'a G,
    end: u32,
    classes: usize,
    externals: usize,
    /// Some class has no outputs at all: even output 0 may be none.
    has_barren: bool,
}

impl<G: GraphSoFar> Checker<'_, G> {
    /// Checks one task; says whether it depends on a later one of its chunk.
    fn check_task(&self, n: usize, index: u32, task: &TaskSpec) -> Result<bool, Refusal> {
        let field = |name: &str| format!("tasks[{n}].{name}");
        check_key(&task.key)
            .map_err(|message| Refusal::at(Reason::KeyInvalid, field("key"), message))?;
        if task.class as usize >= self.classes {
            let message = format!(
                "task {index} (key {:?}) names class {} of {}",
                task.key, task.class, self.classes
            );
            return Err(Refusal::at(Reason::ClassUnknown, field("class"), message));
        }
        if task.payload.len() > limits::PAYLOAD_BYTES {
            let (len, limit) = (task.payload.len(), limits::PAYLOAD_BYTES);
            let message = format!(
                "task {index} (key {:?}) has a payload of {len} bytes, the limit is {limit}",
                task.key
            );
            return Err(Refusal::at(Reason::PayloadTooLarge, field("payload"), message));
        }
        let inputs = task.deps.len() + task.externals.len();
        if inputs > limits::TASK_INPUTS {
            return Err(too_large(&field("deps"), inputs as u64, limits::TASK_INPUTS as u64));
        }
        let mut forward = false;
        for dep in &task.deps {
            if dep.task == index {
                let message = format!("task {index} (key {:?}) depends on itself", task.key);
                return Err(Refusal::at(Reason::DependencySelf, field("deps"), message));
            }
            self.check_dep(dep.task, dep.output, &|| field("deps"), &|| {
                format!("task {index} (key {:?})", task.key)
            })?;
            forward |= dep.task > index;
        }
        if let Some(place) = task.externals.iter().find(|&&place| place as usize >= self.externals)
        {
            let message = format!(
                "task {index} (key {:?}) names external {place} of {}",
                task.key, self.externals
            );
            return Err(Refusal::at(Reason::DependencyUnknown, field("externals"), message));
        }
        Ok(forward)
    }

    /// Checks that a task and an output of it exist.
    fn check_dep(
        &self,
        task: u32,
        output: u16,
        field: &dyn Fn() -> String,
        who: &dyn Fn() -> String,
    ) -> Result<(), Refusal> {
        if task >= self.end {
            let message =
                format!("{} depends on task {task}; the graph has {} so far", who(), self.end);
            return Err(Refusal::at(Reason::DependencyUnknown, field(), message));
        }
        if self.must_look(output) {
            let class = self.class_of(task);
            let outputs = self.outputs_of_class(class);
            if output >= outputs {
                let message =
                    format!("{} takes output {output} of task {task}, which has {outputs}", who());
                return Err(Refusal::at(Reason::OutputUnknown, field(), message));
            }
        }
        Ok(())
    }

    /// Whether tasks may lack this output.
    fn must_look(&self, output: u16) -> bool {
        output > 0 || self.has_barren
    }

    fn check_array(&self, n: usize, array: &TaskArray) -> Result<(), Refusal> {
        let field = |name: &str| format!("arrays[{n}].{name}");
        check_key(&array.key_prefix)
            .map_err(|message| Refusal::at(Reason::KeyInvalid, field("key_prefix"), message))?;
        if array.class as usize >= self.classes {
            let message = format!("array {n} names class {} of {}", array.class, self.classes);
            return Err(Refusal::at(Reason::ClassUnknown, field("class"), message));
        }
        if array.payload.len() > limits::PAYLOAD_BYTES {
            let message = format!(
                "array {n} has a payload of {} bytes, the limit is {}",
                array.payload.len(),
                limits::PAYLOAD_BYTES
            );
            return Err(Refusal::at(Reason::PayloadTooLarge, field("payload"), message));
        }
        if let super::Rows::Values(values) = &array.rows
            && values.len() != array.count as usize
        {
            let message = format!("array {n} has {} rows and {} values", array.count, values.len());
            return Err(Refusal::at(Reason::Malformed, field("rows"), message));
        }
        let earlier = self.array_start(n);
        for input in &array.inputs {
            let last = u64::from(input.first)
                + u64::from(array.count.saturating_sub(1)) * u64::from(input.stride);
            if last >= u64::from(earlier) {
                let message = format!(
                    "array {n} depends on task {last}, and only tasks below {earlier} come before it"
                );
                return Err(Refusal::at(Reason::DependencyUnknown, field("inputs"), message));
            }
            for row in 0..if self.must_look(input.output) { array.count } else { 1 } {
                let task = input.first + row * input.stride;
                self.check_dep(task, input.output, &|| field("inputs"), &|| format!("array {n}"))?;
            }
        }
        Ok(())
    }

    /// Index of the first row of the chunk's `n`th array.
    fn array_start(&self, n: usize) -> u32 {
        let rows: u32 = self.chunk.arrays.iter().take(n).map(|array| array.count).sum();
        self.chunk.first_index + u32::try_from(self.chunk.tasks.len()).unwrap_or(u32::MAX) + rows
    }

    fn class_of(&self, task: u32) -> u32 {
        let Some(n) = task.checked_sub(self.chunk.first_index) else {
            return self.graph.class_of(task);
        };
        if let Some(task) = self.chunk.tasks.get(n as usize) {
            return task.class;
        }
        let mut start = u32::try_from(self.chunk.tasks.len()).unwrap_or(u32::MAX);
        for array in &self.chunk.arrays {
            start += array.count;
            if n < start {
                return array.class;
            }
        }
        0
    }

    fn outputs_of_class(&self, class: u32) -> u16 {
        match (class as usize).checked_sub(self.graph.classes()) {
            None => self.graph.outputs_of_class(class),
            Some(n) => self.chunk.classes.get(n).map_or(1, |class| class.outputs),
        }
    }
}

fn check_class(class: &TaskClass) -> Result<(), Refusal> {
    if class.outputs > limits::TASK_OUTPUTS {
        return Err(too_large(
            "classes.outputs",
            u64::from(class.outputs),
            u64::from(limits::TASK_OUTPUTS),
        ));
    }
    if class.workers.len() > limits::CLASS_WORKERS {
        return Err(too_large(
            "classes.workers",
            class.workers.len() as u64,
            limits::CLASS_WORKERS as u64,
        ));
    }
    if class.labels.len() > limits::LABELS {
        return Err(too_large("classes.labels", class.labels.len() as u64, limits::LABELS as u64));
    }
    Ok(())
}

/// Says what is wrong with a key.
fn check_key(key: &str) -> Result<(), String> {
    if key.len() > limits::KEY_BYTES {
        return Err(format!("key of {} bytes, the limit is {}", key.len(), limits::KEY_BYTES));
    }
    if key.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(format!("key {key:?} contains control characters"));
    }
    Ok(())
}

fn too_large(what: &str, count: u64, limit: u64) -> Refusal {
    Refusal::at(Reason::GraphTooLarge, what, format!("{what}: {count}, the limit is {limit}"))
}

#[cfg(test)]
mod tests;
