//! The process that people start: it runs the daemon proper as a child, and outlives it.
//!
//! It holds what must not die with a daemon: the ports, the directory in shared memory, the black box, the lock on the state
//! directory. When the daemon dies, everything that descends from it is ended, shared memory is emptied, and a new daemon
//! is told how the last one went. It does nothing else, so that nothing else can bring it down.

mod footprint;
mod life;
mod pauses;
mod state;

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;

use bireme_core::id::WorkerUid;
use bireme_core::protocol::PreviousLife;
use bireme_core::{Exit, Span};
use bireme_daemon::listen::ListenError;

use self::life::{End, Life};
use self::pauses::Pauses;
pub(crate) use self::state::StateError;
use crate::clock::Clock;
use crate::config::Args;
use crate::identity::{self, IdentityError};
use crate::inheritance::{Identity, Inheritance};
use crate::shared_memory::SharedMemory;
use crate::signals::Signals;
use crate::{blackbox, undertaker};

/// What a shell adds to the number of a signal that ended a process.
const SIGNALLED: i32 = 128;

/// Why a worker cannot be supervised.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuperviseError {
    /// It cannot tell who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A port cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system does not let it look after a process.
    #[error("cannot supervise a daemon: {0}")]
    Process(#[from] io::Error),
    /// There is no directory to be had in shared memory.
    #[error("cannot make a directory in shared memory: {0}")]
    SharedMemory(io::Error),
    /// The state directory cannot be had.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Runs daemons until one ends for a reason of its own, or somebody wants the end.
pub(crate) fn run(args: Args) -> Result<ExitCode, SuperviseError> {
    Supervisor::new(args)?.supervise()
}

struct Supervisor {
    signals: Signals,
    clock: Clock,
    grpc: TcpListener,
    http: TcpListener,
    memory: SharedMemory,
    uid: WorkerUid,
    restarts: bool,
    /// It was told to end.
    ends: bool,
    /// The signal by which it was told so again.
    forced: Option<i32>,
    /// A daemon has joined its scheduler.
    has_been_ready: bool,
    previous: Option<PreviousLife>,
    _state: Option<state::Lock>,
}

/// What follows from the end of a daemon.
enum Next {
    /// Another daemon.
    Life(PreviousLife),
    /// None.
    Exit(ExitCode),
}

impl Supervisor {
    fn new(args: Args) -> Result<Self, SuperviseError> {
        let signals = Signals::catch()?;
        undertaker::become_subreaper()?;
        let state = args.state_dir.as_deref().map(state::lock).transpose()?;
        Ok(Self {
            signals,
            clock: Clock::start(),
            uid: identity::uid(args.state_dir.as_deref())?,
            grpc: open(&args.listen)?,
            http: open(&args.http)?,
            memory: SharedMemory::create().map_err(SuperviseError::SharedMemory)?,
            restarts: !args.no_restart,
            ends: false,
            forced: None,
            has_been_ready: false,
            previous: None,
            _state: state,
        })
    }

    fn supervise(mut self) -> Result<ExitCode, SuperviseError> {
        let mut pauses = Pauses::default();
        loop {
            let born = self.clock.now();
            let end = self.live();
            self.clean_up();
            match end.map(|end| self.judge(end)) {
                Ok(Next::Exit(code)) => return Ok(code),
                Ok(Next::Life(previous)) => self.previous = Some(previous),
                Err(error) if self.has_been_ready => {
                    tracing::error!(%error, "no daemon for now");
                }
                Err(error) => return Err(error),
            }
            let pause = pauses.after(self.clock.now().since(born));
            tracing::info!(%pause, "another daemon will be started");
            if self.pause(pause)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// Runs a daemon to its end.
    fn live(&mut self) -> Result<End, SuperviseError> {
        let (life, inheritance) = self.begin()?;
        if let Err(error) = life.heir.bequeath(&inheritance) {
            tracing::warn!(%error, "the daemon does not take what it is given");
            life.kill();
        }
        if let Err(error) = footprint::shed() {
            tracing::debug!(%error, "this process stays larger than it need be");
        }
        Ok(self.watch(life)?)
    }

    /// Waits for so long; returns at once and says so if told to end.
    fn pause(&self, pause: Span) -> io::Result<bool> {
        let due = self.clock.now() + pause;
        loop {
            let left = due.since(self.clock.now());
            if left == Span::ZERO {
                return Ok(false);
            }
            if self.signals.wait(Some(left))?.is_some() {
                return Ok(true);
            }
        }
    }

    /// Starts a daemon, and says what it is to be given.
    fn begin(&self) -> Result<(Life, Inheritance), SuperviseError> {
        let identity = Identity { uid: self.uid, life: identity::life()? };
        let inheritance = Inheritance {
            identity,
            pool_dir: self.memory.path().to_owned(),
            previous: self.previous.clone(),
            grpc: self.grpc.try_clone()?,
            http: self.http.try_clone()?,
            black_box: blackbox::create()?,
        };
        let life = Life::begin(identity.life, inheritance.black_box.try_clone()?)?;
        Ok((life, inheritance))
    }

    /// Waits until a daemon has ended. The first signal asks it to; at the second it has no choice.
    fn watch(&mut self, life: Life) -> io::Result<End> {
        let mut status = None;
        loop {
            undertaker::reap(|pid, ended| {
                if pid == life.pid {
                    status = Some(ended);
                }
            })?;
            if let Some(status) = status {
                return life.end(status);
            }
            match self.signals.wait(None)? {
                Some(signal) if self.ends => {
                    tracing::warn!(signal, "second signal, ending at once");
                    self.forced = Some(signal);
                    life.kill();
                }
                Some(_) => {
                    self.ends = true;
                    life.heir.ask_to_end();
                }
                None => {}
            }
        }
    }

    /// Ends what a daemon has left behind.
    fn clean_up(&self) {
        if let Err(error) = undertaker::bury(&self.signals, self.clock) {
            tracing::error!(%error, "processes of the dead daemon are left behind");
        }
        if let Err(error) = self.memory.empty() {
            tracing::error!(%error, path = %self.memory.path().display(), "cannot empty shared memory");
        }
    }

    fn judge(&mut self, end: End) -> Next {
        let End { previous, said } = end;
        let PreviousLife { exit, started, .. } = &previous;
        self.has_been_ready |= said.ready;
        if let Some(signal) = self.forced {
            return Next::Exit(code(Exit { code: 0, signal }));
        }
        if said.leaving || self.ends {
            return Next::Exit(code(*exit));
        }
        life::mourn(*exit, started);
        let at_start = !self.has_been_ready && exit.signal == 0 && exit.code != 0;
        if at_start || !self.restarts {
            return Next::Exit(failure(*exit));
        }
        Next::Life(previous)
    }
}

fn open(address: &str) -> Result<TcpListener, ListenError> {
    let failed = |problem| ListenError { address: address.to_owned(), problem };
    TcpListener::bind(address).map_err(failed)
}

/// The exit code of a process, as a shell tells it.
fn code(exit: Exit) -> ExitCode {
    let code = if exit.signal == 0 { exit.code } else { SIGNALLED + exit.signal };
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The same for one that failed, whatever it said.
fn failure(exit: Exit) -> ExitCode {
    if exit.signal == 0 && exit.code == 0 { ExitCode::FAILURE } else { code(exit) }
}
