//! Time as a value: read by drivers, handed to machines.

use std::fmt;
use std::ops::{Add, Sub};

/// A moment, in microseconds from an arbitrary start; only the drivers and the simulation make these.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Time(pub u64);

/// A length of time, in microseconds.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span(pub u64);

impl Time {
    /// How long ago `earlier` was; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many milliseconds.
    pub const fn millis(ms: u64) -> Self {
        Self(ms * 1_000)
    }

    /// So many seconds.
    pub const fn secs(s: u64) -> Self {
        Self(s * 1_000_000)
    }

    /// Twice as long, at most `max`.
    #[must_use]
    pub fn doubled(self, max: Self) -> Self {
        Self(self.0.saturating_mul(2)).min(max)
    }

    /// The standard library's form.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0)
    }
}

impl From<std::time::Duration> for Span {
    /// Cuts off below a microsecond and saturates far beyond any use.
    fn from(duration: std::time::Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Add<Span> for Time {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us >= 1_000_000 => write!(f, "{}.{:03} s", us / 1_000_000, us / 1_000 % 1_000),
            us if us >= 1_000 => write!(f, "{}.{:03} ms", us / 1_000, us % 1_000),
            us => write!(f, "{us} us"),
        }
    }
}
