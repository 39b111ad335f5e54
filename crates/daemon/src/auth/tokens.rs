//! The tokens that a daemon knows.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bireme_core::limits;
use bireme_core::protocol::Secret;
use blake3::Hash;

use super::issued::{Grant, Seal, Sealed};
use super::{Role, Roles, Token, TokenError, TokenKey, UnknownRole};

/// Largest token file, in bytes: every token at its longest, with all roles and as much comment again.
const FILE_BYTES: u64 = (limits::TOKENS * (limits::TOKEN_BYTES + 64) * 2) as u64;

/// Which roles each token grants. Holds hashes, so that a dump of it gives no token away.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// Shared by all clones.
    listed: Arc<RwLock<Listed>>,
    /// How issued ones are known; shared by all clones.
    sealed: Arc<Sealed>,
}

/// Those that are known one by one.
type Listed = Vec<(Hash, Roles)>;

/// Why tokens cannot be read or taken.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error("cannot read token file {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: io::Error,
    },
    /// Users who should not can read or change the file.
    #[error("token file {} has mode {mode:03o}, open to others: run `chmod 600 {}`", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is longer than any that is needed.
    #[error("token file {} is longer than {FILE_BYTES} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// A line holds no token.
    #[error("token file {}, line {line}: {problem}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: TokenError,
    },
    /// A line names no role.
    #[error("token file {}, line {line}: {problem}", path.display())]
    Role {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: UnknownRole,
    },
    /// The file holds no token at all.
    #[error("token file {} holds no token: write one `TOKEN [ROLE,...]` a line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The name of whom a token is for is too long.
    #[error("name of {len} bytes, a token holds at most {max}", max = limits::TOKEN_NAME_BYTES)]
    Name {
        /// Its length in bytes.
        len: usize,
    },
    /// There are more than a daemon keeps.
    #[error("more than {max} tokens: remove those that nobody uses", max = limits::TOKENS)]
    TooMany,
}

impl Tokens {
    /// One token that grants every role: what a scheduler without a token file makes for itself.
    pub fn one(token: &Token) -> Self {
        let listed = vec![(hash(token.reveal()), Roles::ALL)];
        Self { listed: Arc::new(RwLock::new(listed)), sealed: Arc::default() }
    }

    /// Reads a token file, `TOKEN [ROLE,...]` a line; without roles a token grants them all. Empty lines and those that
    /// begin with `#` are skipped. Returns the first token too, which is the one to show to others.
    pub fn read(path: &Path) -> Result<(Token, Self), TokensError> {
        let mut tokens = Self::default();
        let mut first = None;
        for (number, line) in text(path)?.lines().enumerate() {
            let mut words = line.trim().splitn(2, char::is_whitespace);
            let word = match words.next() {
                Some(word) if !word.is_empty() && !word.starts_with('#') => word,
                _ => continue,
            };
            let (path, line) = (|| path.to_owned(), number + 1);
            let token = Token::new(word).map_err(|problem| TokensError::Token {
                path: path(),
                line,
                problem,
            })?;
            let roles = match words.next() {
                None => Roles::ALL,
                Some(names) => names.parse().map_err(|problem| TokensError::Role {
                    path: path(),
                    line,
                    problem,
                })?,
            };
            tokens.grant(&token, roles)?;
            first.get_or_insert(token);
        }
        let first = first.ok_or_else(|| TokensError::Empty { path: path.to_owned() })?;
        Ok((first, tokens))
    }

    /// Adds a token, or changes what it grants.
    pub fn grant(&mut self, token: &Token, roles: Roles) -> Result<(), TokensError> {
        let hash = hash(token.reveal());
        let mut listed = self.known_mut();
        if let Some((_, granted)) = listed.iter_mut().find(|(known, _)| *known == hash) {
            *granted = roles;
            return Ok(());
        }
        if listed.len() >= limits::TOKENS {
            return Err(TokensError::TooMany);
        }
        listed.push((hash, roles));
        Ok(())
    }

    /// Lists what another does, and nothing else; so does every clone. Issued tokens are known as before.
    pub fn list(&self, other: &Self) {
        let listed = other.known().clone();
        *self.known_mut() = listed;
    }

    fn known(&self) -> RwLockReadGuard<'_, Listed> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Listed> {
        self.listed.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a presented text grants; `None` if it is no token of ours. Hashes are compared, in constant time each, so that
    /// the time taken tells nothing about any token.
    pub fn roles(&self, presented: &str) -> Option<Roles> {
        self.grant_of(presented).map(|grant| grant.roles)
    }

