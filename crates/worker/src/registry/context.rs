//! What a native function knows of the attempt that it runs.

use std::time::Duration;

use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};
pub(crate) use bireme_executor::Stop;

use crate::failure::failure;

/// The attempt that runs.
#[derive(Debug)]
pub struct Context<'a> {
    attempt: AttemptId,
    key: &'a str,
    outputs: u16,
    stop: &'a Stop,
}

impl<'a> Context<'a> {
    pub(crate) fn new(attempt: AttemptId, key: &'a str, outputs: u16, stop: &'a Stop) -> Self {
        Self { attempt, key, outputs, stop }
    }

    /// Which attempt it is.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The task's key.
    pub fn key(&self) -> &str {
        self.key
    }

    /// How many outputs are awaited.
    pub fn outputs(&self) -> u16 {
        self.outputs
    }

    /// Whether the attempt is unwanted or over its time, and the function had better return; whatever it returns is dropped.
    /// One that does not is killed with its process after a grace, unless the worker runs functions in its own process: there
    /// nobody can make it return.
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_asked()
    }

    /// Waits for so long, or fails as soon as the attempt is cancelled.
    pub fn sleep(&self, duration: Duration) -> Result<(), Box<TaskError>> {
        if self.stop.wait(duration) {
            return Err(failure(
                ErrorClass::Cancelled,
                Reason::Cancelled,
                "the attempt was cancelled while it slept",
            ));
        }
        Ok(())
    }
}
