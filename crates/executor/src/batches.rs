//! Messages on their way to the other side, which takes as many as there are at once.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bireme_core::limits;
use prost::Message;
use tokio_stream::Stream;

use crate::sync::lock;

/// A queue whose reader, [`Taken`], is woken only when it waits: a run of short attempts costs one wake-up.
///
/// It is bounded by whoever writes: at most a few things are said of each attempt that was handed out.
#[derive(Debug)]
pub struct Batches<T>(Arc<Mutex<Queue<T>>>);

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    /// The reader's, while it waits.
    reader: Option<Waker>,
    closed: bool,
}

impl<T> Clone for Batches<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Batches<T> {
    fn default() -> Self {
        let queue = Queue { waiting: VecDeque::new(), reader: None, closed: false };
        Self(Arc::new(Mutex::new(queue)))
    }
}

impl<T> Batches<T> {
    /// Adds one. Nothing happens if nobody reads any more.
    pub fn push(&self, one: T) {
        self.change(|queue| queue.waiting.push_back(one));
    }

    /// Adds one that may wait until something else is sent.
    pub fn push_late(&self, one: T) {
        let mut queue = lock(&self.0);
        if !queue.closed {
            queue.waiting.push_back(one);
        }
    }

    /// Has what may wait sent now.
    pub fn flush(&self) {
        let mut queue = lock(&self.0);
        let reader = if queue.waiting.is_empty() { None } else { queue.reader.take() };
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Adds one in the place of the last, if that has not been taken and `same` says so. It may wait until something else is
    /// sent.
    pub fn supersede(&self, one: T, same: impl FnOnce(&T) -> bool) {
        let mut queue = lock(&self.0);
        if !queue.closed {
            queue.waiting.pop_back_if(|last| same(last));
            queue.waiting.push_back(one);
        }
    }

    /// Ends the stream when what is there has been taken.
    pub fn close(&self) {
        self.change(|queue| queue.closed = true);
    }

    /// What the other side is sent. There should be one.
    pub fn taken(&self) -> Taken<T> {
        Taken(Arc::clone(&self.0))
    }

    fn change(&self, change: impl FnOnce(&mut Queue<T>)) {
        let mut queue = lock(&self.0);
        if queue.closed {
            return;
        }
        change(&mut queue);
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// A stream of batches, each closed when it passes [`limits::BATCH_BYTES`].
#[derive(Debug)]
pub struct Taken<T>(Arc<Mutex<Queue<T>>>);

impl<T: Message> Stream for Taken<T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        let mut queue = lock(&self.0);
        if queue.waiting.is_empty() {
            if queue.closed {
                return Poll::Ready(None);
            }
            queue.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut bytes = 0;
        let fits = |next: &&T| {
            bytes += next.encoded_len();
            bytes <= limits::BATCH_BYTES
        };
        let count = queue.waiting.iter().take_while(fits).count().max(1);
        let mut rest = queue.waiting.split_off(count);
        // What comes next is most often about as much, and is not to be moved about while it comes.
        rest.reserve(count);
        Poll::Ready(Some(mem::replace(&mut queue.waiting, rest).into()))
    }
}

impl<T> Drop for Taken<T> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.closed = true;
        queue.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<T: Message>(taken: &mut Taken<T>, woken: &Arc<Woken>) -> Poll<Option<Vec<T>>> {
        let waker = Arc::clone(woken).into();
        Pin::new(taken).poll_next(&mut Context::from_waker(&waker))
    }

    #[test]
    fn a_run_costs_one_wake_up() {
        let (batches, woken) = (Batches::<u64>::default(), Arc::new(Woken::default()));
        let mut taken = batches.taken();
        assert_eq!(poll(&mut taken, &woken), Poll::Pending);
        batches.flush();
        batches.push_late(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        batches.flush();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        (2..5).for_each(|n| batches.push(n));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut taken, &woken), Poll::Ready(Some(vec![1, 2, 3, 4])));
        batches.close();
        assert_eq!(poll(&mut taken, &woken), Poll::Ready(None));
    }

    #[test]
    fn a_batch_is_closed_before_it_is_too_long() {
        let (batches, woken) = (Batches::<Vec<u8>>::default(), Arc::new(Woken::default()));
        let mut taken = batches.taken();
        (0..3).for_each(|_| batches.push(vec![0; limits::BATCH_BYTES / 2 - 8]));
        let mut lengths = Vec::new();
        while let Poll::Ready(Some(batch)) = poll(&mut taken, &woken) {
            lengths.push(batch.len());
        }
        assert_eq!(lengths, [2, 1]);
    }

    #[test]
    fn what_is_over_before_it_was_told_is_told_once() {
        let (batches, woken) = (Batches::<u64>::default(), Arc::new(Woken::default()));
        let mut taken = batches.taken();
        batches.push_late(1);
        batches.supersede(2, |last| *last == 1);
        batches.supersede(3, |last| *last == 1);
        assert_eq!(poll(&mut taken, &woken), Poll::Ready(Some(vec![2, 3])));
    }
}
