//! How graphs, tasks and workers are named.

use std::fmt;
use std::str::FromStr;

use bireme_client::{TaskName, WorkerName};
use bireme_core::graph::TaskState;
use bireme_core::id::WorkerId;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// A task as it is typed: `GRAPH/KEY` or `GRAPH/INDEX`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TaskArg {
    text: String,
    pub(crate) name: TaskName,
}

/// A worker as it is typed: its name, or its number such as `w3`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct WorkerArg {
    text: String,
    pub(crate) name: WorkerName,
}

impl FromStr for TaskArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.parse().map_err(|_| {
            format!("`{text}` names no task: write GRAPH/KEY or GRAPH/INDEX, such as 7.1/fit[3]")
        })?;
        Ok(Self { text: text.to_owned(), name })
    }
}

impl FromStr for WorkerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a worker has a name: `bireme workers` lists them".to_owned());
        }
        let number = text.strip_prefix('w').and_then(|digits| digits.parse().ok());
        let name = number.map_or_else(|| WorkerName::from(text), |n| WorkerId(n).into());
        Ok(Self { text: text.to_owned(), name })
    }
}

impl fmt::Display for TaskArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for WorkerArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads the name of a task's state, and has help list them all.
pub(super) fn task_state() -> impl TypedValueParser<Value = TaskState> {
    PossibleValuesParser::new(TaskState::ALL.map(TaskState::name)).map(|name| {
        let known = TaskState::ALL.into_iter().find(|state| state.name() == name);
        known.expect("the parser knows no other names")
    })
}

#[cfg(test)]
mod tests {
    use bireme_core::id::{GraphId, SessionId, TaskId};

    use super::*;

    #[test]
    fn a_task_is_named_by_key_or_by_index() {
        let graph = GraphId::new(SessionId(7), 1);
        let named = |text: &str| text.parse::<TaskArg>().map(|task| task.name);
        assert_eq!(named("7.1/3"), Ok(TaskName::Id(TaskId { graph, index: 3 })));
        assert_eq!(named("7.1/a/b[2]"), Ok(TaskName::Key(graph, "a/b[2]".into())));
        assert!(named("fit[3]").unwrap_err().contains("`fit[3]` names no task"));
    }

    #[test]
    fn a_worker_is_named_by_name_or_by_number() {
        let named = |text: &str| text.parse::<WorkerArg>().unwrap().name;
        assert_eq!(named("w12"), WorkerName::Id(WorkerId(12)));
        assert_eq!(named("west-1"), WorkerName::Name("west-1".into()));
    }
}
