//! An environment that is there, and how a process is started in it.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use bireme_core::id::Digest;

/// Directories that hold installed packages.
const INSTALLED: [&str; 2] = ["dist-packages", "site-packages"];

/// An environment. It is not removed from its directory for as long as anybody has this.
#[derive(Debug)]
pub(crate) struct Built {
    digest: Digest,
    root: PathBuf,
    /// Says so to others, by a lock.
    _used: File,
}

impl Built {
    pub(super) fn new(digest: Digest, root: PathBuf, used: File) -> Self {
        Self { digest, root, _used: used }
    }

    /// The blob that it was made of.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// The words of a command, with the interpreter of this environment.
    pub(crate) fn words(&self, command: &[String]) -> Vec<String> {
        let mut words = command.to_vec();
        if let Some(word) = interpreter(command).and_then(|at| words.get_mut(at)) {
            *word = interpreter_of(&self.root).display().to_string();
        }
        words
    }

    /// Tells a process, and the programs that it starts, what it is in. Modules that a person has put on the path are still
    /// found; packages that are installed elsewhere are not.
    pub(crate) fn tell(&self, command: &mut Command) {
        let is_conda = self.root.join("conda-meta").is_dir();
        command.env(if is_conda { "CONDA_PREFIX" } else { "VIRTUAL_ENV" }, &self.root);
        command.env_remove("PYTHONHOME").env("PYTHONNOUSERSITE", "1");
        let path = env::var_os("PATH").unwrap_or_default();
        let first = [self.root.join("bin")].into_iter();
        command.env("PATH", joined(first.chain(env::split_paths(&path))));
        if let Some(path) = env::var_os("PYTHONPATH") {
            let kept = env::split_paths(&path).filter(|path| !belongs_to_an_installation(path));
            command.env("PYTHONPATH", joined(kept));
        }
    }
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root.display())
    }
}

/// Which word of a command is an interpreter of Python.
pub(super) fn interpreter(command: &[String]) -> Option<usize> {
    command.iter().position(|word| {
        let name = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version = name.strip_prefix("python").or_else(|| name.strip_prefix("pypy"));
        // `env NAME=VALUE` may stand before it.
        let is_program = !word.contains('=');
        version.filter(|_| is_program).is_some_and(|version| {
            version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
    })
}

/// The interpreter of an environment.
pub(super) fn interpreter_of(root: &Path) -> PathBuf {
    root.join("bin").join("python")
}

fn joined(paths: impl Iterator<Item = PathBuf>) -> OsString {
    // What came out of a list has nothing in it that cannot go into one.
    env::join_paths(paths).unwrap_or_default()
}

/// Whether modules in a directory are those of some installation of Python: its own, or packages.
fn belongs_to_an_installation(path: &Path) -> bool {
    let names = || {
        path.components().filter_map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
    };
    let is_library = |name: &str| name.starts_with("python3") || name.starts_with("pypy3");
    let is_zip = path.extension().is_some_and(|extension| extension == "zip");
    let mut last_first = names().rev();
    match last_first.next() {
        Some("lib-dynload") => return true,
        Some(last) if is_library(last) && (is_zip || last_first.next() == Some("lib")) => {
            return true;
        }
        _ => {}
    }
    names().any(|name| INSTALLED.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_command_is_found_where_it_stands() {
        let at =
            |command: &str| interpreter(&command.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(at("python3 -m bireme.executor"), Some(0));
        assert_eq!(at("/opt/x/bin/python3.11 -m bireme.executor"), Some(0));
        assert_eq!(at("nice -n 5 env A=1 python -m bireme.executor"), Some(5));
        assert_eq!(at("env P=/usr/bin/python3 python3 -m bireme.executor"), Some(2));
        assert_eq!(at("node executor.js"), None);
        assert_eq!(at("/opt/python-tools/run python-config"), None);
    }

    #[test]
    fn modules_of_people_are_told_from_packages() {
        for (path, is_installed) in [
            ("/home/ann/project", false),
            ("/usr/lib/python311.zip", true),
            ("/usr/lib/python3.11", true),
            ("/usr/lib/python3.11.zip", true),
            ("/usr/lib/python3.11/lib-dynload", true),
            ("/opt/venv/lib/python3.11/site-packages", true),
            ("/usr/lib/python3/dist-packages", true),
            ("/home/ann/python3", false),
        ] {
            assert_eq!(belongs_to_an_installation(Path::new(path)), is_installed, "{path}");
        }
    }
}
