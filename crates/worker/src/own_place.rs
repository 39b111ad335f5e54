//! A directory of the user's own, for what is to outlive a worker that was given none.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::getuid;

/// The user's directory among the temporary files; made, if it is not there. One of somebody else's, or in which others could
/// put what they like, is an error that names it.
pub(crate) fn own_place() -> io::Result<PathBuf> {
    own_place_in(&std::env::temp_dir())
}

fn own_place_in(base: &Path) -> io::Result<PathBuf> {
    let user = getuid().as_raw();
    let path = base.join(format!("bireme-{user}"));
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let text = format!("{} cannot be made: {error}: give --state-dir", path.display());
            return Err(io::Error::new(error.kind(), text));
        }
        _ => (),
    }
    // Not what a link of somebody else's leads to.
    let found = fs::symlink_metadata(&path)?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        let path = path.display();
        let text = format!(
            "{path} is not a directory that only user {user} can change: remove it, or give --state-dir"
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_made_once_and_found_again() {
        let base = tempfile::tempdir().unwrap();
        let made = own_place_in(base.path()).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().mode() & 0o777, 0o700);
        assert_eq!(own_place_in(base.path()).unwrap(), made);
    }

    #[test]
    fn one_that_cannot_be_made_is_named() {
        let base = tempfile::tempdir().unwrap().path().join("gone");
        let told = own_place_in(&base).unwrap_err().to_string();
        assert!(
            told.contains(&base.display().to_string()) && told.contains("--state-dir"),
            "{told}"
        );
    }

    #[test]
    fn one_that_others_can_change_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let made = own_place_in(base.path()).unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o777)).unwrap();
        let told = own_place_in(base.path()).unwrap_err().to_string();
        assert!(
            told.contains(&made.display().to_string()) && told.contains("--state-dir"),
            "{told}"
        );
        fs::remove_dir(&made).unwrap();
        symlink(base.path(), &made).unwrap();
        own_place_in(base.path()).unwrap_err();
    }
}
