//! Tokens for others.

use tonic::{Request, Response, Status};

use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_daemon::auth::{Access, Role, Roles};
use bireme_proto::pb;
use bireme_proto::status::status;

use super::caller::Caller;
use super::dismissal::submission;
use crate::rpc::Door;

impl Door {
    pub(super) fn do_issue_token(
        &self,
        request: Request<pb::IssueTokenRequest>,
    ) -> Result<Response<pb::IssueTokenResponse>, Status> {
        let (caller, request) = Caller::of(self, request)?;
        let asked: Vec<pb::Role> = request.roles().collect();
        let pb::IssueTokenRequest { submission_id, name, roles: sent, ttl_us, namespace } = request;
        if !namespace.is_empty() {
            let message = "namespaces are not served by this version: leave it empty";
            return Err(status(Refusal::at(Reason::Unsupported, "namespace", message)));
        }
        let submission = submission(&submission_id)?;
        let roles = granted(&caller, &asked, sent.len())?;
        let Access::Tokens(_) = &self.site.access else {
            let message = "this scheduler asks nobody for a token: start it without --insecure";
            return Err(status(Refusal::new(Reason::Unsupported, message)));
        };
        let ttl = (ttl_us > 0).then_some(Span(ttl_us));
        let issued = self.site.issued.token(submission.0, || {
            tracing::info!(name, %roles, "token issued");
            self.site.token_key.issue(&name, roles, ttl)
        });
        let token = issued
            .map_err(|error| status(Refusal::at(Reason::Malformed, "name", error.to_string())))?;
        let token = token.reveal().to_owned();
        Ok(Response::new(pb::IssueTokenResponse { token, expires_us: ttl_us }))
    }
}

/// The roles asked for, if the caller has them all.
fn granted(caller: &Caller, asked: &[pb::Role], sent: usize) -> Result<Roles, Status> {
    let refused = |message: String| status(Refusal::at(Reason::Malformed, "roles", message));
    let mut roles = Roles::NONE;
    for asked in asked {
        let role = Role::ALL.into_iter().find(|role| pb::Role::from(*role) == *asked);
        let role = role.ok_or_else(|| refused("holds a role that is not given".to_owned()))?;
        if !caller.roles.allow(role) {
            let message = format!("the caller's own token does not grant {role}");
            return Err(status(Refusal::at(Reason::RoleMissing, "roles", message)));
        }
        roles = roles.with(role);
    }
    if asked.len() != sent {
        return Err(refused("holds a role that this version does not know".to_owned()));
    }
    if asked.is_empty() {
        return Err(refused("names no role: use read, submit, admin or worker".to_owned()));
    }
    Ok(roles)
}
