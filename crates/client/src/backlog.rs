//! The commands of a session, in order, each kept until it is answered.
//!
//! The stream that the session has pulls from here. A new stream begins with the oldest command that was not answered: what
//! the scheduler had carried out before it knows by the submission's id, and answers as it did then. Commands are encoded
//! once, so that keeping one costs a reference.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bireme_core::id::{GraphId, SubmissionId};
use bireme_core::limits;
use bireme_proto::pb;
use bytes::Bytes;
use pb::session_command::Command;
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::Refused;
use crate::session::lock;

/// Bytes of room that even the shortest command takes: what the bytes of all allow is no more than their number does.
const LEAST_BYTES: usize = limits::UNANSWERED_BYTES / limits::UNANSWERED;

/// Encoded parts of one message: put together they are a message.
pub(crate) type Batch = Vec<Bytes>;

/// Commands that wait for the stream, and those that were sent and wait for their answers.
#[derive(Debug)]
pub(crate) struct Backlog {
    state: Mutex<State>,
    /// In bytes. Closed when nothing more is sent.
    room: Arc<Semaphore>,
}

/// Who waits for the answer to a command.
#[derive(Debug)]
pub(crate) enum Answer {
    Caller(oneshot::Sender<Result<(), Refused>>),
    Chunk(GraphId),
}

/// The session has ended: nothing more is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Closed;

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<u64, Kept>,
    numbers: BTreeMap<SubmissionId, u64>,
    /// Number of the next command to come.
    next: u64,
    /// Number of the first command that the stream has not taken.
    unsent: u64,
    /// Counts streams: only the last one pulls.
    stream: u64,
    /// The stream, when it has taken everything.
    reader: Option<Waker>,
    end: End,
}

/// Whether the stream goes on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum End {
    #[default]
    Open,
    /// It ends when it has taken everything.
    Drained,
    /// It ends.
    Now,
}

#[derive(Debug)]
struct Kept {
    encoded: Bytes,
    /// `None` for a command that has no answer, and is dropped once it is sent.
    answer: Option<(SubmissionId, Answer)>,
    /// Given back with the command.
    _room: Option<OwnedSemaphorePermit>,
}

impl Backlog {
    pub(crate) fn new() -> Self {
        let room = Arc::new(Semaphore::new(limits::UNANSWERED_BYTES));
        Self { state: Mutex::default(), room }
    }

    /// Adds a command as soon as there is room. Cancel-safe: it is added, or it is not.
    pub(crate) async fn add(
        &self,
        command: Command,
        answer: Option<(SubmissionId, Answer)>,
    ) -> Result<(), Closed> {
        let encoded = encode(command);
        let bytes = encoded.len().clamp(LEAST_BYTES, limits::UNANSWERED_BYTES);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        self.push(Kept { encoded, answer, _room: Some(room) });
        Ok(())
    }

    /// Adds a command that has no answer at once. It is for the few with which a new stream begins.
    pub(crate) fn add_at_once(&self, command: Command) {
        self.push(Kept { encoded: encode(command), answer: None, _room: None });
    }

    fn push(&self, kept: Kept) {
        let reader = {
            let mut state = lock(&self.state);
            if state.end == End::Now {
                return; // Whoever waits for the answer hears that there is none.
            }
            let number = state.next;
            state.next += 1;
            if let Some((submission, _)) = &kept.answer {
                state.numbers.insert(*submission, number);
            }
            state.kept.insert(number, kept);
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    /// Takes a command out that was answered. Returns who waits for that, unless it was answered before.
    pub(crate) fn answered(&self, submission: SubmissionId) -> Option<Answer> {
        let mut state = lock(&self.state);
        let number = state.numbers.remove(&submission)?;
        state.kept.remove(&number)?.answer.map(|(_, answer)| answer)
    }

    /// Begins a stream with the oldest command that was not answered. The stream before it ends.
    pub(crate) fn begin(&self) -> u64 {
        let mut state = lock(&self.state);
        state.unsent = 0;
        state.stream += 1;
        let (stream, before) = (state.stream, state.reader.take());
        drop(state);
        before.into_iter().for_each(Waker::wake);
        stream
    }

    /// What stream `stream` is to send next, up to the size of a batch; `None` once it is to end.
    pub(crate) fn poll_batch(&self, stream: u64, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        let mut state = lock(&self.state);
        if state.stream != stream || state.end == End::Now {
            return Poll::Ready(None);
        }
        let (mut batch, mut bytes) = (Batch::new(), 0);
        while let Some((&number, kept)) = state.kept.range(state.unsent..).next() {
            bytes += kept.encoded.len();
            if !batch.is_empty() && bytes > limits::BATCH_BYTES {
                break;
            }
            batch.push(kept.encoded.clone());
            if kept.answer.is_none() {
                state.kept.remove(&number);
            }
            state.unsent = number + 1;
        }
        if !batch.is_empty() {
            return Poll::Ready(Some(batch));
        }
        if state.end == End::Drained {
            return Poll::Ready(None);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the stream once it has taken everything.
    pub(crate) fn drain(&self) {
        self.end(End::Drained);
    }

    /// Whether the stream is to end: no other shall take its place.
    pub(crate) fn is_ending(&self) -> bool {
        lock(&self.state).end != End::Open
    }

    /// Ends the stream, and every wait for room or for an answer.
    pub(crate) fn close(&self) {
        self.room.close();
        self.end(End::Now);
        let mut state = lock(&self.state);
        state.numbers.clear();
        let unanswered = std::mem::take(&mut state.kept);
        drop(state);
        drop(unanswered);
    }

    fn end(&self, end: End) {
        let reader = {
            let mut state = lock(&self.state);
            if state.end != End::Now {
                state.end = end;
            }
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }
}

/// A message with this command alone. Several of them in a row are one message with all their commands.
fn encode(command: Command) -> Bytes {
    let commands = vec![pb::SessionCommand { command: Some(command) }];
    pb::SessionUp { commands, ..pb::SessionUp::default() }.encode_to_vec().into()
}

#[cfg(test)]
mod tests;
