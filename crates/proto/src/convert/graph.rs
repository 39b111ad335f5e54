//! `graph.proto`: what a client submits.

mod class;

use bireme_core::graph::{
    ArrayInput, Dep, GraphChunk, GraphCounts, GraphOptions, Rows, TaskArray, TaskSpec, TaskState,
};
use bireme_core::id::GraphId;
use bireme_core::reason::{Reason, Refusal};
use smallvec::SmallVec;

pub(super) use self::class::{output_count, runtime, runtime_sent};
use super::common::{submission, submission_bytes};
use super::enums::{commanded, number};
use super::field::{list, malformed, name, no_arm, not_yet, optional, sent, span, us};
use crate::pb;

impl TryFrom<pb::GraphChunk> for GraphChunk {
    type Error = Refusal;

    fn try_from(message: pb::GraphChunk) -> Result<Self, Refusal> {
        let pb::GraphChunk {
            submission_id,
            graph,
            first_index,
            tasks,
            classes,
            externals,
            arrays,
            outputs,
            options,
            last,
        } = message;
        Ok(Self {
            submission: submission(&submission_id)?,
            graph: (graph > 0).then_some(GraphId(graph)),
            first_index,
            tasks: list(tasks, "tasks")?,
            arrays: list(arrays, "arrays")?,
            classes: list(classes, "classes")?,
            externals: list(externals, "externals")?,
            outputs,
            options: optional(options, "options")?,
            last,
        })
    }
}

impl From<GraphChunk> for pb::GraphChunk {
    fn from(chunk: GraphChunk) -> Self {
        let GraphChunk {
            submission,
            graph,
            first_index,
            tasks,
            arrays,
            classes,
            externals,
            outputs,
            options,
            last,
        } = chunk;
        Self {
            submission_id: submission_bytes(submission),
            graph: graph.map_or(0, |graph| graph.0),
            first_index,
            tasks: sent(tasks),
            classes: sent(classes),
            externals: sent(externals),
            arrays: sent(arrays),
            outputs,
            options: options.map(Into::into),
            last,
        }
    }
}

impl TryFrom<pb::TaskSpec> for TaskSpec {
    type Error = Refusal;

    fn try_from(message: pb::TaskSpec) -> Result<Self, Refusal> {
        let pb::TaskSpec { key, class, deps, dep_outputs, externals, payload, priority, order } =
            message;
        Ok(Self {
            key,
            class,
            deps: dependencies(&deps, &dep_outputs)?,
            externals: SmallVec::from_vec(externals),
            payload,
            priority,
            order,
        })
    }
}

/// Which outputs of which tasks a task takes.
fn dependencies(tasks: &[u32], outputs: &[u32]) -> Result<SmallVec<[Dep; 2]>, Refusal> {
    if outputs.is_empty() {
        return Ok(tasks.iter().map(|&task| Dep::from(task)).collect());
    }
    if outputs.len() != tasks.len() {
        let message = format!(
            "dep_outputs has {} items and deps {}; leave it empty for output 0 of all",
            outputs.len(),
            tasks.len()
        );
        return Err(malformed("dep_outputs", message));
    }
    tasks
        .iter()
        .zip(outputs)
        .map(|(&task, &output)| Ok(Dep { task, output: output_number(output, "dep_outputs")? }))
        .collect()
}

fn output_number(output: u32, field: &str) -> Result<u16, Refusal> {
    u16::try_from(output).map_err(|_| {
        Refusal::at(Reason::OutputUnknown, field, format!("no task has an output {output}"))
    })
}

impl From<TaskSpec> for pb::TaskSpec {
    fn from(task: TaskSpec) -> Self {
        let TaskSpec { key, class, deps, externals, payload, priority, order } = task;
        let dep_outputs = if deps.iter().all(|dep| dep.output == 0) {
            Vec::new()
        } else {
            deps.iter().map(|dep| dep.output.into()).collect()
        };
        Self {
            key,
            class,
            deps: deps.into_iter().map(|dep| dep.task).collect(),
            dep_outputs,
            externals: externals.into_vec(),
            payload,
            priority,
            order,
        }
    }
}

impl TryFrom<pb::TaskArray> for TaskArray {
    type Error = Refusal;

    fn try_from(message: pb::TaskArray) -> Result<Self, Refusal> {
        let pb::TaskArray { key_prefix, count, class, payload, rows, inputs, priority, order } =
            message;
        Ok(Self {
            key_prefix,
            count,
            class,
            payload,
            rows: optional(rows, "rows")?.unwrap_or(Rows::Range { start: 0, step: 1 }),
            inputs: list(inputs, "inputs")?,
            priority,
            order,
        })
    }
}

