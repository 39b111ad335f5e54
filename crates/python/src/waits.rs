//! Which call of an actor this thread runs, and whether it does nothing but wait for a call of another.

use std::cell::RefCell;
use std::sync::Arc;

use bireme_client::{Canceller, Waiting, Waits};

thread_local! {
    /// The call that this thread runs: whose, and its number.
    static RUNNING: RefCell<Option<(Arc<Waits>, u64)>> = const { RefCell::new(None) };
}

/// This thread runs a call, for as long as this lives.
#[derive(Debug)]
#[must_use = "the call is over when this is dropped"]
pub(crate) struct Running(());

impl Running {
    pub(crate) fn new(waits: &Arc<Waits>, call: u64) -> Self {
        RUNNING.set(Some((Arc::clone(waits), call)));
        Self(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(None);
    }
}

/// The call that this thread runs, if it does, waits for another without a limit of time, and has nobody else to end it.
pub(crate) fn wait_for(on: Option<&Canceller>) -> Option<Waiting> {
    let on = on?;
    RUNNING.with_borrow(|running| running.as_ref().map(|(waits, call)| waits.begin(*call, on)))
}
