//! The directory of environments, which the workers of one machine may share.
//!
//! Each environment has a directory of its own there, with a mark once it is complete. Whoever builds one has the exclusive
//! lock of its directory, whoever uses one a shared lock. What nobody has locked may be removed, by whoever has the lock of the
//! whole. What is not called as environments are is somebody's own, and stays.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::built::interpreter_of;

/// Says that an environment is complete, and how many bytes it has. It was used when this was written last.
const MARK: &str = "complete";
/// The environment itself.
const ROOT: &str = "env";
/// What the environment was asked for as.
const WANTED: &str = "requirements.txt";
/// Is locked while environments come and go.
const LOCK: &str = "lock";
/// The names of those that are being removed begin with this.
const GONE: &str = ".bireme-gone-";
/// Length of their names, all of hexadecimal digits.
pub(super) const NAME_LEN: usize = 32;

/// A directory of environments.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    /// Bytes that they may have together.
    limit: u64,
}

/// The place of one environment, which nobody else builds or uses meanwhile.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    held: File,
}

/// An environment that was not used lately.
struct Kept {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Shelf {
    pub(super) fn new(directory: PathBuf, limit: u64) -> Self {
        Self { directory, limit }
    }

    /// Takes the place of an environment. Waits for whoever builds it, and for all who use it if it is to be built anew.
    pub(super) fn claim(&self, name: &str) -> io::Result<Place> {
        let path = self.directory.join(name);
        loop {
            let guard = self.guard()?;
            fs::create_dir_all(&path)?;
            let held = File::open(&path)?;
            drop(guard);
            held.lock()?;
            let place = Place { path: path.clone(), held };
            if place.is_there() {
                return Ok(place);
            }
        }
    }

    /// Uses an environment that is complete, whoever else does. Returns its root and what keeps it.
    pub(super) fn find(&self, name: &str) -> io::Result<Option<(PathBuf, File)>> {
        let _guard = self.guard()?;
        let path = self.directory.join(name);
        let held = match File::open(&path) {
            Ok(held) => held,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if held.try_lock_shared().is_err() {
            return Ok(None); // Somebody builds it.
        }
        let place = Place { path, held };
        let Some(bytes) = place.marked() else { return Ok(None) };
        place.mark(bytes)?;
        Ok(Some((place.root(), place.held)))
    }

    /// Removes what was left unfinished, and the least recently used environments where there are too many bytes.
    pub(super) fn make_room(&self) -> io::Result<()> {
        let guard = self.guard()?;
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(GONE) {
                gone.push(path);
            } else if is_name(name) {
                match Kept::look(&path) {
                    Some(one) => kept.push(one),
                    None => gone.extend(self.take_away(&path)?),
                }
            }
        }
        kept.sort_by_key(|one| one.used);
        let mut bytes: u64 = kept.iter().map(|one| one.bytes).sum();
        for one in kept {
            if bytes <= self.limit {
                break;
            }
            if let Some(path) = self.take_away(&one.path)? {
                tracing::info!(path = %one.path.display(), "environment is removed, others were used since");
                bytes -= one.bytes;
                gone.push(path);
            }
        }
        drop(guard);
        // One that cannot be removed keeps none of the others.
        gone.into_iter().map(remove).fold(Ok(()), Result::and)
    }

    /// Takes an environment off its name, if nobody has it.
    fn take_away(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let held = File::open(path)?;
        if held.try_lock().is_err() {
            return Ok(None);
        }
        let gone = self.directory.join(format!("{GONE}{}", held.metadata()?.ino()));
        fs::rename(path, &gone)?;
        Ok(Some(gone))
    }

    /// Has nobody else take or remove an environment meanwhile.
    fn guard(&self) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.directory.join(LOCK);
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        lock.lock()?;
        Ok(lock)
    }
}

impl Place {
    /// Where the environment is, or is to be.
    pub(super) fn root(&self) -> PathBuf {
        self.path.join(ROOT)
    }

    /// Where what was asked for is written down.
    pub(super) fn wanted(&self) -> PathBuf {
        self.path.join(WANTED)
    }

    /// Uses the environment, which is complete, as others may from now on. Returns its root and what keeps it.
    pub(super) fn share(self) -> io::Result<(PathBuf, File)> {
        // Others may have it in between, to find it complete, or to remove it.
        self.held.lock_shared()?;
        if self.is_there() {
            return Ok((self.root(), self.held));
        }
        Err(io::Error::other("it was removed to make room; raise `--environment-bytes`"))
    }

    /// Whether it has not been removed since it was opened.
    fn is_there(&self) -> bool {
        let [there, held] = [fs::metadata(&self.path), self.held.metadata()];
        there.is_ok_and(|there| held.is_ok_and(|held| held.ino() == there.ino()))
    }

    /// Whether somebody else has completed it before.
    pub(super) fn is_complete(&self) -> bool {
        self.marked().is_some()
    }

