//! Where a store's files are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::shared_memory::SharedMemory;
use crate::sync::lock;

/// Why a store has no place for its files.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep values in {}: {problem}; name another directory", path.display())]
pub struct PlaceError {
    /// The directory.
    pub path: PathBuf,
    /// What the system says.
    pub problem: io::Error,
}

/// The directories of a store. Those that it made itself go with it, or, if it is killed, when the next is made beside them.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) pool: PathBuf,
    pub(super) spill: Option<PathBuf>,
    own: Mutex<Vec<SharedMemory>>,
}

impl Place {
    /// Makes the directories: for the pool one in shared memory unless it is given, for spilled values one within `spill`.
    pub(super) fn make(pool: Option<PathBuf>, spill: Option<&Path>) -> Result<Self, PlaceError> {
        let mut own = Vec::new();
        let mut keep = |made: SharedMemory| {
            let path = made.path().to_owned();
            own.push(made);
            path
        };
        let pool = if let Some(pool) = pool {
            pool
        } else {
            let failed = |problem| PlaceError { path: "shared memory".into(), problem };
            keep(SharedMemory::create().map_err(failed)?)
        };
        let spill = spill.map(|spill| {
            let made = fs::create_dir_all(spill).and_then(|()| SharedMemory::create_in(spill));
            made.map_err(|problem| PlaceError { path: spill.to_owned(), problem })
        });
        let spill = spill.transpose()?.map(&mut keep);
        Ok(Self { pool, spill, own: Mutex::new(own) })
    }

    /// Removes what was made.
    pub(super) fn remove(&self) {
        lock(&self.own).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_what_was_given_stays() {
        let parent = tempfile::tempdir().unwrap();
        let given = parent.path().join("given");
        fs::create_dir(&given).unwrap();
        let place = Place::make(Some(given.clone()), Some(&parent.path().join("new"))).unwrap();
        let spill = place.spill.clone().unwrap();
        assert!(spill.is_dir() && place.pool == given);
        place.remove();
        assert!(!spill.exists() && given.exists());
    }

    #[test]
    fn a_place_that_cannot_be_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Place::make(Some(PathBuf::from("/")), Some(file.path())).unwrap_err();
        assert!(error.to_string().contains(&*file.path().to_string_lossy()), "{error}");
    }
}
