//! All that a `main` of a worker is, whichever of its processes it is in.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use bireme_daemon::{Shutdown, Systemd, logging, ready, settings};

use crate::config::{Args, Config};
use crate::executor::process::child;
use crate::inheritance::{Heard, Inheritance, Lifeline};
use crate::personality::Personality;
use crate::registry::Registry;
use crate::server::{ServeError, Server};
use crate::{supervisor, undertaker};

/// All of a worker's `main`: reads the settings, runs a worker that has the functions that `register` adds, and returns the
/// exit code.
///
/// The process that people start is a supervisor. It starts this program again, as the daemon proper, and again if that
/// dies; so `main` must do nothing before this call that is not to be done by each of them.
pub fn main(register: impl FnOnce(Registry) -> Registry) -> ExitCode {
    match Personality::of_this_process() {
        Personality::Daemon => daemon(register),
        Personality::Executor => child::main(register(Registry::default())),
        Personality::Supervisor => supervisor(),
        Personality::Undertaker => {
            let pool_dir = std::env::args_os().nth(1).map(PathBuf::from);
            undertaker::main(&pool_dir.unwrap_or_default())
        }
    }
}

/// All of an executor process's `main`, if this process was started as one: by a worker whose
/// [`Config::executor_program`](crate::Config::executor_program) is this program. It has the functions that `register` adds.
pub fn executor(register: impl FnOnce(Registry) -> Registry) -> Option<ExitCode> {
    let is_one = Personality::of_this_process() == Personality::Executor;
    is_one.then(|| child::main(register(Registry::default())))
}

/// Settles what was asked for, and starts to log.
fn settle() -> Result<Args, ExitCode> {
    let args: Args = settings::settle("worker");
    logging::start(&args.common.log, args.common.log_format).map_err(|error| fail(&error))?;
    Ok(args)
}

fn supervisor() -> ExitCode {
    let args = match settle() {
        Ok(args) => args,
        Err(code) => return code,
    };
    // What only the daemon can use is judged before there is one.
    let judged = Config::try_from(args.clone()).map_err(|error| fail(&error));
    let outcome = judged.map(drop).map(|()| supervisor::run(args));
    match outcome {
        Ok(Ok(code)) | Err(code) => code,
        Ok(Err(error)) => fail(&error),
    }
}

fn daemon(register: impl FnOnce(Registry) -> Registry) -> ExitCode {
    // It was started by way of a link whose name says nothing. Without a better one it goes on.
    let _ = rustix::thread::set_name(c"bireme-worker");
    let (inheritance, lifeline) = match Inheritance::receive() {
        Ok(received) => received,
        Err(error) => return fail(&error),
    };
    let args = match settle() {
        Ok(args) => args,
        Err(code) => return code,
    };
    let registry = register(Registry::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime
        .map_err(ServeError::Process)
        .and_then(|runtime| runtime.block_on(serve(args, registry, inheritance, &lifeline)));
    lifeline.say_leaving();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn serve(
    args: Args,
    registry: Registry,
    inheritance: Inheritance,
    lifeline: &Lifeline,
) -> Result<(), ServeError> {
    let shutdown = Shutdown::on_signals()?;
    listen(lifeline.try_clone()?, shutdown.clone(), inheritance.pool_dir.clone())?;
    let pool_dir = Some(inheritance.pool_dir.clone());
    let config = Config { registry, pool_dir, ..args.try_into()? };
    let systemd = Systemd::from_env();
    let server = Server::inherit(config, inheritance).await?.report_to(systemd.clone());
    let (joined, grpc, http) = (server.joined(), server.addr(), server.http_addr());
    let ready = async move {
        joined.await;
        lifeline.say_ready();
        ready::announce(grpc, http, &systemd)?;
        std::future::pending::<io::Result<()>>().await
    };
    tokio::select! {
        outcome = server.run(shutdown) => outcome,
        Err(error) = ready => Err(ServeError::Process(error)),
    }
}

/// Does what the supervisor says, for as long as it lives.
fn listen(lifeline: Lifeline, shutdown: Shutdown, pool_dir: PathBuf) -> io::Result<()> {
    let listen = move || {
        while lifeline.listen() == Heard::End {
            shutdown.trigger();
        }
        become_undertaker(&pool_dir);
    };
    thread::Builder::new().name("lifeline".to_owned()).spawn(listen)?;
    Ok(())
}

/// Ends this daemon, all of its threads at once, with everything that descends from it: nobody else is left to do that.
fn become_undertaker(pool_dir: &Path) {
    tracing::error!("the supervisor has died, ending at once");
    let undertaker = Personality::Undertaker.name();
    let error = Command::new("/proc/self/exe").arg0(undertaker).arg(pool_dir).exec();
    tracing::error!(%error, "what this daemon started is left behind");
    std::process::exit(1);
}

#[expect(clippy::print_stderr, reason = "the last word of a process that cannot go on")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
