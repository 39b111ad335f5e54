//! A graph: its tasks, how they hang together, and how it stands.

use std::collections::BTreeMap;

use bireme_core::graph::{GraphCounts, GraphOptions, GraphSoFar, Outputs, Watch};
use bireme_core::hash::{Keys, Seeded};
use bireme_core::id::{GraphId, SessionId, TaskId};
use bireme_core::{ObjectId, TaskError, Time};
use bytes::Bytes;

use super::number::{ClassNo, NONE, ObjectNo};
use super::table::{Tasks, row_of};
use super::task::{Edge, Failure, Phase, Task, flag};

/// A graph and everything in it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(super) struct Graph {
    pub(super) id: GraphId,
    pub(super) session: SessionId,
    pub(super) options: GraphOptions,
    pub(super) tasks: Tasks,
    pub(super) edges: Vec<Edge>,
    /// Keys and payloads of each chunk's tasks.
    pub(super) texts: Vec<Bytes>,
    /// The graph's classes in the machine's table, and how many outputs each has.
    pub(super) classes: Vec<(ClassNo, u16)>,
    pub(super) externals: Vec<ObjectId>,
    keys: Keys,
    /// For each prefix of given keys that look like those of rows, the lowest row.
    row_like: BTreeMap<Box<str>, u32>,
    /// Object numbers of tasks with several outputs.
    pub(super) several: BTreeMap<u32, Box<[ObjectNo]>>,
    pub(super) failures: BTreeMap<u32, Failure>,
    /// When its first chunk came.
    pub(super) created: Time,
    /// How many of them are tasks' own.
    pub(super) own_failures: u32,
    pub(super) counts: GraphCounts,
    /// No further chunk is taken.
    pub(super) closed: bool,
    /// Why the graph failed as a whole.
    pub(super) error: Option<Box<TaskError>>,
    /// It stands in the machine's list of graphs that changed in this step.
    pub(super) stirred: bool,
    /// How it stands is marked in its session's outbox.
    pub(super) notice: bool,
    /// When its session was last told how it stands.
    pub(super) told: Time,
    /// A timer will have its session told.
    pub(super) timer: bool,
    /// When its last task ended, if it is done.
    pub(super) ended: Option<Time>,
    /// What was kept of it was given up once, because its time was over.
    pub(super) expired: bool,
}

impl Graph {
    pub(super) fn new(id: GraphId, session: SessionId, options: GraphOptions, now: Time) -> Self {
        Self {
            id,
            session,
            options,
            tasks: Tasks::default(),
            edges: Vec::new(),
            texts: Vec::new(),
            classes: Vec::new(),
            externals: Vec::new(),
            keys: Keys::default(),
            row_like: BTreeMap::new(),
            several: BTreeMap::new(),
            failures: BTreeMap::new(),
            created: now,
            own_failures: 0,
            counts: GraphCounts::default(),
            closed: false,
            error: None,
            stirred: false,
            notice: false,
            told: Time::default(),
            timer: false,
            ended: None,
            expired: false,
        }
    }

    /// How many tasks there are.
    pub(super) fn len(&self) -> u32 {
        self.tasks.len()
    }

    pub(super) fn task(&self, index: u32) -> &Task {
        self.tasks.get(index).expect("task indexes are checked at the door")
    }

    pub(super) fn task_mut(&mut self, index: u32) -> &mut Task {
        self.tasks.get_mut(index).expect("task indexes are checked at the door")
    }

    pub(super) fn edge(&self, edge: u32) -> &Edge {
        self.edges.get(edge as usize).expect("edges are made with their tasks")
    }

    /// The inputs of a task.
    pub(super) fn inputs(&self, task: &Task) -> &[Edge] {
        self.edges
            .get(task.first_edge as usize..(task.first_edge + task.edges) as usize)
            .expect("as made at the door")
    }

    pub(super) fn id_of(&self, index: u32) -> TaskId {
        TaskId { graph: self.id, index }
    }

    fn text(&self, task: &Task) -> &Bytes {
        self.texts.get(task.chunk as usize).expect("texts are kept with their tasks")
    }

    /// The key that was given; empty where none was.
    pub(super) fn key(&self, task: &Task) -> &str {
        let (start, len) = (task.text as usize, task.key_len as usize);
        let bytes = self.text(task).get(start..start + len).expect("as written at the door");
        std::str::from_utf8(bytes).expect("keys come as strings")
    }

    /// The key, or the index where none was given.
    pub(super) fn name(&self, index: u32) -> String {
        if let Some((prefix, row)) = self.tasks.row(index) {
            return format!("{prefix}[{row}]");
        }
        match self.key(self.task(index)) {
            "" => index.to_string(),
            key => key.to_owned(),
        }
    }

    pub(super) fn payload(&self, task: &Task) -> Bytes {
        let start = task.text as usize + task.key_len as usize;
        self.text(task).slice(start..start + task.payload_len as usize)
    }

