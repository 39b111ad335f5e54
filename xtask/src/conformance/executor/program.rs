//! How an executor is started, as a worker starts it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bireme_executor::{Mark, Seal, variables};
use bireme_proto::pb;
use bireme_proto::pb::external::Function;
use bireme_proto::pb::payload::Work;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

use super::host::socket;
use crate::cluster::within;

/// How long a process is waited for, whatever it is to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The token of every process, which is as good as any: nobody else can enter its directory.
pub(super) const TOKEN: &str = "0123456789abcdef";
/// The number of every process.
pub(super) const NUMBER: u64 = 7;
/// Lines that are shown of what a process complained of.
const LAST_LINES: usize = 5;
/// What a worker's binary is called, in its zeroth argument, that is to be an executor.
const NATIVE: &str = "bireme-worker [executor]";

/// How an executor is started, and where.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Program and arguments.
    command: Vec<OsString>,
    names: Names,
    /// The directory of one check.
    pub(super) dir: PathBuf,
}

/// How payloads name the functions that are called.
#[derive(Clone, Debug)]
pub(super) enum Names {
    /// Exports of a module of this name.
    Module(String),
    /// Functions that are registered in a worker's binary, each under the name of this module too.
    Native(String),
}

impl Program {
    /// An executor that is started by a command.
    pub(super) fn new(command: Vec<OsString>, names: Names) -> Self {
        Self { command, names, dir: PathBuf::new() }
    }

    /// One of the functions, or the class, as payloads name it.
    pub(super) fn work(&self, name: &str) -> Work {
        match &self.names {
            Names::Module(module) => {
                let name = Function::Name(format!("{module}:{name}"));
                Work::External(pb::External { function: Some(name) })
            }
            Names::Native(module) => Work::Native(pb::Native { name: format!("{module}:{name}") }),
        }
    }

    /// The same, for a check in a directory of its own.
    pub(super) fn at(&self, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), ..self.clone() }
    }

    /// Whether its functions are those of a worker's binary.
    pub(super) fn is_native(&self) -> bool {
        matches!(self.names, Names::Native(_))
    }

    fn command(&self) -> Result<Command> {
        let (program, args) = self.command.split_first().context("there is no command")?;
        let errors = File::create(self.dir.join("stderr"))?;
        let mut command = Command::new(program);
        if self.is_native() {
            command.arg0(NATIVE);
        }
        command
            .args(args)
            .env(variables::SOCKET, socket(&self.dir))
            .env(variables::TOKEN_FILE, self.dir.join("token"))
            .env(variables::MARK, self.dir.join("mark"))
            .env(variables::NUMBER, NUMBER.to_string())
            .env(variables::PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true);
        Ok(command)
    }

    /// The last lines that its process complained in.
    pub(super) fn complaint(&self) -> String {
        let errors = fs::read(self.dir.join("stderr")).unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors);
        let lines: Vec<_> = errors.lines().collect();
        lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
    }
}

/// A process, as far as it has not come back.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) child: Child,
    group: Option<Pid>,
    pub(super) mark: Mark,
    pub(super) seal: Seal,
}

impl Started {
    /// Starts a process that is to come back to a socket in its directory.
    pub(super) fn start(program: &Program) -> Result<Self> {
        let mut options = File::options();
        let options = options.write(true).create_new(true).mode(0o600);
        options.open(program.dir.join("token"))?.write_all(TOKEN.as_bytes())?;
        let seal = Seal::new([0xa5; Seal::BYTES]);
        let mark = Mark::create(&program.dir.join("mark"), seal)?;
        let child = program.command()?.spawn().context("the executor cannot be started")?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, group, mark, seal })
    }

    /// Waits until it ends.
    pub(super) async fn end(&mut self, why: &str) -> Result<ExitStatus> {
        Ok(within(PATIENCE, &format!("the process to end: {why}"), self.child.wait()).await??)
    }

    /// Sends a signal to it and whatever it started.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = self.group.filter(|_| self.child.id().is_some()) {
            // It may be gone, which is what the signal is for.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
