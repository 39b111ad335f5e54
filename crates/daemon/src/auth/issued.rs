//! Tokens that a scheduler makes for others. They carry what they grant, under two marks, so that nobody need remember them.
//!
//! A token is `issued.ROLES.UNTIL.NAME.MARK.MARK`, in hexadecimal. The first mark is made with the cluster's key, which the
//! scheduler alone has and keeps in its state directory: by it the scheduler knows its own, in this life and later ones. The
//! second is made with a key derived from that one, which workers are given when they join: whoever takes it from a worker
//! can fool workers, and never the scheduler.

use std::collections::VecDeque;
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bireme_core::limits;
use bireme_core::protocol::Secret;
use bireme_core::time::Span;

use super::{Roles, Token, TokensError};

/// What issued tokens begin with.
const HEAD: &str = "issued";
/// Bytes of each mark.
const MARK_BYTES: usize = 16;

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

/// What tokens are made with; shown by nothing.
#[derive(Clone)]
pub struct TokenKey(Secret);

impl TokenKey {
    /// A key that was kept.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// A new one that nobody can guess; fails if the system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self(Secret(key)))
    }

    /// The key itself, to be kept where its owner alone reads it.
    pub fn reveal(&self) -> Secret {
        self.0
    }

    /// What workers know tokens by.
    pub fn for_workers(&self) -> Secret {
        Secret(blake3::derive_key("bireme 2026 issued tokens, as workers know them", &self.0.0))
    }

    /// Makes a token. One without `ttl`, or of a time so far off that it cannot be told, is good for ever.
    pub fn issue(&self, name: &str, roles: Roles, ttl: Option<Span>) -> Result<Token, TokensError> {
        if name.len() > limits::TOKEN_NAME_BYTES {
            return Err(TokensError::Name { len: name.len() });
        }
        let until = ttl.and_then(|ttl| now().checked_add(Duration::from_micros(ttl.0)));
        let until = until.map_or(0, |until| u64::try_from(until.as_micros()).unwrap_or(0));
        let mut text = format!("{HEAD}.{:x}.{until:x}.", roles.bits());
        for byte in name.bytes() {
            write!(text, "{byte:02x}").expect("a string takes all");
        }
        let marks = [mark(&self.0, &text), mark(&self.for_workers(), &text)];
        Ok(Token::new(format!("{text}.{}.{}", marks[0], marks[1]))
            .expect("names are short enough for that"))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// Which mark of issued tokens a daemon looks at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Seal {
    /// None: it knows no issued token.
    #[default]
    Unknown,
    /// The first, with the cluster's own key.
    Scheduler(Secret),
    /// The second.
    Worker(Secret),
}

/// The seal of a daemon, which a worker learns when it joins.
#[derive(Debug, Default)]
pub(super) struct Sealed(RwLock<Seal>);

impl Sealed {
    pub(super) fn set(&self, seal: Seal) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = seal;
    }

    /// What an issued token grants; `None` if it is none, or its time is up.
    pub(super) fn open(&self, presented: &str) -> Option<Grant> {
        let (rest, second) = presented.rsplit_once('.')?;
        let (text, first) = rest.rsplit_once('.')?;
        let made = match *self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Seal::Unknown => return None,
            Seal::Scheduler(key) => is_same(&mark(&key, text), first),
            Seal::Worker(key) => is_same(&mark(&key, text), second),
        };
        if made { read(text) } else { None }
    }
}

/// Reads what a token says of itself, once its mark is known to be right.
fn read(text: &str) -> Option<Grant> {
    let mut parts = text.strip_prefix(HEAD)?.strip_prefix('.')?.split('.');
    let (roles, until, name) = (parts.next()?, parts.next()?, parts.next()?);
    let roles = Roles::from_bits(u8::from_str_radix(roles, 16).ok()?);
    let left = match u64::from_str_radix(until, 16).ok()? {
        0 => None,
        until => {
            let left = Duration::from_micros(until).checked_sub(now())?;
            Some(Span(u64::try_from(left.as_micros()).ok().filter(|left| *left > 0)?))
        }
    };
    let bytes = (0..name.len()).step_by(2).map(|at| name.get(at..at + 2));
    let bytes = bytes.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>();
    Some(Grant { name: String::from_utf8(bytes?).ok()?, roles, left })
}

fn mark(key: &Secret, text: &str) -> String {
    let hash = blake3::keyed_hash(&key.0, text.as_bytes());
    hash.to_hex().get(..2 * MARK_BYTES).expect("a hash is longer").to_owned()
}

