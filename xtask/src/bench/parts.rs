//! Programs that rows start as processes of their own: this one again, as something else.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Part, floor, latency, memory, process};
use crate::cluster::block_on;

/// This program as one of the parts.
pub(super) fn command(part: &str) -> Command {
    // Not by its path: cargo may have put another build there.
    let mut command = Command::new("/proc/self/exe");
    command.args(["bench", part]);
    command
}

pub(super) fn run(part: &Part) -> Result<()> {
    match part {
        Part::Machine { options } => super::machine(options),
        Part::Echo => latency::echo().context("echo"),
        Part::FloorScheduler => block_on(floor::scheduler()),
        Part::FloorWorker { address, hand_over } => block_on(floor::worker(address, *hand_over)),
        Part::Spawner { processes, threads } => process::spawner(*processes, *threads),
        Part::Submitter { access_file, tasks } => block_on(memory::submitter(access_file, *tasks)),
    }
}
