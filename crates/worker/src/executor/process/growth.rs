//! Processes whose memory has grown are sent away between two attempts: libraries leak, and allocators keep what they were
//! once given.

use bireme_core::{Time, limits};

use super::Shared;
use super::seat::Seat;
use crate::host;

/// A process as it was when it was ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newborn {
    /// Its own memory, in bytes.
    bytes: u64,
    /// When that was last compared.
    compared: Time,
}

impl Shared {
    /// Makes note of the memory of a process that is ready, where growth has a limit.
    pub(super) fn weigh_newborn(&self, seat: &mut Seat) {
        if self.setup.growth > 0 {
            let bytes = seat.pid.and_then(host::private_bytes);
            seat.newborn = bytes.map(|bytes| Newborn { bytes, compared: self.setup.clock.now() });
        }
    }

    /// Has a process leave that has ended an attempt and has grown by more than it may. What it runs by now still ends there.
    pub(super) fn send_away_if_grown(&self, seat: &mut Seat) {
        let Some(newborn) = seat.newborn.as_mut().filter(|_| !seat.doomed) else { return };
        let now = self.setup.clock.now();
        // A run of short attempts costs few looks; whoever rests is looked at.
        if now.since(newborn.compared) < limits::EXECUTOR_WEIGHED && !seat.jobs.is_empty() {
            return;
        }
        newborn.compared = now;
        let bytes = seat.pid.and_then(host::private_bytes).unwrap_or(0);
        let grown = bytes.saturating_sub(newborn.bytes);
        if grown > self.setup.growth {
            tracing::info!(pid = seat.pid, grown, "executor process has grown too large");
            seat.leave("its memory has grown by more than `--runtime-memory-growth` allows");
        }
    }
}
