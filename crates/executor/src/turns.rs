//! A runtime that whoever waits drives, and a thread that drives it when nobody does.
//!
//! To wake another thread costs more than most of what there is to do on a stream. So a thread that waits for something does
//! the work meanwhile, and what it waits for is there without a hand-over. A thread that begins to wait has the one that
//! belongs to the runtime let go, once; that one then rests until nobody has waited for a while.

use std::ops::Deref;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How long nobody has waited before the runtime's own thread drives again, at least; at most twice as long.
const TICK: Duration = Duration::from_millis(1);
/// The same where waits have followed each other more closely than ticks: each look of that thread disturbs one of them.
const SLOW_TICK: Duration = Duration::from_millis(8);
/// The longest that it sleeps without a look while the same wait goes on.
const LONGEST: Duration = Duration::from_millis(256);

/// A runtime of one thread at a time.
#[derive(Debug)]
pub struct Turns {
    runtime: Shared,
    /// Threads that wait.
    waiting: AtomicU32,
    /// How many waits have begun.
    waits: AtomicU64,
    /// The runtime's own thread, once there is one.
    own: OnceLock<Thread>,
    /// It drives, or is about to.
    drives: AtomicBool,
    /// It sleeps for long.
    sleeps: AtomicBool,
    /// Nothing on the runtime is in a hurry.
    is_patient: AtomicBool,
    /// Asks it to let go.
    asked: Notify,
}

impl Turns {
    /// Shares a runtime, which must be one of the current thread.
    pub fn new(runtime: Runtime) -> Self {
        Self {
            runtime: Shared(Some(runtime)),
            waiting: AtomicU32::new(0),
            waits: AtomicU64::new(0),
            own: OnceLock::new(),
            drives: AtomicBool::new(false),
            sleeps: AtomicBool::new(false),
            is_patient: AtomicBool::new(false),
            asked: Notify::new(),
        }
    }

    /// Shares a runtime on which nothing runs and which nobody drives: it only has threads wait. Whoever has something done does
    /// not leave it to others.
    pub(crate) fn only_to_wait(runtime: Runtime) -> Self {
        Self { drives: AtomicBool::new(true), ..Self::new(runtime) }
    }

    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The runtime, to end it.
    pub fn into_runtime(mut self) -> Runtime {
        self.runtime.0.take().expect("it is taken here only")
    }

    /// Drives whenever no other thread does, until something is done. It is for one thread, the runtime's own.
    pub fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let _ = self.own.set(thread::current());
        loop {
            self.drives.store(true, Ordering::SeqCst);
            let done = if self.waiting.load(Ordering::SeqCst) > 0 {
                None
            } else {
                self.runtime.block_on(async {
                    tokio::select! {
                        done = work.as_mut() => Some(done),
                        () = self.asked.notified() => None,
                    }
                })
            };
            self.drives.store(false, Ordering::SeqCst);
            if let Some(done) = done {
                return done;
            }
            self.rest();
        }
    }

    /// Waits until something is done, and drives meanwhile. It is not for the runtime's own thread, nor within the runtime.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.waits.fetch_add(1, Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self);
        // After the count: its own thread looks at that when it has said that it drives.
        if self.drives.load(Ordering::SeqCst) {
            self.asked.notify_one();
        }
        self.runtime.block_on(work)
    }

    /// Whether the runtime's own thread drives, or others that wait do. A thread that finds it so has to wake what it wants
    /// done; else what it wants is looked for by whoever drives next.
    pub fn are_taken(&self) -> bool {
        self.drives.load(Ordering::SeqCst) || self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Says whether what comes in while nobody waits may lie for [`SLOW_TICK`]. Where threads wait after every few milliseconds of
    /// work, the runtime's own would only be asked to let go each time.
    pub(crate) fn set_patient(&self, is_patient: bool) {
        self.is_patient.store(is_patient, Ordering::Relaxed);
    }

    /// Wakes the runtime's own thread, where it rests though nobody waits.
    fn wake(&self) {
        self.own.get().into_iter().for_each(Thread::unpark);
    }

    /// Returns when nobody has waited for a while.
    fn rest(&self) {
        let tick = || if self.is_patient.load(Ordering::Relaxed) { SLOW_TICK } else { TICK };
        let (mut seen, mut span) = (self.waits.load(Ordering::SeqCst), tick());
        let mut is_long = false;
        loop {
            self.sleeps.store(is_long, Ordering::SeqCst);
            // After the store: whoever stops waiting looks at that after the count.
            if !is_long || self.waiting.load(Ordering::SeqCst) > 0 {
                thread::park_timeout(span);
            }
            let waiting = self.waiting.load(Ordering::SeqCst);
            let waits = self.waits.load(Ordering::SeqCst);
            let begun = waits - seen;
            if begun == 0 && waiting == 0 {
                break;
            }
            let longest = if begun == 0 { LONGEST } else { SLOW_TICK };
            let is_slow = begun == 0 || Duration::from_millis(begun) > span;
            span = if is_slow { (span * 2).min(longest) } else { tick() };
            (seen, is_long) = (waits, begun == 0);
        }
        self.sleeps.store(false, Ordering::SeqCst);
    }
}

/// A runtime that may be dropped anywhere, also by what runs on another one. What runs on it is not waited for.
#[derive(Debug)]
struct Shared(Option<Runtime>);

impl Deref for Shared {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken with the whole")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A wait that goes on.
struct Waiting<'a>(&'a Turns);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let before = self.0.waiting.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.0.sleeps.load(Ordering::SeqCst) {
            self.0.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::runtime::Builder;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    /// Turns, and what ends the thread that drives when nobody waits.
    fn started() -> (Arc<Turns>, oneshot::Sender<()>, thread::JoinHandle<()>) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (turns, (end, ended)) = (Arc::new(Turns::new(runtime)), oneshot::channel());
        let own = Arc::clone(&turns);
        let thread = thread::spawn(move || drop(own.drive(ended)));
        (turns, end, thread)
    }

    #[test]
    fn what_nobody_waits_for_is_done_all_the_same() {
        let (turns, end, thread) = started();
        for _ in 0..3 {
            assert_eq!(turns.wait(async { 1 }), 1);
            let (done, told) = std::sync::mpsc::channel();
            turns.runtime().spawn(async move { done.send(()) });
            told.recv_timeout(Duration::from_mins(1)).unwrap();
        }
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn all_who_wait_hear_of_it_whoever_drives() {
        let (turns, end, thread) = started();
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<u32>>(4);
        turns.runtime().spawn(async move {
            let mut n = 0;
            while let Some(answer) = asked.recv().await {
                n += 1;
                tokio::task::yield_now().await;
                let _ = answer.send(n);
            }
        });
        let one = || {
            for _ in 0..2_000 {
                let (answer, answered) = oneshot::channel();
                turns.wait(async {
                    ask.send(answer).await.unwrap();
                    answered.await.unwrap();
                });
            }
        };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(one);
            }
        });
        let (answer, answered) = oneshot::channel();
        assert_eq!(turns.wait(async { (ask.send(answer).await, answered.await) }).1, Ok(6_001));
        drop(end);
        thread.join().unwrap();
    }
}
