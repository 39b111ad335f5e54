//! Which outputs are written to files where the job was submitted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::file::Task;
use super::payload::KeyProblem;
use super::template::Scope;

/// An output that is written to a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Saved {
    /// The task.
    pub(crate) task: u32,
    /// Which of its outputs.
    pub(crate) output: u16,
    /// The file, relative to the current directory.
    pub(crate) path: PathBuf,
}

/// What a job saves so far: each file is written once.
#[derive(Debug, Default)]
pub(super) struct Saves(BTreeMap<PathBuf, (u32, u16)>);

impl Saves {
    /// Takes in what a task of a table saves.
    pub(super) fn add(
        &mut self,
        table: &Task,
        task: u32,
        scope: &Scope<'_>,
    ) -> Result<(), KeyProblem> {
        let Some(save) = &table.save else { return Ok(()) };
        let (paths, outputs) = (save.as_slice(), table.outputs.len().max(1));
        if paths.len() != outputs {
            let text = format!("{} paths for {outputs} outputs; name a path for each", paths.len());
            return Err(("save", text));
        }
        for (output, text) in (0..).zip(paths) {
            let path = scope.text(text).map_err(|text| ("save", text))?;
            if path.is_empty() || path.ends_with('/') {
                return Err(("save", format!("`{path}` does not end in the name of a file")));
            }
            if self.0.insert(PathBuf::from(&path), (task, output)).is_some() {
                let text = format!(
                    "`{path}` is saved twice; tell paths apart by `{{index}}` or `{{item.stem}}`"
                );
                return Err(("save", text));
            }
        }
        Ok(())
    }

    pub(super) fn into_vec(self) -> Vec<Saved> {
        let saved = |(path, (task, output))| Saved { task, output, path };
        self.0.into_iter().map(saved).collect()
    }
}
