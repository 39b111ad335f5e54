//! How a command ends, as its caller sees it.

use std::fmt;
use std::io;
use std::process::ExitCode;

use bireme_client::{CommandError, ConnectError, GraphError, Lost, Refused, ResultError};
use bireme_core::Reason;
use bireme_launch::embedded::{StartError, StopError};

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

/// Refusals that say nothing of what was asked for.
const ON_THE_WAY: [Reason; 6] = [
    Reason::Busy,
    Reason::Cancelled,
    Reason::ProtocolVersion,
    Reason::ShuttingDown,
    Reason::Unauthenticated,
    Reason::WrongCluster,
];

/// What there is to do about a cluster that nobody named, as it is typed.
const NO_ADDRESS: &str = "no scheduler is named: pass --scheduler or --access-file, or start bireme-scheduler or \
    `bireme local` as this user";

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// What was asked for cannot be, or is not there.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self { exit: Exit::BadInput, message: message.into() }
    }

    /// A refusal, in better words where it is for this reason: that something is not there.
    pub(crate) fn named(refused: Refused, reason: Reason, words: impl FnOnce() -> String) -> Self {
        if refused.reason == reason.name() { Self::bad_input(words()) } else { refused.into() }
    }

    /// There is no result, or it could not be brought or written.
    pub(crate) fn work(message: impl Into<String>) -> Self {
        Self { exit: Exit::WorkFailed, message: message.into() }
    }

    /// What was waited for did not come in time.
    pub(crate) fn too_late(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, message: message.into() }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether there is something to say: a reader that went away knows that it did.
    pub(crate) fn is_told(&self) -> bool {
        self.exit != Exit::Done
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

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Lost(lost) => lost.into(),
            CommandError::Refused(refused) => refused.into(),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Address { .. } => Self::new(Exit::BadInput, &error),
            ConnectError::NoAddress => Self::new(Exit::Unreachable, &NO_ADDRESS),
            _ => Self::new(Exit::Unreachable, &error),
        }
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
    /// A scheduler that understood and refused was asked for something wrong; all else is trouble on the way to it.
    fn from(error: Refused) -> Self {
        let of_input =
            |reason: &Reason| reason.name() == error.reason && !ON_THE_WAY.contains(reason);
        let exit = if bireme_core::reason::ALL.iter().any(of_input) {
            Exit::BadInput
        } else {
            Exit::Unreachable
        };
        Self::new(exit, &error)
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

impl From<StopError> for Failure {
    fn from(error: StopError) -> Self {
        Self::new(Exit::Unreachable, &error)
    }
}

impl From<io::Error> for Failure {
    /// A reader that has seen enough, such as `head`, is no failure, and ends the command.
    fn from(error: io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::BrokenPipe => Exit::Done,
            _ => Exit::WorkFailed,
        };
        Self::new(exit, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: &str) -> Refused {
        Refused { reason: reason.into(), field: String::new(), message: "no".into() }
    }

    #[test]
    fn a_lost_cluster_is_told_from_failed_work() {
        let lost = Lost { reason: "CLOSED".into(), message: "gone".into() };
        let through_a_result = ResultError::Graph(GraphError::Lost(lost.clone()));
        assert_eq!(Failure::from(through_a_result).exit(), Exit::Unreachable);
        assert_eq!(Failure::from(lost).exit(), Exit::Unreachable);
        assert_eq!(Failure::from(ConnectError::NoAddress).exit() as u8, 3);
    }

    #[test]
    fn what_was_asked_wrongly_is_told_from_trouble_on_the_way() {
        assert_eq!(Failure::from(refused("GRAPH_UNKNOWN")).exit(), Exit::BadInput);
        assert_eq!(Failure::from(refused("ROLE_MISSING")).exit(), Exit::BadInput);
        assert_eq!(Failure::from(refused("UNAUTHENTICATED")).exit(), Exit::Unreachable);
        assert_eq!(Failure::from(refused("UNAVAILABLE")).exit(), Exit::Unreachable);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((closed.exit(), closed.is_told()), (Exit::Done, false));
        assert!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).is_told());
    }
}
