//! Looks at a cluster from outside, by single calls and without a session.

use bireme_core::graph::GraphCounts;
use bireme_core::id::{ClusterId, Epoch, GraphId, WorkerId};
use bireme_core::resources::Resources;
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::pb::cluster_client::ClusterClient;
use tonic::transport::Channel;

use crate::connect::{ConnectOptions, Target};
use crate::error::{ConnectError, Refused};
use crate::peers::authorized;

/// Items asked for at a time.
const PAGE: u32 = 1_000;

/// The way to look at a cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: ClusterClient<Channel>,
    target: Target,
}

/// How a cluster is.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterStatus {
    /// Where it was asked.
    pub address: String,
    /// The cluster.
    pub cluster: Option<ClusterId>,
    /// Which life of the scheduler this is.
    pub epoch: Epoch,
    /// Version of the software.
    pub version: String,
    /// How long this life has lasted.
    pub uptime: Span,
    /// A restart loses nothing that was acknowledged.
    pub durable: bool,
    /// How many workers there are.
    pub workers: u32,
    /// How many sessions are open.
    pub sessions: u32,
    /// How many graphs there are.
    pub graphs: u32,
    /// Those that are not done.
    pub open_graphs: u32,
    /// Tasks of all graphs.
    pub tasks: GraphCounts,
    /// What the workers have, all together.
    pub resources: Resources,
    /// What of it is free.
    pub free: Resources,
    /// What a person should know.
    pub warnings: Vec<String>,
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
    /// All it has.
    pub resources: Resources,
    /// What of it is free.
    pub free: Resources,
    /// Attempts that run.
    pub running: u32,
    /// Values that it holds.
    pub objects: u64,
    /// Bytes of values in memory.
    pub stored_bytes: u64,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// How long ago it joined.
    pub age: Span,
}

/// What the scheduler knows of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphStatus {
    /// The graph.
    pub graph: GraphId,
    /// Its name.
    pub name: String,
    /// How many tasks are in which state.
    pub counts: GraphCounts,
    /// Every task has ended.
    pub done: bool,
    /// How long ago its first chunk came.
    pub age: Span,
}

/// Who did the work of a graph.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Effort {
    /// Attempts that there were.
    pub attempts: u64,
    /// Names of the workers that had the last attempt of a task, sorted.
    pub workers: Vec<String>,
}

impl Admin {
    /// Connects to the scheduler. A token that is wrong shows with the first call.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ConnectError> {
        let target = Target::find(options)?;
        let cluster = ClusterClient::new(target.connect().await?);
        Ok(Self { cluster, target })
    }

    /// How the cluster is.
    pub async fn status(&self) -> Result<ClusterStatus, Refused> {
        let request = authorized(pb::GetStatusRequest {}, self.target.bearer());
        let status = self.cluster.clone().get_status(request).await?.into_inner();
        Ok(ClusterStatus {
            address: self.target.address().to_owned(),
            cluster: ClusterId::from_slice(&status.cluster_id),
            epoch: Epoch(status.epoch),
            version: status.version,
            uptime: Span(status.uptime_us),
            durable: status.durable,
            workers: status.workers.map_or(0, |workers| workers.total),
            sessions: status.sessions,
            graphs: status.graphs,
            open_graphs: status.open_graphs,
            tasks: counts(status.tasks)?,
            resources: resources(status.resources)?,
            free: resources(status.free)?,
            warnings: status.warnings.into_iter().map(|warning| warning.message).collect(),
        })
    }

    /// Every worker.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, Refused> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListWorkersRequest { page: Some(page(token)) };
            let request = authorized(request, self.target.bearer());
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

    /// Every graph, the latest first.
    pub async fn graphs(&self) -> Result<Vec<GraphStatus>, Refused> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListGraphsRequest { page: Some(page(token)) };
            let request = authorized(request, self.target.bearer());
            let answer = self.cluster.clone().list_graphs(request).await?.into_inner();
            for graph in answer.graphs {
                all.push(graph_status(graph)?);
            }
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Who did the work of a graph. Asks for every task: meant for graphs that a person would look through.
    pub async fn effort(&self, graph: GraphId) -> Result<Effort, Refused> {
        let (mut effort, mut token) = (Effort::default(), String::new());
        loop {
            let request = pb::ListTasksRequest {
                graph: graph.0,
                page: Some(page(token)),
                ..pb::ListTasksRequest::default()
            };
            let request = authorized(request, self.target.bearer());
            let answer = self.cluster.clone().list_tasks(request).await?.into_inner();
            for task in answer.tasks {
                effort.attempts += u64::from(task.attempts);
                if let Err(place) = effort.workers.binary_search(&task.worker_name)
                    && !task.worker_name.is_empty()
                {
                    effort.workers.insert(place, task.worker_name);
                }
            }
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(effort);
            }
        }
    }
}

fn page(page_token: String) -> pb::PageRequest {
    pb::PageRequest { page_size: PAGE, page_token, filter: String::new() }
}

fn worker_status(worker: pb::WorkerSummary) -> Result<WorkerStatus, Refused> {
    let state = state_name(worker.state());
    let memory = worker.memory.unwrap_or_default();
    let address = |address: pb::Address| {
        bireme_core::protocol::Address::try_from(address).ok().map(|address| address.to_string())
    };
    Ok(WorkerStatus {
        worker: WorkerId(worker.worker.unwrap_or_default().number),
        name: worker.name,
        state,
        resources: resources(worker.resources)?,
        free: resources(worker.free)?,
        running: worker.running,
        objects: worker.objects,
        stored_bytes: memory.stored_bytes,
        addresses: worker.addresses.into_iter().filter_map(address).collect(),
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

fn graph_status(graph: pb::GraphSummary) -> Result<GraphStatus, Refused> {
    let update = graph.update.unwrap_or_default();
    Ok(GraphStatus {
        graph: GraphId(update.graph),
        name: graph.name,
        counts: counts(update.counts)?,
        done: update.done,
        age: Span(graph.age_us),
    })
}

fn counts(counts: Option<pb::GraphCounts>) -> Result<GraphCounts, Refused> {
    Ok(counts.map(GraphCounts::try_from).transpose()?.unwrap_or_default())
}

fn resources(resources: Option<pb::Resources>) -> Result<Resources, Refused> {
    Ok(resources.map_or_else(|| Ok(Resources::none()), Resources::try_from)?)
}
