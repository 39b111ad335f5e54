//! Processes that could not be started: how long no other is, and why.

use bireme_core::{Span, TaskError, Time, limits};

/// What went wrong the last times in a row. While it is recent, attempts that need a new process fail of it at once: a
/// program that is not there would otherwise be started again for each of them.
#[derive(Debug, Default)]
pub(crate) struct Setbacks(Option<Setback>);

#[derive(Debug)]
struct Setback {
    error: Box<TaskError>,
    /// No process is started before.
    until: Time,
    pause: Span,
}

impl Setbacks {
    /// Another process could not be started.
    pub(crate) fn add(&mut self, error: Box<TaskError>, now: Time) {
        let pause = self.0.as_ref().map_or(limits::EXECUTOR_PAUSE, |last| {
            // Those that were started together count once.
            if now < last.until {
                last.pause
            } else {
                last.pause.doubled(limits::EXECUTOR_PAUSE_MAX)
            }
        });
        self.0 = Some(Setback { error, until: now + pause, pause });
    }

    /// A process has come back.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }

    /// Why no process is started at this time.
    pub(crate) fn error(&self, now: Time) -> Option<Box<TaskError>> {
        self.recent(now).map(|(error, _)| error)
    }

    /// Why no process is started at this time, and when one may be.
    pub(crate) fn recent(&self, now: Time) -> Option<(Box<TaskError>, Time)> {
        self.0.as_ref().filter(|last| now < last.until).map(|last| (last.error.clone(), last.until))
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::ErrorClass;

    use super::*;

    #[test]
    fn pauses_grow_and_end_with_the_first_that_comes_back() {
        let error = |text: &str| Box::new(TaskError::new(ErrorClass::NotFound, "X", text));
        let (mut setbacks, mut now) = (Setbacks::default(), Time(7));
        assert!(setbacks.error(now).is_none());
        setbacks.add(error("one"), now);
        setbacks.add(error("two"), now);
        assert_eq!(setbacks.error(now).unwrap().message, "two");
        now = now + limits::EXECUTOR_PAUSE;
        assert!(setbacks.error(now).is_none());
        setbacks.add(error("three"), now);
        assert!(setbacks.error(now + limits::EXECUTOR_PAUSE).is_some(), "twice as long");
        (0..20).for_each(|_| {
            now = now + limits::EXECUTOR_PAUSE_MAX;
            setbacks.add(error("more"), now);
        });
        assert!(setbacks.error(now + limits::EXECUTOR_PAUSE_MAX).is_none());
        setbacks.forget();
        assert!(setbacks.error(now).is_none());
    }
}
