//! What happens after a failed attempt.

use crate::error::ErrorClass;
use crate::time::Span;

/// How many crashes a task may be part of unless its policy says otherwise.
pub const DEFAULT_CRASHES: u32 = 3;

/// Whether, when and how often a failed task is tried again.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RetryPolicy {
    /// How many failures of the task's own are tried again.
    pub max_retries: u32,
    /// Pause before the first retry.
    pub backoff: Span,
    /// Longest pause.
    pub backoff_max: Span,
    /// Only these are tried again, sorted; empty is every class but `Cancelled` and `Malformed`.
    pub retry_on: Vec<ErrorClass>,
    /// How many times the task may be running on a process or worker that dies.
    pub max_crashes: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 0,
            backoff: Span::ZERO,
            backoff_max: Span::secs(60),
            retry_on: Vec::new(),
            max_crashes: DEFAULT_CRASHES,
        }
    }
}

impl RetryPolicy {
    /// The pause before retry `n`, counted from 1; `None` if there is no such retry after a failure of this class.
    pub fn pause(&self, n: u32, class: ErrorClass) -> Option<Span> {
        let listed = match self.retry_on.as_slice() {
            [] => !matches!(
                class,
                ErrorClass::Cancelled | ErrorClass::Malformed | ErrorClass::Dependency
            ),
            classes => classes.contains(&class),
        };
        (listed && n <= self.max_retries).then(|| {
            (1..n).fold(self.backoff.min(self.backoff_max), |pause, _| {
                pause.doubled(self.backoff_max)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit() {
        let policy = RetryPolicy {
            max_retries: 4,
            backoff: Span::secs(1),
            backoff_max: Span::secs(3),
            ..RetryPolicy::default()
        };
        let pauses: Vec<_> = (1..=5)
            .map(|n| policy.pause(n, ErrorClass::User).map(|pause| pause.0 / 1_000_000))
            .collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(3), Some(3), None]);
    }

    #[test]
    fn only_listed_classes_are_retried() {
        let policy = RetryPolicy {
            max_retries: 1,
            retry_on: vec![ErrorClass::Timeout],
            ..RetryPolicy::default()
        };
        assert_eq!(policy.pause(1, ErrorClass::Timeout), Some(Span::ZERO));
        assert_eq!(policy.pause(1, ErrorClass::User), None);
    }
}
