//! `[[task]]`, and `[defaults]` for all of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{OneOrMany, Scalar};

/// Declares the keys that stand in `[defaults]` as well as in a `[[task]]`, once for both.
macro_rules! with_common {
    (
        $(#[$task_meta:meta])* struct $task:ident { $($own:tt)* }
        $(#[$common_meta:meta])* struct $common:ident { $($key:ident: $kind:ty,)* }
        maps { $($map:ident: $map_kind:ty,)* }
    ) => {
        $(#[$task_meta])*
        pub(in super::super) struct $task {
            $($own)*
            $(pub(in super::super) $key: Option<$kind>,)*
            $(#[serde(default)] pub(in super::super) $map: $map_kind,)*
        }

        $(#[$common_meta])*
        pub(super) struct $common {
            $($key: Option<$kind>,)*
            $(#[serde(default)] $map: $map_kind,)*
        }

        impl $task {
            /// Takes from the defaults what the task does not say itself; tables are merged name by name.
            pub(super) fn take(&mut self, defaults: &$common) {
                $(if self.$key.is_none() {
                    self.$key.clone_from(&defaults.$key);
                })*
                $(for (name, value) in &defaults.$map {
                    self.$map.entry(name.clone()).or_insert_with(|| value.clone());
                })*
            }
        }
    };
}

with_common! {
    /// `[[task]]`: one task, or as many as its source has items.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Task {
        pub(in super::super) name: String,
        pub(in super::super) for_each: Option<ForEach>,
        pub(in super::super) reduce: Option<Reduce>,
        #[serde(default)]
        pub(in super::super) inputs: Vec<String>,

        pub(in super::super) command: Option<Vec<String>>,
        pub(in super::super) stdin: Option<String>,
        #[serde(default)]
        pub(in super::super) files: BTreeMap<String, Content>,
        #[serde(default)]
        pub(in super::super) outputs: Vec<String>,
        #[serde(default)]
        pub(in super::super) ok_exit: Vec<i32>,

        pub(in super::super) function: Option<String>,
        #[serde(default)]
        pub(in super::super) args: Vec<Scalar>,

        pub(in super::super) save: Option<OneOrMany>,
        #[serde(default)]
        pub(in super::super) priority: i32,
    }

    /// `[defaults]`
    #[derive(Clone, Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Common {
        cwd: String,
        inherit_env: bool,
        retries: u32,
        max_crashes: u32,
        backoff: String,
        backoff_max: String,
        retry_on: Vec<String>,
        timeout: String,
        workers: Vec<String>,
        on_worker_lost: OnWorkerLost,
    }

    maps {
        env: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
        resources: BTreeMap<String, Scalar>,
    }
}

impl Common {
    /// The same without what is for commands only.
    pub(super) fn without_process(&self) -> Self {
        Self { cwd: None, inherit_env: None, env: BTreeMap::new(), ..self.clone() }
    }
}

/// Where the items come from of which each makes a task.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum ForEach {
    /// Files that match.
    Glob(String),
    /// Lines of a file; blank ones are passed over.
    Lines(String),
    /// These.
    List(Vec<Scalar>),
    /// Whole numbers.
    Range(Range),
    /// Objects of a JSON file: those of its array, or one in each line.
    Rows(String),
    /// The tasks of another table, each of which is its task's input.
    Task(String),
}

/// Whole numbers, the last one included.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Range {
    pub(in super::super) from: Scalar,
    pub(in super::super) to: Scalar,
    pub(in super::super) step: Option<Scalar>,
}

/// A tree of tasks that brings many outputs together into one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Reduce {
    pub(in super::super) from: String,
    #[serde(default = "default_fan_in")]
    pub(in super::super) fan_in: u32,
}

/// How many inputs a task of a tree takes unless it says.
fn default_fan_in() -> u32 {
    8
}

/// What is in a file that a command finds.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or `{ path = \"FILE\" }`")]
pub(in super::super) enum Content {
    /// This, or inputs.
    Text(String),
    /// What is in a file beside the job.
    Local(Local),
}

/// A file where the job is submitted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Local {
    pub(in super::super) path: String,
}

/// What happens to an attempt whose worker is lost.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in super::super) enum OnWorkerLost {
    Fail,
    Rerun,
}
