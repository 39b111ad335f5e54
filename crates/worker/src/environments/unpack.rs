//! Unpacks an archive of an environment, which may have been made by anybody.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};

use bireme_core::limits;
use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

/// The first bytes of an archive.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why an archive is not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error("it cannot be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("`{0}` lies outside of it")]
    Outside(String),
    #[error("`{0}` links to `{1}`, outside of it")]
    LinksOut(String, String),
    #[error("`{0}` is no file, directory or link")]
    Special(String),
    #[error("it has more than {} files", limits::ENVIRONMENT_FILES)]
    TooManyFiles,
    #[error("it unpacks to more than {} bytes", limits::ENVIRONMENT_UNPACKED_BYTES)]
    TooLarge,
}

/// Whether a file looks like an archive.
pub(super) fn is_archive(path: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?.take(GZIP.len() as u64).read_to_end(&mut first)?;
    Ok(first == GZIP)
}

/// Unpacks an archive into a directory that is there. Nothing is written outside of it, whatever the archive says.
///
/// Links by which `venv-pack` says where an interpreter was on the machine that packed are left out: whoever adopts the
/// environment makes others.
pub(super) fn unpack(archive: impl Read, into: &Path) -> Result<(), UnpackError> {
    let archive = BufReader::with_capacity(limits::STORE_CHUNK_BYTES, archive);
    let mut archive = Archive::new(MultiGzDecoder::new(archive));
    archive.set_unpack_xattrs(false);
    let (mut files, mut bytes) = (0, 0_u64);
    for entry in archive.entries()? {
        let mut entry = entry?;
        files += 1;
        bytes = bytes.saturating_add(entry.size());
        if files > limits::ENVIRONMENT_FILES {
            return Err(UnpackError::TooManyFiles);
        }
        if bytes > limits::ENVIRONMENT_UNPACKED_BYTES {
            return Err(UnpackError::TooLarge);
        }
        if is_wanted(&entry)? && !entry.unpack_in(into)? {
            return Err(UnpackError::Outside(shown(&entry)));
        }
    }
    Ok(())
}

/// Whether an entry is to be unpacked, if it may be.
fn is_wanted(entry: &Entry<'_, impl Read>) -> Result<bool, UnpackError> {
    let path = entry.path()?;
    let is_inside = |component| matches!(component, Component::Normal(_) | Component::CurDir);
    if !path.components().all(is_inside) {
        return Err(UnpackError::Outside(shown(entry)));
    }
    match entry.header().entry_type() {
        EntryType::XGlobalHeader => Ok(false),
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => Ok(true),
        EntryType::Symlink => {
            let target = entry.link_name()?.unwrap_or_default();
            if target.is_absolute() && is_interpreter(&path) {
                return Ok(false);
            }
            if leads_out(&path, &target) {
                return Err(UnpackError::LinksOut(shown(entry), target.display().to_string()));
            }
            Ok(true)
        }
        EntryType::Link => {
            let target = entry.link_name()?.unwrap_or_default();
            if target.components().all(is_inside) {
                return Ok(true);
            }
            Err(UnpackError::LinksOut(shown(entry), target.display().to_string()))
        }
        _ => Err(UnpackError::Special(shown(entry))),
    }
}

/// Whether a path is one at which environments have their interpreter.
fn is_interpreter(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let directory = path.parent().and_then(Path::file_name);
    directory.is_some_and(|name| name == "bin")
        && name.is_some_and(|name| name.starts_with("python"))
}

/// Whether a link at `path` may lead out of the directory that `path` is in. Only at its beginning a target may go up: what
/// comes after a name may be a link itself, and up from there is elsewhere.
fn leads_out(path: &Path, target: &Path) -> bool {
    let depth = path.components().filter(|it| matches!(it, Component::Normal(_))).count();
    let mut parts = target.components().filter(|it| *it != Component::CurDir).peekable();
    let mut up = 0;
    while parts.next_if_eq(&Component::ParentDir).is_some() {
        up += 1;
    }
    up >= depth || !parts.all(|part| matches!(part, Component::Normal(_)))
}

fn shown(entry: &Entry<'_, impl Read>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    type Archived = Builder<GzEncoder<Vec<u8>>>;

    fn add(archive: &mut Archived, kind: EntryType, path: &str, link: &str, bytes: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        // As they are: the library would refuse to write what must not be read.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        let place = &mut header.as_old_mut().linkname;
        place[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        archive.append(&header, bytes).unwrap();
    }

    fn archive(entries: &[(EntryType, &str, &str, &str)]) -> Vec<u8> {
        let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (kind, path, link, text) in entries {
            add(&mut archive, *kind, path, link, text.as_bytes());
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    const FILE: EntryType = EntryType::Regular;
    const LINK: EntryType = EntryType::Symlink;

    #[test]
    fn what_is_packed_is_unpacked_but_for_foreign_interpreters() {
        let directory = tempfile::tempdir().unwrap();
        let packed = archive(&[
            (EntryType::Directory, "bin/", "", ""),
            (FILE, "./bin/tool", "", "run"),
            (LINK, "bin/python3", "python", ""),
            (LINK, "bin/python", "/usr/bin/python3.11", ""),
            (EntryType::Link, "bin/twin", "bin/tool", ""),
            (FILE, "lib/python3.11/site-packages/one.py", "", "x = 1"),
            (LINK, "lib64", "lib", ""),
            (LINK, "lib/python3.11/two.py", "../python3.11/site-packages/one.py", ""),
        ]);
        unpack(&*packed, directory.path()).unwrap();
        let text = |path: &str| fs::read_to_string(directory.path().join(path)).unwrap();
        assert_eq!((text("bin/tool"), text("bin/twin")), ("run".to_owned(), "run".to_owned()));
        assert_eq!(text("lib64/python3.11/two.py"), "x = 1");
        assert!(!directory.path().join("bin/python").exists());
    }

    #[test]
    fn nothing_leads_out() {
        for (bad, says) in [
            (vec![(FILE, "../x", "", "x")], "`../x` lies outside"),
            (vec![(FILE, "a/../../x", "", "x")], "lies outside"),
            (vec![(FILE, "/x", "", "x")], "`/x` lies outside"),
            (vec![(LINK, "lib/x", "/etc", "")], "links to `/etc`"),
            (vec![(LINK, "lib/x", "../../etc", "")], "links to `../../etc`"),
            (vec![(LINK, "x", "a/../../etc", "")], "outside"),
            (vec![(EntryType::Link, "x", "../etc/passwd", "")], "outside"),
            (vec![(EntryType::Fifo, "x", "", "")], "is no file"),
            (vec![(EntryType::Char, "x", "", "")], "is no file"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let into = directory.path().join("within");
            fs::create_dir(&into).unwrap();
            let error = unpack(&*archive(&bad), &into).unwrap_err().to_string();
            assert!(error.contains(says), "{bad:?}: {error}");
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "{bad:?}");
        }
    }

    #[test]
    fn an_archive_is_told_from_requirements() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("wanted");
        for (bytes, says) in [(&archive(&[])[..], true), (b"numpy\n", false), (b"", false)] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(is_archive(&path).unwrap(), says);
        }
    }

    #[test]
    fn what_is_cut_or_no_archive_is_said_to_be() {
        let directory = tempfile::tempdir().unwrap();
        let packed = archive(&[(FILE, "one", "", "1")]);
        assert!(unpack(&packed[..packed.len() / 2], directory.path()).is_err());
        assert!(unpack(&b"\x1f\x8bnothing of the kind"[..], directory.path()).is_err());
    }
}
