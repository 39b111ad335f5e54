//! How long to wait before another daemon is started.

use bireme_core::{Span, limits};

/// Doubles the pause as long as daemons die soon.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Span,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: limits::RESTART_PAUSE }
    }
}

impl Pauses {
    /// The pause after a daemon that has lived for so long.
    pub(super) fn after(&mut self, lived: Span) -> Span {
        if lived >= limits::RESTART_SETTLED {
            *self = Self::default();
        }
        let pause = self.next;
        self.next = pause.doubled(limits::RESTART_PAUSE_MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_daemon_lives() {
        let mut pauses = Pauses::default();
        let soon: Vec<_> = (0..9).map(|_| pauses.after(Span::secs(1)).0 / 1_000).collect();
        assert_eq!(soon, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(pauses.after(limits::RESTART_SETTLED), limits::RESTART_PAUSE);
        assert_eq!(pauses.after(Span::ZERO), Span::millis(200));
    }
}
