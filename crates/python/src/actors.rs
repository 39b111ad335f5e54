//! Actors of a session: made, found, called, ended.

use std::sync::{Arc, Mutex, Weak};

use bireme_client::{Actor, Args, Call, Items, Kill, Method};
use bireme_core::actor::{ActorName, Delivery, Selector};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, WorkerId};
use bireme_core::{Span, Value};
use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use tokio::sync::oneshot;

use crate::actor_spec::Spec;
use crate::options::span;
use crate::own::Chain;
use crate::pending::{Awaited, CallEnds, Got, Inputs, Later, Pending, Slot, Why};
use crate::session::{Session, duration, late};
use crate::thread::Driver;
use crate::written::Written;
use crate::{admin, errors, values};

/// A handle of an actor.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct ActorHandle {
    actor: Actor,
    ends: Arc<CallEnds>,
    driver: Weak<Driver>,
    process: u32,
}

/// Items of a call that streams.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Stream {
    items: Arc<tokio::sync::Mutex<Items>>,
    driver: Weak<Driver>,
}

/// Makes an actor of what `spec` says.
#[pyfunction]
#[pyo3(signature = (session, spec, args, inputs))]
pub(crate) fn create_actor(
    session: &Session,
    spec: Spec,
    args: &Bound<'_, PyAny>,
    inputs: Option<&Bound<'_, PyAny>>,
) -> PyResult<Pending> {
    let (client, driver) = (session.client()?.clone(), Arc::clone(&session.driver));
    let builder = spec.builder(&client)?;
    let slot = Slot::new(&session.calls, &driver);
    let (arguments, later) = arguments(args, inputs)?;
    let making = Arc::clone(&slot);
    driver.spawn(async move {
        let made = match arguments.await {
            Ok(args) => builder.args(args).create().await.map(Got::Actor).map_err(Why::Create),
            Err(failure) => Err(Why::Call(bireme_client::CallError::Failed(failure))),
        };
        making.end(made);
    });
    Ok(Pending { slot, cancels: None, later: Mutex::new(later), process: session.process })
}

/// A handle of the actor that has a name.
#[pyfunction]
#[pyo3(signature = (session, name, namespace=String::new()))]
pub(crate) fn find_actor(
    py: Python<'_>,
    session: &Session,
    name: String,
    namespace: String,
) -> PyResult<ActorHandle> {
    let client = session.client()?;
    let found = session.driver.block(py, client.find_actor(ActorName { namespace, name }))?;
    let actor = found.map_err(errors::refused)?;
    Ok(ActorHandle::new(actor, &session.calls, &session.driver))
}

/// A handle of an actor, by its id.
#[pyfunction]
pub(crate) fn actor_of(session: &Session, id: [u8; 16]) -> PyResult<ActorHandle> {
    // Its conversation is kept on the session's thread.
    let _entered = session.driver.enter();
    let actor = session.client()?.actor_of(ActorId(u128::from_be_bytes(id)));
    Ok(ActorHandle::new(actor, &session.calls, &session.driver))
}

/// What the scheduler knows of all actors.
#[pyfunction]
pub(crate) fn list_actors<'py>(
    py: Python<'py>,
    session: &Session,
    filter: &str,
) -> PyResult<Bound<'py, PyList>> {
    session.client()?;
    let found = session.driver.block(py, session.admin.actors(filter))?;
    let list = PyList::empty(py);
    for actor in found.map_err(errors::refused)? {
        list.append(admin::actor(py, &actor)?)?;
    }
    Ok(list)
}

/// Waits until calls end that are watched, and returns their numbers.
#[pyfunction]
#[pyo3(signature = (session, timeout=None))]
pub(crate) fn call_ends(
    py: Python<'_>,
    session: &Session,
    timeout: Option<f64>,
) -> PyResult<Vec<u64>> {
    let client = session.client()?.clone();
    let ended = async {
        tokio::select! {
            ended = session.calls.next() => Ok(ended),
            lost = client.until_lost() => Err(lost),
        }
    };
    let ended = session.driver.wait(py, duration(timeout)?, ended)?;
    ended.transpose().map(Option::unwrap_or_default).map_err(errors::lost)
}

impl ActorHandle {
    pub(crate) fn new(actor: Actor, ends: &Arc<CallEnds>, driver: &Arc<Driver>) -> Self {
        Self {
            actor,
            ends: Arc::clone(ends),
            driver: Arc::downgrade(driver),
            process: std::process::id(),
        }
    }

