//! An attempt, as Python sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use bireme_core::AttemptId;
use bireme_executor::Blobs;
use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::options::{amount, span};
use crate::payload::{Arg, Arguments, Call, Function};
use crate::{admin, errors, values};

/// One execution of a task.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Attempt {
    given: bireme_executor::Attempt,
    call: Call,
}

impl Attempt {
    pub(crate) fn new(given: bireme_executor::Attempt, call: Call) -> Self {
        Self { given, call }
    }

    pub(crate) fn id_in_full(&self) -> AttemptId {
        self.given.id
    }
}

#[pymethods]
impl Attempt {
    #[getter]
    fn id(&self) -> String {
        self.given.id.to_string()
    }

    #[getter]
    fn graph(&self) -> u64 {
        self.given.id.task.graph.0
    }

    #[getter]
    fn index(&self) -> u32 {
        self.given.id.task.index
    }

    #[getter]
    fn key(&self) -> &str {
        &self.given.key
    }

    #[getter]
    fn function<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        function(py, &self.call.function)
    }

    fn code<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        code(py, &self.call.function, &self.given.blobs)
    }

    #[getter]
    fn args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, &self.call.arguments.args)
    }

    #[getter]
    fn named_args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        map(py, &self.call.arguments.named_args)
    }

    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        inputs(py, &self.call.arguments)
    }

    #[getter]
    fn outputs(&self) -> u16 {
        self.given.outputs
    }

    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        admin::labels(py, &self.given.labels)
    }

    #[getter]
    fn environment<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        admin::labels(py, &self.given.environment)
    }

    #[getter]
    fn directory(&self) -> Option<&std::path::Path> {
        self.given.directory.as_deref()
    }

    #[getter]
    fn cpus(&self) -> f64 {
        amount(self.given.held.cpu_units)
    }

    #[getter]
    fn memory(&self) -> u64 {
        self.given.held.memory_bytes
    }

    #[getter]
    fn resources(&self) -> BTreeMap<String, f64> {
        let others = self.given.held.others.iter();
        others.map(|held| (held.name.clone(), amount(held.units))).collect()
    }

    #[getter]
    fn deadline(&self) -> Option<f64> {
        self.given.deadline.map(|deadline| deadline.to_std().as_secs_f64())
    }

    /// Address and token.
    #[getter]
    fn services(&self) -> Option<(&str, &str)> {
        let services = self.given.services.as_ref()?;
        Some((&services.address, &services.token))
    }

    fn secede(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.given.cpus.secede()).map_err(|error| errors::ended(py, &error))
    }

    fn rejoin(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.given.cpus.rejoin()).map_err(|error| errors::ended(py, &error))
    }

    fn stop_asked(&self) -> bool {
        self.given.stop.is_asked()
    }

    fn wait_stop(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let duration: Duration = span(seconds)?.to_std();
        Ok(py.detach(|| self.given.stop.wait(duration)))
    }
}

/// A digest, or a name.
pub(crate) fn function<'py>(py: Python<'py>, function: &Function) -> Bound<'py, PyAny> {
    match function {
        Function::Blob(digest) => PyBytes::new(py, &digest.0).into_any(),
        Function::Name(name) => PyString::new(py, name).into_any(),
    }
}

/// The pickle that a digest is of.
pub(crate) fn code<'py>(
    py: Python<'py>,
    function: &Function,
    blobs: &Blobs,
) -> PyResult<Bound<'py, PyAny>> {
    let Function::Blob(digest) = function else {
        return Err(PyLookupError::new_err("a function that is named has no pickle"));
    };
    let blob = blobs.get(*digest);
    let blob = blob.ok_or_else(|| PyLookupError::new_err("the function did not come"))?;
    values::buffer_to_python(py, &blob)
}

/// The values that a pickle of arguments numbers.
pub(crate) fn inputs<'py>(py: Python<'py>, arguments: &Arguments) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for input in &arguments.inputs {
        list.append(values::to_python(py, input)?)?;
    }
    Ok(list)
}

fn arg<'py>(py: Python<'py>, arg: &Arg) -> PyResult<Bound<'py, PyAny>> {
    Ok(match arg {
        Arg::List(items) => list(py, items)?.into_any(),
        Arg::Map(items) => map(py, items)?.into_any(),
        Arg::Value(value) => values::to_python(py, value)?,
    })
}

/// Arguments by position.
pub(crate) fn list<'py>(py: Python<'py>, items: &[Arg]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    items.iter().try_for_each(|item| list.append(arg(py, item)?))?;
    Ok(list)
}

/// Arguments by name.
pub(crate) fn map<'py>(
    py: Python<'py>,
    items: &BTreeMap<String, Arg>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    items.iter().try_for_each(|(name, item)| dict.set_item(name, arg(py, item)?))?;
    Ok(dict)
}
