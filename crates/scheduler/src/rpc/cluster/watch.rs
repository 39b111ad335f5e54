//! Calls that tell how a graph comes along until it is done.
//!
//! A watch is level-triggered like a session: at most once an interval it looks at the graph, and tells what it has not
//! told. The tasks it still has to tell of are gone through piece by piece, so that a watch of a huge graph does not hold
//! up the loop.

use std::collections::VecDeque;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use bireme_core::graph::GraphCounts;
use bireme_core::id::{GraphId, TaskId};
use bireme_core::limits;
use bireme_core::session::IndexRange;
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::status::status;

use super::{Watching, graphs, show};
use crate::driver::mail::Mailbox;
use crate::machine::Machine;
use crate::rpc::Door;

/// Messages that wait for a slow reader.
const AHEAD: usize = 2;

impl Door {
    pub(super) fn do_watch_graph(
        &self,
        request: Request<pb::WatchGraphRequest>,
    ) -> Watching<pb::WatchGraphResponse> {
        let request = request.into_inner();
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(watch(self.mailbox.clone(), request, sender));
        Box::pin(ReceiverStream::new(receiver))
    }
}

/// What a watch has still to tell.
#[derive(Clone, Debug)]
struct Watch {
    graph: GraphId,
    values: bool,
    all_tasks: bool,
    /// Tasks whose end has not been told.
    open: VecDeque<IndexRange>,
    /// With `all_tasks`, how many tasks there were at the last look.
    known: u32,
    /// What was told last.
    told: Option<(GraphCounts, bool)>,
    /// Everything has been told.
    over: bool,
}

async fn watch(
    mailbox: Mailbox,
    request: pb::WatchGraphRequest,
    sender: mpsc::Sender<Result<pb::WatchGraphResponse, Status>>,
) {
    let pb::WatchGraphRequest { graph, cursor, interval_us, tasks, all_tasks, values } = request;
    let graph = GraphId(graph);
    let open = tasks.into_iter().map(Into::into).filter(|_| !all_tasks).collect();
    let mut watch = Watch { graph, values, all_tasks, open, known: 0, told: None, over: false };
    let interval = if interval_us == 0 { limits::GRAPH_UPDATE } else { Span(interval_us) };
    // Where an earlier watch was is not kept: what it asked for is told anew.
    let mut lagged = !cursor.is_empty();
    while !watch.over {
        let mut seen = watch.clone();
        let look = mailbox.wait(limits::MAX_WAIT, move |scene| {
            let news = seen.look(scene.machine)?;
            Some(news.map(|news| (news, seen.clone())))
        });
        let news = tokio::select! {
            biased;
            () = sender.closed() => return,
            news = look => news,
        };
        let message = match news {
            Ok(None) => continue,
            Ok(Some(Ok((news, next)))) => {
                watch = next;
                Ok(pb::WatchGraphResponse { lagged: std::mem::take(&mut lagged), ..news })
            }
            Ok(Some(Err(error))) => Err(error),
            Err(refusal) => Err(status(refusal)),
        };
        let ends = message.is_err() || watch.over;
        if sender.send(message).await.is_err() || ends {
            return;
        }
        if !watch.is_behind() {
            tokio::time::sleep(interval.to_std()).await;
        }
    }
}

impl Watch {
    /// Whether the graph is done and some ends are still to be told.
    fn is_behind(&self) -> bool {
        self.told.is_some_and(|(_, done)| done) && !self.open.is_empty()
    }

    /// What there is to tell now; `None` if nothing.
    fn look(&mut self, machine: &Machine) -> Option<Result<pb::WatchGraphResponse, Status>> {
        let Some(graph) = machine.find_graph(self.graph) else {
            return Some(Err(graphs::unknown(self.graph)));
        };
        let total = graph.counts.total();
        if self.all_tasks && total > self.known {
            self.open.push_back(IndexRange { first: self.known, count: total - self.known });
            self.known = total;
        }
        let is_news = self.told != Some((graph.counts, graph.done));
        let tasks = self.ends(machine, total);
        if !is_news && tasks.is_empty() && !(graph.done && self.open.is_empty()) {
            return None;
        }
        self.told = Some((graph.counts, graph.done));
        // Ranges beyond the end of a graph that is done stand for nothing.
        self.over = graph.done && self.open.iter().all(|range| range.within(total).is_empty());
        Some(Ok(pb::WatchGraphResponse {
            update: Some(show::graph_update(&graph)),
            tasks: (!tasks.is_empty()).then_some(pb::TaskUpdates { graph: self.graph.0, tasks }),
            cursor: self.graph.to_string(),
            ..pb::WatchGraphResponse::default()
        }))
    }

    /// Goes through a piece of what is open and takes out what has ended.
    fn ends(&mut self, machine: &Machine, total: u32) -> Vec<pb::TaskUpdate> {
        let mut updates = Vec::new();
        let (mut looked, mut bytes) = (0, 0);
        let mut later = VecDeque::new();
        while looked < limits::WATCH_TASKS && bytes < limits::BATCH_BYTES {
            let Some(IndexRange { first, count }) = self.open.pop_front() else { break };
            if count > 1 {
                self.open
                    .push_front(IndexRange { first: first.saturating_add(1), count: count - 1 });
            }
            looked += 1;
            let id = TaskId { graph: self.graph, index: first };
            let task = (first < total).then(|| machine.find_task_view(id)).flatten();
            match task.filter(|task| task.state.is_final()) {
                Some(task) => {
                    let update = show::task_update(task, self.values);
                    bytes += update.encoded_len();
                    updates.push(update);
                }
                None => keep(&mut later, first),
            }
        }
        self.open.append(&mut later);
        updates
    }
}

/// Puts an index back, as part of the range before it where that ends there.
fn keep(ranges: &mut VecDeque<IndexRange>, index: u32) {
    match ranges.back_mut() {
        Some(last) if last.first.checked_add(last.count) == Some(index) => last.count += 1,
        _ => ranges.push_back(IndexRange { first: index, count: 1 }),
    }
}