    /// As an argument that other languages read.
    pub(crate) fn value(&self) -> Value {
        Value::from(&self.actor)
    }

    fn driver(&self) -> PyResult<Arc<Driver>> {
        if std::process::id() != self.process {
            return Err(errors::used_after_fork());
        }
        let gone = || PyRuntimeError::new_err("the client of this actor is closed");
        self.driver.upgrade().ok_or_else(gone)
    }

    fn method(&self, driver: &Arc<Driver>, method: String, how: Option<How>) -> PyResult<Method> {
        let Some(how) = how else { return Ok(self.actor.method(method)) };
        let mut method = match &how.chain {
            Some(chain) => chain.get().bind(&self.actor, driver)?.method(method),
            None => self.actor.method(method),
        };
        if let Some(deadline) = how.deadline {
            method = method.deadline(span(deadline)?);
        }
        if let Some(delivery) = &how.delivery {
            method = method.delivery(delivery_of(delivery)?);
        }
        if let Some(lane) = how.lane {
            method = method.lane(lane);
        }
        if how.unordered {
            method = method.unordered();
        }
        Ok(match how.reply.as_str() {
            "store" => method.store(),
            "none" => method.discard(),
            _ => method,
        })
    }

    /// Waits until there is room for a call; as a rule there is.
    fn make_room(&self, py: Python<'_>, driver: &Driver) -> PyResult<()> {
        match driver.now(self.actor.room()) {
            Some(()) => Ok(()),
            None => driver.block(py, self.actor.room()),
        }
    }

    fn pending(&self, driver: &Arc<Driver>, call: Call, later: Option<Awaited>) -> Pending {
        let (slot, cancels) = (Slot::new(&self.ends, driver), Some(call.canceller()));
        let ending = Arc::clone(&slot);
        driver.spawn(async move { ending.made(call.made().await) });
        Pending { slot, cancels, later: Mutex::new(later), process: self.process }
    }
}

/// How a call is made.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct How {
    deadline: Option<f64>,
    delivery: Option<String>,
    lane: Option<u32>,
    unordered: bool,
    chain: Option<Py<Chain>>,
    reply: String,
}

#[pymethods]
impl ActorHandle {
    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.actor.id().0.to_be_bytes())
    }

    /// The name of what hosts it, such as `python` or `native`; `None` where that is not known.
    #[getter]
    fn runtime(&self) -> Option<&str> {
        self.actor.runtime().map(Runtime::name)
    }

    /// The actor is given handles of others: these are wanted for as long as it is.
    fn keep(&self, handles: Vec<PyRef<'_, Self>>) {
        let handles: Vec<ActorId> = handles.iter().map(|handle| handle.actor.id()).collect();
        self.actor.keep(&handles);
    }

    /// Makes a call. Its inputs are given later where they are `None`.
    #[pyo3(signature = (method, args, inputs, how=None))]
    fn call(
        &self,
        py: Python<'_>,
        method: String,
        args: &Bound<'_, PyAny>,
        inputs: Option<&Bound<'_, PyAny>>,
        how: Option<How>,
    ) -> PyResult<Pending> {
        let driver = self.driver()?;
        let method = self.method(&driver, method, how)?;
        self.make_room(py, &driver)?;
        let written = Written::of(args)?;
        let Some(inputs) = inputs else {
            let (sender, waits) = oneshot::channel();
            let call = method.call_later(written.size(), given(waits));
            return Ok(self.pending(&driver, call, Some((written, sender))));
        };
        let args = written.with(Inputs::of(inputs)?)?;
        Ok(self.pending(&driver, method.args(args).call(), None))
    }

    /// Makes a call and gives its items.
    #[pyo3(signature = (method, args, inputs, how=None))]
    fn stream(
        &self,
        py: Python<'_>,
        method: String,
        args: &Bound<'_, PyAny>,
        inputs: &Bound<'_, PyAny>,
        how: Option<How>,
    ) -> PyResult<Stream> {
        let driver = self.driver()?;
        let method = self.method(&driver, method, how)?;
        self.make_room(py, &driver)?;
        let args = Written::of(args)?.with(Inputs::of(inputs)?)?;
        let items = method.args(args).stream();
        let items = Arc::new(tokio::sync::Mutex::new(items));
        Ok(Stream { items, driver: Arc::downgrade(&driver) })
    }

    #[pyo3(signature = (grace=0.0))]
    fn kill(&self, py: Python<'_>, grace: f64) -> PyResult<()> {
        let grace = span(grace)?;
        self.driver()?.block(py, self.actor.kill(grace))?.map_err(errors::refused)
    }

    /// Ends its incarnation alone: the restart policy says what follows.
    #[pyo3(signature = (session, grace=0.0))]
    fn restart(&self, py: Python<'_>, session: &Session, grace: f64) -> PyResult<()> {
        let (actor, grace) = (Selector::Actor(self.actor.id()), span(grace)?);
        let kill = Kill { actor, allow_restart: true, grace };
        let killed = self.driver()?.block(py, session.admin.kill_actor(kill))?;
        killed.map(drop).map_err(errors::refused)
    }

    fn checkpoint<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let made = self.driver()?.block(py, self.actor.checkpoint())?;
        let (incarnation, made) = made.map_err(errors::refused)?;
        let dict = PyDict::new(py);
        dict.set_item("incarnation", incarnation.0)?;
        dict.set_item("lsn", made.lsn)?;
        dict.set_item("bytes", made.bytes)?;
        dict.set_item("seconds", made.took.to_std().as_secs_f64())?;
        Ok(dict)
    }

    #[pyo3(signature = (worker=None))]
    fn relocate<'py>(&self, py: Python<'py>, worker: Option<u32>) -> PyResult<Bound<'py, PyDict>> {
        let moved = self.driver()?.block(py, self.actor.move_to(worker.map(WorkerId)))?;
        admin::place(py, &moved.map_err(errors::refused)?)
    }

    /// What the scheduler knows of it.
    fn describe<'py>(&self, py: Python<'py>, session: &Session) -> PyResult<Bound<'py, PyDict>> {
        let selector = Selector::Actor(self.actor.id());
        let found = self.driver()?.block(py, session.admin.actor(&selector))?;
        admin::actor(py, &found.map_err(errors::refused)?)
    }

    /// Where it is, once it takes calls or the time is up.
    #[pyo3(signature = (timeout=0.0))]
    fn place<'py>(&self, py: Python<'py>, timeout: f64) -> PyResult<Bound<'py, PyDict>> {
        let wait: Span = span(timeout)?;
        let place = self.driver()?.block(py, self.actor.ready(wait))?;
        admin::place(py, &place.map_err(errors::refused)?)
    }
}

