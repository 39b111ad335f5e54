//! The configuration file: a table for each program, keys spelled like its long flags.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::SettingsError;
use super::key::Key;

/// The programs that may have a table.
pub const PROGRAMS: &[&str] = &["client", "scheduler", "worker"];

/// One program's table of a file. The tables of other programs are left for them to judge.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    program: String,
    table: Table,
}

impl File {
    /// Reads the table of `program`; an absent table is an empty one.
    pub(super) fn read(path: &Path, program: &str, keys: &[Key]) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|problem| SettingsError::Unreadable { path: path.to_owned(), problem })?;
        let mut tables: Table = text.parse().map_err(|error: toml::de::Error| {
            SettingsError::Syntax { path: path.to_owned(), problem: error.to_string() }
        })?;
        if let Some(key) = tables.keys().find(|key| !PROGRAMS.contains(&key.as_str())) {
            return Err(SettingsError::UnknownKey {
                path: path.to_owned(),
                key: key.clone(),
                hint: hint(key, PROGRAMS),
            });
        }
        let table = match tables.remove(program) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                return Err(SettingsError::Value {
                    origin: format!("{}: {program}", path.display()),
                    problem: format!("expected a table, `[{program}]`, found {}", kind(&other)),
                });
            }
        };
        let file = Self { path: path.to_owned(), program: program.to_owned(), table };
        file.refuse_unknown(keys)?;
        Ok(file)
    }

    /// The path by which the file was named.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of a setting.
    pub(super) fn value(&self, key: &Key) -> Option<&Value> {
        self.table.get(&key.name)
    }

    /// What an error about a setting begins with.
    pub(super) fn place(&self, key: &Key) -> String {
        format!("{}: {}.{}", self.path.display(), self.program, key.name)
    }

    fn refuse_unknown(&self, keys: &[Key]) -> Result<(), SettingsError> {
        let known: Vec<_> =
            keys.iter().filter(|key| key.in_file()).map(|key| key.name.as_str()).collect();
        let Some(key) = self.table.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        Err(SettingsError::UnknownKey {
            path: self.path.clone(),
            key: format!("{}.{key}", self.program),
            hint: hint(key, &known),
        })
    }
}

/// What a value is called in an error.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// Names the known key that `key` was probably meant to be, or else all of them.
fn hint(key: &str, known: &[&str]) -> String {
    let distance = |name: &str| strsim::damerau_levenshtein(key, name);
    match known.iter().min_by_key(|name| distance(name)) {
        Some(nearest) if distance(nearest) * 2 <= key.chars().count() => {
            format!("did you mean `{nearest}`?")
        }
        _ => format!("known are {}", known.join(", ")),
    }
}
