//! A virtual environment with pinned packages, kept for as long as the pins are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::interpreter::Interpreter;
use crate::workspace::{read, read_text, shown, write};

/// In the environment, what it was made of. It is written last: without it, the environment is not finished.
const MADE_OF: &str = "made-of.txt";

/// Makes an environment in `dir` with what `requirements` lists, unless it is there. Returns its interpreter.
pub(super) fn prepare(
    interpreter: &Interpreter,
    dir: &Path,
    requirements: &Path,
) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    let made_of = format!("# {interpreter}\n{}", read_text(requirements)?);
    if is_made_of(dir, &made_of) {
        return Ok(python);
    }
    println!("installing {} into {}", shown(requirements), shown(dir));
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    read(Command::new(interpreter.path()).args(["-m", "venv"]).arg(dir))?;
    install(&python, requirements)?;
    write(&dir.join(MADE_OF), made_of)?;
    Ok(python)
}

fn is_made_of(dir: &Path, wanted: &str) -> bool {
    fs::read_to_string(dir.join(MADE_OF)).is_ok_and(|found| found == wanted)
}

/// Installs wheels alone: a package that pip would have to compile takes longer than all tests.
fn install(python: &Path, requirements: &Path) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    pip.args(["--only-binary", ":all:", "--requirement"]).arg(requirements);
    let output = pip.output().context("cannot run pip")?;
    if !output.status.success() {
        bail!(
            "pip cannot install what {} lists; it needs a package index, or its cache of one:\n{}",
            shown(requirements),
            complaint(&String::from_utf8_lossy(&output.stderr))
        );
    }
    Ok(())
}

/// What pip says is wrong, without its tale of every connection that it tried.
fn complaint(stderr: &str) -> String {
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("ERROR: ")).collect();
    if errors.is_empty() { stderr.trim_end().to_owned() } else { errors.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_kept_while_it_is_made_of_the_same() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_made_of(dir.path(), "numpy==2.4.6\n"));
        write(&dir.path().join(MADE_OF), "numpy==2.4.6\n").unwrap();
        assert!(is_made_of(dir.path(), "numpy==2.4.6\n"));
        assert!(!is_made_of(dir.path(), "numpy==2.4.7\n"));
    }

    #[test]
    fn what_could_not_be_installed_is_named() {
        let stderr = "WARNING: Retrying (Retry(total=0))\nERROR: No matching distribution found for numpy==0\n";
        assert_eq!(complaint(stderr), "ERROR: No matching distribution found for numpy==0");
        assert_eq!(complaint("Traceback\n  File\n"), "Traceback\n  File");
    }
}
