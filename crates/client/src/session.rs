//! What a session knows, and the one task that listens to the scheduler and writes it down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bireme_core::graph::GraphCounts;
use bireme_core::id::{GraphId, SubmissionId, WorkerId};
use bireme_core::protocol::Address;
use bireme_core::session::Known;
use bireme_core::time::Span;
use bireme_core::{ErrorClass, Reason, TaskError, Value, limits};
use bireme_proto::pb;
use smallvec::SmallVec;
use tokio::sync::watch;
use tonic::Streaming;

use crate::backlog::{Answer, Backlog};
use crate::client::ranges;
use crate::ends::Log;
use crate::error::{GraphError, Lost, Refused};
use crate::graph::Cell;
use crate::redial::{End, Redial};
use crate::slots::{Entry, Place};
use crate::warnings::Warnings;

/// What all handles of a session share.
#[derive(Debug)]
pub(crate) struct Session {
    graphs: Mutex<BTreeMap<GraphId, Weak<Cell>>>,
    /// Commands that are not answered.
    backlog: Arc<Backlog>,
    /// The addresses of workers, and their machines.
    places: Mutex<BTreeMap<WorkerId, (Vec<Address>, String)>>,
    /// This side ends the session: a stream that ends is not missed.
    leaving: AtomicBool,
    /// Told of the ends of tasks, once somebody follows them.
    follower: OnceLock<Arc<Log>>,
    warnings: Warnings,
    lost: watch::Sender<Option<Lost>>,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            graphs: Mutex::default(),
            backlog: Arc::new(Backlog::new()),
            places: Mutex::default(),
            leaving: AtomicBool::new(false),
            follower: OnceLock::new(),
            warnings: Warnings::default(),
            lost: watch::Sender::new(None),
        }
    }

    pub(crate) fn backlog(&self) -> &Arc<Backlog> {
        &self.backlog
    }

    pub(crate) fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// Has graphs that are registered from now on followed.
    pub(crate) fn follow(&self) -> &Arc<Log> {
        self.follower.get_or_init(Arc::default)
    }

    /// Has the graph told of what is heard. Fails if nothing more will be.
    pub(crate) fn register(&self, graph: &Arc<Cell>) -> Result<(), Lost> {
        if let Some(log) = self.follower.get() {
            graph.follow(log);
        }
        lock(&self.graphs).insert(graph.id(), Arc::downgrade(graph));
        // After the insertion: whoever loses the session says so first and looks for graphs then.
        self.lost().map_or(Ok(()), Err)
    }

    /// Nobody holds the graph any more.
    pub(crate) fn unregister(&self, graph: GraphId) {
        lock(&self.graphs).remove(&graph);
    }

    /// The graphs that somebody holds.
    fn live_graphs(&self) -> Vec<Arc<Cell>> {
        lock(&self.graphs).values().filter_map(Weak::upgrade).collect()
    }

    /// How many of the graphs that somebody holds are not done.
    pub(crate) fn open_graphs(&self) -> usize {
        self.live_graphs().iter().filter(|graph| !graph.is_over()).count()
    }

    /// What a scheduler need not tell when the stream comes back.
    pub(crate) fn known(&self) -> Vec<Known> {
        self.live_graphs().iter().map(|graph| graph.known()).collect()
    }

    /// Asks again for the ends that were asked for: the question may have been lost with its stream.
    fn ask_again(&self) {
        for graph in self.live_graphs() {
            for tasks in graph.asked().chunks(limits::KNOWN_RANGES) {
                let tasks = ranges(tasks.to_vec());
                let want = pb::Want { graph: graph.id().0, tasks, values: true };
                self.backlog.add_at_once(pb::session_command::Command::Want(want));
            }
        }
    }

    /// Where a worker listens, as far as the scheduler told.
    pub(crate) fn whereabouts(&self, worker: WorkerId) -> (Vec<Address>, String) {
        lock(&self.places).get(&worker).cloned().unwrap_or_default()
    }

    /// The workers that are known, with where each listens and its machine.
    pub(crate) fn workers(&self) -> Vec<(WorkerId, Vec<Address>, String)> {
        let places = lock(&self.places);
        let workers = places.iter();
        workers
            .map(|(id, (addresses, machine))| (*id, addresses.clone(), machine.clone()))
            .collect()
    }

    /// Why nothing more is heard, if that is so.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.lost.borrow().clone()
    }

    /// Why nothing more is heard, when that is so.
    pub(crate) fn why_lost(&self) -> Lost {
        self.lost().unwrap_or_else(Lost::closed)
    }

    /// This side is about to end the session: its stream is not to come back.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed) || self.backlog.is_ending()
    }

    /// Waits until nothing more is heard.
    pub(crate) async fn until_lost(&self) -> Lost {
        let mut lost = self.lost.subscribe();
        match lost.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(lost)) => lost.clone(),
            Ok(None) | Err(_) => Lost::closed(),
        }
    }

    /// Listens, and has the stream replaced whenever it is lost, until that is no use. Then every wait ends.
    pub(crate) async fn keep(
        self: Arc<Self>,
        mut redial: Redial,
        mut reports: Streaming<pb::SessionDown>,
        mut first: pb::SessionDown,
    ) {
        let lost = loop {
            let again = async {
                let end = self.hear(reports, first).await;
                if self.is_leaving() { Err(end.why) } else { redial.again(&self, end).await }
            };
            let attached = tokio::select! {
                biased;
                // This program has had enough: the stream ends with this task.
                lost = self.until_lost() => break lost,
                attached = again => attached,
            };
            match attached {
                Ok(attached) => (reports, first) = (attached.reports, attached.first),
                Err(lost) => break lost,
            }
            self.ask_again();
        };
        tracing::debug!(reason = lost.reason, message = lost.message, "session ended");
        self.lose(lost);
    }

    /// Listens until the stream ends.
    async fn hear(&self, mut reports: Streaming<pb::SessionDown>, first: pb::SessionDown) -> End {
        let mut closing = self.on_batch(first);
        let mut was_heard = false;
        loop {
            if let Some((why, retry_after)) = closing {
                return End { why, retry_after: Some(retry_after), was_heard };
            }
            let end = match reports.message().await {
                Ok(Some(batch)) => {
                    was_heard = true;
                    closing = self.on_batch(batch);
                    continue;
                }
                Ok(None) => None,
                Err(status) => Some(status),
            };
            return End { why: Lost::from_end(end), retry_after: None, was_heard };
        }
    }

    /// Writes down that nothing more will be heard.
    pub(crate) fn lose(&self, lost: Lost) {
        self.lost.send_if_modified(|known| {
            let is_news = known.is_none();
            known.get_or_insert_with(|| lost.clone());
            is_news
        });
        self.backlog.close();
        let graphs = std::mem::take(&mut *lock(&self.graphs));
        for graph in graphs.values().filter_map(Weak::upgrade) {
            graph.give_up(GraphError::Lost(lost.clone()));
        }
    }

    /// Takes in a batch. Returns the scheduler's word that it is the last, and when to come again.
    fn on_batch(&self, batch: pb::SessionDown) -> Option<(Lost, Span)> {
        use pb::session_report::Report;
        for report in batch.reports {
            // What a newer scheduler reports and this client does not know is passed over.
            let Some(report) = report.report else { continue };
            match report {
                Report::Tasks(updates) => self.on_tasks(updates),
                Report::Graph(update) => self.on_graph(update),
                Report::Accepted(pb::Accepted { submission_id, graph, tasks }) => {
                    if let Some(graph) = self.graph(graph) {
                        graph.accept(tasks);
                    }
                    self.on_answer(&submission_id, Ok(()));
                }
                Report::Refused(refused) => {
                    let pb::Refused { submission_id, reason, field, message } = refused;
                    self.on_answer(&submission_id, Err(Refused { reason, field, message }));
                }
                Report::Workers(places) => self.on_workers(places),
                Report::Warning(warning) => self.on_warning(warning),
                Report::Closing(pb::Closing { reason, message, retry_after_us }) => {
                    return Some((Lost { reason, message }, Span(retry_after_us)));
                }
                Report::Places(_) | Report::Pong(_) => {}
            }
        }
        None
    }

    fn graph(&self, graph: u64) -> Option<Arc<Cell>> {
        lock(&self.graphs).get(&GraphId(graph)).and_then(Weak::upgrade)
    }

    fn on_tasks(&self, updates: pb::TaskUpdates) {
        let Some(graph) = self.graph(updates.graph) else { return };
        graph.update(|slots| {
            for update in updates.tasks {
                match update.state() {
                    pb::TaskState::Finished => {
                        let outputs = update.outputs.into_iter().map(entry).collect();
                        slots.finish(update.index, outputs);
                    }
                    pb::TaskState::Cancelled if update.error.is_none() => {
                        slots.fail(update.index, Box::new(cancelled()));
                    }
                    pb::TaskState::Failed | pb::TaskState::Cancelled => {
                        slots.fail(update.index, Box::new(task_error(update.error)));
                    }
                    _ => {}
                }
            }
        });
    }

    fn on_graph(&self, update: pb::GraphUpdate) {
        let Some(graph) = self.graph(update.graph) else { return };
        let counts = update.counts.map(counts).unwrap_or_default();
        let error = update.error.map(|error| GraphError::Failed(Box::new(task_error(Some(error)))));
        graph.advance(counts, update.done, error);
    }

    fn on_answer(&self, submission: &[u8], answer: Result<(), Refused>) {
        let Some(submission) = SubmissionId::from_slice(submission) else { return };
        match self.backlog.answered(submission) {
            // A caller that gave up waiting is no concern of ours.
            Some(Answer::Caller(caller)) => drop(caller.send(answer)),
            Some(Answer::Chunk(graph)) => {
                if let Err(refused) = answer
                    && let Some(graph) = self.graph(graph.0)
                {
                    graph.give_up(GraphError::Refused(refused));
                }
            }
            None => {}
        }
    }

    fn on_workers(&self, places: pb::WorkerPlaces) {
        let mut known = lock(&self.places);
        for place in places.workers {
            let Some(worker) = place.worker else { continue };
            let addresses = place.addresses.into_iter();
            let addresses: Vec<Address> =
                addresses.filter_map(|address| address.try_into().ok()).collect();
            if addresses.is_empty() {
                known.remove(&WorkerId(worker.number));
            } else {
                known.insert(WorkerId(worker.number), (addresses, place.machine));
            }
        }
    }

    fn on_warning(&self, warning: pb::Warning) {
        let pb::Warning { graph, task, reason, message } = warning;
        let warning = Refused { reason, field: String::new(), message };
        self.warnings.heard((graph != 0).then_some(GraphId(graph)), task, &warning);
        if let Some(graph) = self.graph(graph) {
            graph.warn(warning);
        }
    }
}

