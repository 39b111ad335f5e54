//! `bireme workers`

use std::collections::BTreeMap;

use bireme_client::{Admin, WorkerStatus};
use bireme_core::Span;
use bireme_core::id::WorkerId;
use serde_json::{Value as Json, json};

use super::interrupt::unless_interrupted;
use super::{admin, resources_text, resources_with_free};
use crate::args::{Global, Workers};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, args: Workers) -> Result<Exit, Failure> {
    let Workers { wait, timeout } = args;
    let admin = admin(global).await?;
    if let Some(wanted) = wait {
        let waited = self::wait(&admin, wanted, timeout);
        if unless_interrupted(waited, "interrupted").await?.is_none() {
            return Ok(Exit::Interrupted);
        }
    }
    let workers = admin.workers().await?;
    let list = workers.iter().map(json).collect::<Vec<_>>().into();
    output::show(global.output, &list, &table(workers))?;
    Ok(Exit::Done)
}

/// Waits until so many workers run.
async fn wait(admin: &Admin, wanted: usize, timeout: Option<Span>) -> Result<(), Failure> {
    let mut there = 0;
    let come = until_there(admin, wanted, &mut there);
    let Some(timeout) = timeout else { return come.await };
    let in_time = tokio::time::timeout(timeout.to_std(), come).await;
    in_time.unwrap_or_else(|_| {
        Err(Failure::too_late(format!("{there} of {wanted} workers run after {timeout}")))
    })
}

async fn until_there(admin: &Admin, wanted: usize, there: &mut usize) -> Result<(), Failure> {
    let mut watch = admin.watch_workers(Span::ZERO).await?;
    let mut states: BTreeMap<WorkerId, &str> = BTreeMap::new();
    while let Some(news) = watch.next().await? {
        if news.lagged {
            states.clear();
        }
        states.extend(news.changed.iter().map(|worker| (worker.worker, worker.state)));
        for gone in news.gone {
            states.remove(&gone);
        }
        *there = states.values().filter(|state| **state == "running").count();
        if *there >= wanted {
            return Ok(());
        }
    }
    Err(Failure::too_late(format!("the scheduler ended while {there} of {wanted} workers ran")))
}

pub(super) fn json(worker: &WorkerStatus) -> Json {
    let labels: serde_json::Map<_, _> =
        worker.labels.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    json!({
        "worker": worker.worker.to_string(),
        "name": worker.name,
        "state": worker.state,
        "reason": worker.reason,
        "resources": worker.resources.to_string(),
        "free": worker.free.to_string(),
        "running": worker.running,
        "sent": worker.sent,
        "objects": worker.objects,
        "stored_bytes": worker.stored_bytes,
        "spilled_bytes": worker.spilled_bytes,
        "resident_bytes": worker.resident_bytes,
        "cpu_percent": worker.cpu_percent,
        "addresses": worker.addresses,
        "labels": labels,
        "runtimes": worker.runtimes,
        "version": worker.version,
        "machine": worker.machine,
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
            resources_text(&worker.resources),
            worker.addresses.join(" "),
        ]);
    }
    table
}

/// One worker, for people.
pub(super) fn details(worker: &WorkerStatus) -> Table {
    let mut table = Table::new(&[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("worker", format!("{}, called {}", worker.worker, worker.name));
    let reason = match worker.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    row("state", format!("{}{reason}", worker.state));
    row("resources", resources_with_free(&worker.resources, &worker.free));
    row("attempts", format!("{} running, {} sent", worker.running, worker.sent));
    row(
        "values",
        format!(
            "{}: {} in memory, {} on disk",
            worker.objects,
            output::size(worker.stored_bytes),
            output::size(worker.spilled_bytes)
        ),
    );
    row("resident", output::size(worker.resident_bytes));
    row("address", worker.addresses.join(" "));
    row("machine", worker.machine.clone());
    for (key, value) in &worker.labels {
        row("label", format!("{key}={value}"));
    }
    if !worker.runtimes.is_empty() {
        row("runtimes", worker.runtimes.join(", "));
    }
    row("version", worker.version.clone());
    row("here for", worker.age.to_string());
    table
}

#[cfg(test)]
mod tests {
    use bireme_core::resources::Resources;
    use expect_test::expect;

    use super::*;

    fn worker() -> WorkerStatus {
        WorkerStatus {
            worker: WorkerId(3),
            name: "node1".into(),
            state: "paused",
            reason: "values take 9 bytes".into(),
            resources: Resources::one_cpu(),
            free: Resources::none(),
            running: 1,
            sent: 2,
            objects: 4,
            stored_bytes: 9,
            spilled_bytes: 7,
            resident_bytes: 100,
            cpu_percent: 50,
            loop_lag: Span::ZERO,
            silent: Span::ZERO,
            addresses: vec!["http://node1:9701".into()],
            labels: vec![("room".into(), "a".into())],
            runtimes: Vec::new(),
            version: "0.1.0".into(),
            machine: "boot/node1".into(),
            age: Span::secs(60),
        }
    }

    #[test]
    fn workers_are_listed_by_number_and_name() {
        expect![[r"
            WORKER  NAME   STATE   RUNNING  OBJECTS  RESOURCES  ADDRESS
            w3      node1  paused  1        4        cpus=1     http://node1:9701
        "]]
        .assert_eq(&table(vec![worker()]).render());
    }

    #[test]
    fn one_worker_says_why_it_is_as_it_is() {
        expect![[r"
            worker     w3, called node1
            state      paused: values take 9 bytes
            resources  cpus=1 (free: cpus=0)
            attempts   1 running, 2 sent
            values     4: 9B in memory, 7B on disk
            resident   100B
            address    http://node1:9701
            machine    boot/node1
            label      room=a
            version    0.1.0
            here for   1 min
        "]]
        .assert_eq(&details(&worker()).render());
        assert_eq!(json(&worker())["labels"]["room"], "a");
    }
}
