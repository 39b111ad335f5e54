//! `bireme task`

mod explain;
mod logs;
mod show;
mod story;

use bireme_client::{Admin, Refused, TaskName};
use bireme_core::id::{GraphId, TaskId};
use bireme_core::session::IndexRange;
use bireme_core::{Reason, Span};
use serde_json::json;

use super::{admin, graph};
use crate::args::{Global, Task, TaskArg};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, command: Task) -> Result<Exit, Failure> {
    let admin = admin(global).await?;
    match command {
        Task::Show { task } => show::run(global, &admin, task).await,
        Task::Explain { task } => explain::run(global, &admin, task).await,
        Task::Story { task, last } => story::run(global, &admin, task, last).await,
        Task::Logs(args) => logs::run(global, &admin, args).await,
        Task::Cancel { tasks, grace } => cancel(global, &admin, &tasks, grace).await,
        Task::Retry { graph: Some(graph), .. } => retry_graph(global, &admin, graph).await,
        Task::Retry { tasks, graph: None } => retry(global, &admin, &tasks).await,
    }
}

/// A refusal of something about a task: names the one that is not there.
pub(super) fn refused(task: &TaskArg) -> impl Fn(Refused) -> Failure {
    let graph = match task.name {
        TaskName::Id(TaskId { graph, .. }) | TaskName::Key(graph, _) => graph,
    };
    move |refused| {
        Failure::named(refused, Reason::TaskUnknown, || {
            format!(
                "there is no task {task}: `bireme tasks --graph {graph}` lists those of its graph, `bireme graph list` the graphs"
            )
        })
    }
}

async fn cancel(
    global: &Global,
    admin: &Admin,
    tasks: &[TaskArg],
    grace: Span,
) -> Result<Exit, Failure> {
    let mut cancelled = 0;
    for (graph, ranges) in by_graph(admin, tasks).await? {
        cancelled += admin.cancel_tasks(graph, ranges, grace).await?;
    }
    tell(global, "cancelled", cancelled, "no task is cancelled: each of them has ended")
}

async fn retry(global: &Global, admin: &Admin, tasks: &[TaskArg]) -> Result<Exit, Failure> {
    let mut retried = 0;
    for (graph, ranges) in by_graph(admin, tasks).await? {
        retried += admin.retry_tasks(graph, ranges).await?;
    }
    let none = "no task is retried: none of them has failed or was cancelled";
    tell(global, "retried", retried, none)
}

async fn retry_graph(global: &Global, admin: &Admin, graph: GraphId) -> Result<Exit, Failure> {
    admin.graph(graph).await.map_err(graph::refused(graph))?;
    let retried = admin.retry_tasks(graph, Vec::new()).await.map_err(graph::refused(graph))?;
    let none = format!("no task is retried: none of graph {graph} has failed or was cancelled");
    tell(global, "retried", retried, &none)
}

/// Says how many tasks are what, or why none is.
fn tell(global: &Global, what: &str, count: u64, none: &str) -> Result<Exit, Failure> {
    let json = json!({ what: count });
    let mut table = Table::new(&[]);
    table.row([match count {
        0 => none.to_owned(),
        1 => format!("1 task is {what}, with those that depend on it"),
        _ => format!("{count} tasks are {what}, with those that depend on them"),
    }]);
    output::show(global.output, &json, &table)?;
    Ok(Exit::Done)
}

/// The tasks by graph and index, all of which must be there.
async fn by_graph(
    admin: &Admin,
    tasks: &[TaskArg],
) -> Result<Vec<(GraphId, Vec<IndexRange>)>, Failure> {
    let mut graphs: Vec<(GraphId, Vec<IndexRange>)> = Vec::new();
    for task in tasks {
        let found = admin.task(task.name.clone()).await.map_err(refused(task))?;
        let TaskId { graph, index } = found.status.task;
        let range = IndexRange { first: index, count: 1 };
        match graphs.iter_mut().find(|(known, _)| *known == graph) {
            Some((_, ranges)) => ranges.push(range),
            None => graphs.push((graph, vec![range])),
        }
    }
    Ok(graphs)
}
