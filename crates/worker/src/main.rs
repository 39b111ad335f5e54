//! The stock worker: it has no functions but the built-in ones.

use std::process::ExitCode;

fn main() -> ExitCode {
    bireme_worker::main(|registry| registry)
}
