//! How many attempts a process is given ahead.

use bireme_core::{Span, limits};

/// What the attempts of a process have taken lately. It grows at once and shrinks slowly: one long attempt is reason enough
/// not to have others wait behind the next.
#[derive(Debug)]
pub(super) struct Pace(Span);

impl Default for Pace {
    /// Nothing is known: one may wait.
    fn default() -> Self {
        Self(limits::EXECUTOR_AHEAD_WORK)
    }
}

impl Pace {
    /// The most that it remembers, so that it recovers from a long attempt after a few short ones.
    const MOST: Span = Span(2 * limits::EXECUTOR_PATIENCE.0);

    /// An attempt ran for so long.
    pub(super) fn note(&mut self, run: Span) {
        let Span(kept) = self.0;
        let eased = Span(kept - kept.saturating_sub(run.0).div_ceil(4));
        self.0 = eased.max(run).min(Self::MOST);
    }

    /// What runs is long.
    pub(super) fn stall(&mut self) {
        self.0 = Self::MOST;
    }

    /// How many may wait behind the one that runs.
    pub(super) fn room(&self) -> usize {
        let Span(work) = limits::EXECUTOR_AHEAD_WORK;
        let room = work / self.0.0.max(1);
        usize::try_from(room).unwrap_or(usize::MAX).min(limits::EXECUTOR_AHEAD)
    }

    /// How long one takes, in a whole number that is never 0.
    pub(super) fn weight(&self) -> u64 {
        self.0.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_attempts_make_room_and_a_long_one_takes_it_at_once() {
        let mut pace = Pace::default();
        assert_eq!(pace.room(), 1);
        (0..100).for_each(|_| pace.note(Span::ZERO));
        assert_eq!(pace.room(), limits::EXECUTOR_AHEAD);
        pace.note(Span::secs(60));
        assert_eq!(pace.room(), 0);
        (0..7).for_each(|_| pace.note(Span(10)));
        assert!(pace.room() > 0, "{pace:?}");
    }
}
