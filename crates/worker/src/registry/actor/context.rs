//! What a method of a native actor knows of its call.

use std::cell::Cell;
use std::time::Duration;

use bireme_core::actor::ActorName;
use bireme_core::actor::call::CallId;
use bireme_core::{ActorId, ErrorClass, Reason, TaskError};
use bireme_executor::Call;

use super::outward::Outward;
use crate::failure::failure;
use crate::registry::IntoValue;

/// The call that runs.
#[derive(Debug)]
pub struct CallContext<'a> {
    call: &'a Call,
    outward: &'a Outward,
    exits: Cell<bool>,
}

impl<'a> CallContext<'a> {
    pub(super) fn new(call: &'a Call, outward: &'a Outward) -> Self {
        Self { call, outward, exits: Cell::new(false) }
    }

    /// Another actor, to be called by this method. A call that leads back to this actor, so that it would wait for itself, ends
    /// as `DEADLOCK` at once.
    ///
    /// Calls that an effectively-once actor makes in a lane that runs one call at a time are made once as well, whatever
    /// crashes: its log, played again, makes the same calls, and an effectively-once actor that has run one does not run it
    /// twice. Such a method is over when the calls have ended that it has made.
    ///
    /// ```
    /// # use bireme_core::ActorId;
    /// # use bireme_worker::{Actor, Arguments, CallContext, Failure, Methods};
    /// use bireme_client::encode;
    ///
    /// # struct Relay;
    /// # impl Actor for Relay {
    /// #     fn create(_: &Arguments<'_>) -> Result<Self, Failure> { Ok(Self) }
    /// #     fn methods(methods: &mut Methods<Self>) {
    /// methods.method("pass_on", |_: &mut Self, call: &CallContext<'_>, to: ActorId, n: i64| {
    ///     let counter = call.actor(to)?;
    ///     call.wait(counter.call("add", encode(&n)?))?.map_err(Failure::from)
    /// });
    /// #     }
    /// # }
    /// ```
    pub fn actor(&self, actor: ActorId) -> Result<bireme_client::Actor, Box<TaskError>> {
        self.outward.actor(self.call, actor)
    }

    /// As [`CallContext::actor`], by the actor's name.
    pub fn find_actor(
        &self,
        name: impl Into<ActorName>,
    ) -> Result<bireme_client::Actor, Box<TaskError>> {
        self.outward.find(self.call, name.into())
    }

    /// Waits for a call of another actor, or for several. Fails where the cluster cannot be reached.
    pub fn wait<T>(&self, call: impl Future<Output = T>) -> Result<T, Box<TaskError>> {
        self.outward.wait(call)
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
            let message = "the caller asked for no stream of items; call the method as one: by `stream`, or with \
                `--stream` on the command line";
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
