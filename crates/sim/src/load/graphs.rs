//! Sessions and their graphs.

use bireme_core::graph::{Dep, GraphOptions, OnWorkerLost, Outputs, Row, Watch};
use bireme_core::id::SessionToken;
use bireme_core::{Span, Time};

use super::arrays;
use super::fleet::{LONGEST_RUN_US, class, pinned};
use super::shape::Shape;
use super::{
    Act, Deed, External, GraphPlan, Job, SessionPlan, Size, TaskPlan, ValuePlan, WorkerPlan,
};
use crate::rng::Rng;

pub(super) fn sessions(rng: &mut Rng, workers: &[WorkerPlan]) -> Vec<SessionPlan> {
    let mut sessions: Vec<SessionPlan> = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let mut session = SessionPlan {
            token: SessionToken(u128::from(rng.bits())),
            weight_percent: *rng.pick(&[100, 100, 50, 300]),
            ttl: Span::secs(30),
            opens: Time(rng.below(5_000)),
            leaves: None,
            numbers_graphs: rng.chance(50),
            graphs: Vec::new(),
        };
        for _ in 0..rng.between(1, 3) {
            let graph = graph(rng, workers, &sessions, &session);
            session.graphs.push(graph);
        }
        sessions.push(session);
    }
    sessions
}

fn graph(
    rng: &mut Rng,
    workers: &[WorkerPlan],
    before: &[SessionPlan],
    own: &SessionPlan,
) -> GraphPlan {
    let count = match rng.below(20) {
        0 => 0,
        1 => rng.small(40, 80),
        _ => rng.small(1, 20),
    };
    let mut classes: Vec<_> = (0..rng.between(1, 3)).map(|_| class(rng, workers)).collect();
    // Values must travel: tasks are tied to workers, and outputs are large.
    let scattered = rng.chance(20);
    if scattered {
        classes = workers.iter().map(pinned).collect();
    }
    let mut graph = GraphPlan {
        options: options(rng),
        classes,
        tasks: Vec::new(),
        chunks: chunks(rng, count),
        arrays: Vec::new(),
        listed: Vec::new(),
        externals: externals(rng, before, own),
        values: values(rng),
        releases_values: rng.chance(50),
        deeds: Vec::new(),
        forget: rng.chance(40),
    };
    tasks(rng, &mut graph, count, scattered);
    if rng.chance(30) {
        shuffle_within_chunks(rng, &mut graph);
    }
    if graph.options.outputs == Outputs::Listed || rng.chance(10) {
        graph.listed = (0..count).filter(|_| rng.chance(30)).collect();
    }
    if rng.chance(25) {
        arrays::append(rng, &mut graph);
    }
    graph.deeds = deeds(rng, graph.len());

    if graph.deeds.iter().any(|(_, deed)| *deed == Deed::Retry) {
        graph.options.max_failures = None;
    }
    if rng.chance(5) {
        graph.classes.iter_mut().for_each(|class| class.on_worker_lost = OnWorkerLost::Fail);
        // Such a task fails with its process, and what becomes of it depends on what its session does then.
        let deadly = |task: &&mut TaskPlan| matches!(task.job.act, Act::DieFirst(_));
        graph.tasks.iter_mut().filter(deadly).for_each(|task| task.job.act = Act::Succeed);
    }
    graph
}

fn options(rng: &mut Rng) -> GraphOptions {
    GraphOptions {
        name: "graph".to_owned(),
        outputs: *rng.pick(&[
            Outputs::Sinks,
            Outputs::Sinks,
            Outputs::All,
            Outputs::Listed,
            Outputs::None,
        ]),
        watch: *rng.pick(&[Watch::Graph, Watch::Outputs, Watch::Values]),
        ttl: None,
        max_failures: if rng.chance(15) { Some(rng.small(0, 2)) } else { None },
        priority: if rng.chance(20) { rng.small(0, 5).cast_signed() - 2 } else { 0 },
        detached: false,
    }
}

/// How many tasks each chunk has; together `count`.
fn chunks(rng: &mut Rng, count: u32) -> Vec<u32> {
    let (mut left, mut chunks) = (count, Vec::new());
    while left > 0 {
        let next = if rng.chance(50) { left } else { rng.small(1, left) };
        chunks.push(next);
        left -= next;
    }
    if chunks.is_empty() || rng.chance(10) {
        chunks.push(0); // The last chunk may only say that it is the last.
    }
    chunks
}

/// Outputs of calm graphs planned before that are kept, or a few.
fn externals(rng: &mut Rng, before: &[SessionPlan], own: &SessionPlan) -> Vec<External> {
    let mut found = Vec::new();
    if rng.chance(60) {
        return found;
    }
    for (session, plan) in before.iter().chain([own]).enumerate() {
        for (graph, plan) in plan.graphs.iter().enumerate().filter(|(_, graph)| graph.is_calm()) {
            for task in (0..plan.len()).filter(|task| plan.keeps(*task)) {
                let outputs = plan.class(plan.task(task)).outputs;
                if outputs > 0 && rng.chance(30) {
                    let output = u16::try_from(rng.below(outputs.into())).expect("below a u16");
                    found.push(External { session, graph, task, output });
                }
            }
        }
    }
    found.truncate(6);
    found
}

/// Values that the session puts for a graph: mostly none.
fn values(rng: &mut Rng) -> Vec<ValuePlan> {
    let count = if rng.chance(25) { rng.between(1, 4) } else { 0 };
    let value = |rng: &mut Rng| ValuePlan {
        value: rng.bits(),
        size: if rng.chance(50) { rng.between(1, 100) } else { rng.between(5_000, 5_000_000) },
    };
    (0..count).map(|_| value(rng)).collect()
}

