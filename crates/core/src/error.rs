//! Why attempts fail.

use crate::id::AttemptId;
use crate::limits;
use crate::value::Value;

/// Which kind of thing went wrong.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ErrorClass {
    /// Somebody cancelled the task.
    Cancelled,
    /// A task that this one needs failed.
    Dependency,
    /// An argument cannot be decoded.
    Deserialize,
    /// An input is gone and cannot be made again.
    InputLost,
    /// The payload cannot be decoded.
    Malformed,
    /// The worker does not know the function, command or runtime.
    NotFound,
    /// A memory limit was passed.
    OutOfMemory,
    /// The process that ran the attempt died.
    ProcessDied,
    /// The attempt asks to be run elsewhere.
    Reschedule,
    /// The result cannot be encoded; the code did run.
    Serialize,
    /// The worker could not store the result.
    Store,
    /// The attempt's time was up.
    Timeout,
    /// The user's code failed.
    User,
    /// The worker was lost while the attempt may have run.
    WorkerLost,
    /// Waiting would never end.
    WouldDeadlock,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exit {
    /// Exit code; meaningful where `signal` is 0.
    pub code: i32,
    /// Signal that killed the process; 0 is none.
    pub signal: i32,
}

/// Why an attempt, and with it perhaps its task, failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskError {
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// Stable name.
    pub reason: String,
    /// One line for people.
    pub message: String,
    /// Stack trace as text.
    pub traceback: String,
    /// Language of the code that failed.
    pub language: String,
    /// The attempt that failed.
    pub attempt: Option<AttemptId>,
    /// Name of the worker where it failed.
    pub worker: String,
    /// How the process ended, where one did.
    pub exit: Option<Exit>,
    /// The last lines that the attempt printed.
    pub last_lines: Vec<String>,
    /// The error behind this one.
    pub cause: Option<Box<Self>>,
    /// The original error, for its own language.
    pub opaque: Option<Value>,
}

impl TaskError {
    /// An error with a class, a stable name and a line for people.
    pub fn new(class: ErrorClass, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            class,
            reason: reason.into(),
            message: message.into(),
            traceback: String::new(),
            language: String::new(),
            attempt: None,
            worker: String::new(),
            exit: None,
            last_lines: Vec::new(),
            cause: None,
            opaque: None,
        }
    }

    /// Cuts every text, and the chain of causes, to its limit, so that an error fits into a control message.
    #[must_use]
    pub fn bounded(self) -> Self {
        self.bounded_to(limits::ERROR_CAUSES)
    }

    fn bounded_to(mut self, causes: usize) -> Self {
        cut(&mut self.reason, limits::ERROR_REASON_BYTES);
        cut(&mut self.message, limits::ERROR_MESSAGE_BYTES);
        cut(&mut self.traceback, limits::ERROR_TRACEBACK_BYTES);
        cut(&mut self.language, limits::NAME_BYTES);
        cut(&mut self.worker, limits::NAME_BYTES);
        let surplus = self.last_lines.len().saturating_sub(limits::ERROR_LAST_LINES);
        self.last_lines.drain(..surplus);
        self.last_lines.iter_mut().for_each(|line| cut(line, limits::ERROR_LINE_BYTES));
        if self.opaque.as_ref().is_some_and(|value| value.size > limits::INLINE_BYTES) {
            self.opaque = None;
        }
        let cause = self.cause.filter(|_| causes > 0);
        self.cause = cause.map(|cause| Box::new(cause.bounded_to(causes - 1)));
        self
    }
}

/// Cuts `text` to `max` bytes at a character boundary and marks the cut.
pub fn cut(text: &mut String, max: usize) {
    const MARK: &str = " [cut]";
    if text.len() > max {
        let mut end = max.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
}

impl std::fmt::Display for TaskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)?;
        if !self.worker.is_empty() {
            write!(f, " (on {})", self.worker)?;
        }
        Ok(())
    }
}

impl std::error::Error for TaskError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_error_is_cut_to_fit() {
        let mut error = TaskError::new(ErrorClass::User, "USER_ERROR", "\u{e9}".repeat(1 << 20));
        error.last_lines = (0..1_000).map(|n| n.to_string()).collect();
        for _ in 0..100 {
            let outer = TaskError { cause: Some(Box::new(error.clone())), ..error.clone() };
            error = TaskError { message: String::new(), last_lines: Vec::new(), ..outer };
        }
        let bounded = error.bounded();
        let depth = std::iter::successors(Some(&bounded), |error| error.cause.as_deref()).count();
        assert_eq!(depth, limits::ERROR_CAUSES + 1);
    }

    #[test]
    fn a_cut_says_so_and_keeps_the_last_lines() {
        let mut error = TaskError::new(ErrorClass::User, "USER_ERROR", "\u{e9}".repeat(1 << 20));
        error.last_lines = (0..1_000).map(|n| n.to_string()).collect();
        let bounded = error.bounded();
        assert!(
            bounded.message.len() <= limits::ERROR_MESSAGE_BYTES
                && bounded.message.ends_with("[cut]")
        );
        assert_eq!(bounded.last_lines.last().map(String::as_str), Some("999"));
        assert_eq!(bounded.last_lines.len(), limits::ERROR_LAST_LINES);
    }
}
