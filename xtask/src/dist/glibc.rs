//! The oldest C library that a program runs with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// What versions of symbols begin with.
const PREFIX: &[u8] = b"GLIBC_";

/// The least version of the C library that has all that the programs ask for, such as `2.34`.
pub(crate) fn required(programs: &[PathBuf]) -> Result<String> {
    let versions = programs.iter().map(|program| newest(program));
    let newest = versions.collect::<Result<Vec<_>>>()?.into_iter().max();
    let (major, minor) = newest.context("there are no programs")?;
    Ok(format!("{major}.{minor}"))
}

/// The newest version that a program asks for.
fn newest(program: &Path) -> Result<(u32, u32)> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let versions = bytes.windows(PREFIX.len()).enumerate().filter(|(_, it)| *it == PREFIX);
    let versions = versions.filter_map(|(at, _)| version(bytes.get(at + PREFIX.len()..)?));
    versions.max().with_context(|| format!("{} names no C library", program.display()))
}

/// The first two numbers of `2.34` or `2.2.5`, up to the first byte that is neither digit nor dot.
fn version(bytes: &[u8]) -> Option<(u32, u32)> {
    let end = bytes.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
    let mut numbers = std::str::from_utf8(bytes.get(..end)?).ok()?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_symbol_counts() {
        let dir = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let old = program("old", "\0GLIBC_2.2.5\0GLIBC_2.9\0GLIBC_PRIVATE\0");
        let new = program("new", "\0GLIBC_2.34\0");
        assert_eq!(required(&[old, new]).unwrap(), "2.34");
        assert!(required(&[program("none", "static")]).is_err());
    }
}
