//! Whether attempts in processes take more memory than they said they would.

use std::sync::{Arc, Weak};

use bireme_core::limits;
use rustix::process::Signal;
use tokio::time::sleep;

use super::Shared;
use super::seat::Seat;
use crate::executor::scales::Bloat;
use crate::host;
use crate::sync::lock;

impl Shared {
    /// Has somebody look after the memory of what a process runs, if that has a limit.
    pub(super) fn weigh(self: &Arc<Self>, number: u64, seat: &mut Seat) {
        if !seat.weighed && limit(seat).is_some() {
            seat.weighed = true;
            self.setup.bulk.spawn(weigh(Arc::downgrade(self), number));
        }
    }

    /// Ends a process whose attempt takes more memory than it may. Returns whether to look again.
    fn look_at_memory(&self, number: u64) -> bool {
        let mut crew = lock(&self.crew);
        let Some(seat) = crew.seats.get_mut(&number) else { return false };
        let Some(limit) = limit(seat) else {
            seat.weighed = false;
            return false;
        };
        let taken = seat.pid.and_then(host::private_bytes).unwrap_or(0);
        if taken <= limit {
            return true;
        }
        if let Some(head) = seat.jobs.front_mut() {
            head.bloat = Some(Bloat { taken, limit });
        }
        seat.end(Signal::KILL);
        false
    }
}

/// What the first attempt of a process may take, where it runs and said so.
fn limit(seat: &Seat) -> Option<u64> {
    let head = seat.jobs.front().filter(|head| head.running.is_some())?;
    Some(head.job.execution.resources.memory_bytes).filter(|bytes| *bytes > 0)
}

async fn weigh(shared: Weak<Shared>, number: u64) {
    loop {
        sleep(limits::EXECUTOR_WEIGHED.to_std()).await;
        let Some(shared) = shared.upgrade() else { return };
        if !shared.look_at_memory(number) {
            return;
        }
    }
}
