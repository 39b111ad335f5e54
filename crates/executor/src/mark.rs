//! How far a process has come with the attempts it was given, in a file that survives it.
//!
//! Reports travel in batches, so that a process which dies has finished attempts of which nobody has heard. The mark is
//! written before user code runs: whoever looks at it afterwards blames the one attempt that was running.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A file with one number in it.
#[derive(Debug)]
pub struct Mark(File);

/// How far a process has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reached {
    /// The last attempt it has started: they are counted from 1, in the order in which they were given.
    pub started: u64,
    /// That one is running.
    pub runs: bool,
}

impl Mark {
    /// Makes a new file, which only this user can read.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let mark = Self(file);
        mark.set(Reached::default())?;
        Ok(mark)
    }

    /// Opens the file of this process, which the worker made.
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(path).map(Self)
    }

    /// Says how far the process has come.
    pub fn set(&self, reached: Reached) -> io::Result<()> {
        let number = reached.started << 1 | u64::from(reached.runs);
        self.0.write_all_at(&number.to_le_bytes(), 0)
    }

    /// Reads how far it came.
    pub fn get(&self) -> io::Result<Reached> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, 0)?;
        let number = u64::from_le_bytes(bytes);
        Ok(Reached { started: number >> 1, runs: number & 1 == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_writes_the_other_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let ours = Mark::create(&path).unwrap();
        let theirs = Mark::open(&path).unwrap();
        assert_eq!(ours.get().unwrap(), Reached::default());
        let reached = Reached { started: 7, runs: true };
        theirs.set(reached).unwrap();
        assert_eq!(ours.get().unwrap(), reached);
        assert!(Mark::create(&path).is_err(), "another process's");
    }
}
