//! The files of this machine.

use std::path::Path;

use super::Files;

/// Looks things up on disk. Paths are relative to the current directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk;

impl Files for Disk {
    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        // A command runs elsewhere: what it is given must be absolute.
        let absolute =
            std::path::absolute(pattern).map_err(|error| format!("`{pattern}`: {error}"))?;
        let paths = glob::glob(&absolute.to_string_lossy())
            .map_err(|error| format!("`{pattern}` is no pattern: {error}"))?;
        let mut found = Vec::new();
        for path in paths {
            let path = path.map_err(|error| format!("`{pattern}`: {error}"))?;
            if path.is_file() {
                found.push(text(&path)?);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| format!("cannot read `{path}`: {error}"))
    }
}

fn text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        format!("`{}` is not UTF-8 and cannot be an argument; rename the file", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_finds_files_and_links_to_files_in_order_and_no_directories() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("b"), "1\n\n2\n").unwrap();
        std::fs::write(at("a"), "").unwrap();
        std::fs::create_dir(at("c")).unwrap();
        std::os::unix::fs::symlink("b", at("d")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("e")).unwrap();
        let found = Disk.glob(at("*").to_str().unwrap()).unwrap();
        assert_eq!(found, ["a", "b", "d"].map(|name| at(name).to_str().unwrap().to_owned()));
        assert_eq!(Disk.text(at("b").to_str().unwrap()).unwrap(), "1\n\n2\n");
        assert!(Disk.text(at("x").to_str().unwrap()).unwrap_err().contains("cannot read"));
        std::fs::write(at("b"), [0xff]).unwrap();
        assert!(Disk.text(at("b").to_str().unwrap()).unwrap_err().contains("is no UTF-8"));
        assert!(Disk.glob("a/[").unwrap_err().contains("is no pattern"));
    }
}
