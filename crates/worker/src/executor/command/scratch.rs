//! Directories of attempts.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, mkdirat, unlinkat};
use rustix::io::Errno;

/// Of the directories that are in use, or were left behind.
const PREFIX: &str = "bireme-attempts-";
/// Of those that are just being made.
const NEW: &str = "bireme-new-";

/// A directory for directories of attempts. It goes with this life of the worker; if that ends without a word, the next
/// worker that makes one in the same place removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Locked, for all to see that somebody uses it.
    directory: File,
    next: AtomicU64,
}

/// A fresh directory.
#[derive(Debug)]
pub(super) struct Fresh<'a> {
    scratch: &'a Scratch,
    name: String,
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory under `base`, and removes those that nobody uses any more.
    pub(crate) fn create(base: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            let message = format!("no directory can be made in {}: {error}", base.display());
            io::Error::new(error.kind(), message)
        };
        Self::make(base).map_err(named)
    }

    fn make(base: &Path) -> io::Result<Self> {
        fs::create_dir_all(base)?;
        sweep(base);
        let new = tempfile::Builder::new().prefix(NEW).tempdir_in(base)?;
        let directory = open(new.path())?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
        let suffix = new.path().file_name().unwrap_or_default().to_string_lossy().replace(NEW, "");
        let path = base.join(format!("{PREFIX}{suffix}"));
        // It takes its name with its lock on: no sweep takes it for one that was left behind.
        fs::rename(new.path(), &path)?;
        let _ = new.keep();
        Ok(Self { path, directory, next: AtomicU64::new(0) })
    }

    /// An empty directory that nobody had before.
    pub(super) fn fresh(&self) -> io::Result<Fresh<'_>> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        mkdirat(&self.directory, &name, Mode::RWXU)?;
        let path = self.path.join(&name);
        Ok(Fresh { scratch: self, name, path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a directory cannot be removed");
        }
    }
}

impl Fresh<'_> {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Fresh<'_> {
    /// Removes the directory: most are empty.
    fn drop(&mut self) {
        let removed = match unlinkat(&self.scratch.directory, &self.name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => fs::remove_dir_all(&self.path),
            // The command may well have done so itself.
            Err(Errno::NOENT) => Ok(()),
            other => other.map_err(Into::into),
        };
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "a directory cannot be removed");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Removes what workers left under `base` that have ended without a word. What cannot be removed stays.
fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    let named = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
    for entry in entries.filter_map(Result::ok).filter(named) {
        let path = entry.path();
        if let Ok(Some(_unused)) = unused(&path)
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "a directory cannot be removed");
        }
    }
}

/// A directory of this user's, locked, if nobody else has it locked.
fn unused(path: &Path) -> io::Result<Option<File>> {
    let directory = open(path)?;
    let own = directory.metadata()?.uid() == rustix::process::geteuid().as_raw();
    let free = own && flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
    Ok(free.then_some(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn a_directory_goes_with_all_that_is_in_it() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(base.path()).unwrap();
        let (one, other) = (scratch.fresh().unwrap(), scratch.fresh().unwrap());
        assert_ne!(one.path(), other.path());
        fs::create_dir_all(one.path().join("a/b")).unwrap();
        fs::remove_dir(other.path()).unwrap();
        drop((one, other));
        assert_eq!(names(&scratch.path), 0);
        drop(scratch);
        assert_eq!(names(base.path()), 0);
    }

    #[test]
    fn what_a_dead_worker_left_is_removed_and_what_a_live_one_uses_is_not() {
        let base = tempfile::tempdir().unwrap();
        let live = Scratch::create(base.path()).unwrap();
        let dead = base.path().join(format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("0/files")).unwrap();
        fs::create_dir(base.path().join("another's")).unwrap();
        let next = Scratch::create(base.path()).unwrap();
        assert!(!dead.exists() && live.path.exists() && next.path.exists());
        assert_eq!(names(base.path()), 3);
    }
}
