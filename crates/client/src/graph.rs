//! A submitted graph, as whoever submitted it sees it.

mod parts;

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use bireme_core::graph::{GraphCounts, TaskState};
use bireme_core::id::{GraphId, TaskId};
use bireme_core::limits;
use bireme_core::session::{IndexRange, Known};
use bireme_core::time::Span;
use bireme_core::{ObjectId, TaskError, Value};
use tokio::sync::{Notify, watch};

use crate::client::Inner;
use crate::ends::Log;
use crate::error::{CommandError, GraphError, Refused, ResultError};
use crate::fetch::{self, Wanted};
use crate::relocate;
use crate::session::lock;
use crate::slots::{Look, Slots};

/// A submitted graph.
///
/// Dropping it neither cancels the graph nor forgets it: that is what [`Graph::cancel`] and [`Graph::forget`] are for.
/// What nobody forgets ends with the session.
#[derive(Clone, Debug)]
pub struct Graph {
    handle: Arc<Handle>,
}

/// Dropped with the last clone of a graph.
#[derive(Debug)]
struct Handle {
    cell: Arc<Cell>,
    client: Arc<Inner>,
}

/// How far a graph is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// How many tasks are in which state, as far as the scheduler told.
    pub counts: GraphCounts,
    /// Every task has ended.
    pub done: bool,
    /// The graph as a whole came to nothing.
    pub error: Option<GraphError>,
    /// What a person should know, oldest first: among it tasks that no worker can run.
    pub warnings: Vec<Refused>,
}

/// How a graph ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Summary {
    /// How many tasks are in which state.
    pub counts: GraphCounts,
}

/// What is known of a graph.
#[derive(Debug)]
pub(crate) struct Cell {
    id: GraphId,
    slots: Mutex<Slots>,
    /// Told after every change of the slots.
    changed: Notify,
    progress: watch::Sender<Progress>,
    /// How many tasks the scheduler has taken in.
    accepted: AtomicU32,
    /// Who is told that there is news, and of what.
    follower: OnceLock<(Arc<Log>, Weak<Self>)>,
}

impl Graph {
    pub(crate) fn new(cell: Arc<Cell>, client: Arc<Inner>) -> Self {
        Self { handle: Arc::new(Handle { cell, client }) }
    }

    /// Its number.
    pub fn id(&self) -> GraphId {
        self.cell().id
    }

    /// How many tasks it has.
    pub fn tasks(&self) -> u32 {
        lock(&self.cell().slots).len()
    }

    /// How far it is, and a way to wait for news. The scheduler tells at most every [`limits::GRAPH_UPDATE`].
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.cell().progress.subscribe()
    }

    /// Waits until every task has ended. Tasks that failed are counted in the summary.
    pub async fn wait(&self) -> Result<Summary, GraphError> {
        let mut progress = self.progress();
        let end = progress.wait_for(|progress| progress.done || progress.error.is_some()).await;
        // The sender lives in the cell, which this graph holds.
        let end = end.expect("a graph outlives those who wait for it").clone();
        end.error.map_or(Ok(Summary { counts: end.counts }), Err)
    }

    /// Waits for a task to end and returns its first output.
    pub async fn result(&self, task: u32) -> Result<Value, ResultError> {
        self.output(task, 0).await
    }

    /// Waits for a task to end and returns one of its outputs.
    pub async fn output(&self, task: u32, output: u16) -> Result<Value, ResultError> {
        match self.locate(task, output).await? {
            Found::Value(value) => Ok(value),
            Found::Placed(wanted) => {
                let fetched = fetch::value(&self.handle.client, wanted).await;
                self.or_again(fetched, task, output).await
            }
        }
    }

    /// A value that was fetched, or else the one that its task makes in its place.
    async fn or_again(
        &self,
        fetched: Result<Value, String>,
        task: u32,
        output: u16,
    ) -> Result<Value, ResultError> {
        match fetched {
            Ok(value) => Ok(value),
            Err(problem) => {
                relocate::output(&self.handle.client, self.task(task), output, problem).await
            }
        }
    }

    /// Waits for a task to end and finds one of its outputs.
    async fn locate(&self, task: u32, output: u16) -> Result<Found, ResultError> {
        loop {
            let mut changed = std::pin::pin!(self.cell().changed.notified());
            // Before the look, so that no change falls between the two.
            changed.as_mut().enable();
            let id = self.task(task);
            match self.cell().look(task, output) {
                Look::Value(value) => return Ok(Found::Value(value)),
                Look::Placed(place) => {
                    let object = ObjectId::output(id, output);
                    return Ok(Found::Placed(Wanted { object, place }));
                }
                Look::Failed(error) => return Err(ResultError::Task { task: id, error }),
                Look::NotKept => return Err(ResultError::NotKept { task: id, output }),
                Look::NoTask => return Err(ResultError::NoTask { task: id }),
                Look::Pending { expected } => {
                    if let Some(error) = self.failure() {
                        return Err(error.into());
                    }
                    if !expected {
                        self.want(task).await?;
                    }
                }
            }
            changed.await;
        }
    }

    /// Waits for tasks in order and returns their first outputs, or the first error.
    pub async fn results(&self, tasks: Range<u32>) -> Result<Vec<Value>, ResultError> {
        let mut values = Vec::with_capacity(tasks.len());
        let mut wanted = Vec::new();
        for task in tasks {
            values.push(match self.locate(task, 0).await? {
                Found::Value(value) => value,
                Found::Placed(one) => {
                    wanted.push((values.len(), task, one));
                    Value::none()
                }
            });
        }
        let all = wanted.iter().map(|(.., one)| one.clone()).collect();
        let fetched = fetch::values(&self.handle.client, all).await;
        for ((at, task, _), value) in wanted.into_iter().zip(fetched) {
            let value = self.or_again(value, task, 0).await?;
            if let Some(place) = values.get_mut(at) {
                *place = value;
            }
        }
        Ok(values)
    }

    /// The failures that are known, in order of tasks, at most `count`; those that only follow from others are left out.
    /// All are known once the graph is done, if it watches its outputs.
    pub fn failures(&self, count: usize) -> Vec<(u32, TaskError)> {
        lock(&self.cell().slots).failures().take(count).collect()
    }

    /// Cancels every task that has not ended; running code may go on for `grace`.
    pub async fn cancel(&self, grace: Span) -> Result<(), CommandError> {
        let tasks = Vec::new();
        self.handle.client.cancel(self.id(), tasks, grace).await
    }

    /// Gives up the outputs of tasks.
    pub async fn release(&self, tasks: Range<u32>) -> Result<(), CommandError> {
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let range = IndexRange { first: tasks.start, count };
        self.handle.client.release(self.id(), vec![range]).await?;
        lock(&self.cell().slots).release(range);
        Ok(())
    }

    /// Drops the graph and all it holds; cancels what still runs.
    pub async fn forget(&self) -> Result<(), CommandError> {
        self.handle.client.forget(self.id()).await
    }

    fn task(&self, index: u32) -> TaskId {
        TaskId { graph: self.id(), index }
    }

    fn cell(&self) -> &Cell {
        &self.handle.cell
    }

    /// Why nothing more will be heard of tasks that have not ended.
    fn failure(&self) -> Option<GraphError> {
        let lost = || self.handle.client.session().lost().map(GraphError::Lost);
        self.cell().failure().or_else(lost)
    }

    async fn want(&self, task: u32) -> Result<(), ResultError> {
        if lock(&self.cell().slots).expect(task) {
            let range = IndexRange { first: task, count: 1 };
            let wanted = self.handle.client.want(self.id(), vec![range]).await;
            wanted.map_err(GraphError::Lost)?;
        }
        Ok(())
    }
}

