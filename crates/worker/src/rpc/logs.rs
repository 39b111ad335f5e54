//! What attempts printed, for those who ask: the service that this worker offers.

use std::sync::Arc;

use bireme_core::id::TaskId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{AttemptId, limits};
use bireme_proto::pb;
use bireme_proto::pb::logs_server::Logs as Service;
use bireme_proto::status::status;
use futures_util::stream;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::logs::{self, Logs, Piece, Query, Reader};

/// Serves what is kept of it.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) logs: Arc<Logs>,
}

#[tonic::async_trait]
impl Service for Door {
    type ReadLogsStream =
        std::pin::Pin<Box<dyn Stream<Item = Result<pb::ReadLogsResponse, Status>> + Send>>;

    async fn read_logs(
        &self,
        request: Request<pb::ReadLogsRequest>,
    ) -> Result<Response<Self::ReadLogsStream>, Status> {
        let query = query(request.into_inner()).map_err(status)?;
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
    let pb::ReadLogsRequest { task, attempt, stream, tail_lines, follow, cursor } = request;
    let malformed = |field, message| Refusal::at(Reason::Malformed, field, message);
    let task: TaskId =
        task.ok_or_else(|| malformed("task", "the task is missing".to_owned()))?.try_into()?;
    let attempt = attempt.map(AttemptId::try_from).transpose()?;
    if let Some(other) = attempt.filter(|attempt| attempt.task != task) {
        let message = format!("{other} is no attempt of {task}; name one of its own");
        return Err(malformed("attempt", message));
    }
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
    let attempt = attempt.map(|attempt| attempt.no);
    Ok(Query { task, attempt, stream, tail_lines, follow, cursor })
}

fn message(piece: Piece) -> pb::ReadLogsResponse {
    let Piece { attempt, stream, text, since, cursor, lagged } = piece;
    let stream = match stream {
        logs::Stream::Stdout => pb::LogStream::Stdout,
        logs::Stream::Stderr => pb::LogStream::Stderr,
        logs::Stream::Record => pb::LogStream::Record,
    };
    pb::ReadLogsResponse {
        attempt: Some(attempt.into()),
        stream: stream.into(),
        text,
        since_start_us: since.0,
        cursor,
        lagged,
    }
}

#[cfg(test)]
mod tests;
