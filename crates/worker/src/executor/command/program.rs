//! Which program a command means, and the environment it gets.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use bireme_core::{ErrorClass, Reason, TaskError};
use rustix::fs::{Access, access};

use crate::executor::payload::Command;
use crate::failure::failure;

/// Variables that a command has of the daemon's.
const KEPT: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

pub(super) type Environment = BTreeMap<OsString, OsString>;

/// What a command's environment is.
pub(super) fn environment(command: &Command) -> Environment {
    let own = env::vars_os().filter(|(name, _)| {
        command.inherit_environment || KEPT.iter().any(|kept| OsStr::new(kept) == name)
    });
    let given = command.environment.iter();
    own.chain(given.map(|(name, value)| (name.into(), value.into()))).collect()
}

/// The file that a command's first word names: with a slash, from its directory; without one, from its `PATH`. A path in
/// hand lets the system start it the quick way, and tell what is missing.
pub(super) fn find(
    command: &Command,
    environment: &Environment,
    directory: &Path,
) -> Result<PathBuf, Box<TaskError>> {
    let name = command.argv.first().map_or("", String::as_str);
    if name.contains('/') {
        return Ok(directory.join(name));
    }
    let path = environment.get(OsStr::new("PATH")).map(OsString::as_os_str).unwrap_or_default();
    let mut files = env::split_paths(path).map(|entry| directory.join(entry).join(name));
    files.find(|file| is_program(file)).ok_or_else(|| {
        let message = format!(
            "there is no program {name:?} in PATH ({}); install it on the worker or give its full path",
            path.display()
        );
        failure(ErrorClass::NotFound, Reason::CommandMissing, message)
    })
}

fn is_program(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}