/// Compares in a time that tells nothing about the mark: hashes are, and in constant time.
fn is_same(mark: &str, presented: &str) -> bool {
    blake3::hash(mark.as_bytes()) == blake3::hash(presented.as_bytes())
}

/// What the latest requests for tokens were given, so that one that comes again is given the same.
#[derive(Debug, Default)]
pub struct Latest(Mutex<VecDeque<(u128, Token)>>);

impl Latest {
    /// The token of a request, made by `make` unless it came before. Those of the latest [`limits::TOKENS`] are known.
    pub fn token<E>(
        &self,
        request: u128,
        make: impl FnOnce() -> Result<Token, E>,
    ) -> Result<Token, E> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, token)) = latest.iter().find(|(known, _)| *known == request) {
            return Ok(token.clone());
        }
        let token = make()?;
        if latest.len() >= limits::TOKENS {
            latest.pop_front();
        }
        latest.push_back((request, token.clone()));
        Ok(token)
    }
}

/// The time of day, which outlives daemons and is told between machines.
#[expect(clippy::disallowed_methods, reason = "time enters here")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Role, Tokens};
    use super::*;

    fn scheduler(key: &TokenKey) -> Tokens {
        let tokens = Tokens::default();
        tokens.seal(key);
        tokens
    }

    #[test]
    fn an_issued_token_is_known_to_every_life_of_the_scheduler_and_to_its_workers() {
        let key = TokenKey::generate().unwrap();
        let token = key.issue("ada", Roles::of(Role::Read), Some(Span::secs(60))).unwrap();
        let worker = Tokens::default();
        assert_eq!(worker.roles(token.reveal()), None, "it has not joined");
        let gate = worker.clone();
        worker.trust(Some(key.for_workers()));
        for daemon in [scheduler(&key), scheduler(&TokenKey::new(key.reveal())), gate] {
            let grant = daemon.grant_of(token.reveal()).expect("it is good");
            assert_eq!(grant.name, "ada");
            assert!(grant.left.is_some_and(|left| left <= Span::secs(60)));
            assert!(grant.roles.allow(Role::Read) && !grant.roles.allow(Role::Submit));
        }
        let other = scheduler(&TokenKey::generate().unwrap());
        assert_eq!(other.roles(token.reveal()), None, "another cluster's");
        worker.trust(None);
        assert_eq!(worker.roles(token.reveal()), None);
    }

    #[test]
    fn a_token_is_good_for_its_time_and_no_more_than_it_says() {
        let key = TokenKey::generate().unwrap();
        let tokens = scheduler(&key);
        let spent = key.issue("ada", Roles::ALL, Some(Span(0))).unwrap();
        assert_eq!(tokens.roles(spent.reveal()), None, "its time is up");
        let ever = key.issue("", Roles::of(Role::Read), None).unwrap();
        assert_eq!(tokens.grant_of(ever.reveal()).unwrap().left, None);
        let more = ever.reveal().replacen("issued.1.", "issued.f.", 1);
        assert!(more != ever.reveal() && tokens.roles(&more).is_none(), "{more}");
        for text in ["", ".", "issued", "issued.1.0.", "issued.1.0...", "a.b.c.d.e.f"] {
            assert_eq!(tokens.roles(text), None, "{text}");
        }
        let long = "x".repeat(limits::TOKEN_NAME_BYTES);
        assert!(key.issue(&long, Roles::ALL, Some(Span(u64::MAX))).is_ok());
        assert!(key.issue(&format!("{long}x"), Roles::ALL, None).is_err());
    }

    #[test]
    fn what_a_worker_knows_makes_no_token_for_the_scheduler() {
        let key = TokenKey::generate().unwrap();
        let stolen = TokenKey::new(key.for_workers());
        let forged = stolen.issue("eve", Roles::ALL, None).unwrap();
        assert_eq!(scheduler(&key).roles(forged.reveal()), None);
    }

    #[test]
    fn a_request_that_comes_again_is_given_the_same_token() {
        let (key, latest) = (TokenKey::generate().unwrap(), Latest::default());
        let make = |name| key.issue(name, Roles::ALL, None);
        let token = latest.token(1, || make("ada")).unwrap();
        let again = latest.token(1, || make("ben")).unwrap();
        assert_eq!(token.reveal(), again.reveal());
        assert_ne!(latest.token(2, || make("ben")).unwrap().reveal(), token.reveal());
    }
}
