//! The lock on a state directory: two workers with one uid would take each other's place for ever.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The file within the state directory that is locked. It stays when the lock goes.
const FILE: &str = "lock";

/// Why a state directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// Another worker has it.
    #[error("another worker uses {}; give this one a --state-dir of its own", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// The lock cannot be made.
    #[error("cannot lock {}: {problem}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        problem: io::Error,
    },
}

/// Held for as long as the worker lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Locks a state directory, which is made where there is none.
pub(super) fn lock(directory: &Path) -> Result<Lock, StateError> {
    let path = || directory.to_owned();
    let unusable = |problem| StateError::Unusable { path: path(), problem };
    fs::create_dir_all(directory).map_err(unusable)?;
    let file = File::create(directory.join(FILE)).map_err(unusable)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(Errno::WOULDBLOCK) => Err(StateError::Taken { path: path() }),
        Err(error) => Err(unusable(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_worker_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("new");
        let first = lock(&state).unwrap();
        assert!(matches!(lock(&state), Err(StateError::Taken { path }) if path == state));
        drop(first);
        lock(&state).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        assert!(matches!(lock(&root.path().join("file")), Err(StateError::Unusable { .. })));
    }
}
