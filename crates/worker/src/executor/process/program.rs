//! What an executor process is made of.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use bireme_core::graph::Runtime;

use crate::config::LanguageRuntime;
use crate::executor::environment::Environment;
use crate::personality::Personality;

/// The program of executor processes, and what its attempts' classes call it.
#[derive(Debug)]
pub(crate) enum Program {
    /// This program again, whose `main` is [`crate::main`]: native functions.
    Native(PathBuf),
    /// Somebody else's.
    Language(LanguageRuntime),
}

impl Program {
    /// What classes of the attempts that it runs say.
    pub(super) fn runtime(&self) -> Runtime {
        match self {
            Self::Native(_) => Runtime::Native,
            Self::Language(language) => {
                Runtime::External { name: language.name.clone(), environment: None }
            }
        }
    }

    /// A command that starts it, with the variables that it has besides those of every executor. A language has the daemon's
    /// own, by which its installation is found; native functions have a few.
    pub(crate) fn command(&self) -> Command {
        let (mut command, whole) = match self {
            Self::Native(program) => {
                let mut command = Command::new(program);
                command.arg0(Personality::Executor.name());
                (command, false)
            }
            Self::Language(language) => {
                let mut words = language.command.iter().map(OsStr::new);
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words);
                (command, true)
            }
        };
        command.env_clear();
        if whole {
            command.envs(Environment::single_thread());
        }
        command.envs(Environment::inherited(whole));
        command
    }
}

/// As people would start it.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(program) => write!(f, "{}", program.display()),
            Self::Language(language) => f.write_str(&language.command.join(" ")),
        }
    }
}
