//! How running code is asked to return.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::sync::lock;

/// Asks code to return.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicBool,
    /// Taken to ask and to wait, so that no waiter misses the asking.
    gate: Mutex<()>,
    changed: Condvar,
    /// The same for those who await it.
    told: Notify,
}

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        let gate = lock(&self.gate);
        self.asked.store(true, Ordering::Relaxed);
        drop(gate);
        self.changed.notify_all();
        self.told.notify_waiters();
    }

    /// Makes it ready for the next attempt.
    pub fn reset(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Returns when somebody asks.
    pub async fn asked(&self) {
        // Made before the look: from here on no word is missed.
        let told = self.told.notified();
        if !self.is_asked() {
            told.await;
        }
    }

    /// Waits for so long or until somebody asks; whether somebody did.
    pub fn wait(&self, duration: Duration) -> bool {
        let waited =
            self.changed.wait_timeout_while(lock(&self.gate), duration, |()| !self.is_asked());
        let (_gate, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out()
    }
}