fn tasks(rng: &mut Rng, graph: &mut GraphPlan, count: u32, scattered: bool) {
    let shape = if scattered && rng.chance(50) { Shape::Broadcast } else { Shape::random(rng) };
    let edges = shape.edges(rng, count);
    let (keyed, ordered) = (rng.chance(60), rng.chance(70));
    let pace = *rng.pick(&[50, 1_000, 20_000, LONGEST_RUN_US]);
    let trouble = if rng.chance(40) { rng.between(1, 20) } else { 0 };
    for (index, inputs) in (0..).zip(edges) {
        let class = rng.place(graph.classes.len());
        let has_outputs = |task: &u32| graph.class(graph.task(*task)).outputs > 0;
        let deps: Vec<Dep> = inputs
            .into_iter()
            .filter(has_outputs)
            .map(|task| {
                let outputs = graph.class(graph.task(task)).outputs;
                Dep { task, output: u16::try_from(rng.below(outputs.into())).expect("below a u16") }
            })
            .collect();
        let places = graph.externals.len() + graph.values.len();
        let places = 0..u32::try_from(places).expect("a few");
        let externals = places.filter(|_| rng.chance(15)).collect();
        let job = Job {
            identity: rng.bits(),
            run: rng.span(1, pace),
            act: Act::Succeed,
            size: size(rng, scattered),
        };
        graph.tasks.push(TaskPlan {
            key: if keyed { format!("task-{index}") } else { String::new() },
            class: u32::try_from(class).expect("few classes"),
            deps,
            externals,
            job,
            row: Row::None,
            priority: if rng.chance(5) { rng.small(0, 9).cast_signed() } else { 0 },
            order: if ordered { index } else { rng.small(0, 1_000) },
        });
        let plan = graph.tasks.last().expect("it was just pushed");
        let act = act(rng, trouble, graph.class(plan));
        graph.tasks.last_mut().expect("it was just pushed").job.act = act;
    }
}

fn size(rng: &mut Rng, scattered: bool) -> Size {
    match rng.below(10) {
        0 => Size::Nothing,
        1..=7 if scattered => Size::Large(rng.small(5_000, 20_000_000)),
        1..=3 => Size::Large(rng.small(5_000, 20_000_000)),
        _ => Size::Small,
    }
}

/// How a task of a class ends; in `trouble` percent of all cases not as one would like.
fn act(rng: &mut Rng, trouble: u64, class: &bireme_core::TaskClass) -> Act {
    if !rng.chance(trouble) {
        return Act::Succeed;
    }
    let retries = u8::try_from(class.retry.max_retries).expect("few retries");
    match rng.below(5) {
        0 => Act::Fail,
        4 if class.retry.max_crashes > 1 && class.on_worker_lost == OnWorkerLost::Rerun => {
            Act::DieFirst(1)
        }
        1 if retries > 0 => Act::FailFirst(retries),
        2 => Act::MoveFirst(1),
        _ if class.timeout.is_some() => Act::Hang,
        _ => Act::Fail,
    }
}

/// Renumbers the tasks of each chunk at random, so that some depend on later ones.
fn shuffle_within_chunks(rng: &mut Rng, graph: &mut GraphPlan) {
    let mut numbers: Vec<u32> = (0..graph.len()).collect();
    let mut rest = numbers.as_mut_slice();
    for count in &graph.chunks {
        let (chunk, after) = rest.split_at_mut(*count as usize);
        rng.shuffle(chunk);
        rest = after;
    }
    let number = |old: u32| numbers.get(old as usize).copied().expect("there is a number for each");
    let mut tasks: Vec<(u32, TaskPlan)> = (0..).map(number).zip(graph.tasks.drain(..)).collect();
    for (_, task) in &mut tasks {
        task.deps.iter_mut().for_each(|dep| dep.task = number(dep.task));
    }
    tasks.sort_by_key(|(index, _)| *index);
    graph.tasks = tasks.into_iter().map(|(_, task)| task).collect();
}

/// What the session does while the graph runs.
fn deeds(rng: &mut Rng, count: u32) -> Vec<(Span, Deed)> {
    let mut deeds = Vec::new();
    if rng.chance(30) {
        deeds.push((rng.span(0, 50_000), Deed::Ping));
        deeds.push((rng.span(0, 50_000), Deed::Locate { task: rng.small(0, count) }));
    }
    if rng.chance(30) {
        let first = rng.small(0, count);
        deeds.push((rng.span(0, 20_000), Deed::Want { first, count: rng.small(1, 10) }));
    }
    match rng.below(12) {
        0 => deeds.push((
            rng.span(0, 60_000),
            Deed::Cancel { first: 0, count: 0, grace: rng.span(0, 5_000) },
        )),
        1 | 2 => {
            let (first, many) = (rng.small(0, count), rng.small(1, 5));
            deeds.push((
                rng.span(0, 40_000),
                Deed::Cancel { first, count: many, grace: rng.span(0, 5_000) },
            ));
            if rng.chance(50) {
                deeds.push((rng.span(0, 90_000), Deed::Retry));
            }
        }
        3 => deeds.push((rng.span(0, 60_000), Deed::Forget)),
        4 => deeds.push((
            rng.span(0, 60_000),
            Deed::Release { first: rng.small(0, count), count: rng.small(1, 9) },
        )),
        5 => deeds.push((rng.span(0, 30_000), Deed::Rude)),
        6 => deeds.push((rng.span(0, 90_000), Deed::Retry)),
        _ => {}
    }
    deeds.sort_by_key(|(at, _)| *at);
    deeds
}
