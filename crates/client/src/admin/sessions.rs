//! Sessions: what there are, and how one ends.

use bireme_core::graph::GraphCounts;
use bireme_core::id::SessionId;
use bireme_core::time::Span;
use bireme_proto::pb;

use super::{Admin, counts, page, submission};
use crate::error::Refused;

/// What the scheduler knows of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionStatus {
    /// Its number.
    pub session: SessionId,
    /// Its name.
    pub name: String,
    /// It has a stream.
    pub connected: bool,
    /// Where its stream comes from.
    pub peer: String,
    /// How long ago it was opened.
    pub age: Span,
    /// How long ago it was last heard of.
    pub idle: Span,
    /// After how long without a word it ends.
    pub ttl: Span,
    /// Share of the cluster relative to other sessions, in percent.
    pub weight_percent: u32,
    /// Its graphs.
    pub graphs: u32,
    /// Tasks of its graphs.
    pub tasks: GraphCounts,
    /// Version of its software.
    pub product: String,
}

impl Admin {
    /// Every session.
    pub async fn sessions(&self) -> Result<Vec<SessionStatus>, Refused> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = self.request(pb::ListSessionsRequest { page: Some(page(token)) });
            let answer = self.cluster.clone().list_sessions(request).await?.into_inner();
            for session in answer.sessions {
                all.push(session_status(session)?);
            }
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Ends the session in whose name this makes its calls ([`Admin::in_session`]): what it submitted is dropped, but for
    /// detached graphs. Returns how many graphs that were.
    pub async fn close_session(&self) -> Result<u32, Refused> {
        let close = pb::CloseSession { submission_id: submission() };
        let request =
            pb::CloseSessionRequest { close: Some(close), ..pb::CloseSessionRequest::default() };
        let answer = self.cluster.clone().close_session(self.request(request)).await?;
        Ok(answer.into_inner().graphs)
    }
}

fn session_status(session: pb::SessionSummary) -> Result<SessionStatus, Refused> {
    Ok(SessionStatus {
        session: SessionId(session.session.unwrap_or_default().number),
        name: session.name,
        connected: session.connected,
        peer: session.peer,
        age: Span(session.age_us),
        idle: Span(session.idle_us),
        ttl: Span(session.ttl_us),
        weight_percent: session.weight_percent,
        graphs: session.graphs,
        tasks: counts(session.tasks)?,
        product: session.product,
    })
}
