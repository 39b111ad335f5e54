//! What a person should know before anything has failed: above all, work that no worker can take.

use std::fmt;
use std::sync::OnceLock;

use crate::error::Refused;

type Listener = Box<dyn Fn(&Refused) + Send + Sync>;

/// Who is told of the warnings of a session. Nobody but the log at first.
#[derive(Default)]
pub(crate) struct Warnings(OnceLock<Listener>);

impl Warnings {
    /// Has `listener` told from now on. Returns whether it is the first, which it stays.
    pub(crate) fn listen(&self, listener: Listener) -> bool {
        self.0.set(listener).is_ok()
    }

    pub(crate) fn tell(&self, warning: &Refused) {
        let Refused { reason, message, .. } = warning;
        tracing::warn!(reason, message, "warning from the scheduler");
        if let Some(listener) = self.0.get() {
            listener(warning);
        }
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").field("listens", &self.0.get().is_some()).finish()
    }
}
