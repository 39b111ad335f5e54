//! Who a worker is across restarts.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bireme_core::id::{WorkerLife, WorkerUid};

/// The file within the state directory that keeps the uid, in hexadecimal.
const FILE: &str = "worker-uid";

/// Why a worker cannot tell who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file holds something else.
    #[error("{} holds no worker's uid; remove it to become a new worker", path.display())]
    NotAUid {
        /// The file.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("the system has no randomness to give: {0}")]
    Random(#[from] getrandom::Error),
    /// The file cannot be read or written.
    #[error("cannot keep the worker's uid in {}: {problem}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: io::Error,
    },
}

/// The uid that the state directory keeps; a new one where there is none yet, or no directory.
pub(crate) fn uid(state_dir: Option<&Path>) -> Result<WorkerUid, IdentityError> {
    let Some(directory) = state_dir else { return Ok(WorkerUid(random()?)) };
    let path = directory.join(FILE);
    let state = |problem| IdentityError::State { path: path.clone(), problem };
    match fs::read_to_string(&path) {
        Ok(text) => u128::from_str_radix(text.trim(), 16)
            .map(WorkerUid)
            .map_err(|_| IdentityError::NotAUid { path }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let uid = WorkerUid(random()?);
            fs::create_dir_all(directory).map_err(state)?;
            // Whole or not at all: a crash must not leave half a uid.
            let draft = path.with_extension("new");
            fs::write(&draft, format!("{uid}\n")).map_err(state)?;
            fs::rename(&draft, &path).map_err(state)?;
            Ok(uid)
        }
        Err(error) => Err(state(error)),
    }
}

/// Names this start of the daemon.
pub(crate) fn life() -> Result<WorkerLife, IdentityError> {
    Ok(WorkerLife(random()?))
}

fn random() -> Result<u128, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_remembers() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("new");
        let first = uid(Some(&state)).unwrap();
        assert_eq!(uid(Some(&state)).unwrap(), first);
        assert_ne!(uid(None).unwrap(), first);
        fs::write(state.join(FILE), "something else").unwrap();
        assert!(matches!(uid(Some(&state)), Err(IdentityError::NotAUid { .. })));
    }
}
