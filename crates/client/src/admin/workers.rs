//! Workers: what there are, what becomes of them, and how they are sent away.

use bireme_core::Resources;
use bireme_core::id::{SubmissionId, WorkerId};
use bireme_core::time::Span;
use bireme_proto::pb;
use bytes::Bytes;
use tonic::Streaming;

use super::{Admin, page, resources, submission};
use crate::client::fresh_id;
use crate::error::Refused;

/// Names a worker.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WorkerName {
    /// By its number.
    Id(WorkerId),
    /// By its name.
    Name(String),
}

/// What the scheduler knows of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// Its number.
    pub worker: WorkerId,
    /// Its name.
    pub name: String,
    /// How it is, in lower case: `running`.
    pub state: &'static str,
    /// Why it is so, where there is something to say.
    pub reason: String,
    /// All it has.
    pub resources: Resources,
    /// What of it is free.
    pub free: Resources,
    /// Attempts that run.
    pub running: u32,
    /// Attempts sent and not known to have started.
    pub sent: u32,
    /// Values that it holds.
    pub objects: u64,
    /// Bytes of values in memory.
    pub stored_bytes: u64,
    /// Bytes of values on disk.
    pub spilled_bytes: u64,
    /// Resident memory of the daemon and of its executors, in bytes.
    pub resident_bytes: u64,
    /// Share of the machine's cpus in use, in percent of one cpu.
    pub cpu_percent: u32,
    /// How far its event loop is behind.
    pub loop_lag: Span,
    /// How long ago it was last heard of.
    pub silent: Span,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Names of the language runtimes that it can start.
    pub runtimes: Vec<String>,
    /// Version of its software.
    pub version: String,
    /// Boot id and host name.
    pub machine: String,
    /// How long ago it joined.
    pub age: Span,
}

/// News of workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerChanges {
    /// Those that came or changed; at first all that there are.
    pub changed: Vec<WorkerStatus>,
    /// Those that left.
    pub gone: Vec<WorkerId>,
    /// Forget all that was known: this is all that there is.
    pub lagged: bool,
}

/// Workers that come, change and go. Dropping it ends the call.
#[derive(Debug)]
pub struct Workers {
    changes: Streaming<pb::WatchWorkersResponse>,
}

/// How a drain stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Drain {
    /// It has not left yet: ask again under the same submission.
    pub pending: bool,
    /// Attempts that still run.
    pub running: u32,
    /// Values that nobody else has yet.
    pub objects: u64,
    /// What holds it up, one line each.
    pub blockers: Vec<String>,
}

impl From<WorkerId> for WorkerName {
    fn from(worker: WorkerId) -> Self {
        Self::Id(worker)
    }
}

impl From<&str> for WorkerName {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<WorkerName> for pb::WorkerSelector {
    fn from(name: WorkerName) -> Self {
        use pb::worker_selector::By;
        let by = match name {
            WorkerName::Id(worker) => By::Worker(worker.into()),
            WorkerName::Name(name) => By::Name(name),
        };
        Self { by: Some(by) }
    }
}

impl Workers {
    /// The next changes; `None` once the scheduler is about to end.
    pub async fn next(&mut self) -> Result<Option<WorkerChanges>, Refused> {
        let Some(message) = self.changes.message().await? else { return Ok(None) };
        let pb::WatchWorkersResponse { changed, gone, cursor: _, lagged } = message;
        let changed = changed.into_iter().map(worker_status).collect::<Result<_, _>>()?;
        let gone = gone.into_iter().map(|worker| WorkerId(worker.number)).collect();
        Ok(Some(WorkerChanges { changed, gone, lagged }))
    }
}

impl Admin {
    /// Every worker.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, Refused> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = self.request(pb::ListWorkersRequest { page: Some(page(token)) });
            let answer = self.cluster.clone().list_workers(request).await?.into_inner();
            for worker in answer.workers {
                all.push(worker_status(worker)?);
            }
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// One worker.
    pub async fn worker(&self, worker: impl Into<WorkerName>) -> Result<WorkerStatus, Refused> {
        let request = pb::GetWorkerRequest { worker: Some(worker.into().into()) };
        let answer = self.cluster.clone().get_worker(self.request(request)).await?.into_inner();
        worker_status(answer.worker.unwrap_or_default())
    }

