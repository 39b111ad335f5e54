//! Ends of tasks of many graphs, told without asking after each.
//!
//! A graph that is followed writes down which of its tasks have ended, and marks itself once, however many have. Whoever
//! follows takes all that was written down since it last looked: no queue grows beyond the tasks there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use bireme_core::graph::TaskState;
use bireme_core::id::{GraphId, TaskId};
use tokio::sync::Notify;

use crate::client::{Client, Inner};
use crate::error::Lost;
use crate::graph::Cell;
use crate::session::lock;

/// Tells of the ends of tasks. Made by [`Client::follow`].
#[derive(Debug)]
pub struct Ends {
    log: Arc<Log>,
    client: Arc<Inner>,
}

/// Graphs of which there is news.
#[derive(Debug, Default)]
pub(crate) struct Log {
    changed: Mutex<BTreeMap<GraphId, Weak<Cell>>>,
    news: Notify,
}

impl Client {
    /// Follows the tasks of every graph that is submitted from now on, as far as their [`Watch`] has the scheduler tell.
    ///
    /// [`Watch`]: bireme_core::graph::Watch
    pub fn follow(&self) -> Ends {
        let log = Arc::clone(self.inner.session().follow());
        Ends { log, client: Arc::clone(&self.inner) }
    }
}

impl Ends {
    /// Waits until tasks have ended, and returns those that did since the last call with how they did. A task of a graph that
    /// comes to nothing ends with it. Of graphs that nobody holds any more nothing is told.
    ///
    /// Several may wait; each end is told to one of them. Dropping the future loses nothing.
    pub async fn next(&self) -> Result<Vec<(TaskId, TaskState)>, Lost> {
        loop {
            let mut news = std::pin::pin!(self.log.news.notified());
            // Before the look, so that no news falls between the two.
            news.as_mut().enable();
            let lost = self.client.session().lost();
            let changed = std::mem::take(&mut *lock(&self.log.changed));
            let graphs = changed.into_values().filter_map(|graph| graph.upgrade());
            let ended: Vec<_> = graphs.flat_map(|graph| graph.take_ends()).collect();
            if !ended.is_empty() {
                return Ok(ended);
            }
            // What was lost before the look has had its tasks end with it.
            if let Some(lost) = lost {
                return Err(lost);
            }
            tokio::select! {
                () = news => {}
                _ = self.client.session().until_lost() => {}
            }
        }
    }
}

impl Log {
    /// Notes that there is news of a graph.
    pub(crate) fn mark(&self, id: GraphId, graph: &Weak<Cell>) {
        let is_first = lock(&self.changed).insert(id, Weak::clone(graph)).is_none();
        if is_first {
            self.news.notify_waiters();
        }
    }
}
