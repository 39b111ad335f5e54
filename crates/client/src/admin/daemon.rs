//! The scheduler itself: its tokens, its event loop, its end.

use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::role::Role;

use super::{Admin, WorkerName, submission};
use crate::error::Refused;

/// What a token allows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenGrant {
    /// Whose it is, as the issuer said; empty for the one in the access file.
    pub name: String,
    /// What it allows.
    pub roles: Vec<Role>,
    /// How long it is good for, from now; `None` is for ever.
    pub expires: Option<Span>,
    /// The scheduler asks nobody for a token.
    pub insecure: bool,
}

/// A token that was made.
#[derive(Clone, Eq, PartialEq)]
pub struct IssuedToken {
    /// The token itself: whoever has it may do what it allows.
    pub token: String,
    /// How long it is good for, from now; `None` is for ever.
    pub expires: Option<Span>,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedToken(.., expires: {:?})", self.expires)
    }
}

/// Where an event loop spent its time, since it began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoopStats {
    /// How long ago it began.
    pub uptime: Span,
    /// Time with something to do.
    pub busy: Span,
    /// Time without.
    pub idle: Span,
    /// One for each kind of event, the most total time first.
    pub steps: Vec<Step>,
    /// Resident memory of the daemon, in bytes.
    pub resident_bytes: u64,
    /// Entries of each bounded table and queue.
    pub tables: Vec<Use>,
}

/// Time spent on one kind of event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// The kind.
    pub event: String,
    /// How often.
    pub count: u64,
    /// All the time together.
    pub total: Span,
    /// The longest.
    pub max: Span,
}

/// How full a bounded table or queue is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// Entries now.
    pub used: u64,
    /// Entries at most; 0 is no fixed number.
    pub limit: u64,
}

impl Admin {
    /// What the caller's token allows.
    pub async fn token(&self) -> Result<TokenGrant, Refused> {
        let request = self.request(pb::GetTokenRequest {});
        let answer = self.cluster.clone().get_token(request).await?.into_inner();
        let roles = answer
            .roles()
            .filter_map(|role| Role::ALL.into_iter().find(|known| pb::Role::from(*known) == role));
        Ok(TokenGrant {
            roles: roles.collect(),
            name: answer.name,
            expires: (answer.expires_us > 0).then_some(Span(answer.expires_us)),
            insecure: answer.insecure,
        })
    }

    /// Makes a token for somebody else: with these roles, none that the caller's own does not grant, for `ttl` or for ever.
    pub async fn issue_token(
        &self,
        name: &str,
        roles: &[Role],
        ttl: Option<Span>,
    ) -> Result<IssuedToken, Refused> {
        let request = pb::IssueTokenRequest {
            submission_id: submission(),
            name: name.to_owned(),
            roles: roles.iter().map(|role| pb::Role::from(*role).into()).collect(),
            ttl_us: ttl.map_or(0, |ttl| ttl.0.max(1)),
            namespace: String::new(),
        };
        let answer = self.cluster.clone().issue_token(self.request(request)).await?.into_inner();
        let expires = (answer.expires_us > 0).then_some(Span(answer.expires_us));
        Ok(IssuedToken { token: answer.token, expires })
    }

    /// Where the event loop of the scheduler, or of a worker, spent its time.
    pub async fn loop_stats(&self, worker: Option<WorkerName>) -> Result<LoopStats, Refused> {
        let request = pb::GetLoopStatsRequest { worker: worker.map(Into::into) };
        let stats = self.cluster.clone().get_loop_stats(self.request(request)).await?.into_inner();
        let steps = stats.handlers.into_iter().map(|handler| Step {
            event: handler.event,
            count: handler.count,
            total: Span(handler.total_us),
            max: Span(handler.max_us),
        });
        let tables = stats.tables.into_iter();
        let tables = tables.map(|pb::TableUse { name, used, limit, .. }| Use { name, used, limit });
        Ok(LoopStats {
            uptime: Span(stats.uptime_us),
            busy: Span(stats.busy_us),
            idle: Span(stats.idle_us),
            steps: steps.collect(),
            resident_bytes: stats.resident_bytes,
            tables: tables.collect(),
        })
    }

    /// Ends the scheduler; with `workers` they end too, after their running code or at the latest after `grace`. Returns what
    /// is lost thereby, one line each.
    pub async fn shutdown(
        &self,
        workers: bool,
        grace: Span,
        reason: &str,
    ) -> Result<Vec<String>, Refused> {
        let request = pb::ShutdownRequest {
            submission_id: submission(),
            workers,
            grace_us: grace.0,
            reason: reason.to_owned(),
        };
        Ok(self.cluster.clone().shutdown(self.request(request)).await?.into_inner().lost)
    }
}
