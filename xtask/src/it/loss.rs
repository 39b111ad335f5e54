//! Workers that die, and what becomes of the graph that they worked on.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Admin, Arg, Client, Graph, TaskQuery, TaskStatus};
use bireme_core::graph::TaskState;
use bireme_core::id::GraphId;
use bireme_core::reason::Refusal;
use bireme_core::{Value, limits};

use super::graphs::{Sketch, number, text};
use super::store::{MIB, is_pattern};
use super::supervise::Life;
use crate::cluster::{Cluster, Shape, family, guarded};

/// Leaves of the tree: a quarter of its tasks.
const LEAVES: u32 = 2_500;
/// How long the task behind each leaf and node sleeps, in microseconds.
const SLEEP_US: u32 = 2_000;
/// The worker whose daemon is killed.
const VICTIM: &str = "w1";
const WORKERS: [&str; 3] = [VICTIM, "w2", "w3"];

/// The daemon of one of three workers is killed when half of a graph is done: the result is what it would have been, and
/// only what died with it is made again.
pub(super) async fn killed_worker() -> Result<()> {
    let cluster = Cluster::start(Shape::new(3, 2)).await?;
    let admin = cluster.site().admin().await?;
    let shared = one_each(&cluster.client).await?;
    let mut sketch = Sketch::keeping_all();
    let root = tree(&mut sketch, LEAVES)?;
    let tasks = sketch.graph.len();
    ensure!(tasks == 10_000, "the graph has {tasks} tasks");
    let graph = cluster.client.submit(sketch.graph).await?;
    let mut progress = graph.progress();
    let half =
        progress.wait_for(|it| it.counts.of(TaskState::Finished) >= tasks / 2 || it.is_over());
    ensure!(!guarded("half of the tasks", half).await??.is_over(), "it was over too soon");
    let safe = safe_tasks(&admin, graph.id()).await?;
    ensure!(safe.len() >= tasks as usize / 2, "only {} results are safe", safe.len());
    let lives = cluster.workers.iter().map(Life::of).collect::<Result<Vec<_>>>()?;
    let (victim, survivors) = lives.split_first().context("there are three workers")?;
    ensure!(lives.iter().all(Life::has_files), "nothing is in shared memory");
    family::kill(victim.daemon);

    let value = guarded("the result", graph.result(root)).await??;
    ensure!(value == Value::text(expected(LEAVES)), "the result is {value:?}");
    let all = tasks_of(&admin, graph.id()).await?;
    let again = all.iter().filter(|it| safe.contains(&it.task.index) && it.attempts != 1);
    let again: Vec<_> = again.map(|it| (it.task.index, it.attempts)).collect();
    ensure!(again.is_empty(), "results that survived were made again: {again:?}");
    // That of the victim takes the victim.
    for task in 0..shared.tasks() {
        let value = guarded("a value in shared memory", shared.result(task)).await??;
        ensure!(is_pattern(&value, MIB), "value {task} is not what it was");
    }
    let attempts = tasks_of(&admin, shared.id()).await?.into_iter().map(|it| it.attempts);
    let attempts: Vec<_> = attempts.collect();
    ensure!(attempts == [2, 1, 1], "values in shared memory took {attempts:?} attempts");
    victim.has_gone()?;
    for (survivor, worker) in survivors.iter().zip(cluster.workers.iter().skip(1)) {
        survivor.goes_on(worker)?;
    }
    let daemon = cluster.workers.first().context("there are three workers")?.daemon();
    ensure!(daemon != victim.daemon, "its daemon is the one that was killed");
    cluster.stop().await
}

/// Has every worker make a value in shared memory, which is kept.
async fn one_each(client: &Client) -> Result<Graph> {
    let mut sketch = Sketch::new();
    for worker in WORKERS {
        sketch.only_on(worker);
        sketch.call("builtin/bytes", [number(MIB)], [])?;
    }
    let graph = client.submit(sketch.graph).await?;
    let summary = guarded("values in shared memory", graph.wait()).await??;
    ensure!(summary.is_ok(), "{:?}", summary.counts);
    Ok(graph)
}

/// Tasks whose result does not die with the victim: another worker has it, or it is so small that the scheduler does.
async fn safe_tasks(admin: &Admin, graph: GraphId) -> Result<BTreeSet<u32>> {
    let is_safe = |it: &TaskStatus| {
        let is_elsewhere = it.worker != VICTIM || it.bytes <= limits::INLINE_BYTES;
        it.state == Some(TaskState::Finished) && is_elsewhere
    };
    let tasks = tasks_of(admin, graph).await?;
    Ok(tasks.into_iter().filter(is_safe).map(|it| it.task.index).collect())
}

/// Every task of a graph, in order.
async fn tasks_of(admin: &Admin, graph: GraphId) -> Result<Vec<TaskStatus>> {
    let (mut tasks, mut page_token) = (Vec::new(), String::new());
    loop {
        let graph = Some(graph);
        let query = TaskQuery { graph, page_size: 1_000, page_token, ..TaskQuery::default() };
        let page = guarded("a page of tasks", admin.list_tasks(query)).await??;
        tasks.extend(page.tasks);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            tasks.sort_by_key(|it| it.task.index);
            return Ok(tasks);
        }
    }
}

/// A binary tree that writes down its leaves in order. Each leaf and node waits for a sleep of its own, so that the graph
/// lasts long enough to be hit half-way. The two copies at the end make it four tasks for each leaf.
fn tree(sketch: &mut Sketch, leaves: u32) -> Result<u32, Refusal> {
    let mut level = Vec::new();
    for leaf in 0..leaves {
        let sleep = sketch.call("builtin/sleep", [number(SLEEP_US)], [])?;
        level.push(sketch.call("builtin/echo", [text(&format!("{leaf};"))], [sleep])?);
    }
    while level.len() > 1 {
        let mut above = Vec::new();
        for pair in level.chunks(2) {
            let [left, right] = *pair else {
                above.extend_from_slice(pair);
                continue;
            };
            let sleep = sketch.call("builtin/sleep", [number(SLEEP_US)], [left])?;
            let both = [Arg::input(0), Arg::input(1)];
            above.push(sketch.call("builtin/concat", both, [left, right, sleep])?);
        }
        level = above;
    }
    let top = level.first().copied().unwrap_or_default();
    let copy = sketch.call("builtin/echo", [Arg::input(0)], [top])?;
    sketch.call("builtin/echo", [Arg::input(0)], [copy])
}

/// What the tree must have written.
fn expected(leaves: u32) -> String {
    (0..leaves).map(|leaf| format!("{leaf};")).collect::<Vec<_>>().concat()
}