/// What is remembered of an output.
fn entry(output: pb::OutputPlace) -> Entry {
    let holders: SmallVec<[WorkerId; 2]> = output.holders.into_iter().map(WorkerId).collect();
    let Some(value) = output.value else {
        return Entry::Placed(Place { holders, size: output.size });
    };
    match Value::try_from(value) {
        Ok(value) => Entry::of(value),
        Err(refusal) => {
            let message = format!("the scheduler sent a value that cannot be read: {refusal}");
            let reason = refusal.reason.name();
            Entry::Failed(Box::new(TaskError::new(ErrorClass::Malformed, reason, message)))
        }
    }
}

/// What a task came to that somebody cancelled, of which there is no more to say.
fn cancelled() -> TaskError {
    let reason = Reason::Cancelled.name();
    TaskError::new(ErrorClass::Cancelled, reason, "the task was cancelled")
}

/// A failure is one even where its description cannot be read.
pub(crate) fn task_error(error: Option<pb::TaskError>) -> TaskError {
    let Some(error) = error else {
        return TaskError::new(ErrorClass::User, "UNKNOWN", "the scheduler did not say why");
    };
    let (reason, message) = (error.reason.clone(), error.message.clone());
    error.try_into().unwrap_or_else(|_| TaskError::new(ErrorClass::User, reason, message))
}

pub(crate) fn counts(counts: pb::GraphCounts) -> GraphCounts {
    use bireme_core::graph::TaskState;
    let pb::GraphCounts { total: _, waiting, ready, sent, running, finished, failed, cancelled } =
        counts;
    let mut all = GraphCounts::default();
    for (state, count) in
        TaskState::ALL.into_iter().zip([waiting, ready, sent, running, finished, failed, cancelled])
    {
        *all.of_mut(state) = u32::try_from(count).unwrap_or(u32::MAX);
    }
    all
}

/// The data of a lock that a panic left behind is whole: no holder stops half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
