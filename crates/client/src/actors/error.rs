//! What can go wrong with actors.

use bireme_core::TaskError;
use bireme_core::actor::call::{CallCode, CallFailure};

use crate::error::{CommandError, PutError, Refused};
use crate::object::FetchError;

/// Why a call gave no value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The system says what happened, and by its code whether the call may have run.
    #[error("{}: {}", .0.code.name(), .0.message)]
    Failed(Box<CallFailure>),
    /// The call did run; its result is stored and cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The call did run; its result is stored, and the scheduler did not take note of it.
    #[error("the result is stored and cannot be named to tasks: {0}")]
    NotNamed(#[from] CommandError),
    /// The call did run; its result is not stored, so that tasks cannot have it.
    #[error("the call gave its result in its reply: ask for a stored one, to hand it on to tasks")]
    NotStored,
    /// The user's code returned or raised an error.
    #[error("{}: {}", .0.reason, .0.message)]
    User(Box<TaskError>),
}

impl CallError {
    /// What the system says, if it does.
    pub fn code(&self) -> Option<CallCode> {
        match self {
            Self::Failed(failure) => Some(failure.code),
            Self::Fetch(_) | Self::NotNamed(_) | Self::NotStored | Self::User(_) => None,
        }
    }
}

/// Why there is no actor.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CreateError {
    /// An argument of its constructor is large, and nobody stored it.
    #[error("cannot store an argument: {0}")]
    Argument(#[from] PutError),
    /// It was created and has ended: its constructor failed, or it was killed meanwhile.
    #[error("the actor ended before it took calls: {}: {}", .0.reason, .0.message)]
    Ended(Box<TaskError>),
    /// The scheduler does not create it.
    #[error(transparent)]
    Refused(#[from] Refused),
}
