//! Values whose bytes are gone though nobody dropped them: an executor may write the files of the pool, so one can cut them.
//!
//! Nothing watches files. Whoever is about to read one, or failed to, has it examined; a value that is damaged is dropped
//! at once, and the driver is told so that it is made again.

use std::io;
use std::sync::{Arc, OnceLock};

use bireme_core::ObjectId;

use super::{Store, Stored, runs_of};
use crate::inbox::Inbox;
use crate::machine::Event;
use crate::sync::lock;

/// Where losses are told.
#[derive(Debug, Default)]
pub(super) struct Losses(OnceLock<Arc<Inbox>>);

impl Store {
    /// Tells losses there from now on.
    pub(crate) fn tell_losses(&self, inbox: Arc<Inbox>) {
        // There is one driver, which is the first to ask.
        let _ = self.losses.0.set(inbox);
    }

    /// Drops a value, and has that told, if a file of it was cut or is gone. Returns whether it is held and whole.
    pub(crate) fn examine(&self, object: ObjectId) -> bool {
        let found = lock(&self.shelf).get(object, self.now());
        let Some(stored) = found else { return false };
        let Err(error) = stored.check() else { return true };
        tracing::warn!(%object, %error, "value is damaged, dropping it");
        self.remove(object);
        if let Some(inbox) = self.losses.0.get() {
            inbox.tell(Event::Lost(object));
        }
        false
    }
}

impl Stored {
    /// Checks that its files have the bytes that it says.
    pub(crate) fn check(&self) -> io::Result<()> {
        runs_of(&self.value)
            .try_for_each(|run| self.file(run)?.check(run.offset.saturating_add(run.length)))
    }
}
