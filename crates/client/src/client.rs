//! The handle of a session, and the commands that go up its stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bireme_core::graph::{GraphBuilder, GraphChunk, GraphOptions, Watch};
use bireme_core::id::{GraphId, SessionId, SubmissionId};
use bireme_core::limits;
use bireme_core::session::IndexRange;
use bireme_core::time::Span;
use bireme_proto::pb;
use pb::session_command::Command;
use tokio::sync::mpsc;

use crate::connect::{ConnectOptions, Target, attach};
use crate::error::{CommandError, ConnectError, Lost};
use crate::graph::{Cell, Graph};
use crate::outgoing::Outbound;
use crate::peers::Peers;
use crate::session::Session;
use crate::slots::Slots;

/// A session with a cluster.
///
/// Clones are handles of the same session. When the last one and the last [`Graph`] are gone, the stream ends, and with it,
/// after its time to live, the session and what it submitted.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

/// What clients and graphs share.
#[derive(Debug)]
pub(crate) struct Inner {
    number: SessionId,
    graphs: AtomicU32,
    commands: mpsc::Sender<Outbound>,
    session: Arc<Session>,
    peers: Peers,
}

impl Client {
    /// Opens a session on the caller's runtime.
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let target = Target::find(&options)?;
        let attached = attach(&target, &options).await?;
        let session = Arc::new(Session::new());
        tokio::spawn(Arc::clone(&session).listen(attached.reports, attached.first));
        let inner = Inner {
            number: attached.session,
            graphs: AtomicU32::new(0),
            commands: attached.commands,
            session,
            peers: Peers::new(attached.channel, &target),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The session's number.
    pub fn session(&self) -> SessionId {
        self.inner.number
    }

    /// Submits a graph. Returns when its last chunk is on its way: the stream's room is waited for, the scheduler's
    /// answers are not. A refusal is the error of [`Graph::wait`] and of every result.
    pub async fn submit(&self, graph: GraphBuilder) -> Result<Graph, Lost> {
        let n = self.inner.graphs.fetch_add(1, Ordering::Relaxed) + 1;
        let id = GraphId::new(self.inner.number, n);
        let chunks = graph.into_chunks(Some(id), fresh_id);
        let cell = Arc::new(Cell::new(id, slots(&chunks)));
        self.inner.session.register(&cell)?;
        let graph = Graph::new(Arc::clone(&cell), Arc::clone(&self.inner));
        for chunk in chunks {
            if cell.failure().is_some() {
                break;
            }
            self.inner.session.expect_chunk(chunk.submission, id);
            self.inner.send(Command::Chunk(chunk.into())).await?;
        }
        Ok(graph)
    }

    /// Ends the session and drops what it submitted, but for detached graphs.
    pub async fn close(&self) -> Result<(), CommandError> {
        let submission = fresh_id();
        let close = pb::CloseSession { submission_id: wire(submission) };
        let answer = self.inner.ask(submission, Command::Close(close));
        let closed = match tokio::time::timeout(limits::HELLO_WAIT.to_std(), answer).await {
            // The stream may end before the answer is read: that is an answer too.
            Ok(Err(CommandError::Lost(_)) | Ok(())) | Err(_) => Ok(()),
            Ok(refused) => refused,
        };
        self.inner.session.lose(Lost::closed());
        closed
    }
}

/// The slots of a graph that is about to be sent.
fn slots(chunks: &[GraphChunk]) -> Slots {
    let default = GraphOptions::default();
    let options = chunks.first().and_then(|chunk| chunk.options.as_ref()).unwrap_or(&default);
    Slots::new(chunks, options.outputs, options.watch != Watch::Graph)
}

impl Inner {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    pub(crate) async fn cancel(
        &self,
        graph: GraphId,
        tasks: Vec<IndexRange>,
        grace: Span,
    ) -> Result<(), CommandError> {
        let submission = fresh_id();
        let cancel = pb::CancelTasks {
            submission_id: wire(submission),
            graph: graph.0,
            tasks: ranges(tasks),
            grace_us: grace.0,
        };
        self.ask(submission, Command::Cancel(cancel)).await
    }

    pub(crate) async fn release(
        &self,
        graph: GraphId,
        tasks: Vec<IndexRange>,
    ) -> Result<(), CommandError> {
        let submission = fresh_id();
        let release = pb::ReleaseOutputs {
            submission_id: wire(submission),
            graph: graph.0,
            tasks: ranges(tasks),
        };
        self.ask(submission, Command::Release(release)).await
    }

    pub(crate) async fn forget(&self, graph: GraphId) -> Result<(), CommandError> {
        let submission = fresh_id();
        let forget = pb::ForgetGraph { submission_id: wire(submission), graph: graph.0 };
        self.ask(submission, Command::Forget(forget)).await
    }

    pub(crate) async fn want(&self, graph: GraphId, tasks: Vec<IndexRange>) -> Result<(), Lost> {
        let want = pb::Want { graph: graph.0, tasks: ranges(tasks), values: true };
        self.send(Command::Want(want)).await
    }

    /// Sends a command and waits for its answer.
    async fn ask(&self, submission: SubmissionId, command: Command) -> Result<(), CommandError> {
        let answer = self.session.expect_answer(submission);
        self.send(command).await?;
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.session.lost().unwrap_or_else(Lost::closed).into()),
        }
    }

    /// Sends a command as soon as there is room.
    async fn send(&self, command: Command) -> Result<(), Lost> {
        let outbound = Outbound::new(command);
        tokio::select! {
            biased;
            sent = self.commands.send(outbound) => match sent {
                Ok(()) => Ok(()),
                Err(_) => Err(self.session.until_lost().await),
            },
            lost = self.session.until_lost() => Err(lost),
        }
    }
}

/// An id nobody else has.
pub(crate) fn fresh_id() -> SubmissionId {
    SubmissionId(random())
}

/// 16 random bytes as a number.
pub(crate) fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    u128::from_be_bytes(bytes)
}

/// An id as messages carry it.
fn wire(submission: SubmissionId) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&submission.to_bytes())
}

fn ranges(tasks: Vec<IndexRange>) -> Vec<pb::IndexRange> {
    tasks.into_iter().map(|IndexRange { first, count }| pb::IndexRange { first, count }).collect()
}
