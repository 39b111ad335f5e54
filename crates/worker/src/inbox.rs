//! What other threads tell the driver.

use std::sync::{Arc, Mutex};

use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use bireme_core::{AttemptId, TaskError};
use tokio::sync::Notify;

use crate::environments::Built;
use crate::machine::Event;
use crate::store::Stored;
use crate::sync::lock;

/// One thing told.
#[expect(clippy::large_enum_variant, reason = "the large one is nearly all there are")]
#[derive(Debug)]
pub(crate) enum Told {
    /// A blob has come, or why not.
    Blob(Digest, Result<Stored, Box<TaskError>>),
    /// The environment of a runtime is built, or why not.
    Environment(Runtime, Result<Arc<Built>, Box<TaskError>>),
    /// For the machine.
    Event(Event),
    /// No more values can or need be moved to disk; whether any has been.
    Relieved(bool),
    /// The turn of this follower came at the end of an attempt of another executor than its own.
    Start(AttemptId),
}

/// A list that wakes its reader only when it stops being empty, so that a run of short attempts costs one wake-up.
///
/// It is bounded by what the machine has handed out: every attempt, blob, environment, fetch, recall and relief is told of once.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    told: Mutex<Vec<Told>>,
    filled: Notify,
}

impl Inbox {
    /// Tells the driver something for its machine.
    pub(crate) fn tell(&self, event: Event) {
        self.push(Told::Event(event));
    }

    /// Tells the driver something.
    pub(crate) fn push(&self, told: Told) {
        let mut list = lock(&self.told);
        list.push(told);
        if list.len() == 1 {
            drop(list);
            self.filled.notify_one();
        }
    }

    /// Moves everything told so far into `into`, which is empty, in the order of telling.
    pub(crate) fn take(&self, into: &mut Vec<Told>) {
        debug_assert!(into.is_empty(), "what was told before would come after");
        std::mem::swap(&mut *lock(&self.told), into);
    }

    /// Waits until something may have been told since the last wait.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }
}
