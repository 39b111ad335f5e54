//! `bireme graph`

mod wait;

use bireme_client::{Admin, GraphDetails, GraphStatus, Refused};
use bireme_core::Reason;
use bireme_core::id::GraphId;
use serde_json::{Value as Json, json};

use super::{admin, counts_json, counts_text, with};
use crate::args::{Global, Graph, GraphCancel};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, command: Graph) -> Result<Exit, Failure> {
    let admin = admin(global).await?;
    match command {
        Graph::List => list(global, &admin).await,
        Graph::Show { graph } => show(global, &admin, graph).await,
        Graph::Wait(args) => wait::run(global, &admin, args).await,
        Graph::Cancel(args) => cancel(global, &admin, args).await,
        Graph::Forget { graph } => forget(global, &admin, graph).await,
    }
}

/// A refusal of something about a graph: names the one that is not there.
pub(super) fn refused(graph: GraphId) -> impl Fn(Refused) -> Failure {
    move |refused| {
        Failure::named(refused, Reason::GraphUnknown, || {
            format!(
                "there is no graph {graph}, or it was forgotten: `bireme graph list` lists those there are"
            )
        })
    }
}

async fn list(global: &Global, admin: &Admin) -> Result<Exit, Failure> {
    let graphs = admin.graphs().await?;
    let mut table = Table::new(&["GRAPH", "NAME", "DONE", "AGE", "TASKS"]);
    for GraphStatus { graph, name, counts, done, age } in &graphs {
        let done = if *done { "yes" } else { "no" };
        let tasks = counts_text(counts);
        table.row([graph.to_string(), name.clone(), done.to_owned(), age.to_string(), tasks]);
    }
    let list: Vec<_> = graphs.iter().map(status_json).collect();
    output::show(global.output, &list.into(), &table)?;
    Ok(Exit::Done)
}

async fn show(global: &Global, admin: &Admin, graph: GraphId) -> Result<Exit, Failure> {
    let details = admin.graph(graph).await.map_err(refused(graph))?;
    output::show(global.output, &details_json(&details), &details_table(&details))?;
    Ok(Exit::Done)
}

async fn cancel(global: &Global, admin: &Admin, args: GraphCancel) -> Result<Exit, Failure> {
    let GraphCancel { graph, grace, reason } = args;
    admin.graph(graph).await.map_err(refused(graph))?;
    let cancelled = admin.cancel_graph(graph, grace, &reason).await.map_err(refused(graph))?;
    ended(global, graph, "cancelled", cancelled)
}

async fn forget(global: &Global, admin: &Admin, graph: GraphId) -> Result<Exit, Failure> {
    admin.graph(graph).await.map_err(refused(graph))?;
    let cancelled = admin.forget_graph(graph).await.map_err(refused(graph))?;
    ended(global, graph, "forgotten", cancelled)
}

/// Says that a graph was ended, and what of it had not ended before.
fn ended(global: &Global, graph: GraphId, how: &str, cancelled: u64) -> Result<Exit, Failure> {
    let json = json!({ "graph": graph.to_string(), "cancelled": cancelled });
    let mut table = Table::new(&[]);
    table.row([format!("graph {graph} is {how}; {cancelled} of its tasks had not ended")]);
    output::show(global.output, &json, &table)?;
    Ok(Exit::Done)
}

fn status_json(status: &GraphStatus) -> Json {
    let GraphStatus { graph, name, counts, done, age } = status;
    json!({
        "graph": graph.to_string(),
        "name": name,
        "done": done,
        "age_us": age.0,
        "tasks": counts_json(counts),
    })
}

fn details_json(details: &GraphDetails) -> Json {
    let group = |group: &bireme_client::Group| json!({ "prefix": group.prefix, "tasks": counts_json(&group.counts) });
    let more = json!({
        "session": details.session.map(|session| session.to_string()),
        "complete": details.complete,
        "detached": details.detached,
        "error": details.error.as_ref().map(ToString::to_string),
        "groups": details.groups.iter().map(group).collect::<Vec<_>>(),
    });
    with(status_json(&details.status), more)
}

fn details_table(details: &GraphDetails) -> Table {
    let GraphStatus { graph, name, counts, done, age } = &details.status;
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("graph", graph.to_string());
    row("name", name.clone());
    row("state", state(details.complete, *done).to_owned());
    if let Some(error) = &details.error {
        row("error", error.to_string());
    }
    let session = details.session.map_or_else(|| "gone".to_owned(), |session| session.to_string());
    let detached = if details.detached { ", which the graph outlives" } else { "" };
    row("session", format!("{session}{detached}"));
    row("age", age.to_string());
    row("tasks", counts_text(counts));
    for group in &details.groups {
        row(&format!("  {}", group.prefix), counts_text(&group.counts));
    }
    table
}

fn state(complete: bool, done: bool) -> &'static str {
    match (complete, done) {
        (_, true) => "done",
        (true, false) => "open",
        (false, false) => "open, and more tasks may come",
    }
}

#[cfg(test)]
mod tests {
    use bireme_client::Group;
    use bireme_core::graph::{GraphCounts, TaskState};
    use bireme_core::id::SessionId;
    use bireme_core::time::Span;
    use expect_test::expect;

    use super::*;

    fn details() -> GraphDetails {
        let mut counts = GraphCounts::default();
        *counts.of_mut(TaskState::Finished) = 3;
        *counts.of_mut(TaskState::Failed) = 1;
        let graph = GraphId::new(SessionId(7), 1);
        GraphDetails {
            status: GraphStatus {
                graph,
                name: "sim".into(),
                counts,
                done: true,
                age: Span::millis(1_500),
            },
            session: Some(graph.session()),
            complete: true,
            detached: true,
            done_ago: Some(Span::ZERO),
            ttl: Span::ZERO,
            error: None,
            groups: vec![Group { prefix: "fit".into(), counts }],
        }
    }

    #[test]
    fn a_graph_is_shown_group_by_group() {
        expect![[r"
            graph    7.1
            name     sim
            state    done
            session  s7, which the graph outlives
            age      1.500 s
            tasks    3 finished, 1 failed
              fit    3 finished, 1 failed
        "]]
        .assert_eq(&details_table(&details()).render());
    }

    #[test]
    fn programs_read_the_same() {
        let json = details_json(&details());
        assert_eq!(json["graph"], "7.1");
        assert_eq!(json["detached"], true);
        assert_eq!(json["groups"][0]["tasks"]["failed"], 1);
        assert_eq!(json["error"], Json::Null);
    }
}
