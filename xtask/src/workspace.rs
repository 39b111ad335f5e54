//! Where things are, and how commands are run there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};

/// Arguments of cargo for all that there is; the feature is off for whoever only generates.
pub(crate) const EVERYTHING: [&str; 3] = ["--workspace", "--features", "xtask/cluster"];

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable for `cargo run` and `cargo test`; the constant serves a binary started by hand.
    let manifest_dir =
        env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(manifest_dir);
    root.pop();
    root
}

/// Prepares the cargo that started us, in the root of the workspace.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs a command, its output going where ours goes, and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", words(command));
    let status = command.status().with_context(|| format!("cannot run {}", words(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", words(command));
    }
    Ok(())
}

/// Prepares this program with these arguments, built with the feature `cluster` and a profile.
pub(crate) fn with_cluster<S: AsRef<OsStr>>(
    profile: &str,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = cargo(["run", "--quiet", "--package", "xtask", "--profile", profile]);
    command.args(["--features", "cluster", "--"]).args(args);
    command
}

/// Goes on as that program, with the arguments of this one: whoever signals us then signals it.
#[cfg(not(feature = "cluster"))]
pub(crate) fn become_with_cluster(profile: &str) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    let error = with_cluster(profile, env::args_os().skip(1)).exec();
    Err(error).context("cannot run cargo")
}

/// Runs a command and returns what it printed; what it complained of is in the error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", words(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}\n{}", words(command), output.status, complaint.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no text", words(command)))
}

/// Tells whether a subcommand of cargo is installed.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    let quiet = cargo([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Every file below `dir` whose name ends in one of `extensions`, sorted; nothing where there is no such directory.
pub(crate) fn files_below(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = if dir.is_dir() { vec![dir.to_owned()] } else { Vec::new() };
    while let Some(dir) = dirs.pop() {
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if has_extension(&path, extensions) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a name ends in one of `extensions`.
pub(crate) fn has_extension(path: impl AsRef<Path>, extensions: &[&str]) -> bool {
    let extension = path.as_ref().extension().and_then(|it| it.to_str());
    extension.is_some_and(|extension| extensions.contains(&extension))
}

/// Reads a text file, naming it if that fails.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file, naming it if that fails, and makes its directory first.
pub(crate) fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// The path as people read it: from the root of the workspace, with forward slashes.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string().replace('\\', "/")
}

fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
