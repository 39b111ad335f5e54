//! What attempts and actors printed, for those who ask: the service that this worker offers.

use std::sync::Arc;

use bireme_core::id::{ActorId, Incarnation, TaskId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{AttemptId, limits};
use bireme_proto::pb;
use bireme_proto::pb::logs_server::Logs as Service;
use bireme_proto::status::status;
use futures_util::stream;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::actors::Shared;
use crate::logs::{self, Author, Logs, Piece, Query, Reader, Subject};

/// Serves what is kept of it.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) logs: Arc<Logs>,
    /// Knows which actors share a process; there are none where there is nothing.
    pub(crate) actors: Option<Arc<Shared>>,
}

#[tonic::async_trait]
impl Service for Door {
    type ReadLogsStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<pb::ReadLogsResponse, Status>> + Send>>;

    async fn read_logs(
        &self,
        request: Request<pb::ReadLogsRequest>,
    ) -> Result<Response<Self::ReadLogsStream>, Status> {
        let mut query = query(request.into_inner()).map_err(status)?;
        if let (Subject::Actor(actor), Some(actors)) = (query.subject, &self.actors)
            && let Some(process) = actors.shared_process_of(actor)
        {
            (query.subject, query.no) = (Subject::Process(process), None);
        }
        let reader = self.logs.read(query).ok_or_else(busy)?;
        Ok(Response::new(Box::pin(stream::unfold(Some(reader), next))))
    }
}

/// The next message of an answer, and who goes on reading.
async fn next(
    reader: Option<Reader>,
) -> Option<(Result<pb::ReadLogsResponse, Status>, Option<Reader>)> {
    let mut reader = reader?;
    match reader.next().await {
        Ok(piece) => Some((Ok(message(piece?)), Some(reader))),
        Err(error) => {
            let message = format!("what was printed cannot be read: {error}");
            Some((Err(Status::data_loss(message)), None))
        }
    }
}

fn busy() -> Status {
    let message =
        format!("{} readers are at work on this worker; come again later", limits::LOG_READERS);
    status(Refusal::new(Reason::Busy, message))
}

fn query(request: pb::ReadLogsRequest) -> Result<Query, Refusal> {
    let pb::ReadLogsRequest {
        task,
        attempt,
        stream,
        tail_lines,
        follow,
        cursor,
        actor,
        incarnation,
    } = request;
    let malformed = |field, message| Refusal::at(Reason::Malformed, field, message);
    let attempt = attempt.map(AttemptId::try_from).transpose()?;
    let (subject, no) = match (task, actor) {
        (Some(task), None) => {
            let task: TaskId = task.try_into()?;
            if let Some(other) = attempt.filter(|attempt| attempt.task != task) {
                let message = format!("{other} is no attempt of {task}; name one of its own");
                return Err(malformed("attempt", message));
            }
            (Subject::Task(task), attempt.map(|attempt| attempt.no))
        }
        (None, Some(actor)) => {
            let actor: ActorId = actor.try_into()?;
            let life = Author::incarnation(actor, Incarnation(incarnation));
            (Subject::Actor(actor), (incarnation > 0).then_some(life.no))
        }
        _ => {
            let message = "either a task or an actor is named, and not both";
            return Err(malformed("task", message.to_owned()));
        }
    };
    let stream = match pb::LogStream::try_from(stream) {
        Ok(pb::LogStream::Unspecified) => None,
        Ok(pb::LogStream::Stdout) => Some(logs::Stream::Stdout),
        Ok(pb::LogStream::Stderr) => Some(logs::Stream::Stderr),
        Ok(pb::LogStream::Record) => Some(logs::Stream::Record),
        Err(_) => {
            let message = format!("{stream} is not known to this version; leave it out");
            return Err(malformed("stream", message));
        }
    };
    Ok(Query { subject, no, stream, tail_lines, follow, cursor })
}

fn message(piece: Piece) -> pb::ReadLogsResponse {
    let Piece { author, stream, text, since, cursor, lagged } = piece;
    let stream = match stream {
        logs::Stream::Stdout => pb::LogStream::Stdout,
        logs::Stream::Stderr => pb::LogStream::Stderr,
        logs::Stream::Record => pb::LogStream::Record,
    };
    pb::ReadLogsResponse {
        attempt: author.attempt().map(Into::into),
        stream: stream.into(),
        text,
        since_start_us: since.0,
        cursor,
        lagged,
        incarnation: if matches!(author.subject, Subject::Actor(_)) { author.no.n } else { 0 },
    }
}

#[cfg(test)]
mod tests;
