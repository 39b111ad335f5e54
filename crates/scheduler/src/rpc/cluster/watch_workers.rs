//! Calls that tell of workers that come, change and go.
//!
//! A watch is level-triggered: when the list of workers or the state of one has changed, it tells what differs from what it
//! told last. With an interval it also tells of other changes, such as memory, once in that time.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};

use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::status::status;

use super::page::Page;
use super::{Watching, fleet, show};
use crate::driver::Scene;
use crate::driver::mail::Mailbox;
use crate::rpc::Door;

/// Messages that wait for a slow reader.
const AHEAD: usize = 2;

impl Door {
    pub(super) fn do_watch_workers(
        &self,
        request: Request<pb::WatchWorkersRequest>,
    ) -> Result<Watching<pb::WatchWorkersResponse>, Status> {
        let pb::WatchWorkersRequest { cursor, filter, interval_us } = request.into_inner();
        let page = pb::PageRequest { filter, ..pb::PageRequest::default() };
        let filter: Page<u32> = Page::read(Some(page), &fleet::KEYS)?;
        let watch = Watch {
            filter: std::sync::Arc::new(filter),
            interval: (interval_us > 0).then_some(Span(interval_us.max(limits::GRAPH_UPDATE.0))),
            told: BTreeMap::new(),
            version: None,
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(watch.run(self.mailbox.clone(), !cursor.is_empty(), sender));
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

struct Watch {
    filter: std::sync::Arc<Page<u32>>,
    interval: Option<Span>,
    /// Each worker as it was told last, without what changes by itself.
    told: BTreeMap<WorkerId, pb::WorkerSummary>,
    /// What the list was when it was last looked at.
    version: Option<u64>,
}

impl Watch {
    async fn run(
        mut self,
        mailbox: Mailbox,
        mut lagged: bool,
        sender: mpsc::Sender<Result<pb::WatchWorkersResponse, Status>>,
    ) {
        loop {
            let (known, filter) = (self.version, self.filter.clone());
            let wait = self.interval.unwrap_or(limits::MAX_WAIT);
            let changed = mailbox.wait(wait, move |scene| {
                (Some(scene.machine.fleet_version()) != known).then_some(())
            });
            let changed = tokio::select! {
                biased;
                () = sender.closed() => return,
                changed = changed => changed,
            };
            let seen = match changed {
                Ok(_) => mailbox.look(move |scene| all(scene, &filter)).await,
                Err(refusal) => Err(refusal),
            };
            let message = match seen {
                Ok((version, workers)) => {
                    let is_first = self.version.replace(version).is_none();
                    let news = self.news(workers, version);
                    if !is_first && news.changed.is_empty() && news.gone.is_empty() {
                        continue;
                    }
                    Ok(pb::WatchWorkersResponse { lagged: std::mem::take(&mut lagged), ..news })
                }
                Err(refusal) => Err(status(refusal)),
            };
            let ends = message.is_err();
            if sender.send(message).await.is_err() || ends {
                return;
            }
            // However often the list changes, it is told no oftener than this.
            tokio::time::sleep(limits::GRAPH_UPDATE.to_std()).await;
        }
    }

    /// What differs from what was told.
    fn news(&mut self, workers: Vec<pb::WorkerSummary>, version: u64) -> pb::WatchWorkersResponse {
        let mut told = BTreeMap::new();
        let mut changed = Vec::new();
        for worker in workers {
            let id = WorkerId(worker.worker.unwrap_or_default().number);
            let lasting = lasting(&worker);
            if self.told.get(&id) != Some(&lasting) {
                changed.push(worker);
            }
            told.insert(id, lasting);
        }
        let gone = self.told.keys().filter(|id| !told.contains_key(id)).copied();
        let gone = gone.map(Into::into).collect();
        self.told = told;
        let cursor = version.to_string();
        pb::WatchWorkersResponse { changed, gone, cursor, lagged: false }
    }
}

/// Every worker that passes the filter.
fn all(scene: &Scene<'_>, filter: &Page<u32>) -> (u64, Vec<pb::WorkerSummary>) {
    let passing = scene.machine.workers().filter(|worker| fleet::passes(filter, worker));
    let shown = passing.map(|worker| show::worker(scene, worker)).collect();
    (scene.machine.fleet_version(), shown)
}

/// A worker without what changes by itself.
fn lasting(worker: &pb::WorkerSummary) -> pb::WorkerSummary {
    pb::WorkerSummary { silent_us: 0, age_us: 0, loop_lag_us: 0, cpu_percent: 0, ..worker.clone() }
}
