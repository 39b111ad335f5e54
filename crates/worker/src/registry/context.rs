//! What a native function knows of the attempt that it runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};

use crate::failure::failure;
use crate::sync::lock;

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

    /// Whether the attempt is unwanted or over its time, and the function had better return: in this process nobody can
    /// make it. Whatever it returns is dropped.
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

/// Asks code to return.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: AtomicBool,
    /// Taken to ask and to wait, so that no waiter misses the asking.
    gate: Mutex<()>,
    changed: Condvar,
}

impl Stop {
    /// Asks.
    pub(crate) fn ask(&self) {
        let gate = lock(&self.gate);
        self.asked.store(true, Ordering::Relaxed);
        drop(gate);
        self.changed.notify_all();
    }

    /// Makes it ready for the next attempt.
    pub(crate) fn reset(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Waits for so long or until somebody asks; whether somebody did.
    fn wait(&self, duration: Duration) -> bool {
        let waited =
            self.changed.wait_timeout_while(lock(&self.gate), duration, |()| !self.is_asked());
        let (_gate, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }
}
