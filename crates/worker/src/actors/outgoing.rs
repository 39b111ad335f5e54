//! What a caller's stream is sent.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use bireme_core::limits;
use bireme_daemon::Lookout;
use bireme_proto::pb;
use prost::Message as _;
use tokio_stream::Stream;
use tonic::Status;

use super::Shared;
use crate::sync::lock;

/// Words on their way to one peer. Those for which there is no room are not kept: the host has the replies anyway, and says
/// them again when the peer has read what was before them.
#[derive(Debug, Default)]
pub(super) struct Outgoing(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<pb::HostMessage>,
    /// Of what waits.
    bytes: usize,
    /// The reader's, while it waits.
    reader: Option<Waker>,
    /// Something found no room.
    is_behind: bool,
    closed: bool,
}

impl Outgoing {
    /// Adds a word; whether there was room. From the first that found none on there is none, until all before is read.
    pub(super) fn push(&self, word: pb::HostMessage) -> bool {
        let mut queue = lock(&self.0);
        if queue.closed {
            return true;
        }
        let bytes = word.encoded_len();
        if queue.is_behind || queue.bytes + bytes > limits::CALL_STREAM_BYTES {
            queue.is_behind = true;
            return false;
        }
        queue.bytes += bytes;
        queue.waiting.push_back(word);
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// Ends the stream when what is there has been read.
    pub(super) fn close(&self) {
        let mut queue = lock(&self.0);
        queue.closed = true;
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The stream, whose first message is a greeting.
pub(super) struct Taken {
    pub(super) queue: Arc<Outgoing>,
    pub(super) greeting: Option<pb::Hello>,
    pub(super) shared: Weak<Shared>,
    /// Told that something is said.
    pub(super) lookout: Arc<Lookout>,
    /// The peer's number.
    pub(super) peer: u64,
}

impl Stream for Taken {
    type Item = Result<pb::HostBatch, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(hello) = self.greeting.take() {
            return Poll::Ready(Some(Ok(pb::HostBatch {
                hello: Some(hello),
                messages: Vec::new(),
            })));
        }
        loop {
            let mut queue = lock(&self.queue.0);
            if !queue.waiting.is_empty() {
                let messages = take(&mut queue);
                drop(queue);
                self.lookout.answered();
                return Poll::Ready(Some(Ok(pb::HostBatch { hello: None, messages })));
            }
            if queue.closed {
                return Poll::Ready(None);
            }
            if !mem::take(&mut queue.is_behind) {
                queue.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            drop(queue);
            // Not while the queue is locked: the table is locked before it elsewhere.
            match self.shared.upgrade() {
                Some(shared) => shared.turn().catch_up(self.peer),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue.0);
        queue.closed = true;
        queue.waiting.clear();
    }
}

/// A batch, closed before it passes [`limits::BATCH_BYTES`].
fn take(queue: &mut Queue) -> Vec<pb::HostMessage> {
    let (mut count, mut bytes) = (queue.waiting.len(), queue.bytes);
    if bytes > limits::BATCH_BYTES {
        (count, bytes) = (0, 0);
        for word in &queue.waiting {
            let more = word.encoded_len();
            if count > 0 && bytes + more > limits::BATCH_BYTES {
                break;
            }
            (count, bytes) = (count + 1, bytes + more);
        }
    }
    queue.bytes -= bytes;
    let mut rest = queue.waiting.split_off(count);
    // What comes next is most often about as much, and is not to be moved about while it comes.
    rest.reserve(count);
    mem::replace(&mut queue.waiting, rest).into()
}

#[cfg(test)]
mod tests {
    use bireme_core::reason::{Reason, Refusal};
    use bireme_proto::convert::actor::told;

    use super::*;

    #[test]
    fn a_batch_is_closed_before_it_is_too_long() {
        let outgoing = Outgoing::default();
        let long = "x".repeat(limits::BATCH_BYTES / 2 - 64);
        for _ in 0..3 {
            let word = told::refuse(Refusal::at(Reason::Malformed, "seq", long.clone()));
            assert!(outgoing.push(word));
        }
        let mut queue = lock(&outgoing.0);
        assert_eq!((take(&mut queue).len(), take(&mut queue).len()), (2, 1));
        assert_eq!((queue.bytes, queue.waiting.len()), (0, 0));
    }
}
