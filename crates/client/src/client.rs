//! The handle of a session, and the commands that go up its stream.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bireme_core::graph::GraphBuilder;
use bireme_core::id::{ActorId, ClusterId, GraphId, SessionId, SubmissionId};
use bireme_core::limits;
use bireme_core::session::{IndexRange, Put, Replica};
use bireme_core::time::Span;
use bireme_core::{ObjectId, Value};
use bireme_proto::pb;
use bytes::Bytes;
use pb::session_command::Command;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::actors::{Hub, Keepers, Life, Numbering};
use crate::backlog::Answer;
use crate::connect::{Attached, ConnectOptions, Opening, Target, attach};
use crate::error::{CommandError, ConnectError, Lost, PutError, Refused};
use crate::graph::{Cell, Graph};
use crate::object::Object;
use crate::peers::Peers;
use crate::put;
use crate::redial::Redial;
use crate::session::Session;
use crate::slots::Slots;

/// A session with a cluster.
///
/// Clones are handles of the same session. When the last one and the last [`Graph`] are gone, the stream ends, and with it,
/// after its time to live, the session and what it submitted.
///
/// A stream that is lost on the way is replaced for as long as the session lives without one: nobody who waits notices. If
/// the scheduler does not come back within that time, or without the session, every wait ends with [`Lost`].
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

/// What clients and graphs share.
pub(crate) struct Inner {
    number: SessionId,
    pub(crate) token: Bytes,
    pub(crate) graphs: AtomicU32,
    /// How many values were numbered; whose turn it is to take the next follows from it.
    pub(crate) values: AtomicU64,
    session: Arc<Session>,
    peers: Arc<Peers>,
    cluster: Option<ClusterId>,
    /// What the session runs on.
    runtime: Handle,
    /// Made when the first actor is named.
    calls: OnceLock<Arc<Hub>>,
    /// Which of its actors are wanted.
    pub(crate) keepers: Keepers,
}

/// A command that was sent, and is to be answered.
#[derive(Debug)]
pub(crate) struct Asked(oneshot::Receiver<Result<(), Refused>>);

impl Client {
    /// Opens a session on the caller's runtime, or comes back to one by its name ([`ConnectOptions::by_name`]).
    pub async fn connect(options: ConnectOptions) -> Result<Self, ConnectError> {
        let target = Target::find(&options)?;
        let session = Arc::new(Session::new());
        let opening = Opening::new(&options);
        let attached = attach(&target, opening.clone(), session.backlog()).await?;
        Ok(Self::of(session, attached, Redial::new(options, target, opening)))
    }

    /// The handle of a session whose stream is up.
    pub(crate) fn of(session: Arc<Session>, attached: Attached, mut redial: Redial) -> Self {
        redial.attached(&attached);
        let Attached { opened, life, channel, reports, first } = attached;
        let inner = Inner {
            number: opened.session,
            token: redial.token(),
            graphs: AtomicU32::new(opened.last_graph),
            values: AtomicU64::new(opened.last_value),
            session: Arc::clone(&session),
            peers: Arc::new(Peers::new(channel, redial.target())),
            cluster: life.0,
            runtime: Handle::current(),
            calls: OnceLock::new(),
            keepers: Keepers::default(),
        };
        tokio::spawn(session.keep(redial, reports, first));
        Self { inner: Arc::new(inner) }
    }

    /// The session's number.
    pub fn session(&self) -> SessionId {
        self.inner.number
    }

    /// Submits a graph. Returns when its last chunk is on its way: room for it is waited for, the scheduler's answer is
    /// not. A refusal is the error of [`Graph::wait`] and of every result.
    pub async fn submit(&self, graph: GraphBuilder) -> Result<Graph, Lost> {
        let n = self.inner.graphs.fetch_add(1, Ordering::Relaxed) + 1;
        let id = GraphId::new(self.inner.number, n);
        let cell = Arc::new(Cell::new(id, Slots::new(&graph)));
        self.inner.session.register(&cell)?;
        let submitted = Graph::new(Arc::clone(&cell), Arc::clone(&self.inner));
        for chunk in graph.into_chunks(Some(id), fresh_id) {
            if cell.failure().is_some() {
                break;
            }
            let answer = (chunk.submission, Answer::Chunk(id));
            self.inner.send(Command::Chunk(chunk.into()), Some(answer)).await?;
        }
        Ok(submitted)
    }

    /// Puts a value into the store of a worker, where tasks can take it: name its id to [`GraphBuilder::external`]. It stays
    /// until it is released, or the session ends. Nobody can make it again if its worker is lost: then tasks that need it
    /// fail as `INPUT_LOST`.
    pub async fn put(&self, value: Value) -> Result<Object, PutError> {
        put::put(&self.inner, value, None).await
    }

    /// Has `listener` told what a person should know before anything has failed, such as work that no worker can take. It is
    /// called where reports are read, and must not wait. Only the first listener is heard; returns whether this is it.
    pub fn on_warning(&self, listener: impl Fn(&Refused) + Send + Sync + 'static) -> bool {
        self.inner.session.warnings().listen(Box::new(listener))
    }

