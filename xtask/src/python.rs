//! `cargo xtask python`: lints, types and tests of the Python package, with all that they need set up beneath the target
//! directory.
//!
//! The package is not installed. Its modules are linked and the extension is copied into a directory that is laid out as an
//! installation is, so that what is tested is the tree, and nothing that is built lies in it.

mod interpreter;
mod venv;
pub(crate) mod wheel;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use self::interpreter::Interpreter;
use crate::dist::target_dir;
use crate::node;
use crate::workspace::{cargo, root, run as run_command};

/// The package, from the root of the workspace.
const PACKAGE: &str = "crates/python";
/// What its tests need, from there.
const REQUIREMENTS: &str = "tests/requirements.txt";
/// What is built: the extension, and the daemons that an embedded cluster consists of.
const BUILT: [&str; 3] = ["bireme-python", "bireme-scheduler", "bireme-worker"];
/// Features for an interpreter that the stable ABI is too new for.
const WITHOUT_ABI3: [&str; 3] =
    ["--no-default-features", "--features", "bireme-scheduler/daemon,bireme-worker/daemon"];

/// Check the Python package: ruff, mypy and pytest, in a virtual environment of their own
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Handed to pytest in place of the whole directory of tests; ruff and mypy are then left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(reason) = check_with(&args.rest)? {
        println!("skipped: python: {reason}");
    }
    Ok(())
}

/// Runs all three. The reason if this machine cannot.
pub(crate) fn check() -> Result<Option<&'static str>> {
    check_with(&[])
}

fn check_with(rest: &[String]) -> Result<Option<&'static str>> {
    let interpreter = match Interpreter::find() {
        Ok(interpreter) => interpreter,
        Err(reason) => return Ok(Some(reason)),
    };
    let bed = Bed::prepare(&interpreter)?;
    if rest.is_empty() {
        run_command(bed.module("ruff").args(["check", "."]))?;
        run_command(&mut bed.module("mypy"))?;
    }
    bed.install(&interpreter)?;
    let mut pytest = bed.module("pytest");
    pytest.args(["-p", "no:cacheprovider", "-q", "-ra"]);
    run_command(if rest.is_empty() { pytest.arg("tests") } else { pytest.args(rest) })?;
    Ok(None)
}

/// The package as the tree has it, for others to run.
#[derive(Debug)]
pub(crate) struct Installed {
    /// An interpreter that has what the package needs.
    pub(crate) python: PathBuf,
    /// The directory that the package is imported from.
    pub(crate) site: PathBuf,
}

/// Builds and lays out the package. The reason if this machine cannot.
pub(crate) fn installed() -> Result<Result<Installed, &'static str>> {
    let interpreter = match Interpreter::find() {
        Ok(interpreter) => interpreter,
        Err(reason) => return Ok(Err(reason)),
    };
    let bed = Bed::prepare(&interpreter)?;
    bed.install(&interpreter)?;
    Ok(Ok(Installed { site: bed.site(), python: bed.python }))
}

/// What the tools run in.
struct Bed {
    /// The interpreter of the virtual environment.
    python: PathBuf,
    package: PathBuf,
    /// Where all that is set up is kept for the next time.
    place: PathBuf,
    /// Where cargo puts what it builds.
    built: PathBuf,
}

impl Bed {
    /// Sets up a virtual environment.
    fn prepare(interpreter: &Interpreter) -> Result<Self> {
        println!("{interpreter}");
        // Whole: the tools do not run in the root.
        let (package, target) = (root().join(PACKAGE), root().join(target_dir()));
        let place = target.join("python");
        let python = venv::prepare(interpreter, &place.join("venv"), &package.join(REQUIREMENTS))?;
        Ok(Self { python, package, place, built: target.join("debug") })
    }

    /// Builds the package and lays it out.
    fn install(&self, interpreter: &Interpreter) -> Result<()> {
        build(interpreter)?;
        lay_out(&self.package.join("python/bireme"), &self.built, &self.site().join("bireme"))
    }

    /// Prepares a tool. It leaves nothing in the tree, and finds the package and the daemons that were built from it.
    fn module(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", name]).current_dir(&self.package);
        command.env("PYTHONPATH", self.site()).env("BIREME_BIN", &self.built);
        // Without them the tests of actors in JavaScript are left out, and say so.
        if let Ok(Ok(packages)) = node::packages("executor-node") {
            command.env(node::PATH, packages);
        }
        for cache in ["MYPY_CACHE_DIR", "PYTHONPYCACHEPREFIX", "RUFF_CACHE_DIR"] {
            command.env(cache, self.place.join(cache.to_lowercase()));
        }
        command
    }

    /// The directory that packages are imported from.
    fn site(&self) -> PathBuf {
        self.place.join("site")
    }
}

/// Builds without optimization: it is quick, and assertions are on.
fn build(interpreter: &Interpreter) -> Result<()> {
    let mut build = cargo(["build", "--profile", "dev"]);
    for package in BUILT {
        build.args(["--package", package]);
    }
    if !interpreter.has_abi3() {
        build.args(WITHOUT_ABI3).env("PYO3_PYTHON", interpreter.path());
    }
    run_command(&mut build)
}

/// Lays out the package as an installation has it: links to its modules, and the extension that was built.
fn lay_out(modules: &Path, built: &Path, package: &Path) -> Result<()> {
    if package.exists() {
        fs::remove_dir_all(package)
            .with_context(|| format!("cannot empty {}", package.display()))?;
    }
    fs::create_dir_all(package).with_context(|| format!("cannot make {}", package.display()))?;
    let entries =
        fs::read_dir(modules).with_context(|| format!("cannot list {}", modules.display()))?;
    for entry in entries {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|name| !is_built(name)) {
            symlink(&path, package.join(name))?;
        }
    }
    let extension = built.join("lib_bireme.so");
    fs::copy(&extension, package.join("_bireme.so"))
        .with_context(|| format!("cannot copy {}", extension.display()))?;
    Ok(())
}

/// Whether a file lies among the modules only because somebody installed the package from the tree.
fn is_built(name: &OsStr) -> bool {
    name == "bin" || name == "__pycache__" || Path::new(name).extension() == Some(OsStr::new("so"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::write;

    #[test]
    fn a_package_is_laid_out_with_what_was_built_last_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let [modules, built, package] =
            ["modules", "built", "site/bireme"].map(|it| dir.path().join(it));
        for stale in ["_bireme.abi3.so", "bin/bireme-worker", "__pycache__/client.pyc", "client.py"]
        {
            write(&modules.join(stale), "of the tree").unwrap();
        }
        write(&package.join("gone.py"), "of the last time").unwrap();
        write(&built.join("lib_bireme.so"), "built").unwrap();
        lay_out(&modules, &built, &package).unwrap();
        let entries = fs::read_dir(&package).unwrap().map(|entry| entry.unwrap().file_name());
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        assert_eq!(entries, ["_bireme.so", "client.py"]);
        assert_eq!(fs::read_to_string(package.join("_bireme.so")).unwrap(), "built");
        assert_eq!(fs::read_to_string(package.join("client.py")).unwrap(), "of the tree");
    }
}
