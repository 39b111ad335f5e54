//! What tasks printed, written where the submission came from.

use std::collections::BTreeSet;
use std::path::Path;

use bireme_client::{Graph, ResultError};
use serde_json::json;

use super::row::Row;
use crate::args::Format;
use crate::cmd::value;
use crate::exit::Failure;
use crate::output;

/// Where what each task prints goes.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Printed {
    /// To standard output, one after the other.
    Stdout { tasks: u32 },
    /// To a file each.
    Files(Vec<String>),
}

impl Printed {
    /// Each task must have a file of its own.
    pub(super) fn new(path: &str, rows: Option<&[Row]>) -> Result<Self, Failure> {
        let tasks = rows.map_or(1, <[Row]>::len);
        if path == "-" {
            return Ok(Self::Stdout { tasks: u32::try_from(tasks).unwrap_or(u32::MAX) });
        }
        let files: Vec<_> = match rows {
            None => vec![path.to_owned()],
            Some(rows) => rows.iter().map(|row| row.fill(path)).collect(),
        };
        let mut seen = BTreeSet::new();
        match files.iter().find(|file| !seen.insert(file.as_str())) {
            Some(twice) => Err(Failure::bad_input(format!(
                "several tasks would be written to {twice}: put {{row}} into --stdout, as in {path}.{{row}}"
            ))),
            None => Ok(Self::Files(files)),
        }
    }

    pub(super) fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout { .. })
    }

    /// Writes what the tasks printed that finished.
    pub(super) async fn write(&self, format: Format, graph: &Graph) -> Result<(), Failure> {
        let (tasks, files) = match self {
            Self::Stdout { tasks } => (*tasks, [].as_slice()),
            Self::Files(files) => {
                (u32::try_from(files.len()).unwrap_or(u32::MAX), files.as_slice())
            }
        };
        for task in 0..tasks {
            let value = match graph.result(task).await {
                Ok(value) => value,
                // It was told of, with the others that failed.
                Err(ResultError::Task { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let elsewhere = || Failure::work(format!("the bytes of task {task} are elsewhere"));
            let bytes = value.bytes().ok_or_else(elsewhere)?;
            match (files.get(task as usize), format) {
                (Some(file), _) => write(Path::new(file), &bytes)?,
                (None, Format::Text) => output::bytes(&bytes)?,
                (None, Format::Json) => {
                    let json = value::json(&value, &bytes);
                    output::json_line(&json!({ "task": task, "printed": json }))?;
                }
            }
        }
        Ok(())
    }
}

/// Writes a file, in a directory that is made as needed.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::write(path, bytes));
    written.map_err(|error| Failure::work(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::super::row::Item;
    use super::*;

    #[test]
    fn each_task_has_a_file_of_its_own() {
        let row = |number| Row { number, item: Item::None };
        let rows = [row(1), row(2)];
        let files = Printed::new("out/{row}.txt", Some(&rows)).unwrap();
        assert_eq!(files, Printed::Files(vec!["out/1.txt".into(), "out/2.txt".into()]));
        let refused = Printed::new("out.txt", Some(&rows)).unwrap_err().to_string();
        assert!(refused.contains("put {row} into --stdout"), "{refused}");
        assert_eq!(Printed::new("-", Some(&rows)).unwrap(), Printed::Stdout { tasks: 2 });
        assert_eq!(Printed::new("o", None).unwrap(), Printed::Files(vec!["o".into()]));
    }
}