    /// Waits until the session is over, and says why.
    pub async fn until_lost(&self) -> Lost {
        self.inner.session.until_lost().await
    }

    /// Ends the session and drops what it submitted, but for detached graphs.
    pub async fn close(&self) -> Result<(), CommandError> {
        let submission = fresh_id();
        let close = pb::CloseSession { submission_id: wire(submission) };
        self.inner.session.leave();
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

impl fmt::Debug for Inner {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, ..)", self.number.0)
    }
}

impl Inner {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The session's calls to actors.
    pub(crate) fn calls(&self) -> &Arc<Hub> {
        self.calls.get_or_init(|| {
            // Whoever names an actor may be anywhere.
            let _entered = self.runtime.enter();
            Hub::new(&self.session, self.number, self.cluster, Arc::clone(&self.peers))
        })
    }

    /// The calls of an actor whose code has this session, by numbers of its own.
    pub(crate) fn numbered_calls(&self, me: ActorId, numbering: Numbering) -> Arc<Hub> {
        let _entered = self.runtime.enter();
        Hub::numbered(me, self.cluster, Arc::clone(&self.peers), numbering)
    }

    /// What the scheduler does with actors, in this session's name.
    pub(crate) fn life(&self) -> Life {
        Life { peers: Arc::clone(&self.peers), session: self.token() }
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
            reason: String::new(),
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

    /// A number for a value of this session, and how many were given before.
    pub(crate) fn number_value(&self) -> (ObjectId, u64) {
        let before = self.values.fetch_add(1, Ordering::Relaxed);
        (ObjectId::Held { holder: self.number.into(), n: before + 1 }, before)
    }

    /// What shows that a call outside the stream is this session's.
    pub(crate) fn token(&self) -> Bytes {
        self.token.clone()
    }

    /// Tells the scheduler of a value that a worker has.
    pub(crate) async fn tell_of(&self, put: Put) -> Result<(), CommandError> {
        let told = self.begin_to_tell_of(put).await?;
        self.answer_to(told).await
    }

    /// The same without the answer: returns when the command has its place among those of the session.
    pub(crate) async fn begin_to_tell_of(&self, put: Put) -> Result<Asked, Lost> {
        let submission = fresh_id();
        let objects = vec![put.into()];
        let told = pb::ObjectsPut { submission_id: wire(submission), objects };
        self.begin_to_ask(submission, Command::Put(told)).await
    }

    /// Gives up a value that was put.
    pub(crate) async fn release_value(&self, object: ObjectId) -> Result<(), CommandError> {
        self.release_values(&[object]).await
    }

    /// Gives up values that were put.
    pub(crate) async fn release_values(&self, objects: &[ObjectId]) -> Result<(), CommandError> {
        let submission = fresh_id();
        let objects = objects.iter().copied().map(Into::into).collect();
        let release = pb::ReleaseValues { submission_id: wire(submission), objects };
        self.ask(submission, Command::ReleaseValues(release)).await
    }

    /// Has workers drop values that others have too.
    pub(crate) async fn drop_replicas(&self, replicas: &[Replica]) -> Result<(), CommandError> {
        let submission = fresh_id();
        let replicas = replicas.iter().copied().map(Into::into).collect();
        let drop = pb::DropReplicas { submission_id: wire(submission), replicas };
        self.ask(submission, Command::DropReplicas(drop)).await
    }

    pub(crate) async fn want(&self, graph: GraphId, tasks: Vec<IndexRange>) -> Result<(), Lost> {
        let want = pb::Want { graph: graph.0, tasks: ranges(tasks), values: true };
        self.send(Command::Want(want), None).await
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(
        &self,
        submission: SubmissionId,
        command: Command,
    ) -> Result<(), CommandError> {
        let asked = self.begin_to_ask(submission, command).await?;
        self.answer_to(asked).await
    }

    async fn begin_to_ask(
        &self,
        submission: SubmissionId,
        command: Command,
    ) -> Result<Asked, Lost> {
        let (caller, answer) = oneshot::channel();
        self.send(command, Some((submission, Answer::Caller(caller)))).await?;
        Ok(Asked(answer))
    }

    /// Waits for the answer to a command.
    pub(crate) async fn answer_to(&self, asked: Asked) -> Result<(), CommandError> {
        match asked.0.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(self.session.why_lost().into()),
        }
    }

    /// Sends a command as soon as there is room.
    async fn send(
        &self,
        command: Command,
        answer: Option<(SubmissionId, Answer)>,
    ) -> Result<(), Lost> {
        let sent = self.session.backlog().add(command, answer).await;
        sent.map_err(|_| self.session.why_lost())
    }
}

impl Drop for Inner {
    /// What was submitted still goes; then the stream ends.
    fn drop(&mut self) {
        self.session.backlog().drain();
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
pub(crate) fn wire(submission: SubmissionId) -> Bytes {
    Bytes::copy_from_slice(&submission.to_bytes())
}

pub(crate) fn ranges(tasks: Vec<IndexRange>) -> Vec<pb::IndexRange> {
    tasks.into_iter().map(|IndexRange { first, count }| pb::IndexRange { first, count }).collect()
}
