//! Job files: work written down as TOML, and what becomes of it.
//!
//! [`mod@file`] is the format as it is written, [`template`] the placeholders in its texts, [`expand()`] turns it into a graph.
//! Expansion is pure: what must be looked up, such as the files that a glob matches, comes in through [`Files`]. All of a
//! job is judged before any of it is submitted.

mod class;
mod disk;
mod expand;
mod file;
mod input;
mod item;
mod order;
mod payload;
mod save;
mod source;
mod template;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use disk::Disk;
pub(crate) use expand::{Plan, Shown, Table, expand};
pub(crate) use save::Saved;

/// What is looked up while a job is expanded.
pub(crate) trait Files {
    /// Absolute paths of the regular files that match, sorted.
    fn glob(&self, pattern: &str) -> Result<Vec<String>, String>;
    /// What is in a file.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// The same as text.
    fn text(&self, path: &str) -> Result<String, String> {
        String::from_utf8(self.read(path)?)
            .map_err(|error| format!("`{path}` is no UTF-8: {error}"))
    }
}

/// Where a job comes from, and with which parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The job file.
    pub(crate) path: PathBuf,
    /// Absolute path of its directory.
    pub(crate) dir: String,
    /// Parameters given besides the file: name and text.
    pub(crate) params: Vec<(String, String)>,
}

/// A job that cannot be run as it is written: which file, where in it, what is wrong and what would be right.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {place}{problem}", path.display())]
pub(crate) struct JobError {
    path: PathBuf,
    place: Place,
    problem: String,
}

/// A place in a job file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    /// The table; empty is the whole file.
    table: String,
    /// The key; empty is the whole table.
    key: String,
}

/// What is wrong and what would be right, with the place in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    place: Place,
    text: String,
}

/// Reads a job file from disk and expands it.
pub(crate) fn load(path: &Path, params: Vec<(String, String)>) -> Result<Plan, JobError> {
    let fail =
        |problem: String| JobError { path: path.to_owned(), place: Place::default(), problem };
    let text = std::fs::read_to_string(path)
        .map_err(|error| fail(format!("cannot read the job file: {error}")))?;
    let absolute = std::path::absolute(path).map_err(|error| fail(error.to_string()))?;
    let dir = absolute.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
    let origin = Origin { path: path.to_owned(), dir, params };
    expand(&text, &origin, &Disk)
}

impl Problem {
    /// A problem with a key of a table.
    fn at(table: impl Into<String>, key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: Place { table: table.into(), key: key.into() }, text: text.into() }
    }

    fn in_file(self, path: &Path) -> JobError {
        JobError { path: path.to_owned(), place: self.place, problem: self.text }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.table.as_str(), self.key.as_str()) {
            ("", _) => Ok(()),
            (table, "") => write!(f, "{table}: "),
            (table, key) => write!(f, "{table}, key `{key}`: "),
        }
    }
}

/// The name most like `given`, as a hint to add to an error, or else all there are.
fn nearest<'a>(given: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let best = names
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(given, name), name))
        .filter(|(likeness, _)| *likeness > 0.6)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there are none".to_owned(),
        None => format!("there are `{}`", names.join("`, `")),
    }
}
