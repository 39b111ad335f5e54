//! `bireme graph list`

use bireme_client::{Admin, GraphStatus};
use serde_json::json;

use super::{connect_options, counts_json, counts_text};
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn list(global: &Global) -> Result<Exit, Failure> {
    let admin = Admin::connect(&connect_options(global)).await?;
    let graphs = admin.graphs().await?;
    let mut table = Table::new(&["GRAPH", "NAME", "DONE", "AGE", "TASKS"]);
    let mut list = Vec::with_capacity(graphs.len());
    for GraphStatus { graph, name, counts, done, age } in graphs {
        list.push(json!({
            "graph": graph.to_string(),
            "name": name,
            "done": done,
            "age_us": age.0,
            "tasks": counts_json(&counts),
        }));
        let done = if done { "yes" } else { "no" };
        let tasks = counts_text(&counts);
        table.row([graph.to_string(), name, done.to_owned(), age.to_string(), tasks]);
    }
    output::show(global.output, &list.into(), &table)?;
    Ok(Exit::Done)
}
