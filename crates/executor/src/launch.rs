//! How a worker tells a process that it is an executor, and where to come back to.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::mark::Pen;
use crate::printed::Pipes;

/// What an executor may be able to do, as greetings name it.
pub mod features {
    /// It may be given attempts beyond its slots: they wait their turn, in order, and can be taken back until then.
    pub const RUNS_AHEAD: &str = "runs_ahead";
    /// It may use the inputs of an attempt after its end, until it releases them.
    pub const KEEPS_INPUTS: &str = "keeps_inputs";
}

/// The variables by which a worker tells a process that it is an executor.
pub mod variables {
    /// Path of the worker's socket. Whoever has it is an executor.
    pub const SOCKET: &str = "BIREME_EXECUTOR_SOCKET";
    /// Path of a file of mode 0600 with the process's token.
    pub const TOKEN_FILE: &str = "BIREME_EXECUTOR_TOKEN_FILE";
    /// The number that the worker gave the process.
    pub const NUMBER: &str = "BIREME_EXECUTOR_NUMBER";
    /// Path of the file in which the process marks how far it has come.
    pub const MARK: &str = "BIREME_EXECUTOR_MARK";
    /// Process id of the worker.
    pub const PARENT: &str = "BIREME_EXECUTOR_PARENT";
}

/// Why a process cannot be the executor that its environment says it is.
#[derive(Debug, thiserror::Error)]
pub enum BadLaunch {
    /// A variable is missing or no number.
    #[error("{0} is missing or makes no sense, though {socket} is set; unset that, it is for executors", socket = variables::SOCKET)]
    Variable(&'static str),
    /// The worker is not this process's parent.
    #[error("{parent} is {wanted}, but this process was started by {found}; unset {socket}, it is for executors", parent = variables::PARENT, socket = variables::SOCKET)]
    Orphan {
        /// Process id of the worker.
        wanted: i32,
        /// Process id of the parent; 0 where it is out of sight.
        found: i32,
    },
    /// A file of the worker's cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The system does not promise to end this process with its worker.
    #[error("cannot ask to be ended with the worker: {0}")]
    Tie(rustix::io::Errno),
}

/// Where an executor comes back to.
#[derive(Debug)]
pub struct Launch {
    /// The worker's socket.
    pub socket: PathBuf,
    /// Proves that the worker started this process.
    pub token: String,
    /// The number that the worker gave this process.
    pub started_as: u64,
    /// Where the process marks how far it has come.
    pub mark: Option<Pen>,
    /// Where the process prints to, if what attempts print is to be told apart.
    pub printed: Option<Pipes>,
}

impl Launch {
    /// Reads the environment; `None` if this process is no executor. One that is will be killed when the worker dies.
    pub fn from_env() -> Result<Option<Self>, BadLaunch> {
        let Some(socket) = env::var_os(variables::SOCKET) else { return Ok(None) };
        tie_to_worker()?;
        let path = PathBuf::from(required(variables::TOKEN_FILE)?);
        let token = match fs::read_to_string(&path) {
            Ok(token) => token.trim().to_owned(),
            Err(error) => return Err(BadLaunch::File { path, error }),
        };
        let mark = match env::var_os(variables::MARK).map(PathBuf::from) {
            Some(path) => match Pen::open(&path) {
                Ok(mark) => Some(mark),
                Err(error) => return Err(BadLaunch::File { path, error }),
            },
            None => None,
        };
        let started_as = number(variables::NUMBER)?;
        // Without its pipes a process works as well: what is printed is then told apart by when it is read.
        let printed = mark.as_ref().and_then(|mark| Pipes::of_this_process(mark.seal()).ok());
        Ok(Some(Self { socket: socket.into(), token, started_as, mark, printed }))
    }
}

/// Has the system kill this process when its parent dies, which must be the worker that the environment names.
pub fn tie_to_worker() -> Result<(), BadLaunch> {
    let worker: i32 = number(variables::PARENT)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(BadLaunch::Tie)?;
    // One that died before the line above is not waited for any more.
    let found = Pid::as_raw(getppid());
    if found == worker { Ok(()) } else { Err(BadLaunch::Orphan { wanted: worker, found }) }
}

fn required(name: &'static str) -> Result<OsString, BadLaunch> {
    env::var_os(name).ok_or(BadLaunch::Variable(name))
}

fn number<T: std::str::FromStr>(name: &'static str) -> Result<T, BadLaunch> {
    let text = required(name)?;
    text.to_str().and_then(|text| text.parse().ok()).ok_or(BadLaunch::Variable(name))
}
