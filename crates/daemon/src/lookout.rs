//! Looks for the next word of a peer that asks again as soon as it is answered.
//!
//! To wake a thread that sleeps on another core takes the one that wakes it some 10 us and the one that is woken some 25, which is
//! more than either does for a short message (`docs/benchmarks/python.md`). So a thread that has answered somebody who was
//! quick the last times looks at its sockets again and again before it sleeps, and leaves the core to others in between.
//! Only exchange after exchange is worth it: where one is quick and the next is not, as when actors are created and called
//! once, others want the core. A look in vain is the last one until somebody is quick as often again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

/// Who asks again within this time is quick, and this is how long is looked for him: some times what a client of any language
/// needs to take an answer and to ask for more.
const QUICK: Duration = Duration::from_micros(250);
/// So often in a row somebody was quick before it is worth to look.
const TIMES: u32 = 3;
/// So often the runtime has its turn before the core is left to others: what was answered is on its way by then.
const TURNS: u32 = 4;
/// It does not look more often than this for one answer, whatever the clock says.
const TURNS_MAX: u32 = 2_000;

/// What is known of those who ask, and whoever looks for them.
#[derive(Debug)]
pub struct Lookout {
    began: Instant,
    /// When the last answer was given, in nanoseconds since the beginning, if nobody has asked since; else 0.
    answered: AtomicU64,
    /// How often in a row somebody was quick.
    times: AtomicU32,
    look: Notify,
}

impl Default for Lookout {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            answered: AtomicU64::new(0),
            times: AtomicU32::new(0),
            look: Notify::new(),
        }
    }
}

impl Lookout {
    /// Somebody asks for something.
    pub fn asked(&self) {
        let answered = self.answered.swap(0, Ordering::Relaxed);
        if answered == 0 {
            return;
        }
        let times = self.times.load(Ordering::Relaxed);
        let is_quick = self.since(answered) <= QUICK;
        self.times.store(if is_quick { times.saturating_add(1) } else { 0 }, Ordering::Relaxed);
    }

    /// Somebody is given an answer.
    pub fn answered(&self) {
        self.answered.store(self.now(), Ordering::Relaxed);
        if self.times.load(Ordering::Relaxed) >= TIMES {
            self.look.notify_one();
        }
    }

    /// Looks for those who are quick, for as long as the runtime runs. For the thread that reads what they ask.
    pub async fn keep(&self) {
        loop {
            self.look.notified().await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let mut turns = 0;
        loop {
            // Has the runtime ask the system what has come, without a wait.
            yield_now().await;
            let answered = self.answered.load(Ordering::Relaxed);
            if answered == 0 {
                return;
            }
            turns += 1;
            if self.since(answered) > QUICK || turns > TURNS_MAX {
                self.times.store(0, Ordering::Relaxed);
                return;
            }
            if turns > TURNS {
                std::thread::yield_now();
            }
        }
    }

    fn now(&self) -> u64 {
        // Never 0; and for 584 years within the number.
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    fn since(&self, then: u64) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(then))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::advance;

    use super::*;

    const US: Duration = Duration::from_micros(1);

    /// Somebody asks so long after an answer, and is answered.
    async fn exchange(lookout: &Lookout, after: Duration) {
        advance(after).await;
        lookout.asked();
        lookout.answered();
    }

    fn looks(lookout: &Lookout) -> bool {
        lookout.times.load(Ordering::Relaxed) >= TIMES
    }

    #[tokio::test(start_paused = true)]
    async fn it_looks_for_those_who_were_quick_several_times_in_a_row() {
        let lookout = Lookout::default();
        exchange(&lookout, US).await;
        for _ in 0..TIMES {
            assert!(!looks(&lookout));
            exchange(&lookout, QUICK).await;
        }
        assert!(looks(&lookout));
        exchange(&lookout, QUICK + US).await;
        assert!(!looks(&lookout), "one that was slow");
        for _ in 1..TIMES {
            exchange(&lookout, US).await;
            assert!(!looks(&lookout));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_with_what_comes_or_in_vain() {
        let lookout = Arc::new(Lookout::default());
        let looked = Arc::clone(&lookout);
        tokio::spawn(async move { looked.keep().await });
        for _ in 0..=TIMES {
            exchange(&lookout, US).await;
        }
        // It has begun to look, and the clock stands: only what comes ends that.
        yield_now().await;
        lookout.asked();
        yield_now().await;
        yield_now().await;
        assert!(looks(&lookout));
        lookout.answered();
        yield_now().await;
        advance(QUICK + US).await;
        yield_now().await;
        yield_now().await;
        assert!(!looks(&lookout), "nobody came");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_stands_does_not_keep_it_looking() {
        let lookout = Arc::new(Lookout::default());
        let looked = Arc::clone(&lookout);
        tokio::spawn(async move { looked.keep().await });
        for _ in 0..=TIMES {
            exchange(&lookout, US).await;
        }
        for _ in 0..2 * TURNS_MAX {
            yield_now().await;
        }
        assert!(!looks(&lookout));
    }
}
