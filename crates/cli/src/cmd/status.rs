//! `bireme status`

use bireme_client::ClusterStatus;
use serde_json::json;

use super::{admin, counts_json, counts_text, resources_with_free};
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global) -> Result<Exit, Failure> {
    let status = admin(global).await?.status().await?;
    for warning in &status.warnings {
        output::say(&format!("warning: {warning}"));
    }
    output::show(global.output, &json(&status), &table(&status))?;
    Ok(Exit::Done)
}

fn json(status: &ClusterStatus) -> serde_json::Value {
    json!({
        "address": status.address,
        "cluster": status.cluster.map(|cluster| cluster.to_string()),
        "epoch": status.epoch.0,
        "version": status.version,
        "uptime_us": status.uptime.0,
        "durable": status.durable,
        "workers": status.workers,
        "sessions": status.sessions,
        "graphs": { "total": status.graphs, "open": status.open_graphs },
        "tasks": counts_json(&status.tasks),
        "resources": status.resources.to_string(),
        "free": status.free.to_string(),
        "warnings": status.warnings,
    })
}

fn table(status: &ClusterStatus) -> Table {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("scheduler", format!("{}, version {}", status.address, status.version));
    if let Some(cluster) = status.cluster {
        row("cluster", format!("{cluster}, epoch {}", status.epoch.0));
    }
    row("up for", status.uptime.to_string());
    row("workers", status.workers.to_string());
    row("resources", resources_with_free(&status.resources, &status.free));
    row("sessions", status.sessions.to_string());
    row("graphs", format!("{}, of which {} not done", status.graphs, status.open_graphs));
    row("tasks", counts_text(&status.tasks));
    table
}
