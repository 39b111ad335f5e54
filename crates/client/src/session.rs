//! What a session knows, and the one task that listens to the scheduler and writes it down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bireme_core::graph::GraphCounts;
use bireme_core::id::{GraphId, SubmissionId, WorkerId};
use bireme_core::protocol::Address;
use bireme_core::{ErrorClass, TaskError, Value};
use bireme_proto::pb;
use smallvec::SmallVec;
use tokio::sync::{oneshot, watch};
use tonic::Streaming;

use crate::error::{GraphError, Lost, Refused};
use crate::graph::Cell;
use crate::slots::{Entry, Place};

/// What all handles of a session share.
#[derive(Debug)]
pub(crate) struct Session {
    graphs: Mutex<BTreeMap<GraphId, Weak<Cell>>>,
    /// Commands that are not answered. Bounded by what callers and unacknowledged chunks there are.
    answers: Mutex<BTreeMap<SubmissionId, Answer>>,
    /// The addresses of workers, and their machines.
    places: Mutex<BTreeMap<WorkerId, (Vec<Address>, String)>>,
    lost: watch::Sender<Option<Lost>>,
}

/// Who waits for the answer to a command.
#[derive(Debug)]
enum Answer {
    Caller(oneshot::Sender<Result<(), Refused>>),
    Chunk(GraphId),
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            graphs: Mutex::default(),
            answers: Mutex::default(),
            places: Mutex::default(),
            lost: watch::Sender::new(None),
        }
    }

    /// Has the graph told of what is heard. Fails if nothing more will be.
    pub(crate) fn register(&self, graph: &Arc<Cell>) -> Result<(), Lost> {
        lock(&self.graphs).insert(graph.id(), Arc::downgrade(graph));
        // After the insertion: whoever loses the stream says so first and looks for graphs then.
        self.lost().map_or(Ok(()), Err)
    }

    /// Nobody holds the graph any more.
    pub(crate) fn unregister(&self, graph: GraphId) {
        lock(&self.graphs).remove(&graph);
    }

    /// A refusal of this chunk is the graph's.
    pub(crate) fn expect_chunk(&self, submission: SubmissionId, graph: GraphId) {
        lock(&self.answers).insert(submission, Answer::Chunk(graph));
    }

    /// The answer to this command; it ends without one if the stream does.
    pub(crate) fn expect_answer(
        &self,
        submission: SubmissionId,
    ) -> oneshot::Receiver<Result<(), Refused>> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.answers).insert(submission, Answer::Caller(sender));
        if self.lost().is_some() {
            lock(&self.answers).remove(&submission);
        }
        receiver
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

    /// Why the stream ended, if it has.
    pub(crate) fn lost(&self) -> Option<Lost> {
        self.lost.borrow().clone()
    }

    /// Waits until the stream has ended.
    pub(crate) async fn until_lost(&self) -> Lost {
        let mut lost = self.lost.subscribe();
        match lost.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(lost)) => lost.clone(),
            Ok(None) | Err(_) => Lost::closed(),
        }
    }

    /// Listens until the stream ends, then ends every wait.
    pub(crate) async fn listen(
        self: Arc<Self>,
        mut reports: Streaming<pb::SessionDown>,
        first: pb::SessionDown,
    ) {
        let mut next = first;
        let lost = loop {
            if let Some(lost) = self.on_batch(next) {
                break lost;
            }
            let message = tokio::select! {
                biased;
                // This program has had enough: the stream ends with this task.
                lost = self.until_lost() => break lost,
                message = reports.message() => message,
            };
            next = match message {
                Ok(Some(batch)) => batch,
                Ok(None) => break Lost::from_end(None),
                Err(status) => break Lost::from_end(Some(status)),
            };
        };
        tracing::debug!(reason = lost.reason, message = lost.message, "session stream ended");
        self.lose(lost);
    }

    /// Writes down that nothing more will be heard.
    pub(crate) fn lose(&self, lost: Lost) {
        self.lost.send_if_modified(|known| {
            let is_news = known.is_none();
            known.get_or_insert_with(|| lost.clone());
            is_news
        });
        lock(&self.answers).clear();
        let graphs = std::mem::take(&mut *lock(&self.graphs));
        for graph in graphs.values().filter_map(Weak::upgrade) {
            graph.give_up(GraphError::Lost(lost.clone()));
        }
    }

    /// Takes in a batch. Returns the scheduler's word that it is the last.
    fn on_batch(&self, batch: pb::SessionDown) -> Option<Lost> {
        use pb::session_report::Report;
        for report in batch.reports {
            // What a newer scheduler reports and this client does not know is passed over.
            let Some(report) = report.report else { continue };
            match report {
                Report::Tasks(updates) => self.on_tasks(updates),
                Report::Graph(update) => self.on_graph(update),
                Report::Accepted(accepted) => self.on_answer(&accepted.submission_id, Ok(())),
                Report::Refused(refused) => {
                    let pb::Refused { submission_id, reason, field, message } = refused;
                    self.on_answer(&submission_id, Err(Refused { reason, field, message }));
                }
                Report::Workers(places) => self.on_workers(places),
                Report::Warning(warning) => self.on_warning(&warning),
                Report::Closing(pb::Closing { reason, message, .. }) => {
                    return Some(Lost { reason, message });
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
        match lock(&self.answers).remove(&submission) {
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

    fn on_warning(&self, warning: &pb::Warning) {
        let pb::Warning { graph, task, reason, message } = warning;
        tracing::warn!(graph, task, reason, message, "warning from the scheduler");
        if let Some(graph) = self.graph(*graph) {
            graph.warn(reason, message);
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
