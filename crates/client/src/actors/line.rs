//! The stream to a worker, for all actors there. The scheduler passes it on where the worker cannot be reached.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bireme_core::actor::wire::ToCaller;
use bireme_core::id::{ActorId, ClusterId, Epoch, WorkerId};
use bireme_core::limits;
use bireme_core::link::{Hello, greet};
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::convert::actor::told;
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use pb::actor_host_client::ActorHostClient;
use prost::Message as _;
use tokio_stream::Stream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::hub::WeakHub;
use crate::error::Refused;
use crate::peers::Peers;
use crate::session::lock;

/// A stream to a worker, up or on its way.
pub(super) struct Line {
    pub(super) address: Address,
    /// Tells the lines to one worker apart.
    pub(super) n: u64,
    pub(super) is_up: bool,
    pub(super) outbox: Arc<Outbox>,
    /// Who speaks under which number.
    pub(super) opens: BTreeMap<u32, ActorId>,
    last_open: u32,
    /// Who waits until it is up.
    pub(super) wanted: BTreeSet<ActorId>,
}

impl Line {
    pub(super) fn new(
        worker: WorkerId,
        address: Address,
        n: u64,
        cluster: Option<ClusterId>,
    ) -> Self {
        let hello = Hello::new(cluster, Epoch(0));
        Self {
            address,
            n,
            is_up: false,
            outbox: Arc::new(Outbox::new(worker, hello)),
            opens: BTreeMap::new(),
            last_open: 0,
            wanted: BTreeSet::new(),
        }
    }

    /// A number for a conversation, new on this stream.
    pub(super) fn number(&mut self, actor: ActorId) -> u32 {
        self.last_open += 1;
        self.opens.insert(self.last_open, actor);
        self.last_open
    }
}

/// What is to be said over a stream. The connection takes from here, so that no task stands between a caller and the socket;
/// how much can wait is bounded by the windows of the conversations.
pub(super) struct Outbox {
    worker: WorkerId,
    hello: Hello,
    inner: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<pb::CallerMessage>,
    greeted: bool,
    closed: bool,
    connection: Option<Waker>,
}

impl Outbox {
    fn new(worker: WorkerId, hello: Hello) -> Self {
        Self { worker, hello, inner: Mutex::default() }
    }

    pub(super) fn push(&self, message: pb::CallerMessage) {
        let mut waiting = lock(&self.inner);
        waiting.messages.push_back(message);
        if let Some(connection) = waiting.connection.take() {
            connection.wake();
        }
    }

    /// The stream ends after what was said.
    pub(super) fn close(&self) {
        let mut waiting = lock(&self.inner);
        waiting.closed = true;
        if let Some(connection) = waiting.connection.take() {
            connection.wake();
        }
    }

    fn poll_batch(&self, cx: &mut Context<'_>) -> Poll<Option<pb::CallerBatch>> {
        let mut waiting = lock(&self.inner);
        if !std::mem::replace(&mut waiting.greeted, true) {
            let hello = Some(Greeting::new(self.hello.clone()).into());
            let worker = Some(self.worker.into());
            return Poll::Ready(Some(pb::CallerBatch { hello, messages: Vec::new(), worker }));
        }
        if waiting.messages.is_empty() {
            if waiting.closed {
                return Poll::Ready(None);
            }
            waiting.connection = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = waiting.messages.len().min(limits::CALL_BATCH);
        let (mut messages, mut bytes) = (Vec::with_capacity(most), 0);
        while let Some(message) = waiting.messages.front() {
            bytes += message.encoded_len() + FRAME;
            if messages.len() == most || (bytes > limits::MESSAGE_BYTES && !messages.is_empty()) {
                break;
            }
            messages.extend(waiting.messages.pop_front());
        }
        Poll::Ready(Some(pb::CallerBatch { messages, ..pb::CallerBatch::default() }))
    }
}

/// Bytes around a message in a batch, at most.
const FRAME: usize = 8;

struct Outgoing(Arc<Outbox>);

impl Stream for Outgoing {
    type Item = pb::CallerBatch;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<pb::CallerBatch>> {
        self.0.poll_batch(cx)
    }
}

/// Has the stream, and listens until it ends.
pub(super) fn keep(
    hub: WeakHub,
    worker: WorkerId,
    line: &Line,
) -> impl Future<Output = ()> + Send + 'static {
    let (address, n, outbox) = (line.address.clone(), line.n, Arc::clone(&line.outbox));
    async move {
        let Some(peers) = hub.upgrade().map(|hub| Arc::clone(&hub.peers)) else { return };
        match listen(&hub, &peers, worker, &address, n, outbox).await {
            Ok(()) => tracing::debug!(%worker, %address, "the worker ended the stream of calls"),
            Err(problem) => tracing::debug!(%worker, %address, %problem, "no stream of calls"),
        }
        if let Some(hub) = hub.upgrade() {
            hub.on_line_down(worker, n);
        }
    }
}

