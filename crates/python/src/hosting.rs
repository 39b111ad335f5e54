//! Actors of an executor process: classes of Python, hosted by an object of Python's.

use std::sync::Arc;

use bireme_client::Waits;
use bireme_core::actor::call::{Callee, ReplyKind};
use bireme_core::actor::probe::Probe;
use bireme_core::{ErrorClass, TaskError, Value};
use bireme_executor::{Actor, Actors, Call, CallEnd, Creation, State, Stop};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyTuple};

use crate::executor::{failure, raised};
use crate::given::Given;
use crate::options::{amount, span};
use crate::own::{Chain, Own};
use crate::payload::{self, Arguments};
use crate::values;
use crate::waits::Running;

/// Makes actors by a function of Python's.
#[derive(Debug)]
pub(crate) struct PythonActors(pub(crate) Py<PyAny>);

/// An actor, of which an object of Python's runs the calls.
#[derive(Debug)]
struct Hosted {
    host: Py<PyAny>,
    methods: Vec<String>,
    checkpoints: bool,
    own: Option<Arc<Own>>,
    /// What its calls wait for.
    waits: Arc<Waits>,
}

impl Actors for PythonActors {
    fn create(&self, creation: &Creation) -> Result<Box<dyn Actor>, Box<TaskError>> {
        let call = payload::Call::of_actor(creation)?;
        let own = Own::of(creation);
        Python::attach(|py| {
            // A constructor runs again wherever the log is played from its beginning. What restores a state runs at other
            // times than before, so that its calls would take numbers that are others'.
            let numbered = own.as_ref().filter(|_| creation.restored.is_none());
            let chain = Chain::of_lane(0, numbered);
            let given = Given::call(py, &creation.spec.class_name, call, &creation.blobs);
            let said = given.and_then(|given| {
                let making = Making { creation: creation.clone(), given, chain };
                self.0.bind(py).call1((making,))
            });
            if let Some(own) = &own {
                own.settle(py, 0);
            }
            let host =
                said.and_then(|said| answer(&said)).map_err(|error| raised(py, &error))??;
            let hosted = Hosted::new(&host, own).map_err(|error| raised(py, &error))?;
            Ok(Box::new(hosted) as Box<dyn Actor>)
        })
    }
}

impl Hosted {
    fn new(host: &Bound<'_, PyAny>, own: Option<Arc<Own>>) -> PyResult<Self> {
        Ok(Self {
            own,
            waits: Arc::default(),
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
        let _running = Running::new(&self.waits, call.number);
        Python::attach(|py| {
            let chain = Chain::of_call(call, self.own.as_ref());
            let hosted = HostedCall::new(py, call, arguments, chain);
            let said = hosted.and_then(|call| self.host.bind(py).call_method1("call", (call,)));
            let end = said.and_then(|said| end(&said, call));
            if let Some(own) = &self.own {
                own.settle(py, call.lane);
            }
            end.unwrap_or_else(|error| CallEnd::Failed(raised(py, &error)))
        })
    }

    fn checkpoint(&self) -> Result<State, Box<TaskError>> {
        Python::attach(|py| {
            let said = self.host.bind(py).call_method0("checkpoint");
            let state =
                said.and_then(|said| answer(&said)).map_err(|error| raised(py, &error))??;
            let value = value(&state).map_err(|error| raised(py, &error))?;
            let callees = self.own.as_ref().map(|own| own.callees()).unwrap_or_default();
            Ok(State { value, callees })
        })
    }

    fn kept(&self, callees: &[Callee]) {
        if let Some(own) = &self.own {
            own.kept(callees);
        }
    }

    fn wants_checkpoint(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.wants_checkpoint())
    }

    fn probe(&self, call: u64, probe: Probe) {
        self.waits.probe(call, probe);
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
    creation: Creation,
    given: Py<Given>,
    chain: Chain,
}

#[pymethods]
impl Making {
    /// Name of its class.
    #[getter]
    fn key(&self) -> &str {
        &self.creation.spec.class_name
    }

    /// Sixteen bytes.
    #[getter]
    fn actor(&self) -> [u8; 16] {
        self.creation.actor.0.to_be_bytes()
    }

    #[getter]
    fn incarnation(&self) -> u32 {
        self.creation.incarnation.0
    }

    #[getter]
    fn name(&self) -> Option<String> {
        self.creation.spec.name.as_ref().map(ToString::to_string)
    }

    #[getter]
    fn cpus(&self) -> f64 {
        amount(self.creation.held.cpu_units)
    }

    #[getter]
    fn given(&self, py: Python<'_>) -> Py<Given> {
        self.given.clone_ref(py)
    }

    /// What it left: codec and buffers.
    #[getter]
    fn restored<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let restored = self.creation.restored.as_ref();
        restored.map(|state| values::to_python(py, &state.value)).transpose()
    }

    #[getter]
    fn chain(&self) -> Chain {
        self.chain.clone()
    }

    /// Address and token.
    #[getter]
    fn services(&self) -> Option<(&str, &str)> {
        let services = self.creation.services.as_ref()?;
        Some((&services.address, &services.token))
    }
}

/// A call that runs.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct HostedCall {
    method: String,
    given: Py<Given>,
    reply: ReplyKind,
    replay: bool,
    deadline: Option<bireme_core::Span>,
    chain: Chain,
    stop: Arc<Stop>,
}

impl HostedCall {
    fn new(py: Python<'_>, call: &Call, arguments: Arguments, chain: Chain) -> PyResult<Self> {
        Ok(Self {
            method: call.method.clone(),
            given: Given::method(py, &call.method, arguments)?,
            reply: call.reply,
            replay: call.replay,
            deadline: call.deadline,
            chain,
            stop: Arc::clone(&call.stop),
        })
    }
}

#[pymethods]
impl HostedCall {
    #[getter]
    fn method(&self) -> &str {
        &self.method
    }

    #[getter]
    fn given(&self, py: Python<'_>) -> Py<Given> {
        self.given.clone_ref(py)
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
