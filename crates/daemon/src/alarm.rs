//! The timer of an event loop, which is set anew in nearly every turn.
//!
//! A timer that is due before the next tick of the system has it set its clock when the loop begins to wait, and again when
//! the wait ends, which takes as long as a short message does. And to set a timer earlier than all others has the runtime
//! wake itself. So an alarm that is needed again and again stays set some milliseconds ahead; it rings once for nothing
//! when the loop has nothing more to do.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How far ahead an alarm stays set that is not needed: longer than the tick of the system's clock.
const AHEAD: Duration = Duration::from_millis(8);

/// A timer that rings when something is due, or somewhat earlier.
#[derive(Debug)]
pub struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// It rings at the timer's deadline.
    is_set: bool,
}

impl Alarm {
    /// One that does not ring before it is set. For the runtime's threads.
    pub fn new(now: Instant) -> Self {
        Self { timer: Box::pin(sleep_until(now)), is_set: false }
    }

    /// Has it ring when something is due, or not at all.
    pub fn set(&mut self, now: Instant, due: Option<Instant>) {
        let Some(due) = due else {
            self.is_set = false;
            return;
        };
        let set = self.timer.deadline();
        if !self.is_set || self.timer.is_elapsed() || due < set {
            self.timer.as_mut().reset(due);
        } else if due > set && set < now + AHEAD / 2 {
            // A timer that is only reset still has the runtime look after it at the earlier time.
            self.timer.set(sleep_until(due.min(now + AHEAD)));
        }
        self.is_set = true;
    }

    /// Waits until it rings. Cancel-safe.
    pub async fn rung(&mut self) {
        if !self.is_set {
            std::future::pending::<()>().await;
        }
        self.timer.as_mut().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    async fn rings_within(alarm: &mut Alarm, span: Duration) -> bool {
        tokio::time::timeout(span, alarm.rung()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_something_is_due_and_not_when_nothing_is() {
        let begun = Instant::now();
        let mut alarm = Alarm::new(begun);
        assert!(!rings_within(&mut alarm, 1_000 * MS).await);
        alarm.set(Instant::now(), Some(Instant::now() + 20 * MS));
        alarm.set(Instant::now(), Some(Instant::now() + 10 * MS));
        alarm.rung().await;
        assert_eq!(begun.elapsed(), 1_010 * MS);
        alarm.set(Instant::now(), None);
        assert!(!rings_within(&mut alarm, 1_000 * MS).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_already_rings_at_once_and_again() {
        let begun = Instant::now();
        let mut alarm = Alarm::new(begun);
        for _ in 0..3 {
            alarm.set(begun, Some(begun));
            alarm.rung().await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_set_in_each_turn_nor_rings_while_turns_go_on() {
        let begun = Instant::now();
        let (mut alarm, mut sets) = (Alarm::new(begun), 0);
        for _ in 0..1_000 {
            let (now, before) = (Instant::now(), alarm.timer.deadline());
            // Something short is due, and then only something far.
            alarm.set(now, Some(now + AHEAD));
            alarm.set(now, Some(begun + 60_000 * MS));
            sets += u32::from(alarm.timer.deadline() != before);
            assert!(!rings_within(&mut alarm, MS).await);
        }
        assert!(sets <= 1 + 1_000 / 4, "{sets}");
        // It rings once for nothing, and then when it must.
        alarm.rung().await;
        assert!(Instant::now() <= begun + 1_000 * MS + AHEAD);
        alarm.set(Instant::now(), Some(begun + 60_000 * MS));
        alarm.rung().await;
        assert_eq!(begun.elapsed(), 60_000 * MS);
    }
}
