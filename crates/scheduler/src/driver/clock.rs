//! The one clock of the scheduler.

use std::time::Instant;

use bireme_core::time::Time;

/// Monotonic time since the scheduler's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the clock.
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Nanoseconds since the start.
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(crate) fn nanos(self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// A moment as the runtime's timers want it.
    pub(crate) fn instant(self, time: Time) -> tokio::time::Instant {
        (self.start + std::time::Duration::from_micros(time.0)).into()
    }
}
