//! How calls end, as hosts tell it.

use bireme_core::Span;
use bireme_core::actor::call::{CallCode, CallFailure, Ending, Outcome};
use bireme_core::id::Incarnation;
use bireme_core::reason::{Reason, Refusal};
use pb::call_outcome::{Done, Outcome as Wire, StoredValue};

use crate::convert::Unknown;
use crate::convert::common::error;
use crate::convert::enums::{number, reported};
use crate::convert::field::{Within as _, list, required, sent};
use crate::pb;

/// How a call ended, as a report tells it. An end that this version cannot read is an end all the same: as
/// [`CallCode::Unknown`], or [`CallCode::UnserializableResult`] where only the value cannot be read.
pub(super) fn outcome(
    message: Option<pb::CallOutcome>,
    unknown: &mut Unknown,
) -> Result<Outcome, Refusal> {
    let Some(outcome) = message.and_then(|message| message.outcome) else {
        unknown.0 += 1;
        let message = "the call ended in a way that this version does not know";
        return Ok(Outcome::failure(CallCode::Unknown, message));
    };
    match outcome {
        Wire::Value(value) => match value.try_into().within("value") {
            Ok(value) => Ok(Outcome::Value(Box::new(value))),
            Err(refusal) if refusal.reason == Reason::Unsupported => {
                unknown.0 += 1;
                Ok(Outcome::failure(CallCode::UnserializableResult, refusal.to_string()))
            }
            Err(refusal) => Err(refusal),
        },
        Wire::Stored(stored) => read_stored(stored).within("stored"),
        Wire::UserError(cause) => {
            Ok(Outcome::UserError(Box::new(error(*cause, unknown).within("user_error")?)))
        }
        Wire::Failure(failure) => {
            Ok(Outcome::Failure(Box::new(read_failure(*failure, unknown).within("failure")?)))
        }
        Wire::Done(Done { items }) => Ok(Outcome::Done { items }),
    }
}

fn read_stored(message: StoredValue) -> Result<Outcome, Refusal> {
    let StoredValue { object, size, worker } = message;
    Ok(Outcome::Stored {
        object: required(object, "object")?,
        size,
        worker: required(worker, "worker")?,
    })
}

impl From<Outcome> for pb::CallOutcome {
    fn from(outcome: Outcome) -> Self {
        let outcome = match outcome {
            Outcome::Done { items } => Wire::Done(Done { items }),
            Outcome::Failure(failure) => Wire::Failure(Box::new((*failure).into())),
            Outcome::Stored { object, size, worker } => Wire::Stored(StoredValue {
                object: Some(object.into()),
                size,
                worker: Some(worker.into()),
            }),
            Outcome::UserError(error) => Wire::UserError(Box::new((*error).into())),
            Outcome::Value(value) => Wire::Value((*value).into()),
        };
        Self { outcome: Some(outcome) }
    }
}

/// Why a call has no outcome of its own, as a report tells it.
pub fn failure(message: pb::CallFailure) -> Result<CallFailure, Refusal> {
    read_failure(message, &mut Unknown::default())
}

/// A code that this version does not know says no more than that the call may have run.
pub(super) fn read_failure(
    message: pb::CallFailure,
    unknown: &mut Unknown,
) -> Result<CallFailure, Refusal> {
    let pb::CallFailure { code, message, cause, cycle } = message;
    let code = reported(code).unwrap_or_else(|| {
        unknown.0 += 1;
        CallCode::Unknown
    });
    let cause = match cause {
        Some(cause) => Some(Box::new(error(cause, unknown).within("cause")?)),
        None => None,
    };
    Ok(CallFailure { code, message, cause, cycle: list(cycle, "cycle")? })
}

impl From<CallFailure> for pb::CallFailure {
    fn from(CallFailure { code, message, cause, cycle }: CallFailure) -> Self {
        Self {
            code: number(code),
            message,
            cause: cause.map(|cause| (*cause).into()),
            cycle: sent(cycle),
        }
    }
}

/// How a call ended and what that took, as a report tells it by parts: the answer to a call that is made on its own.
pub fn ending(message: pb::CallResponse) -> Result<Option<Ending>, Refusal> {
    let pb::CallResponse { pending, outcome: how, queue_us, run_us, incarnation } = message;
    if pending {
        return Ok(None);
    }
    Ok(Some(Ending {
        outcome: outcome(how, &mut Unknown::default()).within("outcome")?,
        queue: Span(queue_us),
        run: Span(run_us),
        lsn: 0,
        incarnation: Incarnation(incarnation),
    }))
}

impl From<Ending> for pb::CallResponse {
    fn from(ending: Ending) -> Self {
        let Ending { outcome, queue, run, lsn: _, incarnation } = ending;
        Self {
            pending: false,
            outcome: Some(outcome.into()),
            queue_us: queue.0,
            run_us: run.0,
            incarnation: incarnation.0,
        }
    }
}
