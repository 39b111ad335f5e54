//! Which Python of this machine the package is tested with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Looked for in this order: that of the virtual environment or the machine first.
const NAMES: [&str; 6] =
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
/// The oldest that the package supports.
const OLDEST: (u32, u32) = (3, 10);
/// The oldest whose stable ABI has all that the extension uses.
const OLDEST_ABI3: (u32, u32) = (3, 11);
/// Prints the version and where the interpreter is.
const WHICH: &str = "import sys; print(*sys.version_info[:2], sys.executable)";
/// Fails where no virtual environment can be made; some distributions have these in a package of their own.
const HAS_VENV: &str = "import ensurepip, venv";

/// A Python that can make virtual environments.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Interpreter {
    version: (u32, u32),
    path: PathBuf,
}

impl Interpreter {
    /// The first that will do, or why none does.
    pub(super) fn find() -> Result<Self, &'static str> {
        let found = NAMES.into_iter().filter_map(Self::ask);
        let mut found = found.filter(|it| it.version >= OLDEST).peekable();
        if found.peek().is_none() {
            return Err("no Python of version 3.10 or newer is on PATH");
        }
        found
            .find(|it| it.succeeds_in(HAS_VENV))
            .ok_or("Python has no module venv or ensurepip; install python3-venv")
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether one extension serves it and all that are newer.
    pub(super) fn has_abi3(&self) -> bool {
        self.version >= OLDEST_ABI3
    }

    fn ask(name: &str) -> Option<Self> {
        let output = Command::new(name).args(["-c", WHICH]).stderr(Stdio::null()).output().ok()?;
        Self::parse(std::str::from_utf8(&output.stdout).ok()?)
    }

    fn parse(answer: &str) -> Option<Self> {
        let mut words = answer.trim_end().splitn(3, ' ');
        let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { version, path: words.next()?.into() })
    }

    fn succeeds_in(&self, program: &str) -> bool {
        let mut command = Command::new(&self.path);
        command.args(["-c", program]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.version;
        write!(f, "python {major}.{minor} at {}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_version_and_a_path_with_spaces() {
        let python = Interpreter::parse("3 10 /opt/my python/bin/python3\n").unwrap();
        assert_eq!(python.version, (3, 10));
        assert_eq!(python.path(), Path::new("/opt/my python/bin/python3"));
        assert!(!python.has_abi3());
    }

    #[test]
    fn what_answers_otherwise_is_no_python() {
        for answer in ["", "3 12", "pyenv: python3.12: command not found"] {
            assert_eq!(Interpreter::parse(answer), None, "{answer:?}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        let new = Interpreter::parse("3 14 /usr/bin/python3").unwrap();
        assert!(new.version >= OLDEST && new.has_abi3());
        assert!(Interpreter::parse("3 9 /usr/bin/python3").unwrap().version < OLDEST);
    }
}
