//! The format of a job file, as it is written. `docs/guides/job-files.md` describes it for those who write one.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) job: Header,
    #[serde(default)]
    pub(super) params: BTreeMap<String, Scalar>,
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
}

/// `[[task]]`: one task, or as many as its source has items.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) for_each: Option<ForEach>,
    pub(super) reduce: Option<Reduce>,
    #[serde(default)]
    pub(super) inputs: Vec<String>,

    pub(super) command: Option<Vec<String>>,
    pub(super) stdin: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) ok_exit: Vec<i32>,

    pub(super) function: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<Scalar>,

    #[serde(default)]
    pub(super) resources: BTreeMap<String, Scalar>,
    #[serde(default)]
    pub(super) retries: u32,
    pub(super) backoff: Option<String>,
    pub(super) timeout: Option<String>,
    #[serde(default)]
    pub(super) priority: i32,
}

/// Where the items come from of which each makes a task.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ForEach {
    /// Files that match.
    Glob(String),
    /// Lines of a file; blank ones are passed over.
    Lines(String),
    /// These.
    List(Vec<Scalar>),
    /// Whole numbers.
    Range(Range),
    /// The tasks of another table, each of which is its task's input.
    Task(String),
}

/// Whole numbers, the last one included.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    pub(super) from: Scalar,
    pub(super) to: Scalar,
    pub(super) step: Option<Scalar>,
}

/// A tree of tasks that brings many outputs together into one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reduce {
    pub(super) from: String,
    #[serde(default = "default_fan_in")]
    pub(super) fan_in: u32,
}

/// How many inputs a task of a tree takes unless it says.
fn default_fan_in() -> u32 {
    8
}

/// `[output]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Output {
    pub(super) show: Option<OneOrMany>,
}

/// One name, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "the name of a task, or a list of names")]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// A text, a number or a truth value.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged, expecting = "a text, a number, or true or false")]
pub(super) enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

impl Scalar {
    /// What it is, as errors say it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
        }
    }

    /// Reads a text as something of the same kind.
    pub(super) fn like(&self, text: &str) -> Option<Self> {
        Some(match self {
            Self::Bool(_) => Self::Bool(text.parse().ok()?),
            Self::Int(_) => Self::Int(text.parse().ok()?),
            Self::Float(_) => {
                Self::Float(text.parse().ok().filter(|number: &f64| number.is_finite())?)
            }
            Self::Text(_) => Self::Text(text.to_owned()),
        })
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}
