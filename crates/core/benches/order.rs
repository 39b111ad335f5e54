//! What the order of a graph costs its client.
//!
//! `cargo bench -p bireme-core --bench order` prints one JSON line for each shape: CPU time of the order for each task and
//! input, and of cutting the graph into chunks, order included, for each task; in nanoseconds, the best of five.

use std::io::Write as _;

use bireme_core::graph::{GraphBuilder, GraphOptions, Producers, TaskClass, TaskSpec, order};
use bireme_core::id::SubmissionId;

const REPEATS: usize = 5;

fn main() {
    let shapes = [
        ("independent_1m", vec![Vec::new(); 1_000_000]),
        ("independent_100k", vec![Vec::new(); 100_000]),
        ("tree_100k", tree(100_000, 2)),
        ("tree_100k_fan_in_1000", tree(100_000, 1_000)),
        ("tree_1m", tree(1_000_000, 2)),
        ("stencil_100", stencil(100)),
        ("stencil_1000", stencil(1_000)),
        ("chain_1m", (0..1_000_000_u32).map(|n| n.checked_sub(1).into_iter().collect()).collect()),
        ("all_to_all_1000", all_to_all(1_000)),
    ];
    for (name, shape) in shapes {
        let inputs: usize = shape.iter().map(Vec::len).sum();
        let ordered = (0..REPEATS).map(|_| {
            let producers = producers(&shape);
            timed(|| order(producers))
        });
        let ordered = ordered.min().unwrap_or_default();
        let cut = (0..REPEATS).map(|_| {
            let builder = builder(&shape);
            timed(|| builder.into_chunks(None, || SubmissionId(1)).collect::<Vec<_>>())
        });
        let cut = cut.min().unwrap_or_default();
        let (tasks, inputs) = (shape.len() as u64, inputs as u64);
        println(&format!(
            r#"{{"peer":"bireme","workload":"order","shape":"{name}","n":{tasks},"inputs":{inputs},"unit":"ns","order_per_task_and_input":{},"into_chunks_per_task":{}}}"#,
            ordered / (tasks + inputs),
            cut / tasks,
        ));
    }
}

fn tree(leaves: u32, fan_in: usize) -> Vec<Vec<u32>> {
    let mut shape = vec![Vec::new(); leaves as usize];
    let mut level: Vec<u32> = (0..leaves).collect();
    while level.len() > 1 {
        let first = u32::try_from(shape.len()).unwrap_or(u32::MAX);
        shape.extend(level.chunks(fan_in).map(<[u32]>::to_vec));
        level = (first..).take(level.len().div_ceil(fan_in)).collect();
    }
    shape
}

fn stencil(n: u32) -> Vec<Vec<u32>> {
    let places = (0..n).flat_map(|row| (0..n).map(move |column| (row, column)));
    let above = |row: u32, column| Some(row.checked_sub(1)? * n + column);
    let left = |row, column: u32| Some(row * n + column.checked_sub(1)?);
    places
        .map(|(row, column)| above(row, column).into_iter().chain(left(row, column)).collect())
        .collect()
}

fn all_to_all(n: u32) -> Vec<Vec<u32>> {
    let all: Vec<u32> = (0..n).collect();
    (0..n).map(|_| Vec::new()).chain((0..n).map(|_| all.clone())).collect()
}

fn producers(shape: &[Vec<u32>]) -> Producers {
    let mut producers =
        Producers::with_capacity(shape.len(), shape.iter().map(Vec::len).sum::<usize>());
    for task in shape {
        producers.push(task.iter().copied());
    }
    producers
}

fn builder(shape: &[Vec<u32>]) -> GraphBuilder {
    let mut builder = GraphBuilder::new(GraphOptions::default());
    let class = builder.class(TaskClass::default());
    for task in shape {
        let deps = task.iter().copied().map(Into::into).collect();
        let task = TaskSpec { class, deps, ..TaskSpec::default() };
        builder.task(task).expect("keys are empty and tasks few");
    }
    builder
}

/// CPU time of a piece of work, in nanoseconds, without that of dropping what it makes.
fn timed<T>(work: impl FnOnce() -> T) -> u64 {
    let start = cpu_ns();
    let made = std::hint::black_box(work());
    let took = cpu_ns() - start;
    drop(made);
    took
}

fn cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or_default()
}

fn println(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed the pipe wants no more of it.
    let _ = writeln!(out, "{line}");
}
