//! Takes chunks of graphs in: judges them, copies them into dense tables, and finds what can run at once.

use bireme_core::graph::{ArrayInput, GraphChunk, TaskArray, TaskClass, TaskSpec};
use bireme_core::id::{GraphId, SessionId};
use bireme_core::object::ObjectId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ErrorClass, TaskError, limits};

use super::Machine;
use super::graph::Graph;
use super::number::{ClassNo, GraphNo, NONE, ObjectNo, TaskRef};
use super::session::{News, Outcome};
use super::task::{Edge, Failure, Phase, Task, flag};

impl Machine {
    /// Takes a chunk in. A refused first chunk leaves nothing behind; a refused later one fails its graph.
    pub(super) fn on_chunk(&mut self, session: SessionId, mut chunk: GraphChunk) -> Outcome {
        let (no, is_new) = self.graph_for(session, &mut chunk)?;
        match self.take_chunk(no, chunk) {
            Ok(()) => {
                let graph = self.graph(no);
                Ok((Some(graph.id), graph.len()))
            }
            Err(refusal) => {
                if is_new {
                    self.drop_graph(no);
                } else {
                    self.fail_graph(no, &refusal);
                }
                Err(refusal)
            }
        }
    }

    /// The graph that a chunk is for; made if this is its first.
    fn graph_for(
        &mut self,
        session: SessionId,
        chunk: &mut GraphChunk,
    ) -> Result<(GraphNo, bool), Refusal> {
        let owner =
            self.sessions.get_mut(&session).expect("commands come from sessions that are there");
        let id = chunk.graph.unwrap_or_else(|| GraphId::new(session, owner.last_graph + 1));
        if let Some(&no) = self.graph_numbers.get(&id) {
            let graph = self.graph(no);
            if id.session() != session {
                return Err(foreign(id, session));
            }
            if graph.closed {
                let message = match &graph.error {
                    None => format!("graph {id} takes no further chunks: its last one has come"),
                    Some(error) => format!("graph {id} takes no further chunks: {error}"),
                };
                return Err(Refusal::at(Reason::GraphClosed, "graph", message));
            }
            return Ok((no, false));
        }
        if id.session() != session {
            return Err(foreign(id, session));
        }
        if id.n() <= owner.last_graph {
            let message = format!(
                "graph {id} was used before; the next free number is {}",
                owner.last_graph + 1
            );
            return Err(Refusal::at(Reason::GraphNumber, "graph", message));
        }
        if owner.graphs.len() >= limits::SESSION_GRAPHS {
            let message =
                format!("the session has {} graphs, the limit: forget some", owner.graphs.len());
            return Err(Refusal::new(Reason::Busy, message));
        }
        owner.last_graph = id.n();
        let no = GraphNo(
            u32::try_from(self.graphs.len())
                .map_err(|_| Refusal::new(Reason::Busy, "graph numbers are used up"))?,
        );
        owner.graphs.insert(no);
        let mut options = chunk.options.take().unwrap_or_default();
        // A worker, too, has those first that somebody waits for.
        options.priority = options.priority.saturating_add_unsigned(owner.depth);
        let graph = Graph::new(id, session, options, self.now);
        self.graphs.push(Some(Box::new(graph)));
        self.graph_numbers.insert(id, no);
        Ok((no, true))
    }

    fn take_chunk(&mut self, no: GraphNo, chunk: GraphChunk) -> Result<(), Refusal> {
        if chunk.options.is_some() {
            return Err(Refusal::at(
                Reason::Malformed,
                "options",
                "options belong into the first chunk of a graph",
            ));
        }
        chunk.check(self.graph(no))?;
        let more = chunk.task_count();
        if self.unfinished + more > limits::TASKS {
            let message = format!(
                "{} tasks are unfinished and {more} more came, the limit is {}",
                self.unfinished,
                limits::TASKS
            );
            return Err(Refusal::new(Reason::TooManyTasks, message));
        }
        for (n, external) in chunk.externals.iter().enumerate() {
            if self.object_source(*external).is_none() {
                let message = format!("there is no object {external}, or it was released");
                return Err(Refusal::at(Reason::ObjectUnknown, format!("externals[{n}]"), message));
            }
        }
        self.adopt(no, chunk)
    }