#[pymethods]
impl Stream {
    /// The next item: codec and buffers; `None` after the last.
    #[pyo3(signature = (timeout=None))]
    fn next<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let gone = || PyRuntimeError::new_err("the client of this call is closed");
        let driver = self.driver.upgrade().ok_or_else(gone)?;
        let items = Arc::clone(&self.items);
        let next = async { items.lock().await.next().await };
        let next = driver.wait(py, duration(timeout)?, next)?;
        match next.ok_or_else(|| -> PyErr { late(timeout) })? {
            Some(Ok(value)) => values::to_python(py, &value).map(Some),
            Some(Err(error)) => Err(errors::came_to_nothing(py, &Why::Call(error))),
            None => Ok(None),
        }
    }

    fn cancel(&self) -> PyResult<()> {
        let busy = |_| PyTimeoutError::new_err("somebody waits for an item");
        self.items.try_lock().map_err(busy)?.cancel(None);
        Ok(())
    }
}

/// The arguments of a constructor, now or later.
fn arguments(
    args: &Bound<'_, PyAny>,
    inputs: Option<&Bound<'_, PyAny>>,
) -> PyResult<(impl Future<Output = Later> + Send + use<>, Option<Awaited>)> {
    let written = Written::of(args)?;
    let (sender, waits) = oneshot::channel();
    let later = match inputs {
        Some(inputs) => {
            // The receiver is here.
            drop(sender.send(Ok(written.with(Inputs::of(inputs)?)?)));
            None
        }
        None => Some((written, sender)),
    };
    Ok((given(waits), later))
}

async fn given(waits: oneshot::Receiver<Later>) -> Later {
    // Nobody is left who could give them: then nobody waits for the result either.
    waits.await.unwrap_or_else(|_| Ok(Args::new()))
}

/// What is promised of calls, by the name that Python has for it.
pub(crate) fn delivery_of(name: &str) -> PyResult<Delivery> {
    match name {
        "at_most_once" => Ok(Delivery::AtMostOnce),
        "at_least_once" => Ok(Delivery::AtLeastOnce),
        "effectively_once" => Ok(Delivery::EffectivelyOnce),
        _ => Err(PyValueError::new_err(format!(
            "delivery is {name:?}; give at_most_once, at_least_once or effectively_once"
        ))),
    }
}
