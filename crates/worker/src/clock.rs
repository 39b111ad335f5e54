//! Where time enters the worker.

use std::time::Instant;

use bireme_core::Time;

/// Tells the time since it was made; copies agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts at 0.
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time.
    pub(crate) fn now(self) -> Time {
        Time(self.nanos() / 1_000)
    }

    /// The time, in nanoseconds.
    pub(crate) fn nanos(self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The runtime's form of a time.
    pub(crate) fn instant(self, time: Time) -> tokio::time::Instant {
        (self.origin + std::time::Duration::from_micros(time.0)).into()
    }
}
