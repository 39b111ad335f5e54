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
    /// With three digits below a minute, `821.728 ms`; above, in the two greatest units, `13 min 41 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = |great: u64, of: &str, small: u64, rest: &str| match small {
            0 => write!(f, "{great} {of}"),
            _ => write!(f, "{great} {of} {small} {rest}"),
        };
        let s = self.0 / 1_000_000;
        match self.0 {
            _ if s >= 86_400 => parts(s / 86_400, "d", s / 3_600 % 24, "h"),
            _ if s >= 3_600 => parts(s / 3_600, "h", s / 60 % 60, "min"),
            _ if s >= 60 => parts(s / 60, "min", s % 60, "s"),
            us if us >= 1_000_000 => write!(f, "{}.{:03} s", us / 1_000_000, us / 1_000 % 1_000),
            us if us >= 1_000 => write!(f, "{}.{:03} ms", us / 1_000, us % 1_000),
            us => write!(f, "{us} us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_units_that_people_read() {
        let told = |us: u64| Span(us).to_string();
        assert_eq!([told(7), told(1_500), told(59_999_999)], ["7 us", "1.500 ms", "59.999 s"]);
        let [minute, hour, day] = [60, 3_600, 86_400].map(|s| s * 1_000_000);
        assert_eq!([told(minute), told(821_728_000)], ["1 min", "13 min 41 s"]);
        assert_eq!([told(hour), told(hour + 12 * minute)], ["1 h", "1 h 12 min"]);
        assert_eq!([told(day), told(30 * day + 2 * hour)], ["1 d", "30 d 2 h"]);
    }
}
