//! How far a process has come with the attempts it was given, in a file that survives it.
//!
//! Reports travel in batches, so that a process which dies has finished attempts of which nobody has heard. The mark is
//! written before user code runs: whoever looks at it afterwards blames the one attempt that was running.

mod cell;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use self::cell::Cell;
use crate::printed::Seal;

/// The file as the worker has it: a number, and the seal of what the process prints.
#[derive(Debug)]
pub struct Mark(File);

/// The file as its process has it.
#[derive(Debug)]
pub struct Pen {
    number: Cell,
    seal: Seal,
}

/// How far a process has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reached {
    /// The last attempt it has started: they are counted from 1, in the order in which they were given.
    pub started: u64,
    /// That one is running.
    pub runs: bool,
}

/// Where the seal is, in bytes.
const SEAL_AT: u64 = NUMBER_BYTES as u64;
/// The number while its process has said nothing.
const UNSAID: u64 = u64::MAX;
/// Length of the number before it.
const NUMBER_BYTES: usize = 8;

impl Mark {
    /// Makes a new file, which only this user can read.
    pub fn create(path: &Path, seal: Seal) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all_at(&UNSAID.to_le_bytes(), 0)?;
        file.write_all_at(&seal.0, SEAL_AT)?;
        Ok(Self(file))
    }

    /// Opens a file that there is.
    pub fn open(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }

    /// Reads how far the process came; `None` where it marks nothing, which executors may leave be.
    pub fn get(&self) -> io::Result<Option<Reached>> {
        let mut bytes = [0; NUMBER_BYTES];
        self.0.read_exact_at(&mut bytes, 0)?;
        let number = u64::from_le_bytes(bytes);
        let reached = Reached { started: number >> 1, runs: number & 1 == 1 };
        Ok((number != UNSAID).then_some(reached))
    }
}

impl Pen {
    /// Opens the file of this process, which the worker made.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut seal = [0; Seal::BYTES];
        file.read_exact_at(&mut seal, SEAL_AT)?;
        let pen = Self { number: Cell::map(&file)?, seal: Seal(seal) };
        pen.set(Reached::default());
        Ok(pen)
    }

    /// Says how far the process has come.
    pub fn set(&self, reached: Reached) {
        self.number.set(reached.started << 1 | u64::from(reached.runs));
    }

    /// Says that the process marks nothing.
    pub(crate) fn say_nothing(&self) {
        self.number.set(UNSAID);
    }

    /// What tells the ends of what attempts print from anything that they print.
    pub fn seal(&self) -> Seal {
        self.seal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_writes_the_other_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let seal = Seal::new([7; Seal::BYTES]);
        let ours = Mark::create(&path, seal).unwrap();
        assert_eq!(ours.get().unwrap(), None);
        let theirs = Pen::open(&path).unwrap();
        assert_eq!(ours.get().unwrap(), Some(Reached::default()));
        assert_eq!(theirs.seal(), seal);
        let reached = Reached { started: 7, runs: true };
        theirs.set(reached);
        assert_eq!(ours.get().unwrap(), Some(reached));
        theirs.say_nothing();
        assert_eq!(ours.get().unwrap(), None);
        assert!(Mark::create(&path, seal).is_err(), "another process's");
    }
}
