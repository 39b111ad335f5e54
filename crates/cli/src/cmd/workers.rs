//! `bireme workers`

use bireme_client::{Admin, WorkerStatus};
use serde_json::json;

use super::connect_options;
use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global) -> Result<Exit, Failure> {
    let admin = Admin::connect(&connect_options(global)).await?;
    let workers = admin.workers().await?;
    let json = workers.iter().map(json).collect::<Vec<_>>().into();
    output::show(global.output, &json, &table(workers))?;
    Ok(Exit::Done)
}

fn json(worker: &WorkerStatus) -> serde_json::Value {
    json!({
        "worker": worker.worker.to_string(),
        "name": worker.name,
        "state": worker.state,
        "resources": worker.resources.to_string(),
        "free": worker.free.to_string(),
        "running": worker.running,
        "objects": worker.objects,
        "stored_bytes": worker.stored_bytes,
        "addresses": worker.addresses,
        "age_us": worker.age.0,
    })
}

fn table(workers: Vec<WorkerStatus>) -> Table {
    let mut table =
        Table::new(&["WORKER", "NAME", "STATE", "RUNNING", "OBJECTS", "RESOURCES", "ADDRESS"]);
    for worker in workers {
        table.row([
            worker.worker.to_string(),
            worker.name,
            worker.state.to_owned(),
            worker.running.to_string(),
            worker.objects.to_string(),
            worker.resources.to_string(),
            worker.addresses.join(" "),
        ]);
    }
    table
}
