//! Task arrays at the end of a graph, and tasks that take what their rows make.

use bireme_core::graph::{ArrayInput, Dep, Row, Rows};

use super::{Act, ArrayPlan, GraphPlan, Job, Size, TaskPlan};
use crate::rng::Rng;

/// Appends some arrays to the last chunk of a graph, and sometimes a chunk that builds upon them.
pub(super) fn append(rng: &mut Rng, graph: &mut GraphPlan) {
    for n in 0..rng.between(1, 3) {
        let count = rng.small(0, 20);
        let inputs = inputs(rng, graph, count);
        append_array(rng, graph, n, count, inputs);
    }
    if rng.chance(40) {
        append_consumers(rng, graph);
    }
}

/// Inputs for so many rows, all of which exist.
fn inputs(rng: &mut Rng, graph: &GraphPlan, count: u32) -> Vec<ArrayInput> {
    let mut inputs = Vec::new();
    for _ in 0..rng.below(3) {
        let stride = rng.small(0, 2);
        let reach = count.saturating_sub(1) * stride;
        if reach < graph.len() {
            let first = rng.small(0, graph.len() - 1 - reach);
            let mut sources = (0..count).map(|row| graph.task(first + row * stride));
            if count > 0 && sources.all(|source| graph.class(source).outputs > 0) {
                inputs.push(ArrayInput { first, stride, output: 0 });
            }
        }
    }
    inputs
}

fn append_array(rng: &mut Rng, graph: &mut GraphPlan, n: u64, count: u32, inputs: Vec<ArrayInput>) {
    let first = graph.len();
    let rows = if rng.chance(70) {
        Rows::Range { start: rng.below(9).cast_signed() - 4, step: rng.below(7).cast_signed() - 3 }
    } else {
        Rows::Values((0..count).map(|_| rng.bits().to_be_bytes().to_vec().into()).collect())
    };
    let class = u32::try_from(rng.place(graph.classes.len())).expect("few classes");
    let size = *rng.pick(&[Size::Small, Size::Small, Size::Nothing, Size::Large(70_000)]);
    let job = Job { identity: rng.bits(), run: rng.span(1, 3_000), act: Act::Succeed, size };
    let (priority, order) = (rng.small(0, 1).cast_signed(), rng.small(0, 500));
    for row in 0..count {
        let deps = inputs
            .iter()
            .map(|input| Dep { task: input.first + row * input.stride, output: input.output });
        graph.tasks.push(TaskPlan {
            key: format!("row-{n}"),
            class,
            deps: deps.collect(),
            externals: Vec::new(),
            job,
            row: rows.argument(row),
            priority,
            order,
        });
    }
    if count > 0 {
        graph.arrays.push(ArrayPlan { first, count, rows, inputs });
    }
    *graph.chunks.last_mut().expect("every graph has a chunk") += count;
}

fn append_consumers(rng: &mut Rng, graph: &mut GraphPlan) {
    let (end, count) = (graph.len(), rng.small(1, 3));
    for _ in 0..count {
        let takes = |task: &u32| graph.class(graph.task(*task)).outputs > 0;
        let deps = (0..end).rev().filter(takes).take(12).map(Dep::from).collect();
        let job = Job {
            identity: rng.bits(),
            run: rng.span(1, 500),
            act: Act::Succeed,
            size: Size::Small,
        };
        graph.tasks.push(TaskPlan {
            key: String::new(),
            class: 0,
            deps,
            externals: Vec::new(),
            job,
            row: Row::None,
            priority: 0,
            order: rng.small(0, 500),
        });
    }
    graph.chunks.push(count);
}
