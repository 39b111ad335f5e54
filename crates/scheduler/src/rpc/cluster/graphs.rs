//! Calls that look at graphs, or wait for one.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};

use bireme_core::graph::{GraphCounts, TaskState};
use bireme_core::id::{GraphId, TaskId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::status::status;

use super::page::Page;
use super::show;
use super::tasks::scan;
use crate::machine::view::GraphView;
use crate::rpc::Door;

/// Failed tasks that a finished wait names.
const FAILURES: usize = 10;
/// Groups of a graph that are told apart; the tasks of further ones are counted under [`OTHERS`].
const GROUPS: usize = 1_000;
/// The group of those beyond [`GROUPS`].
const OTHERS: &str = "(others)";

impl Door {
    pub(super) async fn do_list_graphs(
        &self,
        request: Request<pb::ListGraphsRequest>,
    ) -> Result<Response<pb::ListGraphsResponse>, Status> {
        let keys = ["session", "name", "done", "failed"];
        let page: Page<GraphId> = Page::read(request.into_inner().page, &keys)?;
        let look = self.mailbox.look(move |scene| {
            let mut passing: Vec<_> =
                scene.machine.graphs().filter(|graph| passes(&page, graph)).collect();
            // The latest comes first; one that has gone since the last page is passed over by number.
            passing.sort_by_key(|graph| std::cmp::Reverse(graph.id));
            let (graphs, next_page_token) = page.cut(passing.into_iter(), |graph| graph.id);
            let graphs = graphs.into_iter().map(|graph| show::graph(scene, graph)).collect();
            pb::ListGraphsResponse { graphs, next_page_token }
        });
        look.await.map(Response::new).map_err(status)
    }

    pub(super) async fn do_wait_graph(
        &self,
        request: Request<pb::WaitGraphRequest>,
    ) -> Result<Response<pb::WaitGraphResponse>, Status> {
        let pb::WaitGraphRequest { graph, max_wait_us } = request.into_inner();
        let id = GraphId(graph);
        let wait =
            self.mailbox.wait(Span(max_wait_us), move |scene| match scene.machine.find_graph(id) {
                Some(graph) if !graph.done => None,
                other => Some(other),
            });
        let done = wait.await.map_err(status)?;
        let pending = done.is_none();
        let graph = match done {
            Some(graph) => graph.ok_or_else(|| unknown(id))?,
            None => self.graph(id).await?,
        };
        let failures = match graph.counts.of(TaskState::Failed) {
            0 => Vec::new(),
            _ if pending => Vec::new(),
            _ => self.failures(id).await?,
        };
        let update = Some(show::graph_update(&graph));
        Ok(Response::new(pb::WaitGraphResponse { pending, update, failures }))
    }

    pub(super) async fn do_graph(
        &self,
        request: Request<pb::GetGraphRequest>,
    ) -> Result<Response<pb::GetGraphResponse>, Status> {
        let pb::GetGraphRequest { graph, page } = request.into_inner();
        let page: Page<String> = Page::read(page, &["prefix"])?;
        let id = GraphId(graph);
        let shown = self
            .mailbox
            .look(move |scene| scene.machine.find_graph(id).map(|graph| show::graph(scene, graph)));
        let graph = Some(shown.await.map_err(status)?.ok_or_else(|| unknown(id))?);
        let groups = self.groups(id).await?;
        // In the order of the names, by which pages can be told apart.
        let passing = groups.into_iter().filter(|(prefix, _)| {
            page.after.as_ref().is_none_or(|after| prefix > after) && page.passes("prefix", prefix)
        });
        let (groups, next_page_token) = page.cut(passing, |(prefix, _)| prefix.clone());
        let group = |(prefix, counts): (String, GraphCounts)| pb::GroupSummary {
            prefix,
            counts: Some(counts.into()),
            ..pb::GroupSummary::default()
        };
        let groups = groups.into_iter().map(group).collect();
        Ok(Response::new(pb::GetGraphResponse { graph, groups, next_page_token }))
    }

    /// One graph.
    async fn graph(&self, id: GraphId) -> Result<GraphView, Status> {
        let look = self.mailbox.look(move |scene| scene.machine.find_graph(id));
        look.await.map_err(status)?.ok_or_else(|| unknown(id))
    }

    /// The first tasks that failed.
    async fn failures(&self, id: GraphId) -> Result<Vec<pb::TaskSummary>, Status> {
        let mut failures = Vec::new();
        let mut from = Some(TaskId { graph: id, index: 0 });
        while let Some(start) = from
            && failures.len() < FAILURES
        {
            let look = self.mailbox.look(move |scene| {
                let (tasks, next) = scan(scene.machine, start, true);
                let failed = tasks.filter(|task| task.state == TaskState::Failed).take(FAILURES);
                let failed = failed.map(|task| show::task(scene.machine, task));
                (failed.collect::<Vec<_>>(), next)
            });
            let (found, next) = look.await.map_err(status)?;
            failures.extend(found);
            from = next;
        }
        failures.truncate(FAILURES);
        Ok(failures)
    }

    /// The tasks of a graph, counted by group.
    async fn groups(&self, id: GraphId) -> Result<BTreeMap<String, GraphCounts>, Status> {
        let mut groups: BTreeMap<String, GraphCounts> = BTreeMap::new();
        let mut from = Some(TaskId { graph: id, index: 0 });
        while let Some(start) = from {
            let look = self.mailbox.look(move |scene| {
                let (tasks, next) = scan(scene.machine, start, true);
                (tasks.map(|task| (task.key, task.state)).collect::<Vec<_>>(), next)
            });
            let (tasks, next) = look.await.map_err(status)?;
            for (key, state) in tasks {
                let prefix = group_of(&key);
                let known = groups.len() < GROUPS || groups.contains_key(prefix);
                let counts = groups.entry(if known { prefix } else { OTHERS }.to_owned());
                *counts.or_default().of_mut(state) += 1;
            }
            from = next;
        }
        Ok(groups)
    }
}

/// What the keys of a group begin with: up to the first of `-`, `[`, `(` or `/`.
pub(super) fn group_of(key: &str) -> &str {
    key.split(['-', '[', '(', '/']).next().unwrap_or(key)
}

fn passes(page: &Page<GraphId>, graph: &GraphView) -> bool {
    page.after.is_none_or(|after| graph.id < after)
        && page.passes("session", graph.session.0)
        && page.passes("name", &graph.name)
        && page.passes("done", graph.done)
        && page.passes("failed", graph.error.is_some() || graph.counts.of(TaskState::Failed) > 0)
}

pub(super) fn unknown(id: GraphId) -> Status {
    let message = format!("there is no graph {id}, or it was forgotten: list those there are");
    status(Refusal::at(Reason::GraphUnknown, "graph", message))
}
