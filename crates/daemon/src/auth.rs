//! Who may call what: a token for each call, roles for each token, one role for each method.
//!
//! [`Gate`] stands before every service of a daemon and judges a call by its path and its `authorization` header alone.
//! What it refuses no service sees. [`Bearer`] is the other end: it puts the token on the calls that a daemon makes.

mod bearer;
mod gate;
mod issued;
mod roles;
mod token;
mod tokens;

use std::net::SocketAddr;

pub use bearer::Bearer;
pub use bireme_proto::role::Role;
pub use gate::{Gate, Gated, RoleOf};
pub use issued::{Grant, Latest, TokenKey};
pub use roles::{Roles, UnknownRole};
pub use token::{Token, TokenError};
pub use tokens::{Tokens, TokensError};

/// Who is let in.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever has a token, to what its roles allow.
    Tokens(Tokens),
    /// Everybody, to everything: `--insecure`.
    Everybody,
}

impl Access {
    /// Logs what is closed and what is open, once, at start.
    pub fn describe(&self, grpc: SocketAddr, http: SocketAddr) {
        let beyond = !grpc.ip().is_loopback();
        match self {
            Self::Tokens(tokens) => {
                tracing::info!(%grpc, tokens = tokens.len(), "closed: every call needs a token");
                if beyond {
                    tracing::warn!(%grpc, "tokens and data cross the network in the clear");
                }
            }
            Self::Everybody if beyond => {
                tracing::warn!(%grpc, "insecure: everybody on the network may do everything");
            }
            Self::Everybody => {
                tracing::warn!(%grpc, "insecure: every user of this machine may do everything");
            }
        }
        if !http.ip().is_loopback() {
            tracing::warn!(%http, "open: everybody on the network may read health and metrics");
        }
    }
}