    /// The same, with whose it is and how long it is good for.
    pub fn grant_of(&self, presented: &str) -> Option<Grant> {
        if presented.len() > limits::TOKEN_BYTES {
            return None;
        }
        let hash = hash(presented);
        let known = self.known().iter().find(|(known, _)| *known == hash).map(|(_, roles)| *roles);
        let listed = known.map(|roles| Grant { name: String::new(), roles, left: None });
        listed.or_else(|| self.sealed.open(presented))
    }

    /// Knows the tokens that were issued with this key, as their scheduler does; so does every clone.
    pub fn seal(&self, key: &TokenKey) {
        self.sealed.set(Seal::Scheduler(key.reveal()));
    }

    /// Knows issued tokens as a worker does that was given this when it joined, and no others; so does every clone.
    pub fn trust(&self, key: Option<Secret>) {
        self.sealed.set(key.map_or(Seal::Unknown, Seal::Worker));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known().len()
    }

    /// Whether nobody can be let in.
    pub fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// Whether any token grants a role.
    pub fn any(&self, role: Role) -> bool {
        self.known().iter().any(|(_, roles)| roles.allow(role))
    }
}

fn hash(text: &str) -> Hash {
    blake3::hash(text.as_bytes())
}

/// The text of a token file. The open file is judged, not its name, which could come to mean another.
fn text(path: &Path) -> Result<String, TokensError> {
    let unreadable = |problem| TokensError::Unreadable { path: path.to_owned(), problem };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    // A group may read: service managers and container runtimes hand out secrets that way.
    if mode & 0o027 != 0 {
        return Err(TokensError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    let length = file.take(FILE_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if length as u64 > FILE_BYTES {
        return Err(TokensError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "0123456789abcdef";
    const READER: &str = "fedcba9876543210";

    fn read(text: &str, mode: u32) -> Result<(Token, Tokens), String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let shown = path.display().to_string();
        Tokens::read(&path).map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    #[test]
    fn clones_follow_when_others_are_listed() {
        let [old, new] = [ADMIN, READER].map(|text| Tokens::one(&Token::new(text).unwrap()));
        let clone = old.clone();
        old.list(&new);
        assert_eq!((clone.roles(ADMIN), clone.roles(READER)), (None, Some(Roles::ALL)));
    }

    #[test]
    fn a_file_grants_what_it_says() {
        let text = format!("# tokens of the lab\n\n{ADMIN}\n  {READER}   read , worker \n");
        let (first, tokens) = read(&text, 0o600).unwrap();
        assert_eq!(first.reveal(), ADMIN);
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens.roles(ADMIN), Some(Roles::ALL));
        assert_eq!(tokens.roles(READER), Some(Roles::of(Role::Worker)));
        assert_eq!(tokens.roles("0123456789abcdeF"), None);
        assert_eq!(tokens.roles(""), None);
        assert_eq!(tokens.roles(&"x".repeat(limits::TOKEN_BYTES + 1)), None);
    }

    #[test]
    fn a_bad_file_is_refused_by_line() {
        let message = |text: &str, mode| read(text, mode).map(drop).unwrap_err();
        assert_eq!(
            message(&format!("{ADMIN}\nshort\n"), 0o600),
            "token file FILE, line 2: token of 5 bytes is too short: use at least 16, better 32 random bytes in hex"
        );
        assert_eq!(
            message(&format!("{ADMIN} root\n"), 0o600),
            "token file FILE, line 1: unknown role `root`: use read, submit, admin or worker"
        );
        assert_eq!(
            message("# nothing\n", 0o600),
            "token file FILE holds no token: write one `TOKEN [ROLE,...]` a line"
        );
        assert_eq!(
            message(ADMIN, 0o644),
            "token file FILE has mode 644, open to others: run `chmod 600 FILE`"
        );
        assert!(read(ADMIN, 0o640).is_ok());
    }

    #[test]
    fn granting_again_changes_the_roles() {
        let token = Token::new(ADMIN).unwrap();
        let mut tokens = Tokens::one(&token);
        tokens.grant(&token, Roles::of(Role::Read)).unwrap();
        assert_eq!((tokens.len(), tokens.roles(ADMIN)), (1, Some(Roles::of(Role::Read))));
        assert!(tokens.any(Role::Read) && !tokens.any(Role::Admin));
    }

    #[test]
    fn there_is_a_limit() {
        let mut tokens = Tokens::default();
        for n in 0..limits::TOKENS {
            tokens.grant(&Token::new(format!("token-number-{n:08}")).unwrap(), Roles::ALL).unwrap();
        }
        let further = Token::new(ADMIN).unwrap();
        assert!(matches!(tokens.grant(&further, Roles::ALL), Err(TokensError::TooMany)));
    }
}
