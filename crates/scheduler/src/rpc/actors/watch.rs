//! The call that tells of actors that come, change and go.
//!
//! A watch asks for what changed since the number of the last change it has told of. Who has gone is remembered for the
//! latest only: a watch that is further behind begins anew.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use bireme_core::id::{ActorId, Epoch};
use bireme_core::limits;
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::status::status;

use super::list;
use crate::driver::Scene;
use crate::driver::mail::Mailbox;
use crate::machine::actor::ActorView;
use crate::rpc::Door;
use crate::rpc::cluster::Watching;
use crate::rpc::cluster::page::Page;

/// Messages that wait for a slow reader.
const AHEAD: usize = 2;
/// Actors of one message at most.
const BATCH: usize = 256;

impl Door {
    pub(super) fn do_watch_actors(
        &self,
        request: pb::WatchActorsRequest,
    ) -> Result<Watching<pb::WatchActorsResponse>, Status> {
        let pb::WatchActorsRequest { cursor, filter, interval_us } = request;
        let page = pb::PageRequest { filter, ..pb::PageRequest::default() };
        let filter: Arc<Page<u32>> = Arc::new(Page::read(Some(page), &list::KEYS)?);
        let epoch = self.site.hello.epoch;
        // One of another life of the scheduler means nothing here.
        let since = seen(&cursor, epoch);
        let watch = Watch {
            filter,
            epoch,
            lagged: since.is_none() && !cursor.is_empty(),
            is_first: true,
            since: since.unwrap_or(0),
            interval: Span(interval_us.max(limits::GRAPH_UPDATE.0)),
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(watch.run(self.mailbox.clone(), sender));
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

struct Watch {
    filter: Arc<Page<u32>>,
    epoch: Epoch,
    /// What was told before is to be forgotten.
    lagged: bool,
    is_first: bool,
    /// The number of the last change that was told.
    since: u64,
    interval: Span,
}

/// What changed, up to the change with this number.
struct News {
    changed: Vec<ActorView>,
    /// `None` where too many have gone to remember.
    gone: Option<Vec<ActorId>>,
    until: u64,
    is_all: bool,
}

impl Watch {
    async fn run(
        mut self,
        mailbox: Mailbox,
        sender: mpsc::Sender<Result<pb::WatchActorsResponse, Status>>,
    ) {
        loop {
            let (since, is_first) = (self.since, self.is_first);
            let news = mailbox.wait(limits::MAX_WAIT, move |scene| {
                let is_news = is_first || scene.machine.actors_version() > since;
                is_news.then(|| News::since(scene, since))
            });
            let news = tokio::select! {
                biased;
                () = sender.closed() => return,
                news = news => news,
            };
            let message = match news {
                Ok(None) => continue,
                Ok(Some(news)) => match self.message(news) {
                    Some(message) => Ok(message),
                    None => continue,
                },
                Err(refusal) => Err(status(refusal)),
            };
            let ends = message.is_err();
            if sender.send(message).await.is_err() || ends {
                return;
            }
            tokio::time::sleep(self.interval.to_std()).await;
        }
    }

    /// The message with the news; `None` if there is nothing to tell, or all is to be told anew.
    fn message(&mut self, news: News) -> Option<pb::WatchActorsResponse> {
        let Some(gone) = news.gone else {
            (self.since, self.lagged, self.is_first) = (0, true, true);
            return None;
        };
        // From the beginning, nobody is missed.
        let gone = if self.since == 0 { Vec::new() } else { gone };
        self.since = news.until;
        let passing = news.changed.into_iter().filter(|actor| list::passes(&self.filter, actor));
        let changed: Vec<_> = passing.map(list::summary).collect();
        let is_nothing = changed.is_empty() && gone.is_empty() && !self.is_first;
        self.is_first &= !news.is_all && is_nothing;
        (!is_nothing).then(|| pb::WatchActorsResponse {
            changed,
            gone: gone.into_iter().map(Into::into).collect(),
            cursor: format!("{}.{}", self.epoch.0, self.since),
            lagged: std::mem::take(&mut self.lagged),
        })
    }
}

impl News {
    fn since(scene: &Scene<'_>, since: u64) -> Self {
        let changed: Vec<ActorView> =
            scene.machine.actors_changed_since(since).take(BATCH).collect();
        let is_all = changed.len() < BATCH;
        let last = changed.last().map_or(since, |actor| actor.version);
        let until = if is_all { scene.machine.actors_version() } else { last };
        let gone = if since == 0 {
            Some(Vec::new())
        } else {
            scene.machine.actors_gone_since(since).map(Iterator::collect)
        };
        Self { changed, gone, until, is_all }
    }
}

/// Reads a cursor: the epoch and the number of a change.
fn seen(cursor: &str, now: Epoch) -> Option<u64> {
    let (epoch, version) = cursor.split_once('.')?;
    (epoch.parse() == Ok(now.0)).then(|| version.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_one_life_of_the_scheduler() {
        assert_eq!(seen("3.17", Epoch(3)), Some(17));
        for cursor in ["", "17", "2.17", "3.", "3.x", "x.17"] {
            assert_eq!(seen(cursor, Epoch(3)), None, "{cursor}");
        }
    }
}
