//! The clock of running code: it looks up at every tick. Nothing ticks while nothing runs.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use bireme_core::Span;
use wasmtime::Engine;

use crate::sync::lock;

/// Ticks while anybody holds it.
#[derive(Debug)]
pub(super) struct Ticks {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    holders: usize,
    closed: bool,
}

impl Ticks {
    /// Starts the thread that ticks.
    pub(super) fn start(engine: Engine, every: Span) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = Arc::clone(&shared);
        let name = "wasm-ticks".to_owned();
        thread::Builder::new().name(name).spawn(move || ticking.tick(&engine, every))?;
        Ok(Self { shared })
    }

    /// Has it tick until what is returned is dropped.
    pub(super) fn hold(&self) -> Hold {
        lock(&self.shared.state).holders += 1;
        self.shared.changed.notify_one();
        Hold(Arc::clone(&self.shared))
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_one();
    }
}

/// Code runs.
#[derive(Debug)]
pub(super) struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.0.state).holders -= 1;
    }
}

impl Shared {
    fn tick(&self, engine: &Engine, every: Span) {
        let mut state = lock(&self.state);
        loop {
            let idle = |state: &mut State| state.holders == 0 && !state.closed;
            let waited = self.changed.wait_while(state, idle);
            state = waited.unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return;
            }
            let waited = self.changed.wait_timeout(state, every.to_std());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            engine.increment_epoch();
        }
    }
}
