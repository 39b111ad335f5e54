//! The scheduler's daemon.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Messages come and go in batches of hundreds, for which the C library's own allocator takes much longer.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    bireme_scheduler::main()
}
