//! Where the scheduler is, and what to show it.

use std::path::PathBuf;

use bireme_core::id::ClusterId;
use bireme_daemon::auth::{self, Bearer, Token, TokenError, Tokens, TokensError};
use bireme_executor::Services;
use bireme_proto::access::{self, Access, AccessError};

/// How a scheduler is to be found. What is not given is looked for in its access file.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    /// Its address: `http://HOST:PORT`.
    pub address: Option<String>,
    /// The token that grants the role of a worker.
    pub token: Option<Token>,
    /// Its access file; the default is this user's.
    pub access_file: Option<PathBuf>,
    /// File of tokens: the first is shown to the scheduler, all of them let callers in here.
    pub token_file: Option<PathBuf>,
    /// Let everybody in here, and do without a token.
    pub insecure: bool,
}

/// Why a scheduler cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The access file cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The access file holds something else than a token.
    #[error("the access file's token: {0}")]
    Token(#[from] TokenError),
    /// The token file cannot be used.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

/// A scheduler, found.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) bearer: Bearer,
    /// What the bearer shows.
    pub(crate) token: Option<Token>,
    /// Who is let in here.
    pub(crate) admits: auth::Access,
}

impl Scheduler {
    /// Looks for what is not given. Cheap enough to be done again before every connection: a scheduler that was restarted
    /// has written a new access file.
    pub(crate) fn find(&self) -> Result<Target, TargetError> {
        let listed = self.token_file.as_deref().map(Tokens::read).transpose()?;
        let file = self.access(listed.is_some() || self.token.is_some() || self.insecure)?;
        let address = match (&self.address, &file) {
            (Some(address), _) => address.clone(),
            (None, Some(file)) => file.address.clone(),
            (None, None) => return Err(AccessError::Missing { path: self.path() }.into()),
        };
        let told = file.as_ref().map(|file| Token::new(file.token.as_str())).transpose()?;
        let first = listed.as_ref().map(|(first, _)| first.clone());
        let token = self.token.clone().or(first).or(told);
        let tokens = match (listed, &token) {
            (Some((_, tokens)), _) => tokens,
            (None, Some(token)) => Tokens::one(token),
            (None, None) => Tokens::default(),
        };
        Ok(Target {
            address,
            cluster: file.map(|file| file.cluster),
            bearer: token.as_ref().map_or_else(Bearer::none, Bearer::new),
            token,
            admits: if self.insecure {
                auth::Access::Everybody
            } else {
                auth::Access::Tokens(tokens)
            },
        })
    }

    /// Where code of attempts and actors finds the cluster, and the token to show there: what this worker goes by itself.
    pub(crate) fn services(&self) -> Option<Services> {
        let Target { address, token, .. } = self.find().ok()?;
        let token = token.map(|token| token.reveal().to_owned()).unwrap_or_default();
        Some(Services { address, token })
    }

    /// The access file; none where address and token are given, or where it is another scheduler's.
    fn access(&self, has_token: bool) -> Result<Option<Access>, AccessError> {
        if self.address.is_some() && has_token && self.access_file.is_none() {
            return Ok(None);
        }
        access::read(&self.path()).map(Some)
    }

    fn path(&self) -> PathBuf {
        let default = || access::default_path(|name| std::env::var(name).ok());
        self.access_file.clone().unwrap_or_else(default)
    }
}
