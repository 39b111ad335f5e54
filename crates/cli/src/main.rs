//! `bireme`: runs jobs, and looks at clusters.
//!
//! `args` is what can be typed, `cmd` has one file for each command, `job` turns job files into graphs. Standard output is
//! data and goes through `output`; standard error is talk. `exit` says how a command ended.

mod args;
mod cmd;
mod exit;
mod job;
mod output;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

/// For `bireme local`: messages come and go in batches of hundreds, for which the C library's own allocator takes much longer.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A process for the actors of `bireme local`.
    if let Some(code) = bireme_launch::embedded::executor(|registry| registry) {
        return code;
    }
    let cli = args::Cli::parse();
    let end = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(exit::Failure::from)
        .and_then(|runtime| runtime.block_on(cmd::run(cli)));
    end.unwrap_or_else(|failure| {
        if failure.is_told() {
            output::say(&format!("error: {failure}"));
        }
        failure.exit()
    })
    .into()
}
