//! Looks at a cluster, and runs it, from outside: by single calls, with or without the name of a session.

mod actors;
mod daemon;
mod graphs;
mod logs;
mod results;
mod sessions;
mod tasks;
mod workers;

use bireme_core::graph::{GraphCounts, TaskState};
use bireme_core::id::{ClusterId, Epoch, GraphId, SessionToken};
use bireme_core::resources::Resources;
use bireme_core::time::Span;
use bireme_core::{TaskError, limits};
use bireme_proto::pb;
use bireme_proto::pb::cluster_client::ClusterClient;
use bytes::Bytes;
use tonic::Request;
use tonic::transport::Channel;

pub use self::actors::{
    ActorChanges, ActorDeath, ActorDetails, ActorLogPiece, ActorLogQuery, ActorLogs, ActorStatus,
    ActorWatch, LaneStatus, OneCall, RunningCall,
};
pub use self::daemon::{IssuedToken, LoopStats, Step, TokenGrant, Use};
pub use self::graphs::{GraphDetails, GraphStatus, GraphWait, Group};
pub use self::logs::{LogPiece, LogQuery, TaskLogs};
pub(crate) use self::results::found;
pub use self::results::{Found, Location};
pub use self::sessions::SessionStatus;
pub use self::tasks::{
    AttemptStatus, Explanation, OutputStatus, Story, TaskDetails, TaskName, TaskPage, TaskQuery,
    TaskStatus, Transition, WorkerReason,
};
pub use self::workers::{Drain, WorkerChanges, WorkerName, WorkerStatus, Workers};
use crate::client::fresh_id;
use crate::connect::{ConnectOptions, Target};
use crate::error::{ConnectError, Refused};
use crate::peers::{Peers, authorized};

/// Items asked for at a time.
const PAGE: u32 = 1_000;

/// The way to look at a cluster and to run it.
///
/// What changes somebody's work is done in the name of a session ([`Admin::in_session`]), or else of the work's own
/// session, which takes the role of an administrator.
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: ClusterClient<Channel>,
    peers: std::sync::Arc<Peers>,
    target: Target,
    session: Option<SessionToken>,
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
        let channel = target.connect().await?;
        let peers = std::sync::Arc::new(Peers::new(channel.clone(), &target));
        let cluster = ClusterClient::new(channel).max_decoding_message_size(limits::CALL_BYTES);
        Ok(Self { cluster, peers, target, session: None })
    }

    /// Makes its calls in the name of a session.
    #[must_use]
    pub fn in_session(self, token: SessionToken) -> Self {
        Self { session: Some(token), ..self }
    }

    /// Address of the scheduler.
    pub fn address(&self) -> &str {
        self.target.address()
    }

    /// How the cluster is.
    pub async fn status(&self) -> Result<ClusterStatus, Refused> {
        let request = self.request(pb::GetStatusRequest {});
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

    /// Who did the work of a graph. Asks for every task: meant for graphs that a person would look through.
    pub async fn effort(&self, graph: GraphId) -> Result<Effort, Refused> {
        let (mut effort, mut token) = (Effort::default(), String::new());
        loop {
            let request = pb::ListTasksRequest {
                graph: graph.0,
                page: Some(page(token)),
                ..pb::ListTasksRequest::default()
            };
            let request = self.request(request);
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

    /// A call with the token, and with the session's.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = authorized(message, self.target.bearer());
        if let Some(SessionToken(token)) = self.session {
            let value = format!("{token:032x}").parse().expect("hexadecimal digits are printable");
            request.metadata_mut().insert("bireme-session", value);
        }
        request
    }
}

fn page(page_token: String) -> pb::PageRequest {
    pb::PageRequest { page_size: PAGE, page_token, filter: String::new() }
}

/// An id for a call that changes something.
fn submission() -> Bytes {
    Bytes::copy_from_slice(&fresh_id().to_bytes())
}

/// What a newer scheduler calls by a number that this version does not know is `None`.
fn state(state: pb::TaskState) -> Option<TaskState> {
    TaskState::ALL.into_iter().find(|known| pb::TaskState::from(*known) == state)
}

fn error(error: Option<pb::TaskError>) -> Result<Option<Box<TaskError>>, Refused> {
    Ok(error.map(TaskError::try_from).transpose()?.map(Box::new))
}

fn counts(counts: Option<pb::GraphCounts>) -> Result<GraphCounts, Refused> {
    Ok(counts.map(GraphCounts::try_from).transpose()?.unwrap_or_default())
}

fn resources(resources: Option<pb::Resources>) -> Result<Resources, Refused> {
    Ok(resources.map_or_else(|| Ok(Resources::none()), Resources::try_from)?)
}