impl From<TaskArray> for pb::TaskArray {
    fn from(array: TaskArray) -> Self {
        let TaskArray { key_prefix, count, class, payload, rows, inputs, priority, order } = array;
        Self {
            key_prefix,
            count,
            class,
            payload,
            rows: Some(rows.into()),
            inputs: sent(inputs),
            priority,
            order,
        }
    }
}

impl TryFrom<pb::RowArguments> for Rows {
    type Error = Refusal;

    fn try_from(pb::RowArguments { from }: pb::RowArguments) -> Result<Self, Refusal> {
        use pb::row_arguments::{From, Range, Values};
        Ok(match from.ok_or_else(|| no_arm("from"))? {
            From::Range(Range { start, step }) => Self::Range { start, step },
            From::Values(Values { values }) => Self::Values(values),
        })
    }
}

impl From<Rows> for pb::RowArguments {
    fn from(rows: Rows) -> Self {
        use pb::row_arguments::{From, Range, Values};
        let from = match rows {
            Rows::Range { start, step } => From::Range(Range { start, step }),
            Rows::Values(values) => From::Values(Values { values }),
        };
        Self { from: Some(from) }
    }
}

impl TryFrom<pb::ArrayInput> for ArrayInput {
    type Error = Refusal;

    fn try_from(message: pb::ArrayInput) -> Result<Self, Refusal> {
        let pb::ArrayInput { first, stride, output } = message;
        Ok(Self { first, stride, output: output_number(output, "output")? })
    }
}

impl From<ArrayInput> for pb::ArrayInput {
    fn from(ArrayInput { first, stride, output }: ArrayInput) -> Self {
        Self { first, stride, output: output.into() }
    }
}

impl TryFrom<pb::GraphOptions> for GraphOptions {
    type Error = Refusal;

    fn try_from(message: pb::GraphOptions) -> Result<Self, Refusal> {
        let pb::GraphOptions {
            name: text,
            outputs,
            watch,
            ttl_us,
            max_failures,
            priority,
            detached,
            annotations,
        } = message;
        not_yet(!annotations.is_empty(), "annotations")?;
        Ok(Self {
            name: name(text, "name")?,
            outputs: commanded(outputs, "outputs")?,
            watch: commanded(watch, "watch")?,
            ttl: span(ttl_us),
            max_failures,
            priority,
            detached,
        })
    }
}

impl From<GraphOptions> for pb::GraphOptions {
    fn from(options: GraphOptions) -> Self {
        let GraphOptions { name, outputs, watch, ttl, max_failures, priority, detached } = options;
        Self {
            name,
            outputs: number(outputs),
            watch: number(watch),
            ttl_us: us(ttl),
            max_failures,
            priority,
            detached,
            annotations: std::collections::BTreeMap::new(),
        }
    }
}

impl TryFrom<pb::GraphCounts> for GraphCounts {
    type Error = Refusal;

    /// The total is reckoned, not believed.
    fn try_from(message: pb::GraphCounts) -> Result<Self, Refusal> {
        let pb::GraphCounts {
            total: _,
            waiting,
            ready,
            sent,
            running,
            finished,
            failed,
            cancelled,
        } = message;
        let mut counts = Self::default();
        for (state, count, field) in [
            (TaskState::Waiting, waiting, "waiting"),
            (TaskState::Ready, ready, "ready"),
            (TaskState::Sent, sent, "sent"),
            (TaskState::Running, running, "running"),
            (TaskState::Finished, finished, "finished"),
            (TaskState::Failed, failed, "failed"),
            (TaskState::Cancelled, cancelled, "cancelled"),
        ] {
            *counts.of_mut(state) = u32::try_from(count)
                .map_err(|_| malformed(field, format!("no graph has {count} tasks")))?;
        }
        Ok(counts)
    }
}

impl From<GraphCounts> for pb::GraphCounts {
    fn from(counts: GraphCounts) -> Self {
        let of = |state| u64::from(counts.of(state));
        Self {
            total: counts.total().into(),
            waiting: of(TaskState::Waiting),
            ready: of(TaskState::Ready),
            sent: of(TaskState::Sent),
            running: of(TaskState::Running),
            finished: of(TaskState::Finished),
            failed: of(TaskState::Failed),
            cancelled: of(TaskState::Cancelled),
        }
    }
}
