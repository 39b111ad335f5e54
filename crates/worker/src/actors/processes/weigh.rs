//! Actors that take more memory than they may.

use std::sync::Weak;

use bireme_core::limits;
use rustix::process::Signal;
use tokio::time::sleep;

use super::Shared;
use crate::executor::scales::Bloat;
use crate::host::private_bytes;
use crate::sync::lock;

/// Ends a process whose actor takes more memory than it may. The system is asked while nothing is locked.
pub(super) async fn weigh(shared: Weak<Shared>, number: u64, limit: u64) {
    loop {
        sleep(limits::ACTOR_WEIGHED.to_std()).await;
        let Some(shared) = shared.upgrade() else { return };
        let pid = match lock(&shared.table).crew.processes.get(&number) {
            Some(process) => process.pid,
            None => return,
        };
        let taken = pid.and_then(private_bytes).unwrap_or(0);
        if taken > limit {
            return shared.turn().end_bloated(number, Bloat { taken, limit });
        }
    }
}

impl super::Turn<'_> {
    /// Ends a process that took too much.
    fn end_bloated(&mut self, number: u64, bloat: Bloat) {
        let crew = &mut self.table.crew;
        if let Some(process) = crew.processes.get_mut(&number) {
            process.bloat = Some(bloat);
            crew.signal(number, Signal::KILL);
        }
    }
}
