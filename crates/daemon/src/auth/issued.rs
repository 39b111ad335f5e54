//! Tokens that a running daemon has made for others. They end with it.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use bireme_core::limits;
use bireme_core::time::Span;
use blake3::Hash;

use super::{Roles, TokensError};

/// What a token is good for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// Whose it is, for people; empty for those that the daemon began with.
    pub name: String,
    /// What it allows.
    pub roles: Roles,
    /// How long still; `None` is for ever.
    pub left: Option<Span>,
}

/// What tokens are derived from; shown by nothing.
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// A new one that nobody can guess; fails if the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }

    pub(super) fn derive(&self, name: &[u8]) -> Hash {
        blake3::keyed_hash(&self.0, name)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// The tokens, at most [`limits::TOKENS`] that are good.
#[derive(Debug, Default)]
pub(super) struct Issued(RwLock<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    hash: Hash,
    name: String,
    roles: Roles,
    until: Option<Instant>,
}

impl Entry {
    fn is_good(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl Issued {
    pub(super) fn find(&self, hash: &Hash) -> Option<Grant> {
        let now = now();
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().find(|entry| entry.hash == *hash && entry.is_good(now))?;
        let left = entry.until.map(|until| until.saturating_duration_since(now));
        let left = left.map(|left| Span(u64::try_from(left.as_micros()).unwrap_or(u64::MAX)));
        Some(Grant { name: entry.name.clone(), roles: entry.roles, left })
    }

    pub(super) fn add(
        &self,
        hash: Hash,
        name: &str,
        roles: Roles,
        ttl: Option<Span>,
    ) -> Result<(), TokensError> {
        let now = now();
        // A time so far off that it cannot be told is for ever.
        let until = ttl.and_then(|ttl| now.checked_add(Duration::from_micros(ttl.0)));
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| entry.hash != hash && entry.is_good(now));
        if entries.len() >= limits::TOKENS {
            return Err(TokensError::TooMany);
        }
        entries.push(Entry { hash, name: name.to_owned(), roles, until });
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "time enters here")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::super::{Role, Token, Tokens};
    use super::*;

    #[test]
    fn an_issued_token_is_known_to_every_clone_until_its_time_is_up() {
        let tokens = Tokens::one(&Token::new("0123456789abcdef").unwrap());
        let (gate, key) = (tokens.clone(), TokenKey::generate().unwrap());
        let token = Token::derived(&key, b"one");
        assert_eq!(gate.roles(token.reveal()), None);
        tokens.issue(&token, "reader", Roles::of(Role::Read), None).unwrap();
        let grant = gate.grant_of(token.reveal()).unwrap();
        assert_eq!((grant.name.as_str(), grant.left), ("reader", None));
        assert!(grant.roles.allow(Role::Read) && !grant.roles.allow(Role::Submit));
        let again = Token::derived(&key, b"one");
        tokens.issue(&again, "reader", Roles::of(Role::Read), Some(Span(0))).unwrap();
        assert_eq!(gate.roles(token.reveal()), None, "its time is up");
    }
}
