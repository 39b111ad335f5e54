//! The Debian package: everything below `/usr`, settings in `/etc`, and what is done around it.

use std::env::consts::ARCH;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use super::contents::Entry;
use super::{VERSION, clear, glibc, put};
use crate::workspace::{read, read_text, root, write};

/// What is done when the package is installed and removed.
const SCRIPTS: [&str; 3] = ["postinst", "postrm", "prerm"];

/// What a package is made of.
pub(super) struct Source<'a> {
    /// All that is installed.
    pub(super) entries: &'a [Entry],
    pub(super) programs: &'a [PathBuf],
    /// How old all of it is.
    pub(super) age: &'a str,
}

/// Builds the package in `dist`; `None` where there is nothing to build it with.
pub(super) fn build(source: &Source<'_>, dist: &Path) -> Result<Option<PathBuf>> {
    let mut probe = Command::new("dpkg-deb");
    let probe = probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let architecture = architecture();
    let tree = dist.join("deb");
    clear(&tree)?;
    for entry in source.entries {
        let prefix = if entry.path.starts_with("etc") { "" } else { "usr" };
        put(&tree.join(prefix), entry)?;
    }
    write_control(source, &tree, architecture)?;
    let deb = dist.join(format!("bireme_{VERSION}_{architecture}.deb"));
    let mut dpkg = Command::new("dpkg-deb");
    // Everything is as old as that, and the members of the archive too.
    dpkg.env("SOURCE_DATE_EPOCH", source.age).args(["--root-owner-group", "-Zxz", "--build"]);
    read(dpkg.arg(&tree).arg(&deb))?;
    Ok(Some(deb))
}

fn write_control(source: &Source<'_>, tree: &Path, architecture: &str) -> Result<()> {
    let bytes: usize = source.entries.iter().map(|entry| entry.bytes.len()).sum();
    let (from, to) = (root().join("deploy/deb"), tree.join("DEBIAN"));
    let control = read_text(&from.join("control.in"))?
        .replace("@VERSION@", VERSION)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@KIBIBYTES@", &bytes.div_ceil(1 << 10).to_string())
        .replace("@LIBC@", &glibc::required(source.programs)?);
    write(&to.join("control"), control)?;
    write(&to.join("conffiles"), read_text(&from.join("conffiles"))?)?;
    for script in SCRIPTS {
        let path = to.join(script);
        write(&path, read_text(&from.join(script))?)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// What Debian calls the architecture of this program.
fn architecture() -> &'static str {
    match ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    }
}
