//! An executor process: attempts are run by a function of Python's, and actors made by another.

use std::sync::Arc;

use bireme_core::{Codec, ErrorClass, TaskError, Value};
use bireme_executor::{Actors, Attempt, Description, Launch, Outcome, Runtime};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::hosting::PythonActors;
use crate::payload::Call;
use crate::{attempt, errors, values};

/// The language of tracebacks, and the name of the runtime.
const PYTHON: &str = "python";

/// What this package's executor decodes.
const DECODED: [Codec; 8] = [
    Codec::Raw,
    Codec::Utf8,
    Codec::Json,
    Codec::Msgpack,
    Codec::ArrowIpc,
    Codec::Npy,
    Codec::Pickle5,
    Codec::None,
];

/// Runs the attempts that a worker gives, until it says to leave.
#[pyfunction]
#[pyo3(signature = (handler, *, slots=1, actors=None))]
pub(crate) fn serve(
    py: Python<'_>,
    handler: Py<PyAny>,
    slots: u32,
    actors: Option<Py<PyAny>>,
) -> PyResult<()> {
    let launch = Launch::from_env().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let launch = launch.ok_or_else(|| {
        PyRuntimeError::new_err(
            "no worker started this process; name it to one: bireme-worker --runtime 'python=python -m bireme.executor'",
        )
    })?;
    let version = Python::version_str().split_whitespace().next().unwrap_or_default().to_owned();
    let actors = actors.map(|maker| Arc::new(PythonActors(maker)) as Arc<dyn Actors>);
    let python = Python3 { handler, version, slots, actors };
    py.detach(|| bireme_executor::serve(launch, &python))
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// This interpreter.
struct Python3 {
    handler: Py<PyAny>,
    version: String,
    slots: u32,
    actors: Option<Arc<dyn Actors>>,
}

impl Runtime for Python3 {
    fn describe(&self) -> Description {
        Description {
            runtime: PYTHON.to_owned(),
            version: self.version.clone(),
            language: PYTHON.to_owned(),
            slots: self.slots,
            codecs: DECODED.to_vec(),
            functions: Vec::new(),
        }
    }

    fn actors(&self) -> Option<Arc<dyn Actors>> {
        self.actors.clone()
    }

    fn run(&self, attempt: &Attempt) -> Outcome {
        let call = Call::of(attempt)?;
        Python::attach(|py| {
            // A signal for an attempt that has ended is none for this one.
            drop(py.check_signals());
            let attempt = attempt::Attempt::new(py, attempt, call);
            let said = attempt.and_then(|attempt| self.handler.bind(py).call1((attempt,)));
            match said.and_then(|said| outcome(&said)) {
                Ok(outcome) => outcome,
                Err(error) => Err(raised(py, &error)),
            }
        })
    }
}

/// What the handler returned: `("ok", codec, buffers, type_hint)`, `("outputs", [the same, ...])` or `("error", dict)`.
fn outcome(said: &Bound<'_, PyAny>) -> PyResult<Outcome> {
    let said = said.cast::<PyTuple>()?;
    let tag: String = said.get_item(0)?.extract()?;
    match tag.as_str() {
        "ok" => Ok(Ok(vec![output(said)?])),
        "outputs" => {
            let outputs = said.get_item(1)?.try_iter()?;
            let outputs = outputs.map(|said| output(said?.cast::<PyTuple>()?));
            Ok(Ok(outputs.collect::<PyResult<_>>()?))
        }
        "error" => Ok(Err(failure(said.get_item(1)?.cast::<PyDict>()?)?)),
        _ => Err(PyTypeError::new_err(format!("the handler returned {tag:?}"))),
    }
}

/// One output.
fn output(said: &Bound<'_, PyTuple>) -> PyResult<Value> {
    let (codec, hint) = (said.get_item(1)?.extract()?, said.get_item(3)?.extract()?);
    values::from_objects(codec, &said.get_item(2)?, hint)
}

/// An error as Python describes it.
pub(crate) fn failure(said: &Bound<'_, PyDict>) -> PyResult<Box<TaskError>> {
    let text = |name: &str| -> PyResult<String> {
        said.get_item(name)?.map_or_else(|| Ok(String::new()), |text| text.extract())
    };
    let kind = text("kind")?;
    let class = errors::class(&kind)
        .ok_or_else(|| PyTypeError::new_err(format!("the handler failed with kind {kind:?}")))?;
    let mut error = TaskError::new(class, text("reason")?, text("message")?);
    error.traceback = text("traceback")?;
    PYTHON.clone_into(&mut error.language);
    error.opaque = said.get_item("opaque")?.filter(|it| !it.is_none()).map(opaque).transpose()?;
    Ok(Box::new(error))
}

fn opaque(said: Bound<'_, PyAny>) -> PyResult<Value> {
    let (codec, buffers): (i32, Bound<'_, PyAny>) = said.extract()?;
    values::from_objects(codec, &buffers, String::new())
}

/// The handler is not meant to raise: what it does, it says.
pub(crate) fn raised(py: Python<'_>, error: &PyErr) -> Box<TaskError> {
    let name = error.get_type(py).to_string();
    let mut failure = TaskError::new(ErrorClass::User, name, error.to_string());
    PYTHON.clone_into(&mut failure.language);
    let traceback = error.traceback(py).and_then(|traceback| traceback.format().ok());
    failure.traceback = traceback.unwrap_or_default();
    Box::new(failure)
}
