//! `bireme graph wait`

use std::io::IsTerminal as _;

use bireme_client::{Admin, GraphWait as Wait};
use bireme_core::graph::TaskState;
use bireme_core::id::GraphId;
use bireme_core::{Span, limits};
use serde_json::json;

use super::refused;
use crate::args::{Format, Global, GraphWait};
use crate::cmd::interrupt::unless_interrupted;
use crate::cmd::progress::Bar;
use crate::cmd::{counts_json, counts_text};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

/// How often a person who watches is told how far the graph is.
const LOOK_EVERY: Span = Span::secs(1);

pub(super) async fn run(global: &Global, admin: &Admin, args: GraphWait) -> Result<Exit, Failure> {
    let GraphWait { graph, timeout } = args;
    let until_done = async {
        match timeout {
            None => wait(admin, graph).await,
            Some(timeout) => match tokio::time::timeout(timeout.to_std(), wait(admin, graph)).await
            {
                Ok(ended) => ended,
                Err(_) => Err(too_late(admin, graph, timeout).await),
            },
        }
    };
    let goes_on =
        format!("interrupted: graph {graph} goes on; `bireme graph show {graph}` shows how");
    let Some(ended) = unless_interrupted(until_done, &goes_on).await? else {
        return Ok(Exit::Interrupted);
    };
    tell(global, graph, &ended)
}

async fn wait(admin: &Admin, graph: GraphId) -> Result<Wait, Failure> {
    let look_every = if std::io::stderr().is_terminal() { LOOK_EVERY } else { limits::MAX_WAIT };
    let mut bar = Bar::new(&format!("graph {graph}"));
    loop {
        let now = admin.wait_graph(graph, look_every).await.map_err(refused(graph))?;
        bar.show(&now.counts);
        if !now.pending {
            bar.finish();
            return Ok(now);
        }
    }
}

async fn too_late(admin: &Admin, graph: GraphId, timeout: Span) -> Failure {
    let counts = match admin.wait_graph(graph, Span::ZERO).await {
        Ok(now) => counts_text(&now.counts),
        Err(refused) => return refused.into(),
    };
    Failure::too_late(format!("graph {graph} is not done after {timeout}: {counts}"))
}

/// Tells how a graph ended.
fn tell(global: &Global, graph: GraphId, ended: &Wait) -> Result<Exit, Failure> {
    let Wait { pending: _, counts, error, failures } = ended;
    let is_ok = error.is_none() && counts.of(TaskState::Finished) == counts.total();
    match global.output {
        Format::Json => {
            let failure = |task: &bireme_client::TaskStatus| json!({ "task": task.task.to_string(), "key": task.key, "error": task.error });
            output::json(&json!({
                "graph": graph.to_string(),
                "ok": is_ok,
                "tasks": counts_json(counts),
                "error": error.as_ref().map(ToString::to_string),
                "failures": failures.iter().map(failure).collect::<Vec<_>>(),
            }))?;
        }
        Format::Text => {
            let mut table = Table::new(&[]);
            table.row([format!("graph {graph} is done: {}", counts_text(counts))]);
            output::bytes(table.render().as_bytes())?;
        }
    }
    if let Some(error) = error {
        output::say(&format!("graph {graph} failed: {error}"));
    }
    for task in failures {
        output::say(&format!("task {graph}/{} failed: {}", task.key, task.error));
    }
    Ok(if is_ok { Exit::Done } else { Exit::WorkFailed })
}
