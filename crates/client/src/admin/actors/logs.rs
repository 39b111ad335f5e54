//! What an actor printed, by its host.

use bireme_core::Span;
use bireme_core::actor::Selector;
use bireme_core::id::Incarnation;
use bireme_proto::pb;
use bytes::Bytes;
use pb::logs_client::LogsClient;
use tonic::Streaming;

use crate::admin::Admin;
use crate::error::Refused;

/// What is to be shown of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ActorLogQuery {
    /// Only this incarnation; `None` is all that lived where the actor lives now.
    pub incarnation: Option<Incarnation>,
    /// Go on until the incarnation has ended.
    pub follow: bool,
    /// Only the last so many lines of what is there; 0 is all.
    pub tail_lines: u32,
}

/// Something that an actor printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ActorLogPiece {
    /// Which incarnation; `None` where several actors share the process, and nobody can tell which of them printed it.
    pub incarnation: Option<Incarnation>,
    /// It was printed as an error.
    pub is_error: bool,
    /// The bytes as printed; they need not be whole lines.
    pub text: Bytes,
    /// How long after the start of the incarnation, or of the shared process.
    pub since_start: Span,
    /// Something before this is not kept.
    pub lagged: bool,
}

/// What is printed, as it comes. Dropping it ends the call.
#[derive(Debug)]
pub struct ActorLogs {
    pieces: Streaming<pb::ReadLogsResponse>,
}

impl ActorLogs {
    /// The next piece; `None` once there is no more.
    pub async fn next(&mut self) -> Result<Option<ActorLogPiece>, Refused> {
        let Some(piece) = self.pieces.message().await? else { return Ok(None) };
        let is_error = piece.stream() == pb::LogStream::Stderr;
        let pb::ReadLogsResponse { text, since_start_us, lagged, incarnation, .. } = piece;
        Ok(Some(ActorLogPiece {
            incarnation: (incarnation > 0).then_some(Incarnation(incarnation)),
            is_error,
            text,
            since_start: Span(since_start_us),
            lagged,
        }))
    }
}

impl Admin {
    /// What an actor printed, in the order of printing. Asks the worker that hosts it, which keeps what was printed there.
    pub async fn actor_logs(
        &self,
        actor: &Selector,
        query: ActorLogQuery,
    ) -> Result<ActorLogs, Refused> {
        let (place, _) = self.find_actor(actor, Span::ZERO).await?;
        let channel = self.host_channel(&place).await?;
        let ActorLogQuery { incarnation, follow, tail_lines } = query;
        let request = pb::ReadLogsRequest {
            actor: Some(place.actor.into()),
            incarnation: incarnation.map_or(0, |incarnation| incarnation.0),
            follow,
            tail_lines,
            ..pb::ReadLogsRequest::default()
        };
        let mut logs = LogsClient::new(channel);
        let pieces = logs.read_logs(self.request(request)).await?.into_inner();
        Ok(ActorLogs { pieces })
    }
}
