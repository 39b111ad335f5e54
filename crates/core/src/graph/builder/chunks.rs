//! The chunks of a graph, one at a time.

use super::super::{GraphChunk, GraphOptions, TaskClass};
use super::GraphBuilder;
use super::packed::Packed;
use crate::id::{GraphId, SubmissionId};
use crate::object::ObjectId;

/// The chunks that a graph is cut into. What a chunk was made from is gone when the next is asked for.
#[derive(Debug)]
pub struct Chunks<F> {
    graph: Option<GraphId>,
    submission: F,
    /// What stands in the first chunk alone.
    tables: Option<Tables>,
    /// What stands in the last.
    outputs: Vec<u32>,
    orders: Orders,
    packed: std::vec::IntoIter<Packed>,
}

#[derive(Debug)]
struct Tables {
    options: GraphOptions,
    classes: Vec<TaskClass>,
    externals: Vec<ObjectId>,
}

/// Which orders tasks get.
#[derive(Debug)]
pub(super) enum Orders {
    /// Those that they have.
    AsSet,
    /// These, by task.
    Places(Vec<u32>),
    /// As they were added.
    Submission,
}

impl Orders {
    /// The order of a task, or of as many rows from there on, which has this one so far.
    fn of(&self, first: u32, count: u32, set: u32) -> u32 {
        match self {
            Self::AsSet => set,
            // The rows of an array follow each other. So it comes where its last row would: what takes the outputs of the
            // first ones goes before further rows are run.
            Self::Places(places) => {
                let rows = places.iter().skip(first as usize).take(count as usize);
                rows.max().copied().unwrap_or_default()
            }
            Self::Submission => first,
        }
    }
}

impl<F> Chunks<F> {
    pub(super) fn new(
        builder: GraphBuilder,
        orders: Orders,
        graph: Option<GraphId>,
        submission: F,
    ) -> Self {
        let GraphBuilder { options, classes, externals, outputs, mut packed, .. } = builder;
        if packed.is_empty() {
            // An empty graph is a chunk too: its settings.
            packed.push(Packed::new(0));
        }
        Self {
            graph,
            submission,
            tables: Some(Tables { options, classes, externals }),
            outputs,
            orders,
            packed: packed.into_iter(),
        }
    }
}

impl<F: FnMut() -> SubmissionId> Iterator for Chunks<F> {
    type Item = GraphChunk;

    fn next(&mut self) -> Option<GraphChunk> {
        let packed = self.packed.next()?;
        let first_index = packed.first();
        let (tasks, arrays) = packed.unpack(|first, count, set| self.orders.of(first, count, set));
        let last = self.packed.len() == 0;
        let tables = self.tables.take();
        let (options, classes, externals) = match tables {
            Some(Tables { options, classes, externals }) => (Some(options), classes, externals),
            None => (None, Vec::new(), Vec::new()),
        };
        Some(GraphChunk {
            submission: (self.submission)(),
            graph: self.graph,
            first_index,
            tasks,
            arrays,
            classes,
            externals,
            outputs: if last { std::mem::take(&mut self.outputs) } else { Vec::new() },
            options,
            last,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.packed.size_hint()
    }
}

impl<F: FnMut() -> SubmissionId> ExactSizeIterator for Chunks<F> {}
