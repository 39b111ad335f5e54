//! The copy of the crates in which bugs are planted, and the simulation built from it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};

use super::planted::Load;
use crate::workspace::{cargo, files_below, read_text, root, write};

/// What is copied: the directories that the manifest names.
const DIRS: [&str; 3] = ["crates", "examples", "xtask"];
/// A run that takes longer hangs in a step.
const PATIENCE: Duration = Duration::from_mins(4);
/// Longest part of a failure that is shown, in characters.
const SHOWN: usize = 160;

/// The copy.
pub(super) struct Tree {
    sources: PathBuf,
    build: PathBuf,
}

/// How a run of the simulation ended.
pub(super) enum Verdict {
    /// A seed failed: which, and with what.
    Failed(String),
    /// All seeds ended well.
    Passed,
}

impl Tree {
    /// Brings the copy up to date. Only files that differ are written, so that cargo builds no more than it must.
    pub(super) fn new() -> Result<Self> {
        let dir = root().join("target/mutants");
        let tree = Self { sources: dir.join("tree"), build: dir.join("build") };
        let mut kept = Vec::new();
        for part in DIRS {
            let source = root().join(part);
            for path in files_below(&source, &["rs", "toml"])? {
                let name = path.strip_prefix(root()).context("it lies below the root")?.to_owned();
                tree.replace(&name.to_string_lossy(), &read_text(&path)?)?;
                kept.push(name);
            }
        }
        for name in ["Cargo.toml", "Cargo.lock"] {
            tree.replace(name, &read_text(&root().join(name))?)?;
        }
        for part in DIRS {
            for path in files_below(&tree.sources.join(part), &["rs", "toml"])? {
                let name = path.strip_prefix(&tree.sources).context("it lies below the copy")?;
                if !kept.iter().any(|kept| kept == name) {
                    fs::remove_file(&path)
                        .with_context(|| format!("cannot remove {}", path.display()))?;
                }
            }
        }
        Ok(tree)
    }

    /// Puts a text into a file of the copy, unless it is there.
    pub(super) fn replace(&self, file: &str, text: &str) -> Result<()> {
        let path = self.sources.join(file);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return Ok(());
        }
        write(&path, text)
    }

    /// Builds the copy and runs seeds until one fails.
    pub(super) fn judge(&self, seeds: u64, load: Load) -> Result<Verdict> {
        // Fast enough to run hundreds of seeds, and built in seconds: every check is on, as in tests.
        let mut build = cargo(["build", "--quiet", "--package", "bireme-sim"]);
        build
            .args(["--config", "profile.dev.opt-level=1", "--config", "profile.dev.debug=false"])
            .current_dir(&self.sources)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("RUSTFLAGS", "--cap-lints allow");
        let status = build.status().context("cannot run cargo")?;
        if !status.success() {
            bail!("the copy in {} does not compile", self.sources.display());
        }
        let mut simulation = Command::new(self.build.join("debug/bireme-sim"));
        simulation.args(["--seeds", &seeds.to_string()]);
        simulation.args(match load {
            Load::Actors => Some("--actors"),
            Load::Cluster => None,
            Load::Copies => Some("--copies"),
        });
        simulation.stdout(Stdio::piped()).stderr(Stdio::null());
        run(simulation)
    }
}

/// Runs the simulation until it ends or has taken too long.
fn run(mut simulation: Command) -> Result<Verdict> {
    let mut child = simulation.spawn().context("cannot run the simulation")?;
    let stdout = child.stdout.take().context("it was asked for")?;
    let (told, heard) = mpsc::sync_channel(1);
    thread::spawn(move || told.send(std::io::read_to_string(stdout)));
    let Ok(printed) = heard.recv_timeout(PATIENCE) else {
        child.kill().context("cannot end the simulation")?;
        child.wait().context("cannot wait for the simulation")?;
        return Ok(Verdict::Failed(format!("a step does not end within {PATIENCE:?}")));
    };
    let status = child.wait().context("cannot wait for the simulation")?;
    if status.success() {
        return Ok(Verdict::Passed);
    }
    let printed = printed.context("cannot read what the simulation prints")?;
    let first = printed.lines().next().unwrap_or("it ended without a word");
    Ok(Verdict::Failed(first.chars().take(SHOWN).collect()))
}
