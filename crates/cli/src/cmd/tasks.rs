//! `bireme tasks`

use bireme_client::{Admin, TaskQuery, TaskStatus};
use serde_json::{Value as Json, json};

use super::{admin, graph, worker};
use crate::args::{Global, Tasks};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

/// Most tasks asked for at a time.
const PAGE: u64 = 1_000;

pub(super) async fn run(global: &Global, args: Tasks) -> Result<Exit, Failure> {
    let Tasks { graph, states, prefix, worker, limit } = args;
    let admin = admin(global).await?;
    // A filter that names nothing would find nothing, without a word.
    if let Some(graph) = graph {
        admin.graph(graph).await.map_err(graph::refused(graph))?;
    }
    if let Some(worker) = &worker {
        admin.worker(worker.name.clone()).await.map_err(worker::refused(worker))?;
    }
    let worker = worker.map(|worker| worker.name);
    let query = TaskQuery { graph, states, key_prefix: prefix, worker, ..TaskQuery::default() };
    let (tasks, is_cut) = list(&admin, query, limit).await?;
    if is_cut {
        output::say(&format!("these are the first {limit}: there are more, see --limit"));
    }
    let json = tasks.iter().map(status_json).collect::<Vec<_>>().into();
    output::show(global.output, &json, &table(tasks))?;
    Ok(Exit::Done)
}

/// The first tasks of a list, at most `limit` unless that is 0, and whether there are more.
pub(super) async fn list(
    admin: &Admin,
    mut query: TaskQuery,
    limit: u64,
) -> Result<(Vec<TaskStatus>, bool), Failure> {
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut tasks = Vec::new();
    loop {
        let room = (limit - tasks.len()) as u64;
        query.page_size = u32::try_from(room.min(PAGE)).unwrap_or_default();
        let page = admin.list_tasks(query.clone()).await?;
        tasks.extend(page.tasks);
        query.page_token = page.next_page_token;
        let is_last = query.page_token.is_empty();
        if is_last || tasks.len() >= limit {
            tasks.truncate(limit);
            return Ok((tasks, !is_last));
        }
    }
}

/// The name of a task's state.
pub(super) fn state(task: &TaskStatus) -> &'static str {
    task.state.map_or("unknown", bireme_core::graph::TaskState::name)
}

pub(super) fn status_json(task: &TaskStatus) -> Json {
    json!({
        "task": task.task.to_string(),
        "key": task.key,
        "state": state(task),
        "worker": task.worker,
        "attempts": task.attempts,
        "bytes": task.bytes,
        "error": task.error,
    })
}

fn table(tasks: Vec<TaskStatus>) -> Table {
    let mut table = Table::new(&["TASK", "KEY", "STATE", "ATTEMPTS", "WORKER", "BYTES", "ERROR"]);
    for task in tasks {
        let state = state(&task);
        table.row([
            task.task.to_string(),
            task.key,
            state.to_owned(),
            task.attempts.to_string(),
            task.worker,
            task.bytes.to_string(),
            task.error,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use bireme_core::graph::TaskState;
    use bireme_core::id::{GraphId, SessionId, TaskId};
    use expect_test::expect;

    use super::*;

    #[test]
    fn tasks_are_listed_by_number_and_key() {
        let graph = GraphId::new(SessionId(7), 1);
        let task = |index, state, worker: &str, error: &str| TaskStatus {
            task: TaskId { graph, index },
            key: format!("fit[{index}]"),
            state: Some(state),
            worker: worker.to_owned(),
            attempts: 1,
            bytes: 12,
            error: error.to_owned(),
        };
        let tasks = vec![
            task(0, TaskState::Finished, "node1", ""),
            task(10, TaskState::Failed, "node2", "exit code 3"),
        ];
        expect![[r"
            TASK    KEY      STATE     ATTEMPTS  WORKER  BYTES  ERROR
            7.1/0   fit[0]   finished  1         node1   12
            7.1/10  fit[10]  failed    1         node2   12     exit code 3
        "]]
        .assert_eq(&table(tasks).render());
    }
}
