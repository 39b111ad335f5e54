//! An attempt, as Python sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::options::{amount, span};
use crate::payload::{Arg, Call, Function};
use crate::{admin, values};

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
        match &self.call.function {
            Function::Blob(digest) => PyBytes::new(py, &digest.0).into_any(),
            Function::Name(name) => PyString::new(py, name).into_any(),
        }
    }

    fn code<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Function::Blob(digest) = &self.call.function else {
            return Err(PyLookupError::new_err("a function that is named has no pickle"));
        };
        let blob = self.given.blobs.get(*digest);
        let blob = blob.ok_or_else(|| PyLookupError::new_err("the function did not come"))?;
        values::buffer_to_python(py, &blob)
    }

    #[getter]
    fn args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, &self.call.args)
    }

    #[getter]
    fn named_args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        map(py, &self.call.named_args)
    }

    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for input in &self.call.inputs {
            list.append(values::to_python(py, input)?)?;
        }
        Ok(list)
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

    fn stop_asked(&self) -> bool {
        self.given.stop.is_asked()
    }

    fn wait_stop(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let duration: Duration = span(seconds)?.to_std();
        Ok(py.detach(|| self.given.stop.wait(duration)))
    }
}

fn arg<'py>(py: Python<'py>, arg: &Arg) -> PyResult<Bound<'py, PyAny>> {
    Ok(match arg {
        Arg::List(items) => list(py, items)?.into_any(),
        Arg::Map(items) => map(py, items)?.into_any(),
        Arg::Value(value) => values::to_python(py, value)?,
    })
}

fn list<'py>(py: Python<'py>, items: &[Arg]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    items.iter().try_for_each(|item| list.append(arg(py, item)?))?;
    Ok(list)
}

fn map<'py>(py: Python<'py>, items: &BTreeMap<String, Arg>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    items.iter().try_for_each(|(name, item)| dict.set_item(name, arg(py, item)?))?;
    Ok(dict)
}
