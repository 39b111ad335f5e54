//! The format of a job file, as it is written. `docs/guides/job-files.md` describes it for those who write one, and
//! `docs/reference/job.schema.json` for their editors.

mod scalar;
mod task;

use std::collections::BTreeMap;

use serde::Deserialize;

pub(super) use scalar::{OneOrMany, Scalar};
pub(super) use task::{Content, ForEach, Local, OnWorkerLost, Range, Reduce, Task};

use task::Common;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) job: Header,
    #[serde(default)]
    pub(super) params: BTreeMap<String, Scalar>,
    #[serde(default)]
    defaults: Common,
    #[serde(default, rename = "task")]
    pub(super) tasks: Vec<Task>,
    #[serde(default)]
    pub(super) output: Output,
}

/// `[job]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) priority: i32,
    pub(super) max_failures: Option<u32>,
}

/// `[output]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Output {
    pub(super) show: Option<OneOrMany>,
}

impl File {
    /// Reads a file; what its tasks leave open is as `[defaults]` says. The error shows the line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut file: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let (of_commands, of_functions) = (&file.defaults, file.defaults.without_process());
        for task in &mut file.tasks {
            let is_function = task.function.is_some();
            task.take(if is_function { &of_functions } else { of_commands });
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