    /// Copies a chunk that was found good into the graph's tables.
    fn adopt(&mut self, no: GraphNo, chunk: GraphChunk) -> Result<(), Refusal> {
        for class in chunk.classes {
            self.warn_if_nobody_can(no, &class);
            let outputs = class.outputs;
            let class = self.classes.intern(class);
            self.graph_mut(no).classes.push((class, outputs));
        }
        let first = chunk.first_index;
        let first_edge = self.graph(no).edges.len();
        let plain = first..first + u32::try_from(chunk.tasks.len()).unwrap_or(NONE);
        self.append_tasks(no, &chunk.tasks);
        self.unfinished += chunk.tasks.len() as u64;
        let graph = self
            .graphs
            .get_mut(no.0 as usize)
            .and_then(Option::as_deref_mut)
            .expect("the graph was found");
        graph.externals.extend(chunk.externals);
        for index in plain {
            if graph.task(index).key_len > 0
                && let Err(other) = graph.enter_key(&self.hasher, index)
            {
                let message =
                    format!("key {:?} of task {index} is taken by task {other}", graph.name(index));
                return Err(Refusal::at(
                    Reason::KeyDuplicate,
                    format!("tasks[{}].key", index - first),
                    message,
                ));
            }
        }
        let mut waiting: Vec<u32> = (first..self.graph(no).len()).collect();
        for (n, array) in chunk.arrays.into_iter().enumerate() {
            waiting.extend(self.append_array(no, n, array)?.into_iter().flatten());
        }
        for index in chunk.outputs {
            self.graph_mut(no).task_mut(index).set(flag::LISTED);
        }
        self.link(no, u32::try_from(first_edge).unwrap_or(NONE));
        for index in waiting {
            self.begin(TaskRef { graph: no, index });
        }
        if chunk.last {
            self.close_graph(no);
        }
        self.note_progress(no);
        Ok(())
    }

    /// Tells the session at once if no worker that is there could ever run tasks of a class, and why the first cannot.
    fn warn_if_nobody_can(&mut self, no: GraphNo, class: &TaskClass) {
        let Some(first) = self.workers.values().next() else { return };
        let Some(reason) = first.refuses(class) else { return };
        if self.workers.values().any(|worker| worker.refuses(class).is_none()) {
            return;
        }
        let (count, name) = (self.workers.len(), &first.join.name);
        let takes = &class.resources;
        let message = match self.nobody_has(class) {
            Some(missing) => missing,
            None => {
                format!("none of {count} workers can run tasks that take {takes}: {name} {reason}")
            }
        };
        let (session, id) = (self.graph(no).session, self.graph(no).id);
        let refusal = Refusal::new(Reason::NoWorker, message);
        // Each class may bring one, so they are bounded as answers are.
        self.count_answer(session);
        self.tell_session(session, News::Warning(Some(id), None, refusal));
    }

    /// Appends the tasks of a chunk with their text and their edges, which are not linked yet.
    fn append_tasks(&mut self, no: GraphNo, tasks: &[TaskSpec]) {
        let graph = self.graph_mut(no);
        let chunk = u32::try_from(graph.texts.len()).unwrap_or(NONE);
        let length = tasks.iter().map(|task| task.key.len() + task.payload.len()).sum();
        let mut text = Vec::with_capacity(length);
        graph.tasks.reserve(tasks.len());
        for spec in tasks {
            let index = graph.len();
            let (class, outputs) = graph
                .classes
                .get(spec.class as usize)
                .copied()
                .expect("classes are checked at the door");
            let first_edge = u32::try_from(graph.edges.len()).unwrap_or(NONE);
            let inner = spec.deps.iter().map(|dep| (dep.task, dep.output, false));
            let outer = spec.externals.iter().map(|place| (*place, 0, true));
            graph.edges.extend(inner.chain(outer).map(|(producer, output, external)| Edge {
                producer,
                consumer: index,
                next: NONE,
                output,
                external,
            }));
            let start = u32::try_from(text.len()).unwrap_or(NONE);
            text.extend_from_slice(spec.key.as_bytes());
            text.extend_from_slice(&spec.payload);
            let edges = spec.deps.len() + spec.externals.len();
            graph.tasks.push(new_task(spec, chunk, start, class, outputs, (first_edge, edges)));
        }
        *graph.counts.of_mut(bireme_core::graph::TaskState::Waiting) +=
            u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        graph.texts.push(text.into());
    }

