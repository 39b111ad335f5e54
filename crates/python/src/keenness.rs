//! Whether a thread that begins to wait had better look again and again than sleep at once.
//!
//! A thread that sleeps is woken by the one that has what it waits for, which takes both of them longer than most of what
//! happens in between; and it finds its code gone from the caches. So whoever waits for the next of many short things keeps
//! looking for a while. Where that was in vain the next waits are not worth it either.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use crate::thread::now;

/// For how long a thread keeps looking: about twice what the result of a short task takes to be there.
const LOOKS: Duration = Duration::from_micros(500);
/// So many waits are not looked after behind one that took longer: what is spent in vain is little to what they take.
const PASSED: u32 = 16;

/// What the last waits were like.
#[derive(Debug, Default)]
pub(crate) struct Keenness {
    /// Waits that are still to be passed over.
    passes: AtomicU32,
}

impl Keenness {
    /// Whether this wait is worth to be looked after.
    pub(crate) fn takes(&self) -> bool {
        let passes = self.passes.load(Ordering::Relaxed);
        self.passes.store(passes.saturating_sub(1), Ordering::Relaxed);
        passes == 0
    }

    /// Polls what is waited for, and has the runtime look at its sockets in between, for a while; `None` if it is not there by
    /// then.
    pub(crate) async fn look<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        let until = now() + LOOKS;
        loop {
            if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
                return Some(done);
            }
            if now() >= until {
                self.passes.store(PASSED, Ordering::Relaxed);
                return None;
            }
            tokio::task::yield_now().await;
        }
    }
}
