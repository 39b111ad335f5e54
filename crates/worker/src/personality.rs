//! One binary, several kinds of process: each says in its zeroth argument what it is, where people see it too.

use std::ffi::OsStr;

/// What a process of this binary is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Personality {
    /// The daemon proper, a child of a supervisor.
    Daemon,
    /// Runs native functions for a daemon.
    Executor,
    /// What people start.
    Supervisor,
    /// What a daemon becomes when its supervisor dies.
    Undertaker,
}

impl Personality {
    /// Those that are started by this binary itself.
    const NAMED: [Self; 3] = [Self::Daemon, Self::Executor, Self::Undertaker];

    /// What this process is.
    pub(crate) fn of_this_process() -> Self {
        std::env::args_os().next().map_or(Self::Supervisor, |name| Self::of(&name))
    }

    fn of(name: &OsStr) -> Self {
        let named = Self::NAMED.into_iter().find(|personality| name == personality.name());
        named.unwrap_or(Self::Supervisor)
    }

    /// Its zeroth argument.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Daemon => "bireme-worker [daemon]",
            Self::Executor => "bireme-worker [executor]",
            Self::Supervisor => "bireme-worker",
            Self::Undertaker => "bireme-worker [undertaker]",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_what_its_name_says() {
        for personality in Personality::NAMED {
            assert_eq!(Personality::of(personality.name().as_ref()), personality);
        }
        for name in ["bireme-worker", "/usr/bin/my-worker", "daemon", ""] {
            assert_eq!(Personality::of(name.as_ref()), Personality::Supervisor, "{name}");
        }
    }
}
