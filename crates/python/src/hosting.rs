//! Actors of an executor process: classes of Python, hosted by an object of Python's.

use std::sync::Arc;

use bireme_core::actor::call::{CallId, ReplyKind};
use bireme_core::{ErrorClass, TaskError, Value};
use bireme_executor::{Actor, Actors, Call, CallEnd, Creation, State, Stop};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};

use crate::attempt::{code, function, inputs, list, map};
use crate::executor::{failure, raised};
use crate::options::{amount, span};
use crate::payload::{self, Arguments};
use crate::values;

/// Makes actors by a function of Python's.
#[derive(Debug)]
pub(crate) struct PythonActors(pub(crate) Py<PyAny>);

/// An actor, of which an object of Python's runs the calls.
#[derive(Debug)]
struct Hosted {
    host: Py<PyAny>,
    methods: Vec<String>,
    checkpoints: bool,
}

impl Actors for PythonActors {
    fn create(&self, creation: &Creation) -> Result<Box<dyn Actor>, Box<TaskError>> {
        let call = payload::Call::of_actor(creation)?;
        Python::attach(|py| {
            let given = Bound::new(py, Making { given: creation.clone(), call });
            let said = given.and_then(|given| self.0.bind(py).call1((given,)));
            let host =
                said.and_then(|said| answer(&said)).map_err(|error| raised(py, &error))??;
            let hosted = Hosted::new(&host).map_err(|error| raised(py, &error))?;
            Ok(Box::new(hosted) as Box<dyn Actor>)
        })
    }
}

impl Hosted {
    fn new(host: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            methods: host.getattr("methods")?.extract()?,
            checkpoints: host.getattr("checkpoints")?.extract()?,
            host: host.clone().unbind(),
        })
    }
}

impl Actor for Hosted {
    fn methods(&self) -> Vec<String> {
        self.methods.clone()
    }

    fn checkpoints(&self) -> bool {
        self.checkpoints
    }

    fn call(&self, call: &Call) -> CallEnd {
        let arguments = match Arguments::of(call) {
            Ok(arguments) => arguments,
            Err(error) => {
                return CallEnd::Failed(Box::new(TaskError {
                    class: ErrorClass::Deserialize,
                    ..*error
                }));
            }
        };
        Python::attach(|py| {
            let given = Bound::new(py, HostedCall::new(call, arguments));
            let said = given.and_then(|given| self.host.bind(py).call_method1("call", (given,)));
            let end = said.and_then(|said| end(&said, call));
            end.unwrap_or_else(|error| CallEnd::Failed(raised(py, &error)))
        })
    }

    fn checkpoint(&self) -> Result<State, Box<TaskError>> {
        Python::attach(|py| {
            let said = self.host.bind(py).call_method0("checkpoint");
            let state =
                said.and_then(|said| answer(&said)).map_err(|error| raised(py, &error))??;
            let value = value(&state).map_err(|error| raised(py, &error))?;
            Ok(State { value, callees: Vec::new() })
        })
    }

    fn end(&self) {
        Python::attach(|py| {
            if let Err(error) = self.host.bind(py).call_method0("end") {
                error.print(py);
            }
        });
    }
}

/// What Python said: `("ok", result)` or `("error", dict)`.
fn answer<'py>(said: &Bound<'py, PyAny>) -> PyResult<Result<Bound<'py, PyAny>, Box<TaskError>>> {
    let said = said.cast::<PyTuple>()?;
    let (tag, what): (String, Bound<'py, PyAny>) = said.extract()?;
    match tag.as_str() {
        "ok" => Ok(Ok(what)),
        "error" => Ok(Err(failure(what.cast::<PyDict>()?)?)),
        _ => Err(unknown(&tag)),
    }
}

