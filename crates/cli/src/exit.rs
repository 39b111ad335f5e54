//! How a command ends, as its caller sees it.

use std::fmt;
use std::process::ExitCode;

use bireme_client::{ConnectError, GraphError, Lost, Refused, ResultError};
use bireme_launch::embedded::StartError;

use crate::job::JobError;

/// The exit codes, which scripts rely on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    Done = 0,
    WorkFailed = 1,
    BadInput = 2,
    Unreachable = 3,
    Interrupted = 130,
}

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    fn new(exit: Exit, error: &dyn fmt::Display) -> Self {
        Self { exit, message: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match error {
            ConnectError::Address { .. } => Exit::BadInput,
            _ => Exit::Unreachable,
        };
        Self::new(exit, &error)
    }
}

impl From<GraphError> for Failure {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Failed(_) => Self::new(Exit::WorkFailed, &error),
            GraphError::Refused(_) => Self::new(Exit::BadInput, &error),
            GraphError::Lost(lost) => lost.into(),
        }
    }
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::new(Exit::BadInput, &error)
    }
}

impl From<Lost> for Failure {
    fn from(error: Lost) -> Self {
        Self::new(Exit::Unreachable, &error)
    }
}

impl From<Refused> for Failure {
    fn from(error: Refused) -> Self {
        Self::new(Exit::Unreachable, &error)
    }
}

impl From<ResultError> for Failure {
    fn from(error: ResultError) -> Self {
        match error {
            ResultError::Graph(error) => error.into(),
            _ => Self::new(Exit::WorkFailed, &error),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(Exit::Unreachable, &error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::WorkFailed, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_cluster_is_told_from_failed_work() {
        let lost = Lost { reason: "CLOSED".into(), message: "gone".into() };
        let through_a_result = ResultError::Graph(GraphError::Lost(lost.clone()));
        assert_eq!(Failure::from(through_a_result).exit(), Exit::Unreachable);
        assert_eq!(Failure::from(lost).exit(), Exit::Unreachable);
        assert_eq!(Failure::from(ConnectError::NoAddress).exit() as u8, 3);
    }
}
