//! The access file: by it clients and workers of the same user find a scheduler, and prove that they are that user.
//!
//! It holds a token, so it is written readable by its owner alone, and one that anybody else can read or could have put
//! there is not believed.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::{fmt, process};

use bireme_core::id::ClusterId;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// The variable that names the file in place of [`default_path`].
pub const VARIABLE: &str = "BIREME_ACCESS_FILE";

/// Longest file that is read, in bytes.
const FILE_BYTES: u64 = 64 << 10;

/// How to reach a scheduler, and the right to do so.
#[derive(Clone, Eq, PartialEq)]
pub struct Access {
    /// Where it listens: `http://127.0.0.1:9700`.
    pub address: String,
    /// Its cluster.
    pub cluster: ClusterId,
    /// For `authorization: Bearer`.
    pub token: String,
    /// Where its pages for people are, if it has any.
    pub http: Option<String>,
}

/// Without the token: what is printed ends up in logs.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, cluster, token: _, http } = self;
        f.debug_struct("Access")
            .field("address", address)
            .field("cluster", cluster)
            .field("http", http)
            .finish_non_exhaustive()
    }
}

/// Why an access file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is none.
    #[error(
        "no access file at {path}: is the scheduler running, as this user? otherwise name the file or give address and token"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others than the owner can read it, so the token in it is no secret.
    #[error(
        "{path} has mode {mode:04o}, so others can read the token in it: chmod 600 {path}, and issue a new token"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else owns it or the directory it is in, and may have put anything there.
    #[error("{path} belongs to user {owner}, not to user {user}: name another access file")]
    Owner {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Others can put files of their own into the directory.
    #[error(
        "directory {path} has mode {mode:04o}, so others can put files there: chmod 700 {path}"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not say what an access file says.
    #[error("{path} is not an access file: {problem}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The file as it is written.
#[derive(Deserialize, Serialize)]
struct Text {
    address: String,
    cluster: String,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<String>,
}

/// Where the file is unless somebody says otherwise: `bireme/access.toml` in `XDG_RUNTIME_DIR`, or
/// `/tmp/bireme-UID/access.toml` where that is not set. `env` looks up a variable.
pub fn default_path(env: impl Fn(&str) -> Option<String>) -> PathBuf {
    match env("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("bireme/access.toml"),
        None => PathBuf::from(format!("/tmp/bireme-{}/access.toml", user())),
    }
}

/// Reads an access file that belongs to this user and that nobody else can read.
pub fn read(path: &Path) -> Result<Access, AccessError> {
    // A pipe in its place must not keep us waiting.
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(nonblock).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(AccessError::Missing { path: path.to_owned() });
        }
        file => file.map_err(failed("open", path))?,
    };
    // Of the opened file, so that it cannot be exchanged in between.
    let metadata = file.metadata().map_err(failed("look at", path))?;
    check_file(path, &metadata)?;
    let mut text = String::new();
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(failed("read", path))?;
    parse(&text).map_err(|problem| AccessError::Malformed { path: path.to_owned(), problem })
}

fn check_file(path: &Path, metadata: &Metadata) -> Result<(), AccessError> {
    if !metadata.is_file() {
        let problem = "it is no regular file".to_owned();
        return Err(AccessError::Malformed { path: path.to_owned(), problem });
    }
    if metadata.uid() != user() {
        return Err(AccessError::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user: user(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(AccessError::Open { path: path.to_owned(), mode });
    }
    Ok(())
}

fn parse(text: &str) -> Result<Access, String> {
    let Text { address, cluster, token, http } = toml::from_str(text)
        // The rest of the error shows the line, which may be the one with the token.
        .map_err(|error| error.message().to_owned())?;
    let number = u128::from_str_radix(&cluster, 16).ok().filter(|_| cluster.len() == 32);
    let cluster = ClusterId(
        number.ok_or_else(|| format!("cluster {cluster:?} is not 32 hexadecimal digits"))?,
    );
    if address.is_empty() || token.is_empty() {
        return Err("address and token must not be empty".to_owned());
    }
    Ok(Access { address, cluster, token, http })
}

/// Writes an access file, whole or not at all. Makes its directory if there is none.
pub fn write(path: &Path, access: &Access) -> Result<(), AccessError> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !directory.exists() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory).map_err(failed("make", directory))?;
    }
    check_directory(directory)?;
    let text = Text {
        address: access.address.clone(),
        cluster: access.cluster.to_string(),
        token: access.token.clone(),
        http: access.http.clone(),
    };
    let text = toml::to_string(&text).expect("strings can be written as TOML");
    let unfinished = directory.join(format!(".access-{}.tmp", process::id()));
    // Left behind by a process of the same number that died while it wrote.
    let _ = fs::remove_file(&unfinished);
    let written = create(&unfinished)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        failed("write", path)(error)
    })
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Somebody else's directory, or one that others write to, is no place for a file that tells where to send a token. In a
/// directory such as `/tmp`, nobody can touch the files of another.
fn check_directory(path: &Path) -> Result<(), AccessError> {
    let metadata = fs::metadata(path).map_err(failed("look at", path))?;
    let owner = metadata.uid();
    if owner != user() && owner != 0 {
        return Err(AccessError::Owner { path: path.to_owned(), owner, user: user() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(AccessError::Directory { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Removes an access file if it still holds what this process wrote. Says whether it did.
pub fn remove_if_mine(path: &Path, access: &Access) -> Result<bool, AccessError> {
    match read(path) {
        Ok(found) if found == *access => {
            fs::remove_file(path).map_err(failed("remove", path))?;
            Ok(true)
        }
        Ok(_) | Err(AccessError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AccessError {
    let path = path.to_owned();
    move |source| AccessError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
