//! The batches of a session, and what is known of their tasks.
//!
//! The cluster forgets a batch when nobody can need it any more: all of it was given up, every task has ended, and no batch
//! that is still remembered takes a result of it, which might have to be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bireme_client::Graph;
use bireme_core::graph::TaskState;
use bireme_core::session::IndexRange;
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;

use crate::session::lock;
use crate::values::Object;

/// Not ended.
pub(crate) const PENDING: u8 = 0;
/// There is a result, unless it was given up.
pub(crate) const FINISHED: u8 = 1;
/// It failed, or a task it needs did.
pub(crate) const FAILED: u8 = 2;
/// Somebody cancelled it, or a task it needs.
pub(crate) const CANCELLED: u8 = 3;

/// The number of a state.
pub(crate) fn number(state: TaskState) -> u8 {
    match state {
        TaskState::Waiting | TaskState::Ready | TaskState::Sent | TaskState::Running => PENDING,
        TaskState::Finished => FINISHED,
        TaskState::Failed => FAILED,
        TaskState::Cancelled => CANCELLED,
    }
}

/// Every batch of which something is wanted.
#[derive(Debug, Default)]
pub(crate) struct Batches(BTreeMap<u64, Batch>);

#[derive(Debug)]
struct Batch {
    graph: Graph,
    /// Tasks that are kept and were not given up.
    wanted: u32,
    /// Batches that take results of this one.
    takers: u32,
    needs: Needs,
}

/// What the tasks of a batch take from outside it, and need again if a result is lost.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Numbers of batches.
    pub(crate) batches: BTreeSet<u64>,
    /// Arguments that were stored for it.
    pub(crate) stored: Vec<Object>,
}

impl Batches {
    /// Adds a batch of which so many tasks are kept, all of which are wanted; the results of the others go by themselves.
    pub(crate) fn add(&mut self, graph: Graph, kept: u32, needs: Needs) -> u64 {
        let number = graph.id().0;
        for needed in &needs.batches {
            if let Some(needed) = self.0.get_mut(needed) {
                needed.takers += 1;
            }
        }
        self.0.insert(number, Batch { wanted: kept, graph, takers: 0, needs });
        number
    }

    pub(crate) fn get(&self, number: u64) -> PyResult<Graph> {
        self.0.get(&number).map(|batch| batch.graph.clone()).ok_or_else(|| gone(number))
    }

    pub(crate) fn graphs(&self) -> Vec<Graph> {
        self.0.values().map(|batch| batch.graph.clone()).collect()
    }

    /// Notes that so many tasks were given up, each of them once. Returns the batch's graph.
    pub(crate) fn give_up(&mut self, number: u64, tasks: u32) -> PyResult<Graph> {
        let batch = self.0.get_mut(&number).ok_or_else(|| gone(number))?;
        batch.wanted = batch.wanted.saturating_sub(tasks);
        Ok(batch.graph.clone())
    }

    /// Whether nobody needs a batch any more.
    fn is_over(&self, number: u64) -> bool {
        self.0.get(&number).is_some_and(|batch| batch.wanted == 0 && batch.takers == 0)
    }

    /// Takes a batch out that nobody needs.
    fn take(&mut self, number: u64) -> Option<Batch> {
        if self.is_over(number) { self.0.remove(&number) } else { None }
    }

    /// Notes that a batch takes nothing any more. Returns those that it took from.
    fn let_go(&mut self, needs: Needs) -> BTreeSet<u64> {
        for needed in &needs.batches {
            if let Some(needed) = self.0.get_mut(needed) {
                needed.takers = needed.takers.saturating_sub(1);
            }
        }
        needs.batches
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Gives up tasks of a batch, and has batches forgotten that nobody needs then.
pub(crate) async fn release(batches: Arc<Mutex<Batches>>, graph: Graph, indexes: Vec<u32>) {
    let mut numbers = vec![graph.id().0];
    let forgotten = lock(&batches).is_over(graph.id().0) && graph.has_ended();
    if !forgotten {
        // Without an answer it goes with the session: that is so for all that follows.
        let _ = graph.release_tasks(ranges(indexes)).await;
    }
    while let Some(number) = numbers.pop() {
        let taken = lock(&batches).take(number);
        let Some(Batch { graph, needs, .. }) = taken else { continue };
        if !graph.has_ended() {
            // Forgotten earlier, it would be cancelled.
            let _ = graph.wait().await;
        }
        let _ = graph.forget().await;
        numbers.extend(lock(&batches).let_go(needs));
    }
}

fn gone(number: u64) -> PyErr {
    PyKeyError::new_err(format!("there is no batch {number}, or all of it was released"))
}

/// Indexes as ranges.
pub(crate) fn ranges(mut indexes: Vec<u32>) -> Vec<IndexRange> {
    indexes.sort_unstable();
    indexes.dedup();
    let mut ranges: Vec<IndexRange> = Vec::new();
    for index in indexes {
        match ranges.last_mut() {
            Some(last) if last.first + last.count == index => last.count += 1,
            _ => ranges.push(IndexRange { first: index, count: 1 }),
        }
    }
    ranges
}
