//! Failures of attempts, in short.

use bireme_core::{ErrorClass, Reason, TaskError};

/// The failure of an attempt. Boxed: an error is large, and most attempts have none.
pub(crate) fn failure(
    class: ErrorClass,
    reason: Reason,
    message: impl Into<String>,
) -> Box<TaskError> {
    Box::new(TaskError::new(class, reason.name(), message))
}
