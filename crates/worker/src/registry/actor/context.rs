//! What a method of a native actor knows of its call.

use std::cell::Cell;
use std::time::Duration;

use bireme_core::actor::call::CallId;
use bireme_core::{ErrorClass, Reason, TaskError};
use bireme_executor::Call;

use crate::failure::failure;
use crate::registry::IntoValue;

/// The call that runs.
#[derive(Debug)]
pub struct CallContext<'a> {
    call: &'a Call,
    exits: Cell<bool>,
}

impl<'a> CallContext<'a> {
    pub(super) fn new(call: &'a Call) -> Self {
        Self { call, exits: Cell::new(false) }
    }

    /// Who called, and with which of its calls; `None` where nobody is told.
    pub fn id(&self) -> Option<CallId> {
        self.call.id
    }

    /// Whether the call has run in an earlier incarnation and is played again from the log. What it does outside of the actor
    /// was done then.
    pub fn is_replay(&self) -> bool {
        self.call.replay
    }

    /// Whether the call is unwanted, and the method had better return; whatever it returns is dropped.
    pub fn is_cancelled(&self) -> bool {
        self.call.stop.is_asked()
    }

    /// Waits for so long, or fails as soon as the call is cancelled.
    pub fn sleep(&self, duration: Duration) -> Result<(), Box<TaskError>> {
        if self.call.stop.wait(duration) {
            let message = "the call was cancelled while it slept";
            return Err(failure(ErrorClass::Cancelled, Reason::Cancelled, message));
        }
        Ok(())
    }

    /// Sends an item to a caller who asked for a stream, once it has room for one. Fails when nobody wants it any more, and
    /// where nobody asked.
    pub fn send(&self, item: impl IntoValue) -> Result<(), Box<TaskError>> {
        if !self.streams() {
            let message = "the caller asked for no stream of items; call the method as one";
            return Err(failure(ErrorClass::User, Reason::UserError, message));
        }
        self.call.items.send(item.into_value()?)
    }

    /// Whether the caller asked for a stream of items.
    pub fn streams(&self) -> bool {
        self.call.reply == bireme_core::actor::call::ReplyKind::Stream
    }

    /// Ends the actor when the method has returned: calls that wait do not run.
    pub fn exit(&self) {
        self.exits.set(true);
    }

    pub(super) fn exits(&self) -> bool {
        self.exits.get()
    }
}
