//! The outgoing half of a stream: a short queue between the driver and whoever writes to the socket.
//!
//! The driver encodes a message only when the queue has room, so a peer that never reads costs
//! [`limits::OUTBOX_MESSAGES`] messages and no more. When it finds no room it says so; the stream rings the driver's
//! [`Bell`] with its next step, and only then is the peer looked at again.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{Notify, mpsc};
use tokio_stream::Stream;
use tonic::Status;

use bireme_core::limits;

use crate::machine::ConnId;

/// Rung by streams that have room again. Holds each connection at most once.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Vec<ConnId>>,
    notify: Notify,
}

impl Bell {
    /// Waits until somebody has rung.
    pub(crate) async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Who has rung since the last time.
    pub(crate) fn take(&self) -> Vec<ConnId> {
        mem::take(&mut self.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ring(&self, conn: ConnId) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        self.notify.notify_one();
    }
}

/// What both ends of a queue know.
#[derive(Debug)]
struct Gate {
    conn: ConnId,
    bell: Arc<Bell>,
    /// The driver has something to tell and found no room.
    wanted: AtomicBool,
    /// The status that ends the stream once the queue is empty; `None` is success.
    end: Mutex<Option<Status>>,
}

/// The driver's end of the queue. Dropping it ends the stream after what is in the queue.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    queue: mpsc::Sender<T>,
    gate: Arc<Gate>,
}

/// The stream's end of the queue.
#[derive(Debug)]
pub(crate) struct Outflow<T> {
    queue: mpsc::Receiver<T>,
    gate: Arc<Gate>,
}

/// Makes the queue of one connection.
pub(crate) fn outbox<T>(conn: ConnId, bell: Arc<Bell>) -> (Outbox<T>, Outflow<T>) {
    let (sender, receiver) = mpsc::channel(limits::OUTBOX_MESSAGES);
    let gate = Arc::new(Gate { conn, bell, wanted: AtomicBool::new(false), end: Mutex::new(None) });
    (Outbox { queue: sender, gate: Arc::clone(&gate) }, Outflow { queue: receiver, gate })
}

impl<T> Outbox<T> {
    /// Whether a message can be sent now. If not, the bell rings when one can.
    pub(crate) fn has_room(&self) -> bool {
        if self.queue.capacity() > 0 {
            return true;
        }
        self.gate.wanted.store(true, Ordering::SeqCst);
        // The stream may have taken a message before it could see that room is wanted.
        self.queue.capacity() > 0 && self.gate.wanted.swap(false, Ordering::SeqCst)
    }

    /// Sends a message; the caller has seen that there is room. A stream that is gone takes it to its grave.
    pub(crate) fn send(&self, message: T) {
        let sent = self.queue.try_send(message);
        debug_assert!(!matches!(sent, Err(mpsc::error::TrySendError::Full(_))), "no room");
    }

    /// Ends the stream with a status, after what is in the queue.
    pub(crate) fn end(self, status: Status) {
        *self.gate.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }
}

impl<T> Stream for Outflow<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(message) = self.queue.poll_recv(cx) else { return Poll::Pending };
        if let Some(message) = message {
            if self.gate.wanted.swap(false, Ordering::SeqCst) {
                self.gate.bell.ring(self.gate.conn);
            }
            return Poll::Ready(Some(Ok(message)));
        }
        let end = self.gate.end.lock().unwrap_or_else(PoisonError::into_inner).take();
        Poll::Ready(end.map(Err))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    fn pair() -> (Outbox<usize>, Outflow<usize>, Arc<Bell>) {
        let bell = Arc::new(Bell::default());
        let (outbox, outflow) = outbox(ConnId(3), Arc::clone(&bell));
        (outbox, outflow, bell)
    }

    #[tokio::test]
    async fn the_bell_rings_once_and_only_for_those_who_found_no_room() {
        let (outbox, mut outflow, bell) = pair();
        for n in 0..limits::OUTBOX_MESSAGES {
            assert!(outbox.has_room());
            outbox.send(n);
        }
        assert_eq!(outflow.next().await.unwrap().unwrap(), 0);
        assert!(bell.take().is_empty(), "nobody waits for room");
        outbox.send(9);
        assert!(!outbox.has_room() && !outbox.has_room());
        outflow.next().await.unwrap().unwrap();
        outflow.next().await.unwrap().unwrap();
        bell.rung().await;
        assert_eq!(bell.take(), [ConnId(3)]);
        assert!(outbox.has_room());
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_status_after_its_messages() {
        let (outbox, mut outflow, _) = pair();
        outbox.send(1);
        outbox.end(Status::aborted("superseded"));
        assert_eq!(outflow.next().await.unwrap().unwrap(), 1);
        assert_eq!(outflow.next().await.unwrap().unwrap_err().message(), "superseded");
        assert!(outflow.next().await.is_none());
    }
}
