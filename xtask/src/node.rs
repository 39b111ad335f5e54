//! What the examples in JavaScript need of Node, set up beneath the target directory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::dist::target_dir;
use crate::workspace::{read, read_text, root, write};

/// What an example says it needs, and down to the last dependency which versions of it.
const NAMED: [&str; 2] = ["package.json", "package-lock.json"];
/// In the directory of an example's packages, what they were installed for. It is written last.
const MADE_OF: &str = "made-of.json";

/// The variable by which Node finds packages that do not lie beside a program.
pub(crate) const PATH: &str = "NODE_PATH";

/// Installs what an example needs, unless it is there. Returns the directory of its packages, for [`PATH`], or the reason
/// if this machine cannot; in CI, a machine that has Node can.
pub(crate) fn packages(example: &str) -> Result<Result<PathBuf, &'static str>> {
    if !has("node") {
        return Ok(Err("there is no node"));
    }
    if !has("npm") {
        return Ok(Err("there is no npm"));
    }
    let from = root().join("examples").join(example);
    let to = root().join(target_dir()).join("node").join(example);
    match install(&from, &to) {
        Ok(()) => Ok(Ok(to.join("node_modules"))),
        Err(error) if env::var_os("CI").is_some() => Err(error),
        Err(error) => {
            println!("{error:#}");
            Ok(Err("npm installs nothing"))
        }
    }
}

fn install(from: &Path, to: &Path) -> Result<()> {
    let mut made_of = String::new();
    for name in NAMED {
        made_of += &read_text(&from.join(name))?;
    }
    if fs::read_to_string(to.join(MADE_OF)).is_ok_and(|found| found == made_of) {
        return Ok(());
    }
    for name in NAMED {
        write(&to.join(name), read_text(&from.join(name))?)?;
    }
    // None of these packages has to be built.
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(to);
    read(npm.stdin(Stdio::null())).context("npm cannot install what the lock file lists")?;
    write(&to.join(MADE_OF), made_of)
}

fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    let version = command.arg("--version").stdin(Stdio::null());
    version.output().is_ok_and(|output| output.status.success())
}
