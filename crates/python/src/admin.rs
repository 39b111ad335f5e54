//! What the scheduler tells of the cluster, as plain dictionaries.

use std::collections::BTreeSet;

use bireme_client::{
    ActorStatus, Admin, ClusterStatus, LogQuery, Refused, TaskName, WorkerChanges, WorkerStatus,
};
use bireme_core::actor::place::ActorPlace;
use bireme_core::graph::TaskState;
use bireme_core::id::{GraphId, TaskId};
use bireme_core::resources::Resources;
use bireme_core::time::Span;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::options::amount;
use crate::session::{Session, duration};

/// How the cluster is.
pub(crate) fn status<'py>(py: Python<'py>, status: &ClusterStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("address", &status.address)?;
    dict.set_item("cluster", status.cluster.map(|cluster| cluster.to_string()))?;
    dict.set_item("epoch", status.epoch.0)?;
    dict.set_item("version", &status.version)?;
    dict.set_item("uptime", status.uptime.to_std().as_secs_f64())?;
    dict.set_item("durable", status.durable)?;
    dict.set_item("workers", status.workers)?;
    dict.set_item("sessions", status.sessions)?;
    dict.set_item("graphs", status.graphs)?;
    dict.set_item("open_graphs", status.open_graphs)?;
    let tasks = PyDict::new(py);
    for state in TaskState::ALL {
        tasks.set_item(state.name(), status.tasks.of(state))?;
    }
    dict.set_item("tasks", tasks)?;
    dict.set_item("resources", resources(py, &status.resources)?)?;
    dict.set_item("free", resources(py, &status.free)?)?;
    dict.set_item("warnings", &status.warnings)?;
    Ok(dict)
}

/// How a worker is.
pub(crate) fn worker<'py>(py: Python<'py>, worker: &WorkerStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("number", worker.worker.0)?;
    dict.set_item("name", &worker.name)?;
    dict.set_item("state", worker.state)?;
    dict.set_item("reason", &worker.reason)?;
    dict.set_item("address", worker.addresses.first())?;
    dict.set_item("addresses", &worker.addresses)?;
    dict.set_item("cpus", amount(worker.resources.cpu_units))?;
    dict.set_item("memory", worker.resources.memory_bytes)?;
    dict.set_item("resources", resources(py, &worker.resources)?)?;
    dict.set_item("free", resources(py, &worker.free)?)?;
    dict.set_item("running", worker.running)?;
    dict.set_item("sent", worker.sent)?;
    dict.set_item("objects", worker.objects)?;
    dict.set_item("stored_bytes", worker.stored_bytes)?;
    dict.set_item("spilled_bytes", worker.spilled_bytes)?;
    dict.set_item("resident_bytes", worker.resident_bytes)?;
    dict.set_item("cpu_percent", worker.cpu_percent)?;
    dict.set_item("loop_lag", worker.loop_lag.to_std().as_secs_f64())?;
    dict.set_item("silent", worker.silent.to_std().as_secs_f64())?;
    dict.set_item("labels", labels(py, &worker.labels)?)?;
    dict.set_item("runtimes", &worker.runtimes)?;
    dict.set_item("version", &worker.version)?;
    dict.set_item("machine", &worker.machine)?;
    dict.set_item("age", worker.age.to_std().as_secs_f64())?;
    Ok(dict)
}

/// Waits until there are so many workers, at most so many seconds. Returns how many there are.
#[pyfunction]
pub(crate) fn wait_for_workers(
    py: Python<'_>,
    session: &Session,
    wanted: usize,
    timeout: Option<f64>,
) -> PyResult<usize> {
    session.client()?;
    let limit = duration(timeout)?;
    let present = match session.driver.wait(py, limit, there_are(&session.admin, wanted))? {
        Some(present) => present,
        None => session.driver.block(py, session.admin.workers())?.map(|workers| workers.len()),
    };
    present.map_err(errors::refused)
}

/// Waits for so many workers. Returns how many there are.
async fn there_are(admin: &Admin, wanted: usize) -> Result<usize, Refused> {
    loop {
        let (mut workers, mut known) = (admin.watch_workers(Span::ZERO).await?, BTreeSet::new());
        // The watch ends when the scheduler does; whether there is another is told by the next.
        while known.len() < wanted {
            let Some(WorkerChanges { changed, gone, lagged }) = workers.next().await? else {
                break;
            };
            if lagged {
                known.clear();
            }
            known.extend(changed.iter().map(|worker| worker.worker));
            for worker in &gone {
                known.remove(worker);
            }
        }
        if known.len() >= wanted {
            return Ok(known.len());
        }
    }
}

/// The last so many lines that the attempts of a task printed, or all: worker, and bytes that need not be whole lines.
#[pyfunction]
pub(crate) fn printed(
    py: Python<'_>,
    session: &Session,
    graph: u64,
    index: u32,
    lines: u32,
) -> PyResult<Vec<(String, Vec<u8>)>> {
    session.client()?;
    let task = TaskName::Id(TaskId { graph: GraphId(graph), index });
    let query = LogQuery { tail_lines: lines, ..LogQuery::default() };
    let read = session.driver.block(py, async {
        let (mut all, mut logs) = (Vec::new(), session.admin.task_logs(task, query).await?);
        while let Some(piece) = logs.next().await? {
            all.push((piece.worker, piece.text.to_vec()));
        }
        Ok(all)
    })?;
    read.map_err(errors::refused)
}

/// How an actor is.
pub(crate) fn actor<'py>(py: Python<'py>, actor: &ActorStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = place(py, &actor.place)?;
    dict.set_item("name", actor.name.as_ref().map(|name| &name.name))?;
    dict.set_item("namespace", actor.name.as_ref().map(|name| &name.namespace))?;
    dict.set_item("class", &actor.class)?;
    dict.set_item("session", actor.session.map(|session| session.0))?;
    dict.set_item("restarts", actor.restarts)?;
    dict.set_item("copies", actor.copies.clone())?;
    dict.set_item("waits_for", actor.waits_for.clone())?;
    let deaths = actor.deaths.iter().map(|death| {
        death.cause.as_ref().map(|cause| format!("{}: {}", cause.reason, cause.message))
    });
    dict.set_item("deaths", deaths.map(Option::unwrap_or_default).collect::<Vec<_>>())?;
    dict.set_item("age", actor.age.to_std().as_secs_f64())?;
    dict.set_item("resources", resources(py, &actor.resources)?)?;
    Ok(dict)
}

/// Where an actor is.
pub(crate) fn place<'py>(py: Python<'py>, place: &ActorPlace) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("actor", place.actor.0.to_be_bytes().to_vec())?;
    dict.set_item("incarnation", place.incarnation.0)?;
    dict.set_item("state", place.state.name())?;
    dict.set_item("worker", place.worker.map(|worker| worker.0))?;
    dict.set_item("machine", &place.machine)?;
    Ok(dict)
}

/// Pairs as a dictionary.
pub(crate) fn labels<'py>(
    py: Python<'py>,
    labels: &[(String, String)],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    labels.iter().try_for_each(|(name, value)| dict.set_item(name, value))?;
    Ok(dict)
}

fn resources<'py>(py: Python<'py>, resources: &Resources) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("cpus", amount(resources.cpu_units))?;
    dict.set_item("memory", resources.memory_bytes)?;
    resources.others().try_for_each(|(name, units)| dict.set_item(name, amount(units)))?;
    Ok(dict)
}