    /// The object that is an output of a task; `None` until it is made or named.
    pub(super) fn object(&self, index: u32, output: u16) -> Option<ObjectNo> {
        let task = self.task(index);
        if task.outputs > 1 {
            return self.several.get(&index)?.get(usize::from(output)).copied();
        }
        self.tasks.object(index).filter(|_| output < task.outputs)
    }

    /// Whether the session wants the outputs of a task to stay.
    pub(super) fn keeps(&self, task: &Task) -> bool {
        !task.has(flag::GIVEN_UP) && self.asks_to_keep(task)
    }

    /// Whether the session is told of the end of a task. It hears of the outputs whose time was over, too: nobody else says
    /// that they were ever made to one that comes back after that.
    pub(super) fn announces(&self, task: &Task) -> bool {
        let has_outputs = || self.asks_to_keep(task) && (self.expired || !task.has(flag::GIVEN_UP));
        task.has(flag::WANTED)
            || (self.options.watch != Watch::Graph
                && (task.phase != Phase::Finished || has_outputs()))
    }

    /// Whether the outputs of a task are among those that the graph was to keep.
    fn asks_to_keep(&self, task: &Task) -> bool {
        match self.options.outputs {
            Outputs::All => true,
            Outputs::Listed => task.has(flag::LISTED),
            Outputs::None => false,
            Outputs::Sinks => task.dependents == NONE || task.has(flag::LISTED),
        }
    }

    /// Whether the outputs of a finished task have a reason to be stored. A graph that may still grow keeps everything,
    /// because a later chunk may depend on any task.
    pub(super) fn needs(&self, task: &Task) -> bool {
        task.consumers > 0 || !self.closed || self.keeps(task)
    }

    /// The last chunk has come and every task has ended.
    pub(super) fn is_done(&self) -> bool {
        self.closed && self.counts.ended() == self.counts.total()
    }

    pub(super) fn note_failure(&mut self, index: u32, failure: Failure) {
        self.forget_failure(index);
        self.own_failures += u32::from(matches!(failure, Failure::Own(_)));
        self.failures.insert(index, failure);
    }

    pub(super) fn forget_failure(&mut self, index: u32) {
        if let Some(Failure::Own(_)) = self.failures.remove(&index) {
            self.own_failures -= 1;
        }
    }

    /// Finds a task by the key that was given for it.
    pub(super) fn find(&self, hasher: &Seeded, key: &str) -> Option<u32> {
        let has = |task| key_in(&self.tasks, &self.texts, task) == key.as_bytes();
        self.keys.find(hasher, key, has).or_else(|| self.tasks.find_row(key))
    }

    /// Enters the key of the task with this index, which is in the table of tasks. Returns whoever has it already.
    pub(super) fn enter_key(&mut self, hasher: &Seeded, index: u32) -> Result<(), u32> {
        let (tasks, texts) = (&self.tasks, &self.texts);
        let bytes = key_in(tasks, texts, index);
        let key = std::str::from_utf8(bytes).expect("keys come as strings");
        if let Some(row) = tasks.find_row(key) {
            return Err(row);
        }
        self.keys.take(hasher, key, index, |other| key_in(tasks, texts, other) == bytes)?;
        if let Some((prefix, row)) = row_of(key) {
            let lowest = self.row_like.entry(prefix.into()).or_insert(row);
            *lowest = row.min(*lowest);
        }
        Ok(())
    }

    /// Why no array of `count` rows can have this prefix: what has it, or the key of a row.
    pub(super) fn prefix_taken(&self, prefix: &str, count: u32) -> Option<String> {
        if self.tasks.has_prefix(prefix) {
            return Some("another array of the graph".to_owned());
        }
        let row = self.row_like.get(prefix).filter(|row| **row < count)?;
        Some(format!("the task of key {:?}", format!("{prefix}[{row}]")))
    }
}

/// The key that was given for a task.
fn key_in<'a>(tasks: &Tasks, texts: &'a [Bytes], index: u32) -> &'a [u8] {
    let task = tasks.get(index).expect("only tasks that exist are entered");
    let text = texts.get(task.chunk as usize).expect("texts are kept with their tasks");
    let start = task.text as usize;
    text.get(start..start + usize::from(task.key_len)).expect("as written at the door")
}

impl GraphSoFar for Graph {
    fn tasks(&self) -> u32 {
        self.len()
    }

    fn classes(&self) -> usize {
        self.classes.len()
    }

    fn outputs_of_class(&self, class: u32) -> u16 {
        self.classes.get(class as usize).map_or(1, |(_, outputs)| *outputs)
    }

    fn class_of(&self, task: u32) -> u32 {
        let class = self.task(task).class;
        let place = self.classes.iter().position(|(other, _)| *other == class);
        place.and_then(|place| u32::try_from(place).ok()).unwrap_or(0)
    }

    fn externals(&self) -> usize {
        self.externals.len()
    }
}
