//! The reasons that random loads must meet.

use bireme_core::{Reason, TaskError};

/// Reasons with which something must have been refused.
pub const REFUSALS: &[Reason] = &[
    Reason::ChunkOrder,
    Reason::ClassUnknown,
    Reason::DependencySelf,
    Reason::DependencyUnknown,
    Reason::GraphClosed,
    Reason::GraphCycle,
    Reason::GraphNumber,
    Reason::GraphUnknown,
    Reason::KeyDuplicate,
    Reason::KeyInvalid,
    Reason::Malformed,
    Reason::NoWorker,
    Reason::ObjectUnknown,
    Reason::OutputUnknown,
    Reason::SessionHeld,
    Reason::SessionUnknown,
    Reason::Superseded,
    Reason::WorkerLost,
    Reason::WorkerNameTaken,
    Reason::WorkerUnknown,
];

/// Reasons with which some attempt, task or graph must have failed.
pub const FAILURES: &[Reason] = &[
    Reason::Cancelled,
    Reason::CrashedTooOften,
    Reason::DependencyFailed,
    Reason::InputLost,
    Reason::ProcessDied,
    Reason::StoreFull,
    Reason::TimedOut,
    Reason::TooManyFailures,
    Reason::UserError,
    Reason::WorkerLost,
];

/// The reasons of an error and of what has led to it.
pub(super) fn of(error: &TaskError) -> impl Iterator<Item = Reason> {
    let chain = std::iter::successors(Some(error), |error| error.cause.as_deref());
    chain.filter_map(|error| Reason::from_name(&error.reason))
}