/// How a call ended: `("ok", value)`, `("exit", value)`, `("stream", values)`, `("error", dict)` or `("no_such_method", None)`.
fn end(said: &Bound<'_, PyAny>, call: &Call) -> PyResult<CallEnd> {
    let (tag, what): (String, Bound<'_, PyAny>) = said.cast::<PyTuple>()?.extract()?;
    Ok(match tag.as_str() {
        "ok" => CallEnd::Returned(value(&what)?),
        "exit" => CallEnd::Exit(value(&what)?),
        "stream" => stream(&what.try_iter()?, call)?,
        "error" => CallEnd::Failed(failure(what.cast::<PyDict>()?)?),
        "no_such_method" => CallEnd::NoSuchMethod,
        _ => return Err(unknown(&tag)),
    })
}

/// Sends items as they come; the last thing may be how it failed.
fn stream(items: &Bound<'_, PyIterator>, call: &Call) -> PyResult<CallEnd> {
    for item in items {
        let item = match answer(&item?)? {
            Ok(item) => value(&item)?,
            Err(error) => return Ok(CallEnd::Failed(error)),
        };
        if let Err(error) = items.py().detach(|| call.items.send(item)) {
            return Ok(CallEnd::Failed(error));
        }
    }
    Ok(CallEnd::Returned(Value::none()))
}

/// Codec, buffers, and the name of the type for people.
fn value(said: &Bound<'_, PyAny>) -> PyResult<Value> {
    let (codec, buffers, hint): (i32, Bound<'_, PyAny>, String) = said.extract()?;
    values::from_objects(codec, &buffers, hint)
}

fn unknown(tag: &str) -> PyErr {
    PyTypeError::new_err(format!("the host of the actor returned {tag:?}"))
}

/// What an actor is made from.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Making {
    given: Creation,
    call: payload::Call,
}

#[pymethods]
impl Making {
    #[getter]
    fn key(&self) -> &str {
        &self.given.spec.class_name
    }

    /// Sixteen bytes.
    #[getter]
    fn actor(&self) -> [u8; 16] {
        self.given.actor.0.to_be_bytes()
    }

    #[getter]
    fn incarnation(&self) -> u32 {
        self.given.incarnation.0
    }

    #[getter]
    fn name(&self) -> Option<String> {
        self.given.spec.name.as_ref().map(ToString::to_string)
    }

    #[getter]
    fn cpus(&self) -> f64 {
        amount(self.given.held.cpu_units)
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

    /// What it left: codec and buffers.
    #[getter]
    fn restored<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let restored = self.given.restored.as_ref();
        restored.map(|state| values::to_python(py, &state.value)).transpose()
    }

    /// Address and token.
    #[getter]
    fn services(&self) -> Option<(&str, &str)> {
        let services = self.given.services.as_ref()?;
        Some((&services.address, &services.token))
    }
}

/// The calls that wait for one that is made now.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Clone, Debug)]
pub(crate) struct Chain(pub(crate) Vec<CallId>);

/// A call that runs.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct HostedCall {
    method: String,
    arguments: Arguments,
    reply: ReplyKind,
    replay: bool,
    deadline: Option<bireme_core::Span>,
    chain: Chain,
    stop: Arc<Stop>,
}

impl HostedCall {
    fn new(call: &Call, arguments: Arguments) -> Self {
        Self {
            method: call.method.clone(),
            arguments,
            reply: call.reply,
            replay: call.replay,
            deadline: call.deadline,
            chain: Chain(call.chain.iter().copied().chain(call.id).collect()),
            stop: Arc::clone(&call.stop),
        }
    }
}

#[pymethods]
impl HostedCall {
    #[getter]
    fn method(&self) -> &str {
        &self.method
    }

    /// Its name in errors.
    #[getter]
    fn key(&self) -> &str {
        &self.method
    }

    #[getter]
    fn args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        list(py, &self.arguments.args)
    }

    #[getter]
    fn named_args<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        map(py, &self.arguments.named_args)
    }

    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        inputs(py, &self.arguments)
    }

    #[getter]
    fn streams(&self) -> bool {
        self.reply == ReplyKind::Stream
    }

    #[getter]
    fn replay(&self) -> bool {
        self.replay
    }

    #[getter]
    fn deadline(&self) -> Option<f64> {
        self.deadline.map(|deadline| deadline.to_std().as_secs_f64())
    }

    #[getter]
    fn chain(&self) -> Chain {
        self.chain.clone()
    }

    fn stop_asked(&self) -> bool {
        self.stop.is_asked()
    }

    fn wait_stop(&self, py: Python<'_>, seconds: f64) -> PyResult<bool> {
        let duration = span(seconds)?.to_std();
        Ok(py.detach(|| self.stop.wait(duration)))
    }
}
