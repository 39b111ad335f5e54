//! Directories of attempts.
//!
//! One that an attempt leaves as it was given to it serves the next: file systems take long over making and removing
//! directories, longer than many a command takes.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bireme_core::limits;
use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, RawDir, flock, fstat, mkdirat, openat, unlinkat,
};
use rustix::io::Errno;

use crate::sync::lock;

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
    /// Names of directories that are as good as new; at most one for each command that runs at a time.
    spare: Mutex<Vec<String>>,
}

/// A fresh directory.
#[derive(Debug)]
pub(super) struct Fresh<'a> {
    scratch: &'a Scratch,
    name: String,
    path: PathBuf,
    /// Nobody works in it any more.
    is_left: bool,
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
        Ok(Self { path, directory, next: AtomicU64::new(0), spare: Mutex::default() })
    }

    /// An empty directory that nobody uses.
    pub(super) fn fresh(&self) -> io::Result<Fresh<'_>> {
        let spare = lock(&self.spare).pop();
        let name = match spare {
            Some(name) => name,
            None => self.another()?,
        };
        let path = self.path.join(&name);
        Ok(Fresh { scratch: self, name, path, is_left: false })
    }

    fn another(&self) -> io::Result<String> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        mkdirat(&self.directory, &name, Mode::RWXU)?;
        Ok(name)
    }

    /// Whether a directory is as it was made.
    fn is_as_new(&self, name: &str) -> Result<bool, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(&self.directory, name, flags, Mode::empty())?;
        if Mode::from_raw_mode(fstat(&directory)?.st_mode) != Mode::RWXU {
            return Ok(false);
        }
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut entries = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = entries.next() {
            if ![&b"."[..], b".."].contains(&entry?.file_name().to_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
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

    /// Nobody works in it any more, as far as can be told: another attempt may have it.
    pub(super) fn leave(&mut self) {
        self.is_left = true;
    }

    /// Keeps it for another attempt if nothing tells it from a new one; whether it did.
    fn recycle(&mut self) -> bool {
        if !self.is_left || self.scratch.is_as_new(&self.name) != Ok(true) {
            return false;
        }
        let mut spare = lock(&self.scratch.spare);
        let has_room = spare.len() < limits::COMMANDS;
        if has_room {
            spare.push(std::mem::take(&mut self.name));
        }
        has_room
    }
}

impl Drop for Fresh<'_> {
    fn drop(&mut self) {
        if self.recycle() {
            return;
        }
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
    use std::os::unix::fs::PermissionsExt as _;

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
    fn a_directory_serves_again_only_if_nothing_tells_it_from_a_new_one() {
        let base = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(base.path()).unwrap();
        let used = |spoil: fn(&Path), leave: bool| {
            let mut directory = scratch.fresh().unwrap();
            let path = directory.path().to_owned();
            spoil(&path);
            if leave {
                directory.leave();
            }
            drop(directory);
            path.exists()
        };
        assert!(used(|_| (), true));
        assert_eq!(names(&scratch.path), 1);
        assert!(!used(|_| (), false), "somebody may still work in it");
        assert!(!used(|path| fs::write(path.join("file"), "").unwrap(), true));
        assert!(!used(|path| fs::create_dir(path.join("directory")).unwrap(), true));
        assert!(!used(|path| fs::remove_dir(path).unwrap(), true));
        let open = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        };
        assert!(!used(open, true));
        assert_eq!(names(&scratch.path), 0);
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
