//! What outlives the scheduler: who the cluster is, and which numbers it has given away.
//!
//! Six things and no more: the cluster's id, the epoch, how far session numbers are given away, what tokens are made with,
//! the names of actors and their incarnations. Each is a table of one [`redb`] file; every change is one synced transaction, so that what was told
//! to a peer is on disk. The file carries redb's own lock: a second scheduler on the same directory is refused. Without a
//! directory the same questions are answered from memory, by a cluster that ends with the process.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use bireme_core::id::{ActorId, ClusterId, Epoch, Incarnation, SessionId};
use bireme_core::protocol::Secret;

/// Name of the file within the state directory.
pub const FILE: &str = "state.redb";
/// Version of the tables; a file of another one is refused.
const FORMAT: u64 = 1;
/// How many session numbers one synced transaction takes.
const SESSIONS_RESERVED: u32 = 1_024;

const CLUSTER: TableDefinition<'_, (), u128> = TableDefinition::new("cluster");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
const NAMES: TableDefinition<'_, &str, u128> = TableDefinition::new("names");
const KEYS: TableDefinition<'_, &str, [u8; 32]> = TableDefinition::new("keys");
const INCARNATIONS: TableDefinition<'_, u128, u32> = TableDefinition::new("incarnations");

/// Why there is no state to start from, or why a change of it is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<redb::Error>,
    },
    /// The directory cannot be made.
    #[error("cannot make the state directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file was written by another version.
    #[error("{} has format {found}, this version reads {FORMAT}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u64,
    },
    /// Another process has the file open.
    #[error("another scheduler runs on the state directory {}: stop it, or choose another --state-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A counter is at its end.
    #[error(
        "the {what} counter of this cluster is used up: begin a new cluster in an empty --state-dir"
    )]
    Spent {
        /// Which.
        what: &'static str,
    },
}

/// The state of one life of the scheduler.
#[derive(Debug)]
pub struct State {
    /// The cluster.
    pub cluster: ClusterId,
    /// This life.
    pub epoch: Epoch,
    /// Session numbers below this may be given away.
    reserved: u32,
    store: Store,
}

#[derive(Debug)]
enum Store {
    File { path: PathBuf, database: Box<Database> },
    Memory { names: BTreeMap<String, ActorId>, incarnations: BTreeMap<ActorId, Incarnation> },
}

impl State {
    /// Begins a life that a restart forgets.
    pub fn in_memory(cluster: ClusterId) -> Self {
        let store = Store::Memory { names: BTreeMap::new(), incarnations: BTreeMap::new() };
        Self { cluster, epoch: Epoch(1), reserved: 1, store }
    }

