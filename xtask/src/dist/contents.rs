//! What is packed, and where it goes below the prefix.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::{files_below, read, root};

/// One file of an installation.
pub(super) struct Entry {
    /// Below the prefix, such as `bin/bireme`; what lies below `etc` goes to `/etc`, whatever the prefix is.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) executable: bool,
}

/// Files that are packed as they are, and where they go.
const FILES: [(&str, &str); 7] = [
    ("LICENSE-APACHE", "share/doc/bireme/LICENSE-APACHE"),
    ("LICENSE-MIT", "share/doc/bireme/LICENSE-MIT"),
    ("README.md", "share/doc/bireme/README.md"),
    ("deploy/etc/scheduler.toml", "etc/bireme/scheduler.toml"),
    ("deploy/etc/worker.toml", "etc/bireme/worker.toml"),
    ("deploy/systemd/bireme.sysusers", "lib/sysusers.d/bireme.conf"),
    ("LICENSE", "share/doc/bireme/copyright"),
];

/// Directories that are packed with all files of these kinds below them, and where those go.
const TREES: [(&str, &[&str], &str); 4] = [
    ("deploy/systemd", &["service"], "lib/systemd/system"),
    ("docs", &["md"], "share/doc/bireme"),
    ("examples", &["md", "py", "rs", "toml"], "share/doc/bireme/examples"),
    ("proto", &["proto"], "share/bireme/proto"),
];

/// For which shells there are completions, and where those look for them.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/bireme"),
    ("fish", "share/fish/vendor_completions.d/bireme.fish"),
    ("zsh", "share/zsh/site-functions/_bireme"),
];

/// All of it. What a program tells of itself is told by the program.
pub(super) fn of(programs: &[PathBuf]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (from, to) in FILES {
        entries.push(file(&root().join(from), to.into())?);
    }
    for (from, extensions, to) in TREES {
        let from = root().join(from);
        for path in files_below(&from, extensions)? {
            let below = path.strip_prefix(&from).context("a file below its directory")?;
            entries.push(file(&path, Path::new(to).join(below))?);
        }
    }
    for program in programs {
        let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let bytes = read_bytes(program)?;
        entries.push(Entry { path: Path::new("bin").join(name), bytes, executable: true });
        entries.push(said(program, &["--help"], format!("share/doc/bireme/help/{name}.txt"))?);
        if name == "bireme" {
            for (shell, path) in SHELLS {
                entries.push(said(program, &["completions", shell], path.to_owned())?);
            }
        }
    }
    Ok(entries)
}

fn file(from: &Path, path: PathBuf) -> Result<Entry> {
    Ok(Entry { path, bytes: read_bytes(from)?, executable: false })
}

/// What a program prints.
fn said(program: &Path, args: &[&str], path: String) -> Result<Entry> {
    // The width of help is that of the terminal, and the environment is told in it.
    let text = read(Command::new(program).args(args).env_clear())?;
    Ok(Entry { path: path.into(), bytes: text.into_bytes(), executable: false })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
