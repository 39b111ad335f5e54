//! Which program a command means, and the variables it gets.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use bireme_core::{ErrorClass, Reason, TaskError};
use rustix::fs::{Access, access};

use crate::executor::environment::Environment;
use crate::executor::payload::Command;
use crate::failure::failure;
use crate::machine::Execution;

/// All variables of a command.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// What a command's variables are: the daemon's, then those that tell it of its attempt, then its own.
pub(super) fn variables(
    command: &Command,
    environment: &Environment,
    execution: &Execution,
) -> Variables {
    let told = environment.variables(execution);
    let told = told.into_iter().map(|(name, value)| (name.as_ref().into(), value.into()));
    let given = command.environment.iter();
    Environment::inherited(command.inherit_environment)
        .chain(told)
        .chain(given.map(|(name, value)| (name.into(), value.into())))
        .collect()
}

/// The file that a command's first word names: with a slash, from its directory; without one, from its `PATH`. A path in
/// hand lets the system start it the quick way, and tell what is missing.
pub(super) fn find(
    command: &Command,
    variables: &Variables,
    directory: &Path,
) -> Result<PathBuf, Box<TaskError>> {
    let name = command.argv.first().map_or("", String::as_str);
    if name.contains('/') {
        return Ok(directory.join(name));
    }
    let path = variables.get(OsStr::new("PATH")).map(OsString::as_os_str).unwrap_or_default();
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
