//! The wheel: the package with its extension, daemons and command line, for machines without Rust.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::interpreter::Interpreter;
use super::{PACKAGE, venv};
use crate::dist::{glibc, target_dir};
use crate::workspace::{files_below, read, read_text, root, run as run_command, shown};

/// What the wheel is packed with, from the package.
const REQUIREMENTS: &str = "packaging/requirements.txt";
/// How cargo builds what is given to people.
pub(crate) const PROFILE: &str = "wheel";
/// What the first example of the README prints: the sum of the squares below 1,000.
const PRINTED: &str = "332833500\n";
/// Longest that a step of trying a wheel may take: pip may have to fetch what the package needs.
const TRY_LIMIT: &str = "5m";
/// Programs of a toolchain, of which nothing may be needed once the wheel is there.
const TOOLCHAIN: [&str; 3] = ["cargo", "rustc", "rustup"];

/// Builds the wheel in `dist`. The reason if this machine cannot.
pub(crate) fn build(profile: &str, dist: &Path) -> Result<Result<PathBuf, &'static str>> {
    let interpreter = match Interpreter::find() {
        Ok(interpreter) if interpreter.has_abi3() => interpreter,
        Ok(_) => return Ok(Err("one wheel for all needs Python 3.11 or newer to build it")),
        Err(reason) => return Ok(Err(reason)),
    };
    let (package, target) = (root().join(PACKAGE), root().join(target_dir()));
    let place = target.join("python/packer");
    let python = venv::prepare(&interpreter, &place, &package.join(REQUIREMENTS))?;
    let built = dist.join("wheel");
    if built.exists() {
        fs::remove_dir_all(&built).with_context(|| format!("cannot empty {}", shown(&built)))?;
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "wheel", "--quiet", "--no-input", "--disable-pip-version-check"]);
    pip.args(["--no-deps", "--no-build-isolation", "--wheel-dir"]).arg(&built).arg(&package);
    pip.env("PATH", with_first(&place.join("bin")));
    pip.env("BIREME_WHEEL_PROFILE", profile).env("CARGO_TARGET_DIR", &target);
    run_command(&mut pip)?;
    let wheel = only_wheel(&built)?;
    let tagged = tag(&python, &wheel)?;
    let to = dist.join(tagged.file_name().context("a wheel has a name")?);
    fs::rename(&tagged, &to).with_context(|| format!("cannot move {}", shown(&tagged)))?;
    Ok(Ok(to))
}

/// Builds a wheel quickly, and tries it. The reason if this machine cannot.
pub(crate) fn check() -> Result<Option<&'static str>> {
    let dist = root().join(target_dir()).join("dist/check");
    match build("dev", &dist)? {
        Ok(wheel) => try_out(&wheel).map(|()| None),
        Err(reason) => Ok(Some(reason)),
    }
}

/// Installs a wheel into a fresh virtual environment, where no toolchain is to be found, and runs the README's first script.
pub(crate) fn try_out(wheel: &Path) -> Result<()> {
    let interpreter = Interpreter::find().map_err(anyhow::Error::msg)?;
    let ground = tempfile::tempdir()?;
    let (venv, path) = (ground.path().join("venv"), without_toolchain());
    read(limited(interpreter.path()).args(["-m", "venv"]).arg(&venv))?;
    let python = venv.join("bin/python");
    let mut pip = limited(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    read(pip.args(["--only-binary", ":all:"]).arg(wheel).env("PATH", &path))?;
    let script = ground.path().join("script.py");
    fs::write(&script, readme_script()?)?;
    let mut run = limited(&python);
    run.arg(&script).current_dir(ground.path()).env_clear();
    run.env("PATH", &path).env("HOME", ground.path());
    let printed = read(&mut run)?;
    ensure!(printed == PRINTED, "{} printed {printed:?}, not {PRINTED:?}", shown(wheel));
    let says = read(limited(&venv.join("bin/bireme")).arg("--version").env_clear())?;
    ensure!(says.starts_with("bireme "), "its command line calls itself {says:?}");
    println!("{}: the README's script runs, and so does the command line", shown(wheel));
    Ok(())
}

/// A command that is ended, with what it has started, when it hangs: its status is 124 then.
fn limited(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=10s", TRY_LIMIT]).arg(program);
    command
}

/// Names a wheel after the oldest C library that all its programs run with, as pip asks.
fn tag(python: &Path, wheel: &Path) -> Result<PathBuf> {
    let unpacked = tempfile::tempdir()?;
    read(Command::new(python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(unpacked.path()))?;
    let package = unpacked.path().join("bireme");
    let mut programs = files_below(&package, &["so"])?;
    for entry in fs::read_dir(package.join("bin")).context("the wheel has no programs")? {
        programs.push(entry?.path());
    }
    let oldest = glibc::required(&programs)?.replace('.', "_");
    let platform = format!("manylinux_{oldest}_{}", env::consts::ARCH);
    let mut tags = Command::new(python);
    tags.args(["-m", "wheel", "tags", "--remove", "--platform-tag", &platform]).arg(wheel);
    read(&mut tags)?;
    only_wheel(wheel.parent().context("a wheel is in a directory")?)
}

fn only_wheel(directory: &Path) -> Result<PathBuf> {
    let wheels = files_below(directory, &["whl"])?;
    ensure!(wheels.len() == 1, "{} wheels in {}", wheels.len(), shown(directory));
    wheels.into_iter().next().context("there is one")
}

/// The first script in Python of the README.
fn readme_script() -> Result<String> {
    let readme = read_text(&root().join("README.md"))?;
    let (_, rest) = readme.split_once("```python\n").context("the README has no script")?;
    let (script, _) = rest.split_once("```").context("the README's script has no end")?;
    Ok(script.to_owned())
}

fn with_first(directory: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let all = [directory.to_owned()].into_iter().chain(env::split_paths(&path));
    env::join_paths(all).unwrap_or_default()
}

/// The path without directories that have programs of a toolchain.
fn without_toolchain() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let has_none =
        |directory: &PathBuf| !TOOLCHAIN.iter().any(|name| directory.join(name).exists());
    env::join_paths(env::split_paths(&path).filter(has_none)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_begins_with_a_short_script() {
        let script = readme_script().unwrap();
        assert!(script.contains("with Client() as client:"), "{script}");
        assert!((6..=12).contains(&script.lines().count()), "{script}");
    }
}
