//! The scheduler's daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    bireme_scheduler::main()
}
