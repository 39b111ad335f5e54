//! What the doors of the daemon put into the driver's inbox, and the handle they do it with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use bireme_core::actor::place::Beat;
use bireme_core::id::{Digest, GraphId, SessionId, SessionToken, SubmissionId};
use bireme_core::limits;
use bireme_core::protocol::{Announce, Heartbeat, Join, Report};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, Open, Opened};
use bireme_core::time::Span;

use crate::driver::Scene;
use crate::driver::outbox::{Bell, Outbox, Outflow, outbox};
use crate::driver::streams::Stream;
use crate::machine::{ConnId, Event};

/// One thing for the driver to do.
pub(crate) enum Mail {
    /// Somebody who runs the cluster asks the machine for something.
    Asked(Event),
    /// A client's stream began as it should.
    Attached { conn: ConnId, open: Open, stream: Box<Stream> },
    /// Commands of a client, in order.
    Commands { conn: ConnId, commands: Vec<Result<Command, BadCommand>> },
    /// A command that came in a call.
    Commanded { by: By, command: Command, reply: oneshot::Sender<Answer> },
    /// A stream ended, perhaps for a reason that the peer should hear.
    Ended { conn: ConnId, because: Option<Refusal> },
    /// A worker's stream began as it should.
    Joined { conn: ConnId, join: Box<Join>, stream: Box<Stream> },
    /// Somebody looks at the machine.
    Look(Box<dyn FnOnce(&Scene<'_>) + Send>),
    /// A session that is driven by calls is opened.
    Opened { open: Open, reply: oneshot::Sender<Result<Opened, Refusal>> },
    /// News of a worker.
    Reports { conn: ConnId, batch: Box<WorkerBatch> },
    /// The scheduler is about to end: tell everybody, and end the workers too if asked.
    Stop { why: Refusal, workers: bool, reply: oneshot::Sender<()> },
    /// Somebody waits for the machine to get somewhere.
    Wait { longest: Span, watch: Watch },
}

/// Looks whether what is waited for has come; with `true`, time is up. Returns whether the wait is over.
pub(crate) type Watch = Box<dyn FnMut(&Scene<'_>, bool) -> bool + Send>;

/// The graph that a command was about and how many tasks that has, or why it was refused.
pub(crate) type Answer = Result<(Option<GraphId>, u32), Refusal>;

/// A command that could not be read.
#[derive(Debug)]
pub(crate) struct BadCommand {
    /// The command's, where it carried one.
    pub(crate) submission: Option<SubmissionId>,
    /// The graph that it was a chunk of, if it was one.
    pub(crate) chunk_of: Option<GraphId>,
    /// What is wrong with it.
    pub(crate) refusal: Refusal,
}

/// Whose command came in a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum By {
    /// Nobody's: it belongs to a session of the scheduler's own.
    Nobody,
    /// The session's with this number, on behalf of an administrator.
    Number(SessionId),
    /// The session's with this token.
    Token(SessionToken),
}

impl Mail {
    /// Whether it is parts of graphs and nothing else.
    pub(crate) fn is_only_chunks(&self) -> bool {
        let Self::Commands { commands, .. } = self else { return false };
        commands.iter().all(|command| matches!(command, Ok(Command::Chunk(_))))
    }
}

/// One message of a worker.
#[derive(Debug, Default)]
pub(crate) struct WorkerBatch {
    /// It asks whether the scheduler knows all it holds already, whose digest this is.
    pub(crate) digest: Option<Digest>,
    /// A part of the announcement.
    pub(crate) announce: Option<Announce>,
    /// In order.
    pub(crate) reports: Vec<Report>,
    /// How it is.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// What its actors have counted since the last heartbeat.
    pub(crate) actors: Vec<Beat>,
    /// Reports of kinds that this version does not know.
    pub(crate) ignored: u64,
}

/// Whoever holds one can reach the driver.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    queue: mpsc::Sender<Mail>,
    conns: Arc<AtomicU64>,
    bell: Arc<Bell>,
}

impl Mailbox {
    /// Makes the inbox of one driver.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Mail>, Arc<Bell>) {
        let (queue, inbox) = mpsc::channel(limits::INBOX_BATCHES);
        let bell = Arc::new(Bell::default());
        let mailbox = Self { queue, conns: Arc::default(), bell: Arc::clone(&bell) };
        (mailbox, inbox, bell)
    }

    /// Numbers a new connection and makes its outgoing queue.
    pub(crate) fn connect<T>(&self) -> (ConnId, Outbox<T>, Outflow<T>) {
        let conn = ConnId(self.conns.fetch_add(1, Ordering::Relaxed) + 1);
        let (outbox, outflow) = outbox(conn, Arc::clone(&self.bell));
        (conn, outbox, outflow)
    }

    /// Waits for room in the inbox and puts the mail there.
    pub(crate) async fn send(&self, mail: Mail) -> Result<(), Refusal> {
        self.queue.send(mail).await.map_err(|_| ended())
    }

    /// What there is to see at the machine's next rest.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Scene<'_>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let look = move |scene: &Scene<'_>| drop(reply.send(look(scene)));
        self.send(Mail::Look(Box::new(look))).await?;
        answer.await.map_err(|_| ended())
    }

    /// Waits until `look` sees what it waits for; `None` if time is up before.
    pub(crate) async fn wait<T: Send + 'static>(
        &self,
        longest: Span,
        mut look: impl FnMut(&Scene<'_>) -> Option<T> + Send + 'static,
    ) -> Result<Option<T>, Refusal> {
        let (reply, answer) = oneshot::channel();
        let mut reply = Some(reply);
        let watch = move |scene: &Scene<'_>, time_up: bool| {
            if reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
                return true;
            }
            let seen = look(scene);
            if seen.is_none() && !time_up {
                return false;
            }
            if let Some(reply) = reply.take() {
                drop(reply.send(seen));
            }
            true
        };
        let longest = longest.min(limits::MAX_WAIT);
        self.send(Mail::Wait { longest, watch: Box::new(watch) }).await?;
        answer.await.map_err(|_| busy_or_ended(&self.queue))
    }

    /// Has a command carried out and waits for the answer.
    pub(crate) async fn command(&self, by: By, command: Command) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Commanded { by, command, reply }).await?;
        answer.await.map_err(|_| busy_or_ended(&self.queue))?
    }

    /// Opens a session that is driven by calls, or keeps it alive.
    pub(crate) async fn open(&self, open: Open) -> Result<Opened, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Mail::Opened { open, reply }).await?;
        answer.await.map_err(|_| ended())?
    }
}

fn ended() -> Refusal {
    Refusal::new(Reason::ShuttingDown, "the scheduler is about to end")
}

/// Why a reply was dropped: the driver has no place for another call, or is gone.
fn busy_or_ended(queue: &mpsc::Sender<Mail>) -> Refusal {
    if queue.is_closed() {
        return ended();
    }
    let message = format!("{} calls wait already, which is the limit", limits::CALLS);
    Refusal::new(Reason::Busy, message)
}
