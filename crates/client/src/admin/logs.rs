//! What the attempts of a task printed.

use bireme_core::id::AttemptId;
use bireme_core::time::Span;
use bireme_proto::pb;
use bytes::Bytes;
use tonic::Streaming;

use super::{Admin, TaskName};
use crate::error::Refused;

/// What is to be shown of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogQuery {
    /// Only this attempt.
    pub attempt: Option<AttemptId>,
    /// Go on until the task has ended.
    pub follow: bool,
    /// Only the last so many lines of what is there; 0 is all.
    pub tail_lines: u32,
    /// Go on after the piece with this cursor; empty begins with the first.
    pub cursor: String,
}

/// Something that an attempt printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogPiece {
    /// Which attempt.
    pub attempt: Option<AttemptId>,
    /// Name of the worker it ran on.
    pub worker: String,
    /// It was printed as an error.
    pub is_error: bool,
    /// The bytes as printed; they need not be whole lines.
    pub text: Bytes,
    /// How long after the attempt's start.
    pub since_start: Span,
    /// To go on from here.
    pub cursor: String,
    /// Something before this is not kept.
    pub lagged: bool,
}

/// What is printed, as it comes. Dropping it ends the call.
#[derive(Debug)]
pub struct TaskLogs {
    pieces: Streaming<pb::TaskLogsResponse>,
}

impl TaskLogs {
    /// The next piece; `None` once there is no more.
    pub async fn next(&mut self) -> Result<Option<LogPiece>, Refused> {
        let Some(piece) = self.pieces.message().await? else { return Ok(None) };
        let is_error = piece.stream() == pb::LogStream::Stderr;
        let pb::TaskLogsResponse { attempt, worker, text, since_start_us, cursor, lagged, .. } =
            piece;
        Ok(Some(LogPiece {
            attempt: attempt.map(AttemptId::try_from).transpose()?,
            worker,
            is_error,
            text,
            since_start: Span(since_start_us),
            cursor,
            lagged,
        }))
    }
}

impl Admin {
    /// What the attempts of a task printed, in the order of printing on each worker.
    pub async fn task_logs(
        &self,
        task: impl Into<TaskName>,
        query: LogQuery,
    ) -> Result<TaskLogs, Refused> {
        let LogQuery { attempt, follow, tail_lines, cursor } = query;
        let request = pb::TaskLogsRequest {
            task: Some(task.into().into()),
            attempt: attempt.map(Into::into),
            follow,
            tail_lines,
            stream: pb::LogStream::Unspecified.into(),
            cursor,
        };
        let pieces = self.cluster.clone().task_logs(self.request(request)).await?.into_inner();
        Ok(TaskLogs { pieces })
    }
}
