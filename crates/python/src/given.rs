//! What an attempt, an actor or a call was given: a function and what it is called with, as Python reads them.

use std::collections::BTreeMap;

use bireme_executor::Blobs;
use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::payload::{Arg, Arguments, Call, Function};
use crate::values;

/// Read in parts, each when it is asked for.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Given {
    key: String,
    /// `None` where a method of an actor is called.
    function: Option<(Function, Blobs)>,
    arguments: Arguments,
}

impl Given {
    /// What an attempt is to call, or an actor is made from. Errors call it by its key.
    pub(crate) fn call(py: Python<'_>, key: &str, call: Call, blobs: &Blobs) -> PyResult<Py<Self>> {
        let Call { function, arguments } = call;
        let function = Some((function, blobs.clone()));
        Py::new(py, Self { key: key.to_owned(), function, arguments })
    }

    /// With what a method is called.
    pub(crate) fn method(py: Python<'_>, name: &str, arguments: Arguments) -> PyResult<Py<Self>> {
        Py::new(py, Self { key: name.to_owned(), function: None, arguments })
    }
}

#[pymethods]
impl Given {
    #[getter]
    fn key(&self) -> &str {
        &self.key
    }

    /// A digest, or a name.
    #[getter]
    fn function<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        Some(match &self.function.as_ref()?.0 {
            Function::Blob(digest) => PyBytes::new(py, &digest.0).into_any(),
            Function::Name(name) => PyString::new(py, name).into_any(),
        })
    }

    /// The pickle that a digest is of.
    fn code<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some((Function::Blob(digest), blobs)) = &self.function else {
            return Err(PyLookupError::new_err("a function that is named has no pickle"));
        };
        let blob = blobs.get(*digest);
        let blob = blob.ok_or_else(|| PyLookupError::new_err("the function did not come"))?;
        values::buffer_to_python(py, &blob)
    }

    #[getter]
    fn pickle<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        Some(PyBytes::new(py, self.arguments.pickle()?))
    }

    #[getter]
    fn args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, &self.arguments.args)
    }

    #[getter]
    fn named_args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        map(py, &self.arguments.named_args)
    }

    /// The values that a pickle of arguments numbers.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for input in &self.arguments.inputs {
            list.append(values::to_python(py, input)?)?;
        }
        Ok(list)
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
