//! Why an attempt failed, as peers tell it.

use bireme_core::error::{ErrorClass, Exit, TaskError};
use bireme_core::reason::Refusal;

use super::value::inline;
use crate::convert::Unknown;
use crate::convert::enums::{number, reported};
use crate::convert::field::{Within as _, optional};
use crate::pb;

/// An error in a report, cut to its limits. A class that this version does not know is the user's own: that is what is
/// tried again by default; an opaque part that it cannot read is left out.
pub(crate) fn error(message: pb::TaskError, unknown: &mut Unknown) -> Result<TaskError, Refusal> {
    uncut(message, unknown).map(TaskError::bounded)
}

fn uncut(message: pb::TaskError, unknown: &mut Unknown) -> Result<TaskError, Refusal> {
    let pb::TaskError {
        class,
        reason,
        message,
        traceback,
        language,
        attempt,
        worker,
        exit,
        last_lines,
        cause,
        opaque,
    } = message;
    let class = reported(class).unwrap_or_else(|| {
        unknown.0 += 1;
        ErrorClass::User
    });
    // As deep as the decoder let it be.
    let cause = match cause {
        Some(cause) => Some(Box::new(uncut(*cause, unknown).within("cause")?)),
        None => None,
    };
    Ok(TaskError {
        class,
        reason,
        message,
        traceback,
        language,
        attempt: optional(attempt, "attempt")?,
        worker,
        exit: exit.map(Into::into),
        last_lines,
        cause,
        opaque: inline(opaque, unknown).within("opaque")?.map(|value| *value),
    })
}

impl TryFrom<pb::TaskError> for TaskError {
    type Error = Refusal;

    /// As in a report, and nobody counts what was passed over.
    fn try_from(message: pb::TaskError) -> Result<Self, Refusal> {
        error(message, &mut Unknown::default())
    }
}

impl From<TaskError> for pb::TaskError {
    fn from(error: TaskError) -> Self {
        let TaskError {
            class,
            reason,
            message,
            traceback,
            language,
            attempt,
            worker,
            exit,
            last_lines,
            cause,
            opaque,
        } = error;
        Self {
            class: number(class),
            reason,
            message,
            traceback,
            language,
            attempt: attempt.map(Into::into),
            worker,
            exit: exit.map(Into::into),
            last_lines,
            cause: cause.map(|cause| Box::new((*cause).into())),
            opaque: opaque.map(Into::into),
        }
    }
}

impl From<pb::Exit> for Exit {
    fn from(pb::Exit { code, signal }: pb::Exit) -> Self {
        Self { code, signal }
    }
}

impl From<Exit> for pb::Exit {
    fn from(Exit { code, signal }: Exit) -> Self {
        Self { code, signal }
    }
}
