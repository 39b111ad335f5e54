//! Settings: a flag beats a `BIREME_*` variable, which beats the configuration file, which beats the default.
//!
//! The clap definition is the only schema. Whatever the command line leaves open is looked up in the environment and then
//! in the program's table of the file, and put in front of the arguments as if it had been typed; so each layer is
//! validated by the same code, and an error names the variable, or the file and key.

mod audit;
mod file;
mod key;
mod layers;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

pub use audit::audit;
pub use file::PROGRAMS;
pub use table::{Origin, Setting};

/// The arguments of a program, settled.
#[derive(Clone, Debug)]
pub struct Resolved<A> {
    /// What was asked for.
    pub args: A,
    /// Every setting in the order of the help page; shown as a table by `Display`.
    pub settings: Vec<Setting>,
}

/// Why the settings of a program cannot be settled.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line is wrong, or asked for help or version.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// The configuration file cannot be read.
    #[error("cannot read {}: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: std::io::Error,
    },
    /// The configuration file is no TOML.
    #[error("{}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what, over several lines.
        problem: String,
    },
    /// The configuration file holds a key that no program, or not this one, has.
    #[error("{}: unknown key `{key}`; {hint}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key with its table.
        key: String,
        /// The known key that looks most like it, or all of them if none does.
        hint: String,
    },
    /// A variable or a key of the file has a value that the flag would not take.
    #[error("{origin}: {problem}")]
    Value {
        /// The variable, or the file and key.
        origin: String,
        /// What the flag says about the value.
        problem: String,
    },
}

/// Settles the arguments of `program`, one of [`PROGRAMS`], from the command line, the environment and the file that
/// `--config` names. An empty variable counts as unset; a comma parts the values of a list, whichever layer has it.
pub fn resolve<A: Parser>(
    program: &str,
    argv: impl IntoIterator<Item = OsString>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Resolved<A>, SettingsError> {
    let layers = layers::Layers::new(A::command(), argv.into_iter().collect(), env)?;
    let (matches, settings) = layers.settle(program)?;
    Ok(Resolved { args: A::from_arg_matches(&matches)?, settings })
}

/// What `main` does first: settles the arguments of this process. Ends it where there is nothing to go on to: after help,
/// version, `--print-config`, or an error (exit code 2).
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "logging has not started")]
pub fn settle<A: Parser>(program: &str) -> A {
    let resolved = match resolve::<A>(program, std::env::args_os(), std::env::vars_os()) {
        Ok(resolved) => resolved,
        Err(SettingsError::Usage(usage)) => usage.exit(),
        Err(error) => {
            eprintln!("error: {error}");
            std::process::exit(2);
        }
    };
    if resolved.settings.iter().any(Setting::asks_to_print) {
        print!("{resolved}");
        std::process::exit(0);
    }
    resolved.args
}

#[cfg(test)]
mod tests;
