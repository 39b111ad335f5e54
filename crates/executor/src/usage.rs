//! What attempts take, and how the process is, as the system says it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use bireme_core::Span;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Attempts that ran for less have no peak of memory: reading it would take longer than a few of them.
const MEASURED: Span = Span::millis(1);

/// Where the system tells the state of this process.
const STATUS: &str = "/proc/self/status";

/// As much of it as is looked at first, in bytes; it is shorter, but for a user of hundreds of groups.
const STATUS_BYTES: usize = 4 << 10;

/// Attempts that follow each other without a pause for so long have those that ended told in between.
const UNTOLD: Span = Span(100);

/// Measures one attempt after the other on one thread.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Highest peak of the process so far, in bytes.
    peak: u64,
    /// When what had ended was told.
    told: Option<Instant>,
    /// The state of the process, kept open: to open and close it takes longer than to read it.
    status: Option<File>,
}

/// A measurement that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    wall: Instant,
    /// `None` where nobody asks for it.
    cpu: Option<Span>,
}

/// What an attempt took.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Taken {
    pub(crate) run: Span,
    /// Of this thread; 0 where nobody asks for it.
    pub(crate) cpu: Span,
    /// In bytes; 0 where another attempt of this process had a higher one.
    pub(crate) peak: u64,
}

impl Meter {
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(crate) fn begin() -> Begun {
        Begun { wall: Instant::now(), cpu: Some(span(clock_gettime(ClockId::ThreadCPUTime))) }
    }

    /// Measures without the time of the processor, which takes the system longer to tell than many a call runs.
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(crate) fn begin_call() -> Begun {
        Begun { wall: Instant::now(), cpu: None }
    }

    /// Whether it is time to tell of what has ended, which is then taken as told. It has just been if the thread was `idle`.
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(crate) fn is_late(&mut self, idle: bool) -> bool {
        let now = Instant::now();
        let late = self.told.map_or(UNTOLD.to_std(), |told| now.duration_since(told));
        let is_due = idle || late >= UNTOLD.to_std();
        if is_due {
            self.told = Some(now);
        }
        is_due && !idle
    }

    pub(crate) fn end(&mut self, begun: Begun) -> Taken {
        let run = Span(u64::try_from(begun.wall.elapsed().as_micros()).unwrap_or(u64::MAX));
        let cpu = begun.cpu.map_or(Span::ZERO, |begun| {
            let now = span(clock_gettime(ClockId::ThreadCPUTime));
            Span(now.0.saturating_sub(begun.0))
        });
        let mut taken = Taken { run, cpu, peak: 0 };
        if run >= MEASURED {
            let peak = self.peak_now().unwrap_or(0);
            if peak > self.peak {
                self.peak = peak;
                taken.peak = peak;
            }
        }
        taken
    }

    /// The peak of the process, in bytes.
    fn peak_now(&mut self) -> Option<u64> {
        let file = match self.status.take() {
            Some(file) => file,
            None => File::open(STATUS).ok()?,
        };
        let mut bytes = [0; STATUS_BYTES];
        let length = file.read_at(&mut bytes, 0).ok()?;
        self.status = Some(file);
        let text = String::from_utf8_lossy(bytes.get(..length)?);
        let peak = || number(&fs::read_to_string(STATUS).ok()?, "VmHWM:");
        Some(number(&text, "VmHWM:").or_else(peak)? << 10)
    }
}

/// How the process is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pulse {
    pub(crate) resident_bytes: u64,
    pub(crate) threads: u32,
    pub(crate) cpu: Span,
}

/// Takes the pulse of this process; what the system does not tell is 0.
pub(crate) fn pulse() -> Pulse {
    let status = fs::read_to_string(STATUS).unwrap_or_default();
    let threads = number(&status, "Threads:").and_then(|count| u32::try_from(count).ok());
    Pulse {
        resident_bytes: number(&status, "VmRSS:").unwrap_or(0) << 10,
        threads: threads.unwrap_or(0),
        cpu: span(clock_gettime(ClockId::ProcessCPUTime)),
    }
}

fn number(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

fn span(time: Timespec) -> Span {
    let (seconds, nanos) = (time.tv_sec, time.tv_nsec);
    Span(u64::try_from(seconds * 1_000_000 + nanos / 1_000).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_the_process_is() {
        let pulse = pulse();
        assert!(pulse.resident_bytes > 1 << 20 && pulse.threads > 0, "{pulse:?}");
    }

    #[test]
    fn whoever_was_idle_has_told_everything() {
        let mut meter = Meter::default();
        assert!(!meter.is_late(true));
        meter.told = meter.told.and_then(|told| told.checked_sub(UNTOLD.to_std()));
        assert!(meter.is_late(false));
        assert!(!meter.is_late(true));
    }

    #[test]
    fn a_peak_is_told_of_the_attempt_that_reached_it() {
        let mut meter = Meter { peak: u64::MAX, ..Meter::default() };
        let begun = Meter::begin();
        assert_eq!(meter.end(begun).peak, 0);
        let (first, second) = (meter.peak_now(), meter.peak_now());
        assert!(first > Some(1 << 20) && second >= first, "{first:?}, {second:?}");
    }
}
