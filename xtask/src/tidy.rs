//! `cargo xtask tidy`: the rules of the house that neither rustc nor clippy knows.

mod files;
mod functions;
mod imports;
mod links;
mod phrases;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::{files_below, read, root};

/// Check who imports whom, file and function sizes, crate and module docs, phrases and links
#[derive(clap::Args)]
pub(crate) struct Args {}

/// What the checks found.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Findings {
    fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    fn warning(&mut self, text: String) {
        self.warnings.push(text);
    }
}

pub(crate) fn run(_: &Args) -> Result<()> {
    check()
}

/// Runs every check, prints the warnings, and fails on problems.
pub(crate) fn check() -> Result<()> {
    let root = root();
    let files = project_files(&root)?;
    let mut findings = Findings::default();
    imports::check(&root, &mut findings)?;
    files::check(&root, &files, &mut findings)?;
    phrases::check(&root, &files, &mut findings)?;
    links::check(&root, &files, &mut findings)?;
    for warning in &findings.warnings {
        println!("warning: {warning}");
    }
    if !findings.problems.is_empty() {
        bail!("{} problems\n{}", findings.problems.len(), findings.problems.join("\n"));
    }
    println!("{} files are tidy, {} warnings", files.len(), findings.warnings.len());
    Ok(())
}

/// Every file that is committed or about to be, relative to the root.
fn project_files(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = read(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root),
    );
    if let Ok(listed) = listed {
        let paths = listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
        // A file that was deleted but not committed yet is still listed.
        return Ok(paths.filter(|path| root.join(path).is_file()).collect());
    }
    // A source archive has no index; there, everything that is not built belongs.
    let text = ["rs", "toml", "md", "proto", "py", "pyi", "sh", "yaml", "yml", "html", "js", "css"];
    let mut files = Vec::new();
    for dir in ["crates", "xtask", "proto", "docs", "deploy"] {
        files.extend(files_below(&root.join(dir), &text)?);
    }
    files.push(root.join("README.md"));
    files.retain(|path| path.is_file());
    Ok(files.iter().filter_map(|path| path.strip_prefix(root).ok().map(Path::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        // Not by `unwrap`: a backtrace would bury the list.
        if let Err(problems) = super::check() {
            panic!("{problems}");
        }
    }
}
