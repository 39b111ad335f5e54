//! A directory in shared memory that does not outlive its maker.
//!
//! Its maker holds a lock on the directory itself for as long as it lives. Whoever finds one of this user's that nobody has
//! locked removes it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::getuid;

/// Where shared memory is, on Linux.
const ROOT: &str = "/dev/shm";
/// How often a name is made up before there is said to be none.
const TRIES: u32 = 8;

/// A directory that is removed with all that it holds when this is dropped, or swept away if it cannot be.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    path: PathBuf,
    /// Invariant: holds the lock.
    _directory: File,
}

impl SharedMemory {
    /// Makes a new one, for this user alone, after removing those of this user that are nobody's any more.
    pub(crate) fn create() -> io::Result<Self> {
        let root = Path::new(ROOT);
        if root.is_dir() {
            return Self::create_in(root);
        }
        let root = std::env::temp_dir();
        tracing::warn!(root = %root.display(), "there is no {ROOT}: values lie on disk");
        Self::create_in(&root)
    }

    /// The same in another directory, on disk perhaps.
    pub(crate) fn create_in(root: &Path) -> io::Result<Self> {
        sweep(root);
        for _ in 0..TRIES {
            let random = getrandom::u32().map_err(io::Error::other)?;
            let name = format!("{}{}-{random:08x}", prefix(), std::process::id());
            if let Some(made) = Self::make(root.join(name))? {
                return Ok(made);
            }
        }
        Err(io::Error::new(ErrorKind::AlreadyExists, "every name is taken"))
    }

    /// Makes and locks a directory; `None` if it exists, or was swept away before it was locked.
    fn make(path: PathBuf) -> io::Result<Option<Self>> {
        let made = DirBuilder::new().mode(0o700).create(&path);
        let locked = made.and_then(|()| File::open(&path)).and_then(|directory| {
            flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
            let swept = directory.metadata()?.nlink() == 0;
            Ok((!swept).then_some(directory))
        });
        match locked {
            Ok(directory) => Ok(directory.map(|directory| Self { path, _directory: directory })),
            Err(error) if is_taken(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes all that it holds.
    pub(crate) fn empty(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound | ErrorKind::WouldBlock)
}

/// What the names of this user's directories begin with.
fn prefix() -> String {
    format!("bireme-{}-", getuid().as_raw())
}

/// Removes this user's directories that nobody holds any more.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    let prefix = prefix();
    let ours = |name: &OsStr| name.to_str().is_some_and(|name| name.starts_with(&prefix));
    for entry in entries.flatten().filter(|entry| ours(&entry.file_name())) {
        if let Some(_lock) = abandoned(&entry.path()) {
            tracing::info!(path = %entry.path().display(), "removing what a dead worker left");
            remove(&entry.path());
        }
    }
}

/// The lock of a directory of this user's that nobody else holds.
fn abandoned(path: &Path) -> Option<File> {
    let found = fs::symlink_metadata(path).ok()?;
    if !found.is_dir() || found.uid() != getuid().as_raw() {
        return None;
    }
    let directory = File::open(path).ok()?;
    flock(&directory, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(directory)
}

/// Removes a directory with all that it holds.
pub(crate) fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "cannot remove shared memory");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_held_stays_and_what_is_nobodys_goes() {
        let root = tempfile::tempdir().unwrap();
        let held = SharedMemory::create_in(root.path()).unwrap();
        assert_eq!(fs::metadata(held.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let dead = root.path().join(format!("{}1-00000000", prefix()));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("value"), "bytes").unwrap();
        let others = root.path().join("somebody-else");
        fs::create_dir(&others).unwrap();

        let another = SharedMemory::create_in(root.path()).unwrap();
        assert!(!dead.exists() && others.exists() && held.path().exists());
        let (first, second) = (held.path().to_owned(), another.path().to_owned());
        assert_ne!(first, second);
        drop(held);
        assert!(!first.exists() && second.exists());
    }

    #[test]
    fn emptied_it_is_still_there() {
        let root = tempfile::tempdir().unwrap();
        let memory = SharedMemory::create_in(root.path()).unwrap();
        fs::write(memory.path().join("value"), "bytes").unwrap();
        fs::create_dir_all(memory.path().join("some/more")).unwrap();
        std::os::unix::fs::symlink(root.path(), memory.path().join("link")).unwrap();
        memory.empty().unwrap();
        assert_eq!(fs::read_dir(memory.path()).unwrap().count(), 0);
        assert!(root.path().exists());
    }

    #[test]
    fn one_that_was_swept_before_it_was_locked_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(SharedMemory::make(path.clone()).unwrap().is_none());
        let _swept = abandoned(&path).unwrap();
        assert!(abandoned(&path).is_none());
    }
}
