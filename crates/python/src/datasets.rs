//! Datasets: graphs that outlive the session that submitted them, and values of theirs for other sessions.

use std::sync::Weak;

use bireme_client::{Found, Location, ResultError, TaskName};
use bireme_core::graph::TaskState;
use bireme_core::id::{GraphId, TaskId};
use bireme_core::{ObjectId, limits};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;

use crate::errors;
use crate::session::Session;
use crate::submit::Making;
use crate::values::{Object, Owned};

/// Submits tasks as a graph of their own that outlives the session, and waits for their ends. Returns its number.
#[pyfunction]
pub(crate) fn submit_detached(
    py: Python<'_>,
    session: &Session,
    tasks: &Bound<'_, PyAny>,
    name: String,
) -> PyResult<u64> {
    let client = session.client()?;
    let options = session.known_options();
    let mut making = Making::new(session, &options, name, None);
    for task in tasks.try_iter()? {
        making.add(&task?)?;
    }
    // What it needs is held until all of it has ended.
    let Making { mut graph, needs: _needs, .. } = making;
    graph.detach();
    let graph = session.driver.block(py, client.submit(graph))?.map_err(errors::lost)?;
    let id = graph.id();
    let ended = match session.driver.block(py, graph.wait()) {
        Ok(ended) => ended,
        Err(interrupt) => {
            // Whoever asked for it does not hear that it is there, and so it must not be.
            let _ = session.driver.block(py, graph.forget());
            return Err(interrupt);
        }
    };
    let failure = match ended {
        Ok(_) => match (0..graph.tasks()).find_map(|index| graph.error(index)) {
            Some(failure) => failure,
            None => return Ok(id.0),
        },
        Err(error) => ResultError::from(error),
    };
    // Without an answer it is there, failed, for whoever lists it.
    let _ = session.driver.block(py, graph.forget())?;
    Err(errors::failed(py, &failure))
}

/// The graphs whose names begin so and all of whose tasks have finished, the latest first: name, number, tasks.
#[pyfunction]
pub(crate) fn finished_graphs(
    py: Python<'_>,
    session: &Session,
    prefix: &str,
) -> PyResult<Vec<(String, u64, u32)>> {
    session.client()?;
    let graphs = session.driver.block(py, session.admin.graphs())?.map_err(errors::refused)?;
    let ours = graphs.into_iter().filter(|graph| graph.name.starts_with(prefix));
    let whole = ours.filter(|graph| graph.done && graph.counts.of(TaskState::Failed) == 0);
    Ok(whole.map(|graph| (graph.name, graph.graph.0, graph.counts.total())).collect())
}

/// Drops a graph, whosever it is.
#[pyfunction]
pub(crate) fn forget_graph(py: Python<'_>, session: &Session, graph: u64) -> PyResult<()> {
    session.client()?;
    let forgotten = session.driver.block(py, session.admin.forget_graph(GraphId(graph)))?;
    forgotten.map(|_| ()).map_err(errors::refused)
}

/// What a finished task of any session has made.
#[pyfunction]
pub(crate) fn output_of(
    py: Python<'_>,
    session: &Session,
    graph: u64,
    index: u32,
) -> PyResult<Object> {
    let client = session.client()?;
    let task = TaskId { graph: GraphId(graph), index };
    let found = session.admin.result(TaskName::Id(task), 0, limits::MAX_WAIT);
    let found = session.driver.block(py, found)?.map_err(errors::refused)?;
    let object = ObjectId::output(task, 0);
    let location = match found {
        Found::Placed(location) => location,
        Found::Value(value) => Location { object, size: value.size, holders: Vec::new() },
        Found::Failed(..) | Found::Pending(_) => {
            return Err(PyKeyError::new_err(format!("task {task} has made nothing")));
        }
    };
    // It is not this session's to release.
    Ok(Object { object: Owned::new(client.located(&location), Weak::new()) })
}
