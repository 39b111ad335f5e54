//! What is on its way from an actor: the result of a call, or the actor itself.
//!
//! Each has a number, and whoever watches it is told by that when it has ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use bireme_client::{Actor, Args, CallError, Canceller, CreateError, FetchError, Made};
use bireme_core::actor::call::{CallCode, CallFailure};
use bireme_core::{ObjectId, Value};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::{Notify, oneshot};

use crate::actors::ActorHandle;
use crate::options;
use crate::session::{Session, duration, late, lock};
use crate::thread::Driver;
use crate::values::{self, Object, Owned};
use crate::written::Written;
use crate::{errors, submit, waits};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Got {
    /// An actor that was made, or found.
    Actor(Actor),
    /// A value that is here.
    Here(Value),
    /// A value that lies on the actor's worker.
    Stored(Arc<Owned>),
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum Why {
    Call(CallError),
    Create(CreateError),
}

/// Arguments that are given later.
pub(crate) type Later = Result<Args, Box<CallFailure>>;

/// Arguments, and who waits for the inputs that they number.
pub(crate) type Awaited = (Written, oneshot::Sender<Later>);

/// Ends that somebody waits for, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct CallEnds {
    last: AtomicU64,
    /// Bounded by what is on its way.
    ended: Mutex<Vec<u64>>,
    changed: Notify,
}

/// What is shared with the task that waits for it.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u64,
    outcome: OnceLock<Result<Got, Why>>,
    over: Notify,
    watched: AtomicBool,
    ends: Arc<CallEnds>,
    driver: Weak<Driver>,
}

impl CallEnds {
    /// Waits until some have ended; none where the session has.
    pub(crate) async fn next(&self) -> Vec<u64> {
        loop {
            let changed = self.changed.notified();
            let ended = std::mem::take(&mut *lock(&self.ended));
            if !ended.is_empty() {
                return ended;
            }
            changed.await;
        }
    }
}

impl Slot {
    pub(crate) fn new(ends: &Arc<CallEnds>, driver: &Arc<Driver>) -> Arc<Self> {
        Arc::new(Self {
            number: ends.last.fetch_add(1, Ordering::Relaxed) + 1,
            outcome: OnceLock::new(),
            over: Notify::new(),
            watched: AtomicBool::new(false),
            ends: Arc::clone(ends),
            driver: Arc::downgrade(driver),
        })
    }

    /// A call has ended.
    pub(crate) fn made(&self, made: Result<Made, CallError>) {
        self.end(match made {
            Ok(Made::Here(value)) => Ok(Got::Here(value)),
            Ok(Made::Stored(object)) => Ok(Got::Stored(Owned::new(object, self.driver.clone()))),
            Err(error) => Err(Why::Call(error)),
        });
    }

    pub(crate) fn end(&self, outcome: Result<Got, Why>) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        self.over.notify_waiters();
        if self.watched.swap(false, Ordering::SeqCst) {
            lock(&self.ends.ended).push(self.number);
            self.ends.changed.notify_one();
        }
    }

    /// Waits for the end.
    async fn ended(&self) -> &Result<Got, Why> {
        loop {
            let over = self.over.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            over.await;
        }
    }

    /// Waits for the end, and for the value if it lies elsewhere.
    async fn brought(&self) -> (&Result<Got, Why>, Option<Result<Value, FetchError>>) {
        let ended = self.ended().await;
        let fetched = match ended {
            Ok(Got::Stored(object)) => Some(object.object.fetch().await),
            Ok(Got::Actor(_) | Got::Here(_)) | Err(_) => None,
        };
        (ended, fetched)
    }
}

/// The result of a call that was made, or an actor that is being made.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) slot: Arc<Slot>,
    pub(crate) cancels: Option<Canceller>,
    /// Taken when the arguments are there.
    pub(crate) later: Mutex<Option<Awaited>>,
    pub(crate) process: u32,
}

#[pymethods]
impl Pending {
    #[getter]
    fn number(&self) -> u64 {
        self.slot.number
    }

    fn state(&self) -> u8 {
        use crate::tasks::{CANCELLED, FAILED, FINISHED, PENDING};
        match self.slot.outcome.get() {
            None => PENDING,
            Some(Ok(_)) => FINISHED,
            Some(Err(Why::Call(error))) if error.code() == Some(CallCode::Cancelled) => CANCELLED,
            Some(Err(_)) => FAILED,
        }
    }

    fn watch(&self) -> bool {
        self.slot.watched.store(true, Ordering::SeqCst);
        self.slot.outcome.get().is_some() && self.slot.watched.swap(false, Ordering::SeqCst)
    }

