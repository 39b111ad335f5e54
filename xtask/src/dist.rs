//! `cargo xtask dist`: what people install, as an archive, as a Debian package, and as a wheel for Python.
//!
//! The first two hold the same files. The same programs and sources give the same bytes: names are sorted, owners are
//! root, and everything is as old as the commit.

mod contents;
mod deb;
pub(crate) mod glibc;

use std::env::consts::ARCH;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use self::contents::Entry;
use crate::python::wheel;
use crate::workspace::{cargo, read, root, run as run_command, shown, write};

/// The version of everything here.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Cargo's own variable.
const TARGET_DIR: &str = "CARGO_TARGET_DIR";
/// Programs that people start, each of the package of this name.
const PROGRAMS: [(&str, &str); 3] = [
    ("bireme", "bireme-cli"),
    ("bireme-scheduler", "bireme-scheduler"),
    ("bireme-worker", "bireme-worker"),
];

/// Pack programs, units and documentation into an archive and a Debian package, and Python's package into a wheel
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where cargo builds, and where the programs are, if not where it always does
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
    /// Pack the programs that are there
    #[arg(long)]
    no_build: bool,
    /// Leave out the wheel, which is built by itself
    #[arg(long)]
    no_wheel: bool,
}

/// What was packed.
pub(crate) struct Packed {
    /// The archive.
    pub(crate) archive: PathBuf,
    /// The Debian package; none where there is no `dpkg-deb`.
    pub(crate) deb: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let target = args.target_dir.clone().unwrap_or_else(target_dir);
    let Packed { archive, deb } = pack(&target, !args.no_build)?;
    println!("{}", shown(&archive));
    match deb {
        Some(deb) => println!("{}", shown(&deb)),
        None => println!("skipped: deb: dpkg-deb is not installed"),
    }
    if args.no_wheel {
        return Ok(());
    }
    match wheel::build(wheel::PROFILE, &target.join("dist"))? {
        Ok(wheel) => {
            println!("{}", shown(&wheel));
            wheel::try_out(&wheel)
        }
        Err(reason) => {
            println!("skipped: wheel: {reason}");
            Ok(())
        }
    }
}

/// Where cargo builds, unless told otherwise on the command line.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os(TARGET_DIR).map_or_else(|| root().join("target"), PathBuf::from)
}

/// Packs what cargo builds in `target`, into `dist` beneath it.
pub(crate) fn pack(target: &Path, build: bool) -> Result<Packed> {
    if build {
        let mut cargo = cargo(["build", "--release", "--locked", "--target-dir"]);
        cargo.arg(target);
        for (_, package) in PROGRAMS {
            cargo.args(["--package", package]);
        }
        run_command(&mut cargo)?;
    }
    let dist = target.join("dist");
    let name = format!("bireme-{VERSION}-{ARCH}-linux");
    let stage = dist.join(&name);
    clear(&stage)?;
    let programs = strip(&target.join("release"), &dist.join("stripped"))?;
    let entries = contents::of(&programs)?;
    for entry in &entries {
        put(&stage, entry)?;
    }
    let age = commit_time()?;
    let archive = dist.join(format!("{name}.tar.gz"));
    compress(&dist, &name, &archive, &age)?;
    let deb =
        deb::build(&deb::Source { entries: &entries, programs: &programs, age: &age }, &dist)?;
    Ok(Packed { archive, deb })
}

/// Copies the programs without what only a debugger reads. The names of functions stay: profiles and backtraces need them.
fn strip(built: &Path, stripped: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(stripped)?;
    let strip = |(program, _): &(&str, &str)| {
        let (from, to) = (built.join(program), stripped.join(program));
        ensure!(from.exists(), "there is no {}; build it: leave out --no-build", from.display());
        let mut strip = Command::new("strip");
        read(strip.args(["--strip-debug", "--preserve-dates", "-o"]).arg(&to).arg(&from))?;
        Ok(to)
    };
    PROGRAMS.iter().map(strip).collect()
}

/// Removes a tree of which nothing is to be left.
fn clear(tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree).with_context(|| format!("cannot clear {}", tree.display()))?;
    }
    Ok(())
}

/// Puts a file into a tree.
fn put(prefix: &Path, entry: &Entry) -> Result<()> {
    let Entry { path, bytes, executable } = entry;
    let path = prefix.join(path);
    write(&path, bytes)?;
    let mode = if *executable { 0o755 } else { 0o644 };
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// When the commit was made, in seconds since 1970.
fn commit_time() -> Result<String> {
    let mut git = Command::new("git");
    let time = read(git.args(["log", "-1", "--format=%ct"]).current_dir(root()))?;
    Ok(time.trim().to_owned())
}

fn compress(dist: &Path, name: &str, archive: &Path, age: &str) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--format=gnu", "--owner=root:0", "--group=root:0"]);
    tar.arg(format!("--mtime=@{age}"));
    // No name and no time of the archive itself.
    tar.arg("--use-compress-program=gzip --no-name --best");
    tar.arg("--mode=go-w").arg("--file").arg(archive).arg("--directory").arg(dist).arg(name);
    read(&mut tar).map(drop)
}
