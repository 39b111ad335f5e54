//! How full memory is, and what follows: values go to disk, and when that is not enough nothing starts.

use std::sync::Arc;

use bireme_core::limits;

use super::Driver;
use crate::inbox::Told;
use crate::machine::Event;

/// What the driver knows of the memory for values.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Above the pause mark, and not below the other one since.
    paused: bool,
    relief: Relief,
}

/// Moving values to disk, away from the driver's thread.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Relief {
    /// There was nothing to be moved; there may be at the next heartbeat.
    InVain,
    /// It can begin.
    #[default]
    Ready,
    /// It goes on.
    UnderWay,
}

impl Driver {
    /// Tells the machine when values fill the memory, and when they do no more. Well before, has some moved to disk.
    pub(super) fn judge_memory(&mut self) {
        let store = &self.parts.store;
        let totals = store.totals();
        if self.memory.relief == Relief::Ready && store.is_tight(&totals) {
            self.memory.relief = Relief::UnderWay;
            let (store, inbox) = (Arc::clone(store), Arc::clone(&self.parts.inbox));
            tokio::task::spawn_blocking(move || inbox.push(Told::Relieved(store.relieve())));
        }
        let limit = self.parts.join.resources.memory_bytes / 100;
        let percent =
            if self.memory.paused { limits::RESUME_PERCENT } else { limits::PAUSE_PERCENT };
        let full = limit > 0 && totals.held_bytes() > limit * percent;
        if full != self.memory.paused {
            self.memory.paused = full;
            tracing::warn!(paused = full, "memory for values has passed a mark");
            self.handle(Event::Paused(full));
        }
    }

    /// Takes note that no more values can or need be moved.
    pub(super) fn on_relieved(&mut self, any: bool) {
        self.memory.relief = if any { Relief::Ready } else { Relief::InVain };
    }

    /// Lets values be moved again though there were none that could be.
    pub(super) fn retry_relief(&mut self) {
        if self.memory.relief == Relief::InVain {
            self.memory.relief = Relief::Ready;
        }
    }
}