    /// Begins a life on a directory, which is made where it is not there. `fresh` becomes the cluster's id where the
    /// directory has none.
    pub fn open(dir: &Path, fresh: ClusterId) -> Result<Self, StateError> {
        make(dir).map_err(|source| StateError::Directory { path: dir.to_owned(), source })?;
        let path = dir.join(FILE);
        let database = Database::create(&path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => StateError::InUse { path: dir.to_owned() },
            other => StateError::Database { path: path.clone(), source: Box::new(other.into()) },
        })?;
        let begun = begin(&database, fresh).map_err(|source| broken(&path, source))?;
        let Begun { format, cluster, epoch, reserved } = begun;
        if format != FORMAT {
            return Err(StateError::Format { path, found: format });
        }
        let epoch = u32::try_from(epoch).map_err(|_| StateError::Spent { what: "epoch" })?;
        let reserved =
            u32::try_from(reserved).map_err(|_| StateError::Spent { what: "session" })?;
        let store = Store::File { path, database: Box::new(database) };
        Ok(Self { cluster: ClusterId(cluster), epoch: Epoch(epoch), reserved, store })
    }

    /// Whether a restart remembers.
    pub fn is_durable(&self) -> bool {
        matches!(self.store, Store::File { .. })
    }

    /// The first session number that no life of the cluster has given away. Ask once, before giving any away.
    pub fn first_session(&self) -> SessionId {
        SessionId(self.reserved)
    }

    /// Makes sure that no later life gives this number away. Call it before anyone is told the number.
    pub fn reserve_session(&mut self, session: SessionId) -> Result<(), StateError> {
        if session.0 < self.reserved {
            return Ok(());
        }
        let spent = StateError::Spent { what: "session" };
        let reserved = session.0.checked_add(SESSIONS_RESERVED).ok_or(spent)?;
        self.write(|transaction| {
            transaction.open_table(COUNTERS)?.insert("sessions", u64::from(reserved))?;
            Ok(())
        })?;
        self.reserved = reserved;
        Ok(())
    }

    /// What issued tokens are made with; `fresh` from here on where the directory has none.
    pub fn token_key(&self, fresh: Secret) -> Result<Secret, StateError> {
        let mut key = fresh;
        self.write(|transaction| {
            let mut keys = transaction.open_table(KEYS)?;
            let kept = keys.get("tokens")?.map(|kept| kept.value());
            match kept {
                Some(kept) => key = Secret(kept),
                None => drop(keys.insert("tokens", fresh.0)?),
            }
            Ok(())
        })?;
        Ok(key)
    }

    /// Gives a name to an actor; whoever had it loses it.
    pub fn bind(&mut self, name: &str, actor: ActorId) -> Result<(), StateError> {
        if let Store::Memory { names, .. } = &mut self.store {
            names.insert(name.to_owned(), actor);
        }
        self.write(|transaction| {
            transaction.open_table(NAMES)?.insert(name, actor.0)?;
            Ok(())
        })
    }

    /// The actor of a name.
    pub fn named(&self, name: &str) -> Result<Option<ActorId>, StateError> {
        match &self.store {
            Store::Memory { names, .. } => Ok(names.get(name).copied()),
            Store::File { path, database } => read(database, |transaction| {
                Ok(transaction.open_table(NAMES)?.get(name)?.map(|id| ActorId(id.value())))
            })
            .map_err(|source| broken(path, source)),
        }
    }

    /// Begins the next life of an actor: its number is greater than any before, in this life of the scheduler or another.
    pub fn next_incarnation(&mut self, actor: ActorId) -> Result<Incarnation, StateError> {
        if let Store::Memory { incarnations, .. } = &mut self.store {
            let last = incarnations.entry(actor).or_default();
            last.0 = last.0.checked_add(1).ok_or(StateError::Spent { what: "incarnation" })?;
            return Ok(*last);
        }
        let mut next = None;
        self.write(|transaction| {
            let mut table = transaction.open_table(INCARNATIONS)?;
            let last = table.get(actor.0)?.map_or(0, |last| last.value());
            next = last.checked_add(1);
            if let Some(next) = next {
                table.insert(actor.0, next)?;
            }
            Ok(())
        })?;
        next.map(Incarnation).ok_or(StateError::Spent { what: "incarnation" })
    }

    /// One synced transaction; nothing where there is no file.
    fn write(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StateError> {
        let Store::File { path, database } = &self.store else { return Ok(()) };
        let run = || {
            let transaction = database.begin_write()?;
            change(&transaction)?;
            Ok(transaction.commit()?)
        };
        run().map_err(|source| broken(path, source))
    }
}

/// What a file says when a life begins on it.
struct Begun {
    format: u64,
    cluster: u128,
    epoch: u64,
    reserved: u64,
}

/// Counts the epoch up, fills in what a new file lacks, and makes every table there is.
fn begin(database: &Database, fresh: ClusterId) -> Result<Begun, redb::Error> {
    let transaction = database.begin_write()?;
    let begun = {
        let mut counters = transaction.open_table(COUNTERS)?;
        let count = |counters: &redb::Table<'_, &str, u64>, name| {
            Ok::<_, redb::Error>(counters.get(name)?.map(|count| count.value()))
        };
        let format = count(&counters, "format")?.unwrap_or(FORMAT);
        if format != FORMAT {
            return Ok(Begun { format, cluster: 0, epoch: 0, reserved: 0 });
        }
        let epoch = count(&counters, "epoch")?.unwrap_or(0).saturating_add(1);
        let reserved = count(&counters, "sessions")?.unwrap_or(1);
        counters.insert("format", FORMAT)?;
        counters.insert("epoch", epoch)?;
        let mut clusters = transaction.open_table(CLUSTER)?;
        let cluster = clusters.get(())?.map_or(fresh.0, |id| id.value());
        clusters.insert((), cluster)?;
        transaction.open_table(NAMES)?;
        transaction.open_table(INCARNATIONS)?;
        Begun { format, cluster, epoch, reserved }
    };
    transaction.commit()?;
    Ok(begun)
}