    #[pyo3(signature = (timeout=None))]
    fn result<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let driver = self.driver()?;
        let (ended, fetched) = match self.slot.outcome.get() {
            Some(ended) if !matches!(ended, Ok(Got::Stored(_))) => (ended, None),
            _ => {
                // Of a wait that ends by itself no deadlock is made.
                let waits = timeout.is_none().then(|| waits::wait_for(self.cancels.as_ref()));
                let brought = driver.wait(py, duration(timeout)?, self.slot.brought());
                drop(waits);
                brought?.ok_or_else(|| late(timeout))?
            }
        };
        match ended {
            Ok(Got::Actor(actor)) => {
                let handle = ActorHandle::new(actor.clone(), &self.slot.ends, &driver);
                Ok(Bound::new(py, handle)?.into_any())
            }
            Ok(Got::Here(value)) => values::to_python(py, value),
            Ok(Got::Stored(_)) => {
                let fetched = fetched.expect("a stored value is fetched once it is made");
                let fetched =
                    fetched.map_err(|error| errors::Refused::new_err(("FETCH", error.to_string())));
                values::to_python(py, &fetched?)
            }
            Err(why) => Err(errors::came_to_nothing(py, why)),
        }
    }

    fn error(&self, py: Python<'_>) -> PyResult<Option<Py<PyDict>>> {
        match self.slot.outcome.get() {
            Some(Err(why)) => errors::describe_why(py, why).map(Some),
            _ => Ok(None),
        }
    }

    #[pyo3(signature = (grace=None))]
    fn cancel(&self, grace: Option<f64>) -> PyResult<()> {
        self.driver()?;
        if let Some(cancels) = &self.cancels {
            cancels.cancel(grace.map(options::span).transpose()?);
        }
        Ok(())
    }

    /// The result as a value that tasks can take; it is stored first where it is here.
    fn object(&self, py: Python<'_>, session: &Session) -> PyResult<Object> {
        match self.slot.outcome.get() {
            Some(Ok(Got::Here(value))) => session.store(py, value.clone()),
            Some(Ok(Got::Stored(object))) => Ok(Object { object: Arc::clone(object) }),
            Some(Err(why)) => Err(errors::came_to_nothing(py, why)),
            _ => Err(PyRuntimeError::new_err("there is no value yet")),
        }
    }

    /// Gives the inputs of a call that was made without: those that its arguments number.
    fn ready(&self, inputs: &Bound<'_, PyAny>) -> PyResult<()> {
        let inputs = Inputs::of(inputs)?;
        if let Some((written, waits)) = lock(&self.later).take() {
            // Whoever waited may have gone.
            drop(waits.send(Ok(written.with(inputs)?)));
        }
        Ok(())
    }

    /// The inputs never come.
    fn fail(&self, message: &str) {
        if let Some((_, waits)) = lock(&self.later).take() {
            let failure = CallFailure::new(CallCode::ArgumentFailed, message);
            drop(waits.send(Err(Box::new(failure))));
        }
    }
}

impl Pending {
    fn driver(&self) -> PyResult<Arc<Driver>> {
        if std::process::id() != self.process {
            return Err(errors::used_after_fork());
        }
        let gone = || PyRuntimeError::new_err("the client of this call is closed");
        self.slot.driver.upgrade().ok_or_else(gone)
    }
}

/// Inputs of a call: values in stores, and values that are here.
pub(crate) struct Inputs(pub(crate) Vec<Input>);

/// One of them.
#[derive(Clone)]
pub(crate) enum Input {
    Here(Value),
    Stored(ObjectId),
}

impl Inputs {
    /// Reads a list of tasks, objects and results of calls that have ended.
    pub(crate) fn of(list: &Bound<'_, PyAny>) -> PyResult<Self> {
        let inputs = list.try_iter()?.map(|input| Self::one(&input?));
        Ok(Self(inputs.collect::<PyResult<_>>()?))
    }

    fn one(input: &Bound<'_, PyAny>) -> PyResult<Input> {
        let Ok(pending) = input.cast::<Pending>() else {
            return Ok(Input::Stored(submit::object(input)?));
        };
        match pending.get().slot.outcome.get() {
            Some(Ok(Got::Here(value))) => Ok(Input::Here(value.clone())),
            Some(Ok(Got::Stored(object))) => Ok(Input::Stored(object.object.id())),
            _ => Err(PyTypeError::new_err("an input has no value")),
        }
    }
}
