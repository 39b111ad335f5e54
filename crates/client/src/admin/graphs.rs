//! Graphs: what there are, how they stand, and how they end.

use bireme_core::TaskError;
use bireme_core::graph::GraphCounts;
use bireme_core::id::{GraphId, SessionId};
use bireme_core::session::IndexRange;
use bireme_core::time::Span;
use bireme_proto::pb;

use super::tasks::{TaskStatus, task_status};
use super::{Admin, counts, error, page, submission};
use crate::client::ranges;
use crate::error::Refused;

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

/// One graph, group by group.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphDetails {
    /// As a whole.
    pub status: GraphStatus,
    /// Whose it is; `None` where its session is gone.
    pub session: Option<SessionId>,
    /// Its last chunk has come.
    pub complete: bool,
    /// It outlives its session.
    pub detached: bool,
    /// How long ago its last task ended, where it is done.
    pub done_ago: Option<Span>,
    /// After how long it is forgotten once it is done; zero is with its session.
    pub ttl: Span,
    /// Why the graph as a whole came to nothing.
    pub error: Option<Box<TaskError>>,
    /// The tasks by what their keys begin with.
    pub groups: Vec<Group>,
}

/// The tasks of a graph whose keys begin alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What the keys begin with.
    pub prefix: String,
    /// How many tasks are in which state.
    pub counts: GraphCounts,
}

/// How a wait for a graph ended.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphWait {
    /// Not every task has ended; wait again.
    pub pending: bool,
    /// How many tasks are in which state.
    pub counts: GraphCounts,
    /// Why the graph as a whole came to nothing.
    pub error: Option<Box<TaskError>>,
    /// The first tasks that failed; at most 10.
    pub failures: Vec<TaskStatus>,
}

impl Admin {
    /// Every graph, the latest first.
    pub async fn graphs(&self) -> Result<Vec<GraphStatus>, Refused> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = self.request(pb::ListGraphsRequest { page: Some(page(token)) });
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

    /// How a graph stands.
    pub async fn graph(&self, graph: GraphId) -> Result<GraphDetails, Refused> {
        let (mut groups, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::GetGraphRequest { graph: graph.0, page: Some(page(token)) };
            let answer = self.cluster.clone().get_graph(self.request(request)).await?.into_inner();
            for group in answer.groups {
                groups.push(Group { prefix: group.prefix, counts: counts(group.counts)? });
            }
            token = answer.next_page_token;
            if token.is_empty() {
                return details(answer.graph.unwrap_or_default(), groups);
            }
        }
    }

    /// Waits until every task of a graph has ended or, at most 30 s, for `max_wait`.
    pub async fn wait_graph(&self, graph: GraphId, max_wait: Span) -> Result<GraphWait, Refused> {
        let request = pb::WaitGraphRequest { graph: graph.0, max_wait_us: max_wait.0 };
        let answer = self.cluster.clone().wait_graph(self.request(request)).await?.into_inner();
        let update = answer.update.unwrap_or_default();
        Ok(GraphWait {
            pending: answer.pending,
            counts: counts(update.counts)?,
            error: error(update.error)?,
            failures: answer.failures.into_iter().map(task_status).collect::<Result<_, _>>()?,
        })
    }

    /// Cancels every task of a graph that has not ended; running code may go on for `grace`. Returns how many there were.
    pub async fn cancel_graph(
        &self,
        graph: GraphId,
        grace: Span,
        reason: &str,
    ) -> Result<u64, Refused> {
        let request = pb::CancelGraphRequest {
            submission_id: submission(),
            graph: graph.0,
            grace_us: grace.0,
            reason: reason.to_owned(),
            ..pb::CancelGraphRequest::default()
        };
        let answer = self.cluster.clone().cancel_graph(self.request(request)).await?;
        Ok(answer.into_inner().cancelled)
    }

    /// Drops a graph and all it holds; cancels what still runs. Returns how many tasks had not ended.
    pub async fn forget_graph(&self, graph: GraphId) -> Result<u64, Refused> {
        let forget = pb::ForgetGraph { submission_id: submission(), graph: graph.0 };
        let request =
            pb::ForgetGraphRequest { forget: Some(forget), ..pb::ForgetGraphRequest::default() };
        let answer = self.cluster.clone().forget_graph(self.request(request)).await?;
        Ok(answer.into_inner().cancelled)
    }

    /// Cancels tasks of a graph and whatever depends on them; all of it if none are named. Returns how many had not ended.
    pub async fn cancel_tasks(
        &self,
        graph: GraphId,
        tasks: Vec<IndexRange>,
        grace: Span,
    ) -> Result<u64, Refused> {
        let cancel = pb::CancelTasks {
            submission_id: submission(),
            graph: graph.0,
            tasks: ranges(tasks),
            grace_us: grace.0,
            reason: String::new(),
        };
        let request =
            pb::CancelTasksRequest { cancel: Some(cancel), ..pb::CancelTasksRequest::default() };
        let answer = self.cluster.clone().cancel_tasks(self.request(request)).await?;
        Ok(answer.into_inner().cancelled)
    }

    /// Tries failed or cancelled tasks of a graph again; every one of it if none are named. Returns how many are tried.
    pub async fn retry_tasks(
        &self,
        graph: GraphId,
        tasks: Vec<IndexRange>,
    ) -> Result<u64, Refused> {
        let retry =
            pb::RetryTasks { submission_id: submission(), graph: graph.0, tasks: ranges(tasks) };
        let request =
            pb::RetryTasksRequest { retry: Some(retry), ..pb::RetryTasksRequest::default() };
        let answer = self.cluster.clone().retry_tasks(self.request(request)).await?;
        Ok(answer.into_inner().retried)
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

fn details(graph: pb::GraphSummary, groups: Vec<Group>) -> Result<GraphDetails, Refused> {
    let (session, complete, detached) = (graph.session, graph.complete, graph.detached);
    let (done_ago, ttl) = (Span(graph.done_ago_us), Span(graph.ttl_us));
    let failed = graph.update.as_ref().and_then(|update| update.error.clone());
    let status = graph_status(graph)?;
    Ok(GraphDetails {
        session: session.map(|session| SessionId(session.number)),
        complete,
        detached,
        done_ago: status.done.then_some(done_ago),
        ttl,
        error: error(failed)?,
        status,
        groups,
    })
}
