//! Removing files, which takes as long as there is memory to give back, away from whoever has dropped a value.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::remove;
use crate::sync::lock;

/// A thread that removes files. It starts with the first one.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    heap: Arc<Heap>,
}

#[derive(Debug, Default)]
struct Heap {
    state: Mutex<State>,
    /// There is something to be done.
    changed: Condvar,
    /// Held while files are removed: who has it knows that none is half gone.
    removing: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Litter>,
    started: bool,
    closed: bool,
}

/// A file to be removed.
#[derive(Debug)]
struct Litter {
    paths: [Option<PathBuf>; 2],
    /// Closing it last is what gives the memory back.
    open: Option<Arc<fs::File>>,
}

impl Sweeper {
    /// Has files removed, soon.
    pub(super) fn sweep(&self, open: Option<Arc<fs::File>>, paths: [Option<PathBuf>; 2]) {
        let mut state = lock(&self.heap.state);
        state.files.push(Litter { paths, open });
        if state.closed {
            drop(state);
            self.sweep_now();
        } else if state.started {
            self.heap.changed.notify_one();
        } else {
            let heap = Arc::clone(&self.heap);
            let work = move || heap.work();
            // Where no thread can be had, the next one who needs memory removes them.
            state.started = thread::Builder::new().name("sweep".to_owned()).spawn(work).is_ok();
        }
    }

    /// Removes all that wait for it, here; whether there were any.
    pub(super) fn sweep_now(&self) -> bool {
        let _removing = lock(&self.heap.removing);
        let files = std::mem::take(&mut lock(&self.heap.state).files);
        let any = !files.is_empty();
        files.into_iter().for_each(Litter::remove);
        any
    }

    /// Lets the thread end when it has nothing left to do.
    pub(super) fn close(&self) {
        lock(&self.heap.state).closed = true;
        self.heap.changed.notify_one();
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.close();
    }
}

impl Heap {
    fn work(&self) {
        loop {
            let idle = |state: &mut State| state.files.is_empty() && !state.closed;
            let waited = self.changed.wait_while(lock(&self.state), idle);
            let state = waited.unwrap_or_else(PoisonError::into_inner);
            if state.files.is_empty() {
                return;
            }
            drop(state);
            let _removing = lock(&self.removing);
            let file = lock(&self.state).files.pop();
            file.into_iter().for_each(Litter::remove);
        }
    }
}

impl Litter {
    fn remove(self) {
        self.paths.iter().flatten().for_each(|path| remove(path));
        drop(self.open);
    }
}
