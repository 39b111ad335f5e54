//! Errors, as Python sees them.

use bireme_client::{
    CallError, CommandError, ConnectError, CreateError, GraphError, Lost, PutError, ResultError,
};
use bireme_core::id::TaskId;
use bireme_core::{ErrorClass, Reason, TaskError};
use pyo3::exceptions::{PyConnectionError, PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::pending::Why;
use crate::values;

pyo3::create_exception!(
    bireme._bireme,
    Failed,
    PyException,
    "A task came to nothing: why, and which."
);
// What they say is made of their stable reason and a line for people.
pyo3::import_exception!(bireme.errors, NotFound);
pyo3::import_exception!(bireme.errors, Refused);

pub(crate) fn refused(refused: bireme_client::Refused) -> PyErr {
    let reason = Reason::from_name(&refused.reason);
    let is_unknown = reason.is_some_and(|reason| reason.grpc_code() == "NOT_FOUND");
    let said = (refused.reason, refused.message);
    if is_unknown { NotFound::new_err(said) } else { Refused::new_err(said) }
}

pub(crate) fn lost(lost: Lost) -> PyErr {
    PyConnectionError::new_err(lost.to_string())
}

pub(crate) fn connect(error: ConnectError) -> PyErr {
    let wants_token = matches!(&error, ConnectError::Refused { refused, .. }
        if refused.reason == Reason::Unauthenticated.name());
    PyConnectionError::new_err(if wants_token {
        format!("{error}; or give Client(token=...), or Client(scheduler_file=...)")
    } else {
        error.to_string()
    })
}

pub(crate) fn command(error: CommandError) -> PyErr {
    match error {
        CommandError::Lost(error) => lost(error),
        CommandError::Refused(error) => refused(error),
    }
}

pub(crate) fn put(error: PutError) -> PyErr {
    match error {
        PutError::Lost(error) => lost(error),
        PutError::NotInline | PutError::NotStored { .. } => {
            Refused::new_err(("STORE_FULL", error.to_string()))
        }
    }
}

pub(crate) fn used_after_fork() -> PyErr {
    PyRuntimeError::new_err(
        "this session belongs to the process that opened it, which this one was forked from; open one here",
    )
}

/// The exception for a task without a result.
pub(crate) fn failed(py: Python<'_>, error: &ResultError) -> PyErr {
    match failure(py, error) {
        Ok(args) => Failed::new_err(args),
        Err(error) => error,
    }
}

/// The exception for an attempt that may not wait, or not go on.
pub(crate) fn ended(py: Python<'_>, error: &TaskError) -> PyErr {
    match describe(py, kind(error.class), error) {
        Ok(described) => Failed::new_err((described, None::<(u64, u32)>)),
        Err(error) => error,
    }
}

type Failure = (Py<PyDict>, Option<(u64, u32)>);

/// What such an exception holds.
pub(crate) fn failure(py: Python<'_>, error: &ResultError) -> PyResult<Failure> {
    let described = |kind: &str, reason: &str, message: String, task: Option<TaskId>| {
        let error = TaskError::new(ErrorClass::User, reason, message);
        Ok((describe(py, kind, &error)?, task.map(|task| (task.graph.0, task.index))))
    };
    let text = error.to_string();
    match error {
        ResultError::Task { task, error } => {
            let described = describe(py, kind(error.class), error)?;
            Ok((described, Some((task.graph.0, task.index))))
        }
        ResultError::Graph(GraphError::Failed(error)) => {
            Ok((describe(py, kind(error.class), error)?, None))
        }
        ResultError::Graph(GraphError::Lost(error)) => Err(lost(error.clone())),
        ResultError::Graph(GraphError::Refused(refused)) => {
            described("graph", &refused.reason, text, None)
        }
        ResultError::Fetch { task, .. } => described("fetch", "FETCH", text, Some(*task)),
        ResultError::NoTask { task } => described("graph", "NO_TASK", text, Some(*task)),
        ResultError::NotKept { task, .. } => described("graph", "NOT_KEPT", text, Some(*task)),
    }
}

fn describe(py: Python<'_>, kind: &str, error: &TaskError) -> PyResult<Py<PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("kind", kind)?;
    dict.set_item("reason", &error.reason)?;
    dict.set_item("message", &error.message)?;
    dict.set_item("traceback", &error.traceback)?;
    dict.set_item("language", &error.language)?;
    dict.set_item("worker", &error.worker)?;
    let attempt = error.attempt.map(|attempt| attempt.to_string()).unwrap_or_default();
    dict.set_item("attempt", attempt)?;
    dict.set_item("exit", error.exit.map(|exit| (exit.code, exit.signal)))?;
    dict.set_item("last_lines", &error.last_lines)?;
    let cause = error.cause.as_ref().map(|cause| describe(py, self::kind(cause.class), cause));
    dict.set_item("cause", cause.transpose()?)?;
    let opaque = error.opaque.as_ref().map(|value| values::to_python(py, value));
    dict.set_item("opaque", opaque.transpose()?)?;
    Ok(dict.unbind())
}

/// The exception for a call without a result, or an actor that was not made.
pub(crate) fn came_to_nothing(py: Python<'_>, why: &Why) -> PyErr {
    match describe_why(py, why) {
        Ok(described) => Failed::new_err((described, None::<(u64, u32)>)),
        Err(error) => error,
    }
}

/// Why a call gave nothing, or an actor was not made. Codes of calls are the reasons of the kind `call`.
pub(crate) fn describe_why(py: Python<'_>, why: &Why) -> PyResult<Py<PyDict>> {
    let described = |reason: &str, message: &str| {
        let error = TaskError::new(ErrorClass::User, reason, message);
        describe(py, "call", &error)
    };
    match why {
        Why::Call(CallError::User(error)) | Why::Create(CreateError::Ended(error)) => {
            describe(py, kind(error.class), error)
        }
        Why::Call(CallError::Failed(failure)) => {
            let described = described(failure.code.name(), &failure.message)?;
            if let Some(cause) = &failure.cause {
                let cause = describe(py, kind(cause.class), cause)?;
                described.bind(py).set_item("cause", cause)?;
            }
            Ok(described)
        }
        Why::Call(error) => described("FETCH", &error.to_string()),
        Why::Create(CreateError::Refused(refused)) => described(&refused.reason, &refused.message),
        Why::Create(error) => described("ARGUMENT_FAILED", &error.to_string()),
    }
}

/// Kinds of failures, by the names that Python has for them.
const KINDS: [(ErrorClass, &str); 15] = [
    (ErrorClass::Cancelled, "cancelled"),
    (ErrorClass::Dependency, "dependency"),
    (ErrorClass::Deserialize, "deserialize"),
    (ErrorClass::InputLost, "input_lost"),
    (ErrorClass::Malformed, "malformed"),
    (ErrorClass::NotFound, "not_found"),
    (ErrorClass::OutOfMemory, "out_of_memory"),
    (ErrorClass::ProcessDied, "process_died"),
    (ErrorClass::Reschedule, "reschedule"),
    (ErrorClass::Serialize, "serialize"),
    (ErrorClass::Store, "store"),
    (ErrorClass::Timeout, "timeout"),
    (ErrorClass::User, "user"),
    (ErrorClass::WorkerLost, "worker_lost"),
    (ErrorClass::WouldDeadlock, "would_deadlock"),
];

fn kind(class: ErrorClass) -> &'static str {
    KINDS.into_iter().find(|(known, _)| *known == class).map_or("user", |(_, name)| name)
}

/// The kind of failure that Python names.
pub(crate) fn class(kind: &str) -> Option<ErrorClass> {
    KINDS.into_iter().find(|(_, name)| *name == kind).map(|(class, _)| class)
}