async fn listen(
    hub: &WeakHub,
    peers: &Peers,
    worker: WorkerId,
    address: &Address,
    n: u64,
    outbox: Arc<Outbox>,
) -> Result<(), Refused> {
    let (mut calls, mut messages) = open(peers, worker, address, outbox).await?;
    match hub.upgrade() {
        Some(hub) => hub.on_line_up(worker, n),
        None => return Ok(()),
    }
    loop {
        let words = words(messages)?;
        match hub.upgrade() {
            Some(hub) if !words.is_empty() => hub.on_heard(worker, n, words),
            Some(_) => {}
            None => return Ok(()),
        }
        let Some(batch) = calls.message().await? else { return Ok(()) };
        messages = batch.messages;
    }
}

/// A stream on which the worker has said hello, with what it said besides.
type Opened = (Streaming<pb::HostBatch>, Vec<pb::HostMessage>);

/// Has the stream, from the worker itself or else from the scheduler, which passes it on.
async fn open(
    peers: &Peers,
    worker: WorkerId,
    address: &Address,
    outbox: Arc<Outbox>,
) -> Result<Opened, Refused> {
    let silence = match peers.dial(worker, address).await {
        Ok(channel) => {
            let opened = greeted(peers, channel, outbox).await;
            // It may be somebody else who listens there: the next stream is the scheduler's.
            let is_not_it = |problem: &Refused| peers.failed(worker, address, &problem.to_string());
            return opened.inspect_err(is_not_it);
        }
        Err(silence) => silence,
    };
    let beside = |problem| unreachable(format!("{silence}; by way of the scheduler: {problem}"));
    let channel = peers.dial_scheduler().await.map_err(beside)?;
    match greeted(peers, channel, outbox).await {
        Ok(opened) => {
            peers.reach.relayed(worker);
            Ok(opened)
        }
        Err(problem) => {
            peers.reach.lost(worker);
            Err(beside(problem.to_string()))
        }
    }
}

/// A stream over a connection, on which the worker has said hello.
async fn greeted(peers: &Peers, channel: Channel, outbox: Arc<Outbox>) -> Result<Opened, Refused> {
    let ours = outbox.hello.clone();
    let greeting = async {
        let client = ActorHostClient::new(channel).max_decoding_message_size(limits::CALL_BYTES);
        let mut calls = client.max_encoding_message_size(limits::CALL_BYTES);
        let mut calls = calls.calls(peers.call(Outgoing(outbox))).await?.into_inner();
        let first = calls.message().await?.unwrap_or_default();
        check(&ours, first.hello)?;
        Ok((calls, first.messages))
    };
    let silent = |_| unreachable(format!("no answer within {}", limits::HELLO_WAIT));
    tokio::time::timeout(limits::HELLO_WAIT.to_std(), greeting).await.map_err(silent)?
}

fn words(messages: Vec<pb::HostMessage>) -> Result<Vec<(u32, ToCaller)>, Refusal> {
    let heard = told::heard(messages)?;
    for refusal in heard.refusals {
        tracing::warn!(%refusal, "a worker did not understand what it was told of calls");
    }
    Ok(heard.words)
}

fn check(ours: &Hello, hello: Option<pb::Hello>) -> Result<(), Refusal> {
    let missing = || Refusal::new(Reason::HelloExpected, "the first message has no `hello`");
    let theirs = Greeting::try_from(hello.ok_or_else(missing)?)?.hello;
    greet(ours, &theirs).map(|_| ())
}

fn unreachable(message: impl Into<String>) -> Refused {
    Refused { reason: "UNAVAILABLE".to_owned(), field: String::new(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_words_travel_in_several_batches() {
        let outbox = Outbox::new(WorkerId(1), Hello::new(None, Epoch(0)));
        for _ in 0..=limits::CALL_BATCH {
            outbox.push(pb::CallerMessage::default());
        }
        outbox.close();
        let mut cx = Context::from_waker(Waker::noop());
        let mut lengths = Vec::new();
        while let Poll::Ready(Some(batch)) = outbox.poll_batch(&mut cx) {
            assert_eq!(batch.hello.is_some(), batch.worker.is_some(), "both in the first only");
            lengths.push((batch.hello.is_some(), batch.messages.len()));
        }
        assert_eq!(lengths, [(true, 0), (false, limits::CALL_BATCH), (false, 1)]);
    }
}