    /// Workers that come, change and go; first comes what there is. News are told at most every `interval`.
    pub async fn watch_workers(&self, interval: Span) -> Result<Workers, Refused> {
        let request = pb::WatchWorkersRequest {
            interval_us: interval.0,
            ..pb::WatchWorkersRequest::default()
        };
        let changes = self.cluster.clone().watch_workers(self.request(request)).await?.into_inner();
        Ok(Workers { changes })
    }

    /// Lets a worker leave in order: it is given nothing more, and what only it has is copied to others first. With a
    /// `deadline` it leaves all the same when that is up, and what was not copied is made again. Waits until it has left or,
    /// at most 30 s, for `max_wait`; asking again under the same `submission` goes on waiting for the same drain.
    pub async fn drain_worker(
        &self,
        worker: impl Into<WorkerName>,
        submission: SubmissionId,
        deadline: Option<Span>,
        max_wait: Span,
        reason: &str,
    ) -> Result<Drain, Refused> {
        let request = pb::DrainWorkerRequest {
            submission_id: Bytes::copy_from_slice(&submission.to_bytes()),
            worker: Some(worker.into().into()),
            deadline_us: deadline.map_or(0, |deadline| deadline.0.max(1)),
            max_wait_us: max_wait.0,
            reason: reason.to_owned(),
        };
        let answer = self.cluster.clone().drain_worker(self.request(request)).await?.into_inner();
        let pb::DrainWorkerResponse { pending, running, actors: _, objects, blockers } = answer;
        Ok(Drain { pending, running, objects, blockers })
    }

    /// A fresh name for a call that is asked again until it is done.
    pub fn fresh_submission() -> SubmissionId {
        fresh_id()
    }

    /// Ends a worker now. Running code may go on for `grace`. Returns how many attempts ran, and how many values nobody else
    /// has.
    pub async fn stop_worker(
        &self,
        worker: impl Into<WorkerName>,
        grace: Span,
        reason: &str,
    ) -> Result<(u32, u64), Refused> {
        let request = pb::StopWorkerRequest {
            submission_id: submission(),
            worker: Some(worker.into().into()),
            grace_us: grace.0,
            reason: reason.to_owned(),
        };
        let answer = self.cluster.clone().stop_worker(self.request(request)).await?.into_inner();
        Ok((answer.running, answer.objects))
    }
}

fn worker_status(worker: pb::WorkerSummary) -> Result<WorkerStatus, Refused> {
    let state = state_name(worker.state());
    let memory = worker.memory.unwrap_or_default();
    let address = |address: pb::Address| {
        bireme_core::protocol::Address::try_from(address).ok().map(|address| address.to_string())
    };
    let label = |label: pb::Label| (label.key, label.value);
    Ok(WorkerStatus {
        worker: WorkerId(worker.worker.unwrap_or_default().number),
        name: worker.name,
        state,
        reason: worker.reason,
        resources: resources(worker.resources)?,
        free: resources(worker.free)?,
        running: worker.running,
        sent: worker.sent,
        objects: worker.objects,
        stored_bytes: memory.stored_bytes,
        spilled_bytes: memory.spilled_bytes,
        resident_bytes: memory.resident_bytes + memory.executors_bytes,
        cpu_percent: worker.cpu_percent,
        loop_lag: Span(worker.loop_lag_us),
        silent: Span(worker.silent_us),
        addresses: worker.addresses.into_iter().filter_map(address).collect(),
        labels: worker.labels.into_iter().map(label).collect(),
        runtimes: worker.runtimes,
        version: worker.version,
        machine: worker.machine,
        age: Span(worker.age_us),
    })
}

fn state_name(state: pb::WorkerState) -> &'static str {
    match state {
        pb::WorkerState::Unspecified => "unknown",
        pb::WorkerState::Joining => "joining",
        pb::WorkerState::Running => "running",
        pb::WorkerState::Paused => "paused",
        pb::WorkerState::Draining => "draining",
        pb::WorkerState::Silent => "silent",
        pb::WorkerState::Gone => "gone",
    }
}