fn read<T>(
    database: &Database,
    look: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
) -> Result<T, redb::Error> {
    look(&database.begin_read()?)
}

fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn broken(path: &Path, source: redb::Error) -> StateError {
    StateError::Database { path: path.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTOR: ActorId = ActorId(7);

    #[test]
    fn each_start_is_a_new_epoch_of_the_same_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let lives = [5, 6, 7].map(|fresh| {
            let state = State::open(dir.path(), ClusterId(fresh)).unwrap();
            (state.cluster, state.epoch)
        });
        assert_eq!(lives, [1, 2, 3].map(|epoch| (ClusterId(5), Epoch(epoch))));
    }

    #[test]
    fn a_directory_serves_one_scheduler_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = State::open(dir.path(), ClusterId(1)).unwrap();
        let second = State::open(dir.path(), ClusterId(1)).unwrap_err();
        assert!(matches!(&second, StateError::InUse { path } if path == dir.path()), "{second}");
        drop(first);
        assert_eq!(State::open(dir.path(), ClusterId(1)).unwrap().epoch, Epoch(2));
    }

    #[test]
    fn session_numbers_are_not_given_away_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path(), ClusterId(1)).unwrap();
        assert_eq!(state.first_session(), SessionId(1));
        for number in [1, 2, SESSIONS_RESERVED + 5] {
            state.reserve_session(SessionId(number)).unwrap();
        }
        drop(state);
        let next = State::open(dir.path(), ClusterId(1)).unwrap();
        assert!(next.first_session() > SessionId(SESSIONS_RESERVED + 5));
        drop(next);
        let idle = State::open(dir.path(), ClusterId(1)).unwrap();
        assert_eq!(idle.first_session(), SessionId(2 * SESSIONS_RESERVED + 5), "none wasted");
    }

    #[test]
    fn actors_keep_their_names_and_never_live_the_same_life_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path(), ClusterId(1)).unwrap();
        state.bind("counter", ACTOR).unwrap();
        assert_eq!(state.next_incarnation(ACTOR).unwrap(), Incarnation(1));
        drop(state);
        let mut state = State::open(dir.path(), ClusterId(1)).unwrap();
        assert_eq!(state.named("counter").unwrap(), Some(ACTOR));
        assert_eq!(state.named("other").unwrap(), None);
        assert_eq!(state.next_incarnation(ACTOR).unwrap(), Incarnation(2));
    }

    #[test]
    fn without_a_directory_the_same_questions_are_answered() {
        let mut state = State::in_memory(ClusterId(1));
        assert!(!state.is_durable());
        assert_eq!((state.epoch, state.first_session()), (Epoch(1), SessionId(1)));
        state.reserve_session(SessionId(9_999)).unwrap();
        state.bind("counter", ACTOR).unwrap();
        assert_eq!(state.named("counter").unwrap(), Some(ACTOR));
        assert_eq!(state.next_incarnation(ACTOR).unwrap(), Incarnation(1));
        assert_eq!(state.next_incarnation(ACTOR).unwrap(), Incarnation(2));
    }

    #[test]
    fn what_tokens_are_made_with_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let key = |fresh| {
            State::open(dir.path(), ClusterId(1)).unwrap().token_key(Secret([fresh; 32])).unwrap()
        };
        assert_eq!((key(1), key(2)), (Secret([1; 32]), Secret([1; 32])));
        let forgetful = State::in_memory(ClusterId(1));
        assert_eq!(forgetful.token_key(Secret([3; 32])).unwrap(), Secret([3; 32]));
    }

    #[test]
    fn a_file_of_another_version_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), ClusterId(1)).unwrap();
        let newer = |transaction: &redb::WriteTransaction| {
            transaction.open_table(COUNTERS)?.insert("format", FORMAT + 1)?;
            Ok(())
        };
        state.write(newer).unwrap();
        drop(state);
        let refused = State::open(dir.path(), ClusterId(1)).unwrap_err();
        assert!(matches!(refused, StateError::Format { found: 2, .. }), "{refused}");
    }
}
