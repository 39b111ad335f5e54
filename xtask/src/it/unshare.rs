//! Processes that see another file system than we do.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::runner::Skipped;

/// The same command, run by a script that mounts something before. The script has the arguments given, and behind them the
/// command, which it becomes.
pub(super) fn mounted(command: &Command, script: &str, given: &[&OsStr]) -> Result<Command> {
    let with = |program: &OsStr| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        unshare.args(given).arg(program);
        unshare
    };
    let tried = with("true".as_ref()).output().context("cannot run unshare")?;
    if !tried.status.success() {
        let complaint = String::from_utf8_lossy(&tried.stderr).trim_end().to_owned();
        return Err(Skipped(format!("no file system can be mounted: {complaint}")).into());
    }
    let mut mounted = with(command.get_program());
    mounted.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => mounted.env(name, value),
            None => mounted.env_remove(name),
        };
    }
    mounted.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    Ok(mounted)
}
