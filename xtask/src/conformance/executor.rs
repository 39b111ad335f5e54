//! The kit for executors: `host` is a worker as far as one executor process can tell, `program` starts that process, `subject`
//! is the process once it has come back, and `hosted` an actor in it. Each check in `checks` has a process of its own.

mod checks;
mod host;
mod hosted;
mod program;
mod runner;
mod subject;
mod values;

use anyhow::Result;

use super::Executor;

/// Holds an executor to the protocol.
pub(super) fn run(args: &Executor) -> Result<()> {
    runner::run(args)
}