    /// Appends the rows of an array. Rows without inputs are ready at once; those with inputs are returned, to begin once
    /// they are linked.
    fn append_array(
        &mut self,
        no: GraphNo,
        n: usize,
        array: TaskArray,
    ) -> Result<Option<std::ops::Range<u32>>, Refusal> {
        let TaskArray { key_prefix, count, class, payload, rows, inputs, priority, order } = array;
        let graph = self.graph_mut(no);
        if let Some(by) = graph.prefix_taken(&key_prefix, count) {
            let message = format!("prefix {key_prefix:?} is taken by {by}");
            return Err(Refusal::at(
                Reason::KeyDuplicate,
                format!("arrays[{n}].key_prefix"),
                message,
            ));
        }
        let chunk = u32::try_from(graph.texts.len()).unwrap_or(NONE);
        let (class, outputs) =
            graph.classes.get(class as usize).copied().expect("classes are checked at the door");
        let spec = TaskSpec { key: key_prefix, payload, priority, order, ..TaskSpec::default() };
        let mut fresh = new_task(&spec, chunk, 0, class, outputs, (0, 0));
        let mut text = spec.key.as_bytes().to_vec();
        text.extend_from_slice(&spec.payload);
        graph.texts.push(text.into());
        let is_ready = inputs.is_empty();
        if is_ready {
            fresh.phase = Phase::Ready;
        }
        *graph.counts.of_mut(fresh.state()) += count;
        let first = graph.len();
        graph.tasks.push_array(&spec.key, count, rows, fresh);
        self.unfinished += u64::from(count);
        if is_ready {
            let task = TaskRef { graph: no, index: first };
            self.enqueue_rows(task, count);
            return Ok(None);
        }
        for row in 0..count {
            self.append_row_inputs(no, first, row, &inputs);
        }
        Ok(Some(first..first + count))
    }

    /// Gives a row its inputs, which are not linked yet.
    fn append_row_inputs(&mut self, no: GraphNo, first: u32, row: u32, inputs: &[ArrayInput]) {
        let graph = self.graph_mut(no);
        let first_edge = u32::try_from(graph.edges.len()).unwrap_or(NONE);
        graph.edges.extend(inputs.iter().map(|input| Edge {
            producer: input.first + row * input.stride,
            consumer: first + row,
            next: NONE,
            output: input.output,
            external: false,
        }));
        let record = graph.task_mut(first + row);
        record.first_edge = first_edge;
        record.edges = u32::try_from(inputs.len()).expect("limits::TASK_INPUTS is below 2^32");
    }

    /// Links the edges from `first` on into their producers' chains.
    fn link(&mut self, no: GraphNo, first: u32) {
        let end = u32::try_from(self.graph(no).edges.len()).unwrap_or(NONE);
        for at in first..end {
            let edge = *self.graph(no).edge(at);
            if edge.external {
                self.link_external(no, edge);
                continue;
            }
            let graph = self.graph_mut(no);
            let producer = graph.task_mut(edge.producer);
            producer.consumers += 1;
            let next = std::mem::replace(&mut producer.dependents, at);
            if let Some(edge) = graph.edges.get_mut(at as usize) {
                edge.next = next;
            }
        }
    }

    /// Has an object of another graph, or of a session, kept for a task that takes it.
    pub(super) fn link_external(&mut self, no: GraphNo, edge: Edge) {
        let id = self
            .graph(no)
            .externals
            .get(edge.producer as usize)
            .copied()
            .expect("externals are checked at the door");
        let object = self.object_for(id);
        if let Some(object) = self.objects.get_mut(object) {
            object.add_taker(TaskRef { graph: no, index: edge.consumer });
        }
        if let Some(producer) = self.producer_of(id) {
            self.task_mut(producer).consumers += 1;
        }
    }

