//! Where executor processes find their worker.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bireme_executor::{Mark, Reached, Seal};
use tempfile::TempDir;

use super::fork_server::ForkServer;
use super::starter::Starter;

/// A directory that only this user can enter, with a socket and two files for each process.
#[derive(Debug)]
pub(crate) struct Place {
    directory: TempDir,
    // Before what begins it: that thread's end would end it too.
    forks: ForkServer,
    starter: Starter,
}

impl Place {
    /// Makes a new one below `parent`. It is removed when it is dropped.
    pub(crate) fn create(parent: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("executors-").tempdir_in(parent)?;
        Ok(Self { directory, forks: ForkServer::default(), starter: Starter::default() })
    }

    /// What starts the processes.
    pub(super) fn starter(&self) -> &Starter {
        &self.starter
    }

    /// What copies processes of this program.
    pub(super) fn forks(&self) -> &ForkServer {
        &self.forks
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub(crate) fn token(&self, number: u64) -> PathBuf {
        self.directory.path().join(format!("{number}.token"))
    }

    pub(crate) fn mark(&self, number: u64) -> PathBuf {
        self.directory.path().join(format!("{number}.mark"))
    }

    /// Lays out the files of a process. Also returns what the ends of what its attempts print are known by.
    pub(crate) fn admit(&self, number: u64, token: &str) -> io::Result<(Mark, Seal)> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.token(number))?;
        file.write_all(token.as_bytes())?;
        let mut drawn = [0; Seal::BYTES];
        getrandom::fill(&mut drawn).map_err(io::Error::other)?;
        let seal = Seal::new(drawn);
        Ok((Mark::create(&self.mark(number), seal)?, seal))
    }

    /// How far a process has come; `None` where it marks nothing.
    pub(crate) fn reached(&self, number: u64) -> Option<Reached> {
        Mark::open(&self.mark(number)).and_then(|mark| mark.get()).ok().flatten()
    }

    /// Removes them.
    pub(crate) fn dismiss(&self, number: u64) {
        for path in [self.token(number), self.mark(number)] {
            // What was never made cannot be removed.
            let _ = fs::remove_file(path);
        }
    }
}
