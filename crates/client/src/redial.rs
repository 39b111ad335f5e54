//! Has the stream of a session come back, for as long as the session lives without one.

use bireme_core::hash::Seeded;
use bireme_core::id::{ClusterId, Epoch};
use bireme_core::link::{Hello, pause};
use bireme_core::time::Span;
use bireme_core::{Reason, limits};
use bytes::Bytes;

use crate::client::random;
use crate::connect::{Attached, ConnectOptions, Opening, Target, attach};
use crate::error::{ConnectError, Lost};
use crate::session::Session;

/// How a stream ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct End {
    /// What the scheduler or the transport said.
    pub(crate) why: Lost,
    /// When to come again, where the scheduler said so; 0 is never.
    pub(crate) retry_after: Option<Span>,
    /// Something was heard since the stream began.
    pub(crate) was_heard: bool,
}

/// What is needed to come back to a session.
#[derive(Debug)]
pub(crate) struct Redial {
    options: ConnectOptions,
    target: Target,
    opening: Opening,
    /// The life of the scheduler that has the session.
    life: (Option<ClusterId>, Epoch),
    /// How long the session lives without a stream.
    ttl: Span,
    jitter: Seeded,
    /// Dials since something was heard.
    failures: u32,
}

impl Redial {
    pub(crate) fn new(options: ConnectOptions, target: Target, opening: Opening) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "any half of random bits is random")]
        let jitter = Seeded::new(random() as u64);
        let life = (None, Epoch::default());
        Self { options, target, opening, life, ttl: limits::SESSION_TTL, jitter, failures: 0 }
    }

    /// Notes who has the session, and for how long.
    pub(crate) fn attached(&mut self, attached: &Attached) {
        self.life = attached.life;
        self.ttl = attached.opened.ttl;
        self.opening.by_name = false;
    }

    pub(crate) fn token(&self) -> Bytes {
        self.opening.token.clone()
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// A new stream of the session, or why there will be none.
    pub(crate) async fn again(&mut self, session: &Session, end: End) -> Result<Attached, Lost> {
        if end.retry_after == Some(Span::ZERO) || !self.may_pass(&end.why.reason) {
            return Err(end.why);
        }
        if end.was_heard {
            self.failures = 0;
        }
        let (ttl, address) = (self.ttl, self.target.address().to_owned());
        tracing::warn!(address, why = %end.why, %ttl, "the stream is lost; connecting again");
        let mut last = end.why.to_string();
        let dialled = self.dial(session, end.retry_after.unwrap_or_default(), &mut last);
        let dialled = tokio::time::timeout(ttl.to_std(), dialled).await;
        dialled.unwrap_or_else(|_| {
            let message = format!(
                "{address} was tried for {ttl}, as long as the session lives without a stream; \
                 the last try: {last}"
            );
            Err(Lost { reason: Reason::SessionUnknown.name().to_owned(), message })
        })
    }

    /// Dials until there is a stream, or never will be.
    async fn dial(
        &mut self,
        session: &Session,
        first_pause: Span,
        last: &mut String,
    ) -> Result<Attached, Lost> {
        let mut least = first_pause;
        loop {
            let pause = pause(self.failures, &self.jitter).max(std::mem::take(&mut least));
            self.failures = self.failures.saturating_add(1);
            tokio::time::sleep(pause.to_std()).await;
            if session.is_leaving() {
                return Err(Lost::closed());
            }
            // A scheduler that was restarted may be elsewhere, and have another token.
            self.target = Target::find(&self.options).unwrap_or_else(|_| self.target.clone());
            self.opening.known = session.known();
            let (cluster, epoch) = self.life;
            self.opening.hello = Hello::new(cluster, epoch);
            let dialled = attach(&self.target, self.opening.clone(), session.backlog());
            match dialled.await {
                Ok(attached) if attached.opened.resumed => {
                    self.attached(&attached);
                    return Ok(attached);
                }
                Ok(attached) => return Err(self.unknown(session, attached.life)),
                Err(ConnectError::Refused { refused, .. })
                    if refused.reason == Reason::WrongCluster.name() =>
                {
                    return Err(self.restarted(session, &refused.message));
                }
                Err(ConnectError::Refused { refused, .. }) if !self.may_pass(&refused.reason) => {
                    return Err(Lost { reason: refused.reason, message: refused.message });
                }
                Err(error) => {
                    tracing::debug!(%error, "not connected");
                    *last = error.to_string();
                }
            }
        }
    }

    /// Whether it is worth trying again. Who has been let in before is told that it may not come in when a scheduler that was
    /// restarted has other tokens, until its access file is read again: where the token is from there.
    fn may_pass(&self, reason: &str) -> bool {
        may_pass(reason) || is_of_token(reason) && self.target.rereads_token()
    }

    /// The scheduler does not know the session.
    fn unknown(&self, session: &Session, life: (Option<ClusterId>, Epoch)) -> Lost {
        if life != self.life {
            let (before, now) = (self.life.1.0, life.1.0);
            return self.restarted(session, &format!("this is its life {now}, that was {before}"));
        }
        let message = format!("the session's time of {} ran out: open a new one", self.ttl);
        Lost { reason: Reason::SessionUnknown.name().to_owned(), message }
    }

    /// The scheduler is not the one that had the session.
    fn restarted(&self, session: &Session, how: &str) -> Lost {
        let (address, graphs) = (self.target.address(), session.open_graphs());
        let message = format!(
            "the scheduler at {address} was restarted ({how}): the session is lost with its values and \
             its graphs, {graphs} of them not done; submit them again"
        );
        Lost { reason: Reason::SessionUnknown.name().to_owned(), message }
    }
}

/// Whether what ended a stream, or refused one, may be otherwise the next time.
fn may_pass(reason: &str) -> bool {
    const TRANSPORT: [&str; 7] = [
        "CLOSED",
        "UNAVAILABLE",
        "UNKNOWN",
        "INTERNAL",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "ABORTED",
    ];
    const OURS: [Reason; 2] = [Reason::Busy, Reason::ShuttingDown];
    TRANSPORT.contains(&reason) || OURS.iter().any(|ours| ours.name() == reason)
}

/// Whether this is said of a token.
fn is_of_token(reason: &str) -> bool {
    [Reason::Unauthenticated, Reason::RoleMissing].iter().any(|ours| ours.name() == reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_otherwise_the_next_time_is_tried_again() {
        for reason in ["CLOSED", "UNAVAILABLE", "BUSY", "SHUTTING_DOWN"] {
            assert!(may_pass(reason), "{reason}");
        }
        for reason in ["SUPERSEDED", "WRONG_CLUSTER", "MALFORMED", "UNAUTHENTICATED"] {
            assert!(!may_pass(reason), "{reason}");
        }
    }
}