    /// Decides what a new task waits for, if anything.
    pub(super) fn begin(&mut self, task: TaskRef) {
        match self.failed_input(task) {
            Some(failure) => self.fail_from(task, failure),
            None => self.wait_for_inputs(task),
        }
    }

    /// The failure that an input of a new task has already met.
    fn failed_input(&self, task: TaskRef) -> Option<Failure> {
        let graph = self.graph(task.graph);
        graph.inputs(graph.task(task.index)).iter().find_map(|edge| {
            if edge.external {
                return None;
            }
            match graph.task(edge.producer).phase {
                Phase::Failed => match graph.failures.get(&edge.producer) {
                    Some(Failure::Of(root)) => Some(Failure::Of(*root)),
                    _ => Some(Failure::Of(edge.producer)),
                },
                Phase::Cancelled => {
                    let message =
                        format!("task {} was cancelled before", graph.name(edge.producer));
                    Some(Failure::Own(Box::new(TaskError::new(
                        ErrorClass::Cancelled,
                        Reason::Cancelled.name(),
                        message,
                    ))))
                }
                _ => None,
            }
        })
    }

    /// The last chunk has come: outputs that were kept only because more might come may go.
    fn close_graph(&mut self, no: GraphNo) {
        self.graph_mut(no).closed = true;
        for index in 0..self.graph(no).len() {
            let graph = self.graph(no);
            let task = graph.task(index);
            if task.phase == Phase::Finished && !graph.needs(task) {
                self.release_outputs(TaskRef { graph: no, index });
            }
        }
    }

    /// The task that makes an object, if it is known.
    pub(super) fn producer_of(&self, object: ObjectId) -> Option<TaskRef> {
        let task = object.task()?;
        let graph = *self.graph_numbers.get(&task.graph)?;
        (task.index < self.graph(graph).len()).then_some(TaskRef { graph, index: task.index })
    }

    /// Whether an object is stored or will be.
    pub(super) fn object_source(&self, object: ObjectId) -> Option<()> {
        match (object, self.producer_of(object)) {
            (ObjectId::Output { output, .. }, Some(task)) => {
                (output < self.task(task).outputs).then_some(())
            }
            (ObjectId::Output { .. }, None) => None,
            (ObjectId::Held { .. }, _) => {
                let value = self.held.get(&object).and_then(|no| self.objects.get(*no))?;
                (!value.given_up).then_some(())
            }
        }
    }

    /// The number of an object that is stored or will be.
    pub(super) fn object_for(&mut self, id: ObjectId) -> ObjectNo {
        let ObjectId::Output { output, .. } = id else {
            return self.held.get(&id).copied().unwrap_or(ObjectNo::NONE);
        };
        match self.producer_of(id) {
            Some(task) => self.output_object(task, output),
            None => ObjectNo::NONE,
        }
    }
}

fn foreign(id: GraphId, session: SessionId) -> Refusal {
    let message =
        format!("graph {id} belongs to session {}, this is session {}", id.session().0, session.0);
    Refusal::at(Reason::GraphNumber, "graph", message)
}

fn new_task(
    spec: &TaskSpec,
    chunk: u32,
    text: u32,
    class: ClassNo,
    outputs: u16,
    edges: (u32, usize),
) -> Task {
    Task {
        phase: Phase::Waiting,
        flags: 0,
        retries: 0,
        crashes: 0,
        outputs,
        ran: 0,
        key_len: u16::try_from(spec.key.len()).expect("limits::KEY_BYTES is below 2^16"),
        payload_len: u32::try_from(spec.payload.len())
            .expect("limits::PAYLOAD_BYTES is below 2^32"),
        chunk,
        text,
        class,
        first_edge: edges.0,
        edges: u32::try_from(edges.1).expect("limits::TASK_INPUTS is below 2^32"),
        dependents: NONE,
        missing: 0,
        consumers: 0,
        priority: spec.priority,
        order: spec.order,
        worker: 0,
        place: 0,
        attempt: 0,
        object: ObjectNo::NONE,
    }
}