    /// Removes what is left of an earlier attempt to build it.
    pub(super) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Says that it is complete.
    pub(super) fn complete(&self) -> io::Result<()> {
        self.mark(bytes_below(&self.path)?)
    }

    fn mark(&self, bytes: u64) -> io::Result<()> {
        fs::write(self.path.join(MARK), bytes.to_string())
    }

    /// How many bytes it has, if it is complete and nobody has removed what its interpreter links to.
    fn marked(&self) -> Option<u64> {
        let bytes = fs::read_to_string(self.path.join(MARK)).ok()?.parse().ok()?;
        interpreter_of(&self.root()).exists().then_some(bytes)
    }
}

impl Kept {
    fn look(path: &Path) -> Option<Self> {
        let mark = path.join(MARK);
        let bytes = fs::read_to_string(&mark).ok()?.parse().ok()?;
        let used = fs::metadata(&mark).and_then(|mark| mark.modified()).ok()?;
        Some(Self { used, bytes, path: path.to_owned() })
    }
}

/// Whether environments are called like this.
fn is_name(name: &str) -> bool {
    name.len() == NAME_LEN && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes a directory, unless another worker is faster.
fn remove(path: PathBuf) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The bytes of the files below a directory.
fn bytes_below(directory: &Path) -> io::Result<u64> {
    let (mut bytes, mut directories) = (0, vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let there = entry.metadata()?;
            if there.is_dir() {
                directories.push(entry.path());
            } else {
                bytes += there.len();
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn shelf(limit: u64) -> (TempDir, Shelf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("environments");
        (directory, Shelf::new(path, limit))
    }

    /// The name of an environment that is known by one digit.
    fn name(digit: &str) -> String {
        digit.repeat(NAME_LEN)
    }

    /// Builds one of so many bytes, used at such a time.
    fn build(shelf: &Shelf, digit: &str, bytes: usize, at: u64) -> (PathBuf, File) {
        let place = shelf.claim(&name(digit)).unwrap();
        let root = place.root();
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(interpreter_of(&root), vec![0; bytes]).unwrap();
        place.complete().unwrap();
        let mark = File::options().write(true).open(place.path.join(MARK)).unwrap();
        mark.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(at)).unwrap();
        place.share().unwrap()
    }

    fn names(shelf: &Shelf) -> Vec<String> {
        let entries = fs::read_dir(&shelf.directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != LOCK);
        names.iter_mut().filter(|name| is_name(name)).for_each(|name| name.truncate(1));
        names.sort();
        names
    }

    #[test]
    fn the_least_recently_used_go_unless_somebody_uses_them() {
        let (_directory, shelf) = shelf(250);
        let oldest = build(&shelf, "a", 100, 1);
        drop(build(&shelf, "b", 100, 2));
        drop(build(&shelf, "c", 100, 3));
        drop(shelf.claim(&name("f")).unwrap());
        shelf.make_room().unwrap();
        assert_eq!(names(&shelf), ["a", "c"], "the oldest is in use");
        assert!(shelf.find(&name("b")).unwrap().is_none());
        drop(oldest);
        drop(shelf.find(&name("c")).unwrap().expect("it is there"));
        drop(build(&shelf, "d", 100, 4));
        shelf.make_room().unwrap();
        assert_eq!(names(&shelf), ["c", "d"]);
    }

    #[test]
    fn what_is_somebodys_own_stays() {
        let (_directory, shelf) = shelf(0);
        drop(build(&shelf, "a", 100, 1));
        fs::create_dir_all(shelf.directory.join("photographs/of-boats")).unwrap();
        shelf.make_room().unwrap();
        assert_eq!(names(&shelf), ["photographs"]);
        assert!(shelf.directory.join("photographs/of-boats").exists());
    }

    #[test]
    fn one_whose_interpreter_is_gone_is_not_complete() {
        let (_directory, shelf) = shelf(1_000);
        let (root, used) = build(&shelf, "a", 10, 1);
        drop(used);
        fs::remove_file(interpreter_of(&root)).unwrap();
        assert!(shelf.find(&name("a")).unwrap().is_none());
        let place = shelf.claim(&name("a")).unwrap();
        assert!(!place.is_complete());
        place.clear().unwrap();
        assert!(!root.exists());
    }

    #[test]
    fn who_waits_for_a_place_has_it_when_it_is_let_go() {
        let (_directory, shelf) = shelf(1_000);
        let place = shelf.claim(&name("a")).unwrap();
        assert!(shelf.find(&name("a")).unwrap().is_none(), "it is being built");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| shelf.claim(&name("a")).unwrap().is_complete());
            fs::create_dir_all(place.root().join("bin")).unwrap();
            fs::write(interpreter_of(&place.root()), "").unwrap();
            place.complete().unwrap();
            drop(place);
            assert!(other.join().unwrap());
        });
    }
}
