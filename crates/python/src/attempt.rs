//! An attempt, as Python sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use bireme_core::AttemptId;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::given::Given;
use crate::options::{amount, span};
use crate::payload::Call;
use crate::{admin, errors};

/// One execution of a task.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Attempt {
    attempt: bireme_executor::Attempt,
    given: Py<Given>,
}

impl Attempt {
    pub(crate) fn new(
        py: Python<'_>,
        attempt: &bireme_executor::Attempt,
        call: Call,
    ) -> PyResult<Self> {
        let given = Given::call(py, &attempt.key, call, &attempt.blobs)?;
        Ok(Self { attempt: attempt.clone(), given })
    }

    pub(crate) fn id_in_full(&self) -> AttemptId {
        self.attempt.id
    }
}

#[pymethods]
impl Attempt {
    #[getter]
    fn id(&self) -> String {
        self.attempt.id.to_string()
    }

    #[getter]
    fn graph(&self) -> u64 {
        self.attempt.id.task.graph.0
    }

    #[getter]
    fn index(&self) -> u32 {
        self.attempt.id.task.index
    }

    #[getter]
    fn key(&self) -> &str {
        &self.attempt.key
    }

    #[getter]
    fn given(&self, py: Python<'_>) -> Py<Given> {
        self.given.clone_ref(py)
    }

    #[getter]
    fn has_surroundings(&self) -> bool {
        !self.attempt.environment.is_empty() || self.attempt.directory.is_some()
    }

    #[getter]
    fn outputs(&self) -> u16 {
        self.attempt.outputs
    }

    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        admin::labels(py, &self.attempt.labels)
    }

    #[getter]
    fn environment<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        admin::labels(py, &self.attempt.environment)
    }

    #[getter]
    fn directory(&self) -> Option<&std::path::Path> {
        self.attempt.directory.as_deref()
    }

    #[getter]
    fn cpus(&self) -> f64 {
        amount(self.attempt.held.cpu_units)
    }

    #[getter]
    fn memory(&self) -> u64 {
        self.attempt.held.memory_bytes
    }

    #[getter]
    fn resources(&self) -> BTreeMap<String, f64> {
        let others = self.attempt.held.others.iter();
        others.map(|held| (held.name.clone(), amount(held.units))).collect()
    }

    #[getter]
    fn deadline(&self) -> Option<f64> {
        self.attempt.deadline.map(|deadline| deadline.to_std().as_secs_f64())
    }

    /// Address and token.
    #[getter]
    fn services(&self) -> Option<(&str, &str)> {
        let services = self.attempt.services.as_ref()?;
        Some((&services.address, &services.token))
    }

    fn secede(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.attempt.cpus.secede()).map_err(|error| errors::ended(py, &error))
    }

    fn rejoin(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.attempt.cpus.rejoin()).map_err(|error| errors::ended(py, &error))
    }

    fn stop_asked(&self) -> bool {
        self.attempt.stop.is_asked()
    }

    fn wait_stop(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let duration: Duration = span(seconds)?.to_std();
        Ok(py.detach(|| self.attempt.stop.wait(duration)))
    }
}