/// An output of a task that has ended.
enum Found {
    Placed(Wanted),
    Value(Value),
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.client.session().unregister(self.cell.id);
    }
}

impl Progress {
    /// The graph is done, or will never be.
    pub fn is_over(&self) -> bool {
        self.done || self.error.is_some()
    }
}

impl Summary {
    /// Whether every task finished.
    pub fn is_ok(&self) -> bool {
        self.counts.of(TaskState::Finished) == self.counts.total()
    }
}

impl Cell {
    pub(crate) fn new(id: GraphId, slots: Slots) -> Self {
        let mut progress = Progress::default();
        *progress.counts.of_mut(TaskState::Waiting) = slots.len();
        Self {
            id,
            slots: Mutex::new(slots),
            changed: Notify::new(),
            progress: watch::Sender::new(progress),
            accepted: AtomicU32::new(0),
            follower: OnceLock::new(),
        }
    }

    /// Has ends of tasks written down, and `log` told that some are.
    pub(crate) fn follow(self: &Arc<Self>, log: &Arc<Log>) {
        if self.follower.set((Arc::clone(log), Arc::downgrade(self))).is_ok() {
            lock(&self.slots).follow();
        }
    }

    /// Wakes whoever waits for a change.
    fn tell(&self) {
        self.changed.notify_waiters();
        if let Some((log, graph)) = self.follower.get() {
            log.mark(self.id, graph);
        }
    }

    pub(crate) fn id(&self) -> GraphId {
        self.id
    }

    /// Notes how many tasks the scheduler has taken in.
    pub(crate) fn accept(&self, tasks: u32) {
        self.accepted.fetch_max(tasks, Ordering::Relaxed);
    }

    /// What need not be told again.
    pub(crate) fn known(&self) -> Known {
        let accepted_tasks = self.accepted.load(Ordering::Relaxed);
        Known { graph: self.id, accepted_tasks, seen: lock(&self.slots).ended() }
    }

    /// Tasks that have not ended and whose ends were asked for.
    pub(crate) fn asked(&self) -> Vec<IndexRange> {
        lock(&self.slots).asked()
    }

    /// The graph is done, or will never be.
    pub(crate) fn is_over(&self) -> bool {
        self.progress.borrow().is_over()
    }

    /// Changes slots, then wakes whoever waits for one.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Slots)) {
        change(&mut lock(&self.slots));
        self.tell();
    }

    /// Notes how the graph stands.
    pub(crate) fn advance(&self, counts: GraphCounts, done: bool, error: Option<GraphError>) {
        self.progress.send_modify(|progress| {
            progress.counts = counts;
            progress.done |= done;
            if progress.error.is_none() {
                progress.error = error;
            }
        });
        self.tell();
    }

    /// Notes that the graph came to nothing. The first reason stays; what is done stays done.
    pub(crate) fn give_up(&self, error: GraphError) {
        self.progress.send_if_modified(|progress| {
            let is_news = !progress.is_over();
            if is_news {
                progress.error = Some(error);
            }
            is_news
        });
        self.tell();
    }

    /// Keeps a warning, up to a limit.
    pub(crate) fn warn(&self, warning: Refused) {
        self.progress.send_if_modified(|progress| {
            let has_room = progress.warnings.len() < limits::GRAPH_WARNINGS;
            if has_room {
                progress.warnings.push(warning);
            }
            has_room
        });
    }

    fn look(&self, task: u32, output: u16) -> Look {
        lock(&self.slots).look(task, output)
    }

    /// Why the graph came to nothing, if it did.
    pub(crate) fn failure(&self) -> Option<GraphError> {
        self.progress.borrow().error.clone()
    }
}
