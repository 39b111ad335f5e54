//! Leaving a session behind and coming back to it, perhaps from another program.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bireme_core::Reason;
use bireme_core::id::{GraphId, SessionId, SessionToken};
use bireme_core::reason::Refusal;
use bireme_proto::pb;

use crate::client::{Client, fresh_id};
use crate::connect::{ConnectOptions, Opening, Target, attach};
use crate::error::{CommandError, ConnectError, GraphError, Lost, Refused};
use crate::graph::{Cell, Graph};
use crate::redial::Redial;
use crate::session::{Session, counts, task_error};
use crate::slots::Slots;

/// What is needed to come back to a session: whoever has it is the session. It is shown and read as one word.
#[derive(Clone, Eq, PartialEq)]
pub struct Ticket {
    /// The session's number.
    pub session: SessionId,
    /// What names it to the scheduler.
    pub token: SessionToken,
    /// Graphs that it has numbered.
    pub(crate) graphs: u32,
    /// Values that it has numbered.
    pub(crate) values: u64,
}

/// The text is no ticket.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a ticket is SESSION-GRAPHS-VALUES-TOKEN, as `Client::detach` gave it")]
pub struct NotATicket;

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, token, graphs, values } = self;
        write!(f, "{}-{graphs}-{values}-{:032x}", session.0, token.0)
    }
}

impl fmt::Debug for Ticket {
    /// Without the token, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, ..)", self.session.0)
    }
}

impl FromStr for Ticket {
    type Err = NotATicket;

    fn from_str(text: &str) -> Result<Self, NotATicket> {
        let mut words = text.split('-');
        let mut word = || words.next().ok_or(NotATicket);
        let (session, graphs, values, token) = (word()?, word()?, word()?, word()?);
        if words.next().is_some() || token.len() != 32 {
            return Err(NotATicket);
        }
        Ok(Self {
            session: SessionId(session.parse().map_err(|_| NotATicket)?),
            graphs: graphs.parse().map_err(|_| NotATicket)?,
            values: values.parse().map_err(|_| NotATicket)?,
            token: SessionToken(u128::from_str_radix(token, 16).map_err(|_| NotATicket)?),
        })
    }
}

impl Client {
    /// Ends the stream and leaves the session behind, once everything sent was taken in: its graphs run on, and it lives for
    /// its time to live, or as long as a detached graph does. Every handle of this session hears nothing more.
    pub async fn detach(self) -> Result<Ticket, CommandError> {
        // Commands are answered in order: when nothing at all was taken in, so was everything before it.
        let submission = fresh_id();
        let nothing = pb::ObjectsPut {
            submission_id: bytes::Bytes::copy_from_slice(&submission.to_bytes()),
            objects: Vec::new(),
        };
        self.inner.ask(submission, pb::session_command::Command::Put(nothing)).await?;
        let token = SessionToken::from_slice(&self.inner.token()).expect("made with 16 bytes");
        let ticket = Ticket {
            session: self.session(),
            token,
            graphs: self.inner.graphs.load(Ordering::Relaxed),
            values: self.inner.values.load(Ordering::Relaxed),
        };
        self.inner.session().lose(Lost::closed());
        Ok(ticket)
    }

    /// Comes back to a session. Whoever had its stream before loses it.
    pub async fn attach(options: ConnectOptions, ticket: &Ticket) -> Result<Self, ConnectError> {
        let target = Target::find(&options)?;
        let session = Arc::new(Session::new());
        let opening = Opening::of(ticket.token, &options);
        let attached = attach(&target, opening.clone(), session.backlog()).await?;
        // A session of the token with another number was opened by an attempt to come back that found none.
        if !attached.opened.resumed || attached.opened.session != ticket.session {
            session.lose(Lost::closed());
            let message = "there is no such session, or its time ran out: open a new one";
            return Err(target.refused(Refusal::new(Reason::SessionUnknown, message)));
        }
        let client = Self::of(session, attached, Redial::new(options, target, opening));
        // What the ticket counts may not have reached the scheduler.
        client.inner.graphs.fetch_max(ticket.graphs, Ordering::Relaxed);
        client.inner.values.fetch_max(ticket.values, Ordering::Relaxed);
        Ok(client)
    }

    /// A graph of this session that another handle, or an earlier life of the session, has submitted.
    pub async fn graph(&self, id: GraphId) -> Result<Graph, GraphError> {
        let request = pb::GetGraphRequest { graph: id.0, page: None };
        let mut cluster = self.inner.peers().cluster();
        let answer = cluster.get_graph(self.inner.peers().call(request)).await;
        let found = answer.map_err(Refused::from)?.into_inner().graph.unwrap_or_default();
        if found.session.map(|session| session.number) != Some(self.session().0) {
            let message = format!("graph {id} is not of session {}", self.session().0);
            let refusal = Refusal::at(Reason::GraphUnknown, "graph", message);
            return Err(Refused::from(refusal).into());
        }
        let tasks = found.update.and_then(|update| update.counts).map(counts).unwrap_or_default();
        let cell = Arc::new(Cell::new(id, Slots::unasked(tasks.total())));
        self.inner.session().register(&cell)?;
        let graph = Graph::new(Arc::clone(&cell), Arc::clone(&self.inner));
        // Only now, so that no change falls between the question and the registration.
        self.refresh(&cell).await?;
        Ok(graph)
    }

    /// Brings what is known of a graph up to date.
    async fn refresh(&self, cell: &Cell) -> Result<(), GraphError> {
        let request = pb::WaitGraphRequest { graph: cell.id().0, max_wait_us: 0 };
        let mut cluster = self.inner.peers().cluster();
        let answer = cluster.wait_graph(self.inner.peers().call(request)).await;
        let update = answer.map_err(Refused::from)?.into_inner().update.unwrap_or_default();
        let error = update.error.map(|error| GraphError::Failed(Box::new(task_error(Some(error)))));
        cell.advance(update.counts.map(counts).unwrap_or_default(), update.done, error);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_is_shown_and_gives_no_token_away_by_accident() {
        let ticket =
            Ticket { session: SessionId(7), token: SessionToken(0xabc), graphs: 2, values: 3 };
        assert_eq!(ticket.to_string().parse(), Ok(ticket.clone()));
        assert_eq!(format!("{ticket:?}"), "Ticket(7, ..)");
        for text in ["", "7-2-3", "7-2-3-abc", "7-2-3-00000000000000000000000000000abc-1"] {
            assert_eq!(text.parse::<Ticket>(), Err(NotATicket), "{text}");
        }
    }
}
