//! The stock worker: it has no functions but the built-in ones.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Messages come and go in batches of hundreds, for which the C library's own allocator takes much longer.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    bireme_worker::main(|registry| registry)
}
