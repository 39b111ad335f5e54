//! The service `ActorCopies`: copies of logs and checkpoints, on their way out and in.

use std::io;
use std::sync::{Arc, Mutex};

use bireme_core::id::{ActorId, Incarnation, WorkerUid};
use bireme_core::limits;
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};
use bireme_daemon::auth::Bearer;
use bireme_proto::pb;
use bireme_proto::pb::actor_copies_client::ActorCopiesClient;
use bireme_proto::pb::actor_copies_server::ActorCopies as Service;
use bireme_proto::pb::copy_batch::Part;
use bireme_proto::status::status;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::store::fetch::connect;
use crate::actors::Shared;
use crate::actors::copies::keeper::Copy;
use crate::sync::lock;
use crate::target::TargetError;

/// Messages that wait on their way, in either direction.
const AHEAD: usize = 4;

/// Whose copy it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello {
    pub(crate) actor: ActorId,
    pub(crate) incarnation: Incarnation,
    /// Who is to keep it; `None` where the host does not say.
    pub(crate) worker: Option<WorkerUid>,
    /// Counts the streams of the incarnation.
    pub(crate) stream: u64,
    /// Nothing counts as kept before it is on the disk.
    pub(crate) synced: bool,
    /// The number of the first record of the first file.
    pub(crate) first: u64,
}

/// Something for a copy.
#[derive(Debug)]
pub(crate) enum Said {
    /// Bytes of a checkpoint; with the record up to which it goes it is complete.
    Checkpoint { bytes: Bytes, complete: Option<u64> },
    /// Bytes of a file of the log; `last` is whole with them, unless it is 0.
    Records { file: u64, frames: Bytes, last: u64 },
    /// All that there was has been said, up to a record.
    Whole { last: u64 },
}

/// What a copy has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kept {
    /// Every record up to this one.
    pub(crate) lsn: u64,
    /// A checkpoint that holds all calls up to this record; 0 is none that was sent while it was kept.
    pub(crate) checkpoint: u64,
    /// An incarnation could begin with it.
    pub(crate) is_whole: bool,
}

/// Why a copy is not kept on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LostCopy {
    /// The stream is over.
    #[error("the stream has ended")]
    Ended,
    /// What it is to have cannot be read here.
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It owes an answer.
    #[error("it is silent for {}", limits::COPY_WAIT)]
    Silent,
    /// It says no, or went away.
    #[error("{}", .0.message())]
    Status(Box<Status>),
    /// Nobody knows what to show it.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It cannot be reached.
    #[error("it cannot be reached: {0}")]
    Transport(#[from] tonic::transport::Error),
}

impl From<Status> for LostCopy {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// The way to a copy.
#[derive(Debug)]
pub(crate) struct Up(mpsc::Sender<pb::CopyBatch>);

/// What comes back from it.
#[derive(Debug)]
pub(crate) struct Down(Streaming<pb::CopyKept>);

/// Opens a stream to the first of these addresses that answers.
pub(crate) async fn open(
    addresses: &[Address],
    bearer: Bearer,
    hello: Hello,
) -> Result<(Up, Down), LostCopy> {
    let mut failed = LostCopy::Ended;
    for address in addresses {
        match connect(address).await {
            Err(error) => failed = error.into(),
            Ok(channel) => {
                let (sender, receiver) = mpsc::channel(AHEAD);
                let up = Up(sender);
                up.hello(hello).await?;
                let mut client = ActorCopiesClient::with_interceptor(channel, bearer)
                    .max_decoding_message_size(limits::MESSAGE_BYTES);
                let answer = client.keep(ReceiverStream::new(receiver)).await?;
                return Ok((up, Down(answer.into_inner())));
            }
        }
    }
    Err(failed)
}

impl Up {
    async fn say(&self, part: Part) -> Result<(), LostCopy> {
        let sent = self.0.send(pb::CopyBatch { part: Some(part) });
        let sent = timeout(limits::COPY_WAIT.to_std(), sent).await;
        sent.map_err(|_| LostCopy::Silent)?.map_err(|_| LostCopy::Ended)
    }

    async fn hello(&self, hello: Hello) -> Result<(), LostCopy> {
        let Hello { actor, incarnation: Incarnation(incarnation), worker, stream, synced, first } =
            hello;
        let (actor, worker) = (Some(actor.into()), worker.map(WorkerUid::to_bytes));
        let worker = worker.map(|uid| Bytes::copy_from_slice(&uid)).unwrap_or_default();
        let hello = pb::CopyHello { actor, incarnation, synced, first, worker, stream };
        self.say(Part::Hello(hello)).await
    }

    /// Sends bytes of a checkpoint.
    pub(crate) async fn checkpoint(
        &self,
        bytes: Bytes,
        complete: Option<u64>,
    ) -> Result<(), LostCopy> {
        let (is_complete, lsn) = (complete.is_some(), complete.unwrap_or_default());
        let part = pb::CopyCheckpoint { bytes, complete: is_complete, lsn };
        self.say(Part::Checkpoint(part)).await
    }

