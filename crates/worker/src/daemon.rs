//! The daemon: settings, logs, a server, until a signal.

use std::process::ExitCode;

use bireme_daemon::{Shutdown, logging, ready, settings};

use crate::config::{Args, Config};
use crate::registry::Registry;
use crate::server::{ServeError, Server};

/// All of a worker's `main`: reads the settings, runs a worker that has the functions that `register` adds, and returns the
/// exit code.
pub fn main(register: impl FnOnce(Registry) -> Registry) -> ExitCode {
    let args: Args = settings::settle("worker");
    if let Err(error) = logging::start(&args.common.log, args.common.log_format) {
        return fail(&error);
    }
    let registry = register(Registry::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime
        .map_err(ServeError::Process)
        .and_then(|runtime| runtime.block_on(daemon(args, registry)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn daemon(args: Args, registry: Registry) -> Result<(), ServeError> {
    let shutdown = Shutdown::on_signals()?;
    let server = Server::bind(Config { registry, ..args.try_into()? }).await?;
    let (joined, grpc, http) = (server.joined(), server.addr(), server.http_addr());
    let ready = async move {
        joined.await;
        ready::announce(grpc, http)?;
        std::future::pending::<std::io::Result<()>>().await
    };
    tokio::select! {
        outcome = server.run(shutdown) => outcome,
        Err(error) = ready => Err(ServeError::Process(error)),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a process that cannot go on")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
