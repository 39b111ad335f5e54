//! What can go wrong, one type for each thing a caller can do about it.

use std::sync::Arc;

use bireme_core::TaskError;
use bireme_core::id::TaskId;
use bireme_core::reason::Refusal;
use bireme_core::time::Span;
use bireme_proto::access::AccessError;
use bireme_proto::status;
use tonic::{Code, Status};

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The access file cannot be used.
    #[error(transparent)]
    Access(Arc<AccessError>),
    /// An address cannot be one.
    #[error("{address:?} is no address of a scheduler: {problem}; write http://HOST:PORT")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody said where the scheduler is.
    #[error(
        "no scheduler is named: pass an address, set BIREME_SCHEDULER, or start bireme-scheduler as this user"
    )]
    NoAddress,
    /// The scheduler accepted the connection and said nothing.
    #[error("{address} did not answer within {wait}; is it a scheduler?")]
    Silent {
        /// The address.
        address: String,
        /// How long it was waited for.
        wait: Span,
    },
    /// Nobody listens there.
    #[error("cannot reach {address}: {problem}")]
    Unreachable {
        /// The address.
        address: String,
        /// What the system said.
        problem: String,
    },
    /// The scheduler does not want this client.
    #[error("{address} refused the session: {refused}")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        refused: Refused,
    },
}

/// A command was not carried out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Refused {
    /// Stable name; newer schedulers may know others than [`bireme_core::Reason`].
    pub reason: String,
    /// Path of the field that was wrong; empty where it is not one field.
    pub field: String,
    /// One line for people.
    pub message: String,
}

/// The session's stream ended: nothing more is heard of its graphs.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the connection to the scheduler is lost: {reason}: {message}")]
pub struct Lost {
    /// Stable name of the reason, or of the gRPC status.
    pub reason: String,
    /// One line for people.
    pub message: String,
}

/// Why a command to the scheduler failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// Nobody knows whether it was carried out.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// It was not carried out.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Why a value was not put.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PutError {
    /// Nobody knows whether the scheduler heard of it.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// Some of its bytes are not in it.
    #[error("the value refers to bytes that are elsewhere: load them into the value first")]
    NotInline,
    /// Neither a worker nor the scheduler took it.
    #[error("nobody stored the value of {size} bytes: {problem}")]
    NotStored {
        /// Its size in bytes.
        size: u64,
        /// What each of them answered.
        problem: String,
    },
}

/// Why a graph as a whole came to nothing. Failures of single tasks are no such error.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// It was given up: too many tasks failed.
    #[error(transparent)]
    Failed(Box<TaskError>),
    /// The connection is lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// A part of it was refused; what ran was cancelled.
    #[error("the graph was refused: {0}")]
    Refused(#[from] Refused),
}

/// Why there is no result.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResultError {
    /// The value exists and cannot be fetched.
    #[error("cannot fetch the result of task {task}: {problem}")]
    Fetch {
        /// The task.
        task: TaskId,
        /// What each holder answered.
        problem: String,
    },
    /// The graph as a whole came to nothing.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The graph has no such task.
    #[error("there is no task {task}")]
    NoTask {
        /// The task.
        task: TaskId,
    },
    /// The task finished; its output was not kept, was released, or never existed.
    #[error("output {output} of task {task} is not kept; name it in the graph's outputs")]
    NotKept {
        /// The task.
        task: TaskId,
        /// Which output.
        output: u16,
    },
    /// The task failed or was cancelled.
    #[error("task {task} failed: {error}")]
    Task {
        /// The task.
        task: TaskId,
        /// Why.
        error: Box<TaskError>,
    },
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            reason: refusal.reason.name().to_owned(),
            field: refusal.field,
            message: refusal.message,
        }
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        explain(&status)
    }
}

impl Lost {
    /// The stream ended with this status, or without a word.
    pub(crate) fn from_end(end: Option<Status>) -> Self {
        let Some(status) = end else {
            return Self {
                reason: "CLOSED".into(),
                message: "the scheduler closed the stream".into(),
            };
        };
        let Refused { reason, field: _, message } = explain(&status);
        Self { reason, message }
    }

    /// This side ended the stream.
    pub(crate) fn closed() -> Self {
        Self { reason: "CLOSED".into(), message: "the session was closed by this program".into() }
    }
}

/// What a status tells: a refusal of ours, or what the transport or a proxy said.
fn explain(status: &Status) -> Refused {
    if let Some(refusal) = status::refusal(status) {
        return refusal.into();
    }
    let message = match status.message() {
        "" => "no message",
        message => message,
    };
    Refused {
        reason: code_name(status.code()).to_owned(),
        field: String::new(),
        message: message.to_owned(),
    }
}

/// A gRPC status code, spelt as the gRPC documents do.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stable_name_is_read_from_a_status() {
        let refusal = Refusal::new(bireme_core::Reason::WrongCluster, "this is another");
        let named = Refused::from(status::status(refusal));
        assert_eq!(named.to_string(), "WRONG_CLUSTER: this is another");
        let foreign = Refused::from(Status::unavailable("tcp connect error: refused"));
        assert_eq!(foreign.to_string(), "UNAVAILABLE: tcp connect error: refused");
        assert_eq!(Lost::from_end(None).reason, "CLOSED");
    }
}
