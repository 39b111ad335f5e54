//! What an executor process is made of.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use bireme_core::graph::Runtime;

use crate::config::LanguageRuntime;
use crate::environments::Built;
use crate::executor::environment::Environment;
use crate::personality::Personality;

/// The program of executor processes, and what its attempts' classes call it.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// This program again, whose `main` is [`crate::main`]: native functions.
    Native(PathBuf),
    /// Somebody else's.
    Language(LanguageRuntime, Variant),
}

/// How the processes of a language are used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variant {
    /// They run in this environment, rather than as the language is installed.
    pub(crate) environment: Option<Arc<Built>>,
    /// Each runs one attempt.
    pub(crate) fresh_process: bool,
}

impl Program {
    /// A language as it is installed.
    pub(crate) fn language(runtime: LanguageRuntime) -> Self {
        Self::Language(runtime, Variant::default())
    }

    /// The same, used in another way. There is one way to use native functions.
    pub(crate) fn variant(&self, variant: Variant) -> Self {
        match self {
            Self::Native(program) => Self::Native(program.clone()),
            Self::Language(language, _) => Self::Language(language.clone(), variant),
        }
    }

    /// What classes of the attempts that it runs say.
    pub(super) fn runtime(&self) -> Runtime {
        match self {
            Self::Native(_) => Runtime::Native,
            Self::Language(language, Variant { environment, fresh_process }) => Runtime::External {
                name: language.name.clone(),
                environment: environment.as_ref().map(|built| built.digest()),
                fresh_process: *fresh_process,
            },
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
            Self::Language(language, variant) => {
                let words = variant.environment.as_ref();
                let words = words.map(|built| built.words(&language.command));
                let words = words.unwrap_or_else(|| language.command.clone());
                let mut words = words.iter().map(OsStr::new);
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
        if let Self::Language(_, Variant { environment: Some(built), .. }) = self {
            built.tell(&mut command);
        }
        command
    }
}

/// As people would start it.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native(program) => write!(f, "{}", program.display()),
            Self::Language(language, variant) => {
                f.write_str(&language.command.join(" "))?;
                variant.environment.iter().try_for_each(|built| write!(f, " in {built}"))
            }
        }
    }
}
