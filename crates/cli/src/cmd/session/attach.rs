//! `bireme session attach`

use bireme_client::{Admin, GraphWait, Refused};
use bireme_core::graph::TaskState;
use bireme_core::id::{GraphId, SessionId};
use bireme_core::{Reason, limits};
use serde_json::json;

use super::come_back;
use crate::args::{Global, SessionAttach};
use crate::cmd::interrupt::unless_interrupted;
use crate::cmd::{admin, counts_json, counts_text};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

/// The graphs of a session, as they ended.
type Ended = Vec<(GraphId, GraphWait)>;

pub(super) async fn run(global: &Global, args: SessionAttach) -> Result<Exit, Failure> {
    let SessionAttach { name, timeout } = args;
    let client = come_back(global, &name).await?;
    let admin = admin(global).await?;
    let graphs = graphs(&admin, client.session());
    let until_done = async {
        let Some(timeout) = timeout else { return graphs.await };
        tokio::time::timeout(timeout.to_std(), graphs).await.unwrap_or_else(|_| {
            let message = format!("the graphs of session {name} are not done after {timeout}");
            Err(Failure::too_late(message))
        })
    };
    let goes_on = format!("interrupted: session {name} goes on without this command");
    let ended = unless_interrupted(until_done, &goes_on).await;
    client.detach().await?;
    ended?.map_or(Ok(Exit::Interrupted), |ended| tell(global, &name, &ended))
}

/// Waits for every graph of a session.
async fn graphs(admin: &Admin, session: SessionId) -> Result<Ended, Failure> {
    let all = admin.graphs().await?;
    let mut own: Vec<_> = all.into_iter().map(|status| status.graph).collect();
    own.retain(|graph| graph.session() == session);
    own.sort_unstable();
    let mut ended = Vec::with_capacity(own.len());
    for graph in own {
        match wait(admin, graph).await {
            Ok(wait) => ended.push((graph, wait)),
            // Somebody has forgotten it meanwhile.
            Err(refused) if refused.reason == Reason::GraphUnknown.name() => {}
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(ended)
}

async fn wait(admin: &Admin, graph: GraphId) -> Result<GraphWait, Refused> {
    loop {
        let now = admin.wait_graph(graph, limits::MAX_WAIT).await?;
        if !now.pending {
            return Ok(now);
        }
    }
}

fn is_ok(wait: &GraphWait) -> bool {
    wait.error.is_none() && wait.counts.of(TaskState::Finished) == wait.counts.total()
}

/// Tells how the graphs ended.
fn tell(global: &Global, name: &str, ended: &Ended) -> Result<Exit, Failure> {
    let ok = ended.iter().all(|(_, wait)| is_ok(wait));
    let mut table = Table::new(&["GRAPH", "TASKS"]);
    for (graph, wait) in ended {
        table.row([graph.to_string(), counts_text(&wait.counts)]);
    }
    let graph = |(graph, wait): &(GraphId, GraphWait)| {
        json!({
            "graph": graph.to_string(),
            "ok": is_ok(wait),
            "tasks": counts_json(&wait.counts),
            "error": wait.error.as_ref().map(ToString::to_string),
        })
    };
    let graphs: Vec<_> = ended.iter().map(graph).collect();
    output::show(global.output, &json!({ "session": name, "ok": ok, "graphs": graphs }), &table)?;
    for (graph, wait) in ended {
        if let Some(error) = &wait.error {
            output::say(&format!("graph {graph} failed: {error}"));
        }
        for task in &wait.failures {
            output::say(&format!("task {graph}/{} failed: {}", task.key, task.error));
        }
    }
    Ok(if ok { Exit::Done } else { Exit::WorkFailed })
}
