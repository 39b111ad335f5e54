//! Access files on a real file system: modes, owners and what is written there.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn access() -> Access {
    Access {
        address: "http://127.0.0.1:9700".to_owned(),
        cluster: ClusterId(0x0123_4567),
        token: "s3cret".to_owned(),
        http: Some("http://127.0.0.1:9701".to_owned()),
    }
}

/// A path in a directory of our own, which is removed with the guard.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bireme/access.toml");
    (dir, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_written_is_read_and_private() {
    let (_dir, path) = place();
    write(&path, &access()).unwrap();
    assert_eq!(read(&path).unwrap(), access());
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let second = Access { http: None, ..access() };
    write(&path, &second).unwrap();
    assert_eq!(read(&path).unwrap(), second);
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left behind");
}

#[test]
fn a_file_that_others_can_read_is_refused_with_path_mode_and_remedy() {
    let (_dir, path) = place();
    write(&path, &access()).unwrap();
    for open in [0o640, 0o604, 0o620] {
        set_mode(&path, open);
        let error = read(&path).unwrap_err().to_string();
        let expected = format!("{} has mode {open:04o}", path.display());
        assert!(error.starts_with(&expected) && error.contains("chmod 600"), "{error}");
    }
}

#[test]
fn somebody_elses_file_is_refused() {
    let theirs = Path::new("/proc/1/status");
    let metadata = fs::metadata(theirs).unwrap();
    if metadata.uid() == user() {
        // As root there is nobody else's file to be had without making one.
        let (_dir, path) = place();
        write(&path, &access()).unwrap();
        std::os::unix::fs::chown(&path, Some(user() + 1), None).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, AccessError::Owner { .. }), "{error}");
    } else {
        assert!(matches!(check_file(theirs, &metadata), Err(AccessError::Owner { .. })));
    }
}

#[test]
fn a_directory_that_others_write_to_is_refused_unless_it_is_like_tmp() {
    let (_dir, path) = place();
    let directory = path.parent().unwrap();
    write(&path, &access()).unwrap();
    set_mode(directory, 0o777);
    let error = write(&path, &access()).unwrap_err();
    assert!(matches!(error, AccessError::Directory { mode: 0o777, .. }), "{error}");
    set_mode(directory, 0o1777);
    write(&path, &access()).unwrap();
}

#[test]
fn a_missing_file_and_a_directory_in_its_place_are_told_apart() {
    let (dir, path) = place();
    assert!(matches!(read(&path), Err(AccessError::Missing { .. })));
    assert!(matches!(read(dir.path()), Err(AccessError::Malformed { .. })));
}

#[test]
fn what_is_no_access_file_is_refused_without_showing_the_token() {
    let (_dir, path) = place();
    let good = format!("address = 'a'\ncluster = '{:032x}'\ntoken = 't0ken'\n", 1);
    assert_eq!(parse(&good).unwrap().token, "t0ken");
    assert_eq!(parse(&format!("{good}later = 1\n")).unwrap().token, "t0ken");
    for bad in [
        good.replace("address", "adress"),
        good.replace("'t0ken'", "'t0ken"),
        good.replace("'t0ken'", "''"),
        good.replace(&format!("{:032x}", 1), "12"),
        String::new(),
    ] {
        write(&path, &access()).unwrap();
        fs::write(&path, &bad).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, AccessError::Malformed { .. }), "{bad}");
        assert!(!error.to_string().contains("t0ken"), "{error}");
    }
    assert!(!format!("{:?}", access()).contains(&access().token));
}

#[test]
fn only_what_is_still_ours_is_removed() {
    let (_dir, path) = place();
    assert!(!remove_if_mine(&path, &access()).unwrap());
    write(&path, &access()).unwrap();
    let other = Access { token: "another".to_owned(), ..access() };
    assert!(!remove_if_mine(&path, &other).unwrap());
    assert!(remove_if_mine(&path, &access()).unwrap());
    assert!(!path.exists());
}

#[test]
fn the_default_path_follows_the_environment() {
    let env = |value: Option<&str>| {
        let value = value.map(str::to_owned);
        default_path(|name| if name == "XDG_RUNTIME_DIR" { value.clone() } else { None })
    };
    assert_eq!(env(Some("/run/user/7")), Path::new("/run/user/7/bireme/access.toml"));
    let shared = PathBuf::from(format!("/tmp/bireme-{}/access.toml", user()));
    assert_eq!((env(None), env(Some("relative"))), (shared.clone(), shared));
}
