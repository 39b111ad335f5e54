//! Who calls, and for whom.

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use bireme_core::id::{GraphId, SessionToken};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::Owner;
use bireme_daemon::auth::{Access, Grant, Role, Roles};
use bireme_proto::status::status;

use crate::driver::mail::By;
use crate::rpc::Door;

/// The metadata that may carry a session's token, in hexadecimal.
const SESSION: &str = "bireme-session";

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// What the call's token allows.
    pub(crate) roles: Roles,
    /// The session that the metadata names.
    session: Option<SessionToken>,
}

impl Caller {
    /// Takes a request apart. The gate has seen that it may call at all.
    pub(crate) fn of<T>(door: &Door, request: Request<T>) -> Result<(Self, T), Status> {
        let session = session(request.metadata()).map_err(status)?;
        let roles = match &door.site.access {
            Access::Everybody => Roles::ALL,
            Access::Tokens(tokens) => {
                let presented = bearer(request.metadata()).and_then(|token| tokens.roles(token));
                presented.unwrap_or(Roles::NONE)
            }
        };
        Ok((Self { roles, session }, request.into_inner()))
    }

    /// What the token of a call is, where the scheduler asks for one.
    pub(crate) fn grant<T>(door: &Door, request: &Request<T>) -> Option<Grant> {
        let Access::Tokens(tokens) = &door.site.access else { return None };
        tokens.grant_of(bearer(request.metadata())?)
    }

    /// Who a session belongs to that this call opens.
    pub(crate) fn owner<T>(door: &Door, request: &Request<T>) -> Owner {
        let Access::Tokens(tokens) = &door.site.access else {
            return Owner { key: 0, is_admin: true };
        };
        let Some(token) = bearer(request.metadata()) else { return Owner::default() };
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(token.as_bytes()).as_bytes()[..16]);
        let is_admin = tokens.roles(token).is_some_and(|roles| roles.allow(Role::Admin));
        Owner { key: u128::from_be_bytes(key), is_admin }
    }

    /// The session in whose name a call is made: the one that its message names, or its metadata, or none.
    pub(crate) fn by(&self, field: &[u8]) -> Result<By, Status> {
        if field.is_empty() {
            return Ok(self.session.map_or(By::Nobody, By::Token));
        }
        let message = || format!("{} bytes, a session's token has 16", field.len());
        let refusal = || Refusal::at(Reason::Malformed, "session", message());
        SessionToken::from_slice(field).map(By::Token).ok_or_else(|| status(refusal()))
    }

    /// In whose name a graph is changed: an administrator who names no session acts for the graph's own.
    pub(crate) fn by_for(&self, field: &[u8], graph: u64) -> Result<By, Status> {
        match self.by(field)? {
            By::Nobody if self.roles.allow(Role::Admin) => Ok(By::Number(GraphId(graph).session())),
            by => Ok(by),
        }
    }
}

fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let (_, token) = metadata.get("authorization")?.to_str().ok()?.split_once(' ')?;
    Some(token.trim())
}

fn session(metadata: &MetadataMap) -> Result<Option<SessionToken>, Refusal> {
    let Some(value) = metadata.get(SESSION) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.len() == 32);
    let token = text.and_then(|text| u128::from_str_radix(text, 16).ok());
    token.map(|token| Some(SessionToken(token))).ok_or_else(|| {
        let message = "the metadata is not 32 hexadecimal digits, which a session's token is";
        Refusal::at(Reason::Malformed, SESSION, message)
    })
}