    /// Sends bytes of a file of the log.
    pub(crate) async fn records(
        &self,
        file: u64,
        frames: Bytes,
        last: u64,
    ) -> Result<(), LostCopy> {
        self.say(Part::Records(pb::CopyRecords { file, frames, last })).await
    }

    /// Sends that all there was has been sent.
    pub(crate) async fn whole(&self, last: u64) -> Result<(), LostCopy> {
        self.say(Part::Whole(pb::CopyWhole { last })).await
    }
}

impl Down {
    /// What the copy says next.
    pub(crate) async fn next(&mut self) -> Result<Kept, LostCopy> {
        let kept = self.0.message().await?.ok_or(LostCopy::Ended)?;
        let pb::CopyKept { lsn, checkpoint, whole } = kept;
        Ok(Kept { lsn, checkpoint, is_whole: whole })
    }
}

/// Keeps copies for others.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) actors: Arc<Shared>,
}

#[tonic::async_trait]
impl Service for Door {
    type KeepStream = ReceiverStream<Result<pb::CopyKept, Status>>;

    async fn keep(
        &self,
        request: Request<Streaming<pb::CopyBatch>>,
    ) -> Result<Response<Self::KeepStream>, Status> {
        let mut incoming = request.into_inner();
        let first = timeout(limits::HELLO_WAIT.to_std(), incoming.message()).await;
        let silent = |_| Refusal::at(Reason::HelloExpected, "hello", "no message has come");
        let first = first.map_err(silent).map_err(status)??;
        let hello = read_hello(first.and_then(|first| first.part)).map_err(status)?;
        let actors = Arc::clone(&self.actors);
        // Whoever does not wait for it any more drops it, and so closes it.
        let begin = move || {
            let copy = actors.keeper().begin(hello)?;
            Ok(Listened { actors, actor: hello.actor, copy })
        };
        let listened = blocking(begin).await.map_err(status)?;
        let (answers, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(listened.listen(incoming, answers));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// A copy while it is sent. Dropping it closes it.
struct Listened {
    actors: Arc<Shared>,
    actor: ActorId,
    copy: Arc<Mutex<Copy>>,
}

impl Drop for Listened {
    fn drop(&mut self) {
        self.actors.keeper().ended(self.actor, &self.copy);
    }
}

impl Listened {
    async fn listen(
        self,
        mut incoming: Streaming<pb::CopyBatch>,
        answers: mpsc::Sender<Result<pb::CopyKept, Status>>,
    ) {
        while let Ok(Some(message)) = incoming.message().await {
            let kept = match read(message) {
                Ok(said) => self.keep(said).await,
                Err(refusal) => Err(refusal),
            };
            let is_over = kept.is_err();
            let answer = kept.map_err(status).map(|Kept { lsn, checkpoint, is_whole }| {
                pb::CopyKept { lsn, checkpoint, whole: is_whole }
            });
            if answers.send(answer).await.is_err() || is_over {
                return;
            }
        }
    }

    async fn keep(&self, said: Said) -> Result<Kept, Refusal> {
        if lock(&self.copy).is_quick(&said) {
            return lock(&self.copy).keep(said);
        }
        let copy = Arc::clone(&self.copy);
        blocking(move || lock(&copy).keep(said)).await
    }
}

/// Does something that waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::new(Reason::ShuttingDown, error.to_string())))
}

fn read_hello(part: Option<Part>) -> Result<Hello, Refusal> {
    let Some(Part::Hello(hello)) = part else {
        let message = "it is not in the first message";
        return Err(Refusal::at(Reason::HelloExpected, "hello", message));
    };
    let pb::CopyHello { actor, incarnation, synced, first, worker, stream } = hello;
    let missing = || Refusal::at(Reason::Malformed, "hello.actor", "actor is missing");
    let actor = actor.ok_or_else(missing)?.try_into()?;
    if incarnation == 0 || first == 0 {
        let message = "incarnations and records count from 1";
        return Err(Refusal::at(Reason::Malformed, "hello", message));
    }
    let worker = (!worker.is_empty()).then(|| read_uid(&worker)).transpose()?;
    Ok(Hello { actor, incarnation: Incarnation(incarnation), worker, stream, synced, first })
}

fn read_uid(bytes: &[u8]) -> Result<WorkerUid, Refusal> {
    let absurd = || {
        let message = format!("a uid is 16 bytes long, this is {}", bytes.len());
        Refusal::at(Reason::Malformed, "hello.worker", message)
    };
    WorkerUid::from_slice(bytes).ok_or_else(absurd)
}

fn read(message: pb::CopyBatch) -> Result<Said, Refusal> {
    match message.part {
        Some(Part::Checkpoint(pb::CopyCheckpoint { bytes, complete, lsn })) => {
            Ok(Said::Checkpoint { bytes, complete: complete.then_some(lsn) })
        }
        Some(Part::Records(pb::CopyRecords { file, frames, last })) => {
            Ok(Said::Records { file, frames, last })
        }
        Some(Part::Whole(pb::CopyWhole { last })) => Ok(Said::Whole { last }),
        Some(Part::Hello(_)) | None => {
            let message = "the message carries nothing that this version knows";
            Err(Refusal::at(Reason::Unsupported, "part", message))
        }
    }
}
