//! `bireme result get`

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use bireme_client::{Admin, Found, TaskName, TaskQuery};
use bireme_core::graph::TaskState;
use bireme_core::id::GraphId;
use bireme_core::{Span, Value, limits};
use serde_json::json;

use super::interrupt::unless_interrupted;
use super::{admin, graph, task, tasks, value, with};
use crate::args::{Format, Global, ResultGet, Results, TaskArg};
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn run(global: &Global, command: Results) -> Result<Exit, Failure> {
    let Results::Get(args) = command;
    let admin = admin(global).await?;
    let asked = match args.graph {
        Some(graph) => kept(&admin, graph).await?,
        None => args.tasks.clone(),
    };
    let place = Place::of(&args, asked.len())?;
    let got = get(global.output, &admin, &asked, &args, &place);
    let ended = unless_interrupted(got, "interrupted: the tasks go on").await?;
    Ok(ended.map_or(Exit::Interrupted, |()| Exit::Done))
}

/// The finished tasks of a graph whose outputs are kept.
async fn kept(admin: &Admin, graph: GraphId) -> Result<Vec<TaskArg>, Failure> {
    admin.graph(graph).await.map_err(graph::refused(graph))?;
    let states = vec![TaskState::Finished];
    let query = TaskQuery { graph: Some(graph), states, ..TaskQuery::default() };
    let (found, _) = tasks::list(admin, query, 0).await?;
    let mut kept = Vec::new();
    for task in found {
        let details = admin.task(task.task).await?;
        if !details.outputs.is_empty() {
            kept.push(format!("{graph}/{}", task.key).parse().map_err(Failure::bad_input)?);
        }
    }
    if kept.is_empty() {
        Err(Failure::work(format!("graph {graph} keeps no output of a finished task")))
    } else {
        Ok(kept)
    }
}

/// Where outputs go.
#[derive(Debug, Eq, PartialEq)]
enum Place {
    Stdout { only_text: bool },
    File(PathBuf),
    Directory(PathBuf),
}

impl Place {
    fn of(args: &ResultGet, count: usize) -> Result<Self, Failure> {
        let Some(to) = &args.to else {
            let only_text = io::stdout().is_terminal() && !args.force;
            return Ok(Self::Stdout { only_text });
        };
        let is_directory = to.is_dir() || to.to_string_lossy().ends_with('/');
        if is_directory || (args.graph.is_some() && !to.exists()) {
            std::fs::create_dir_all(to).map_err(|error| cannot_write(to, &error))?;
            return Ok(Self::Directory(to.clone()));
        }
        match count {
            1 => Ok(Self::File(to.clone())),
            _ => Err(Failure::bad_input(format!(
                "{} is a file, and there are {count} outputs: name a directory",
                to.display()
            ))),
        }
    }
}

async fn get(
    format: Format,
    admin: &Admin,
    asked: &[TaskArg],
    args: &ResultGet,
    place: &Place,
) -> Result<(), Failure> {
    for task in asked {
        let value = one(admin, task, args.number, args.wait).await?;
        let problem = || Failure::work(format!("the bytes of {task} are elsewhere"));
        let bytes = value.bytes().ok_or_else(problem)?;
        let shown = match format {
            Format::Json => {
                let named = json!({ "task": task.to_string(), "output": args.number });
                format!("{}\n", with(named, value::json(&value, &bytes))).into()
            }
            Format::Text => bytes,
        };
        match place {
            Place::Stdout { only_text: true } if !value::is_text(&shown) => {
                return Err(Failure::bad_input(format!(
                    "the output of {task} is no text ({}, {} bytes): write it to a file by -o, or to the terminal by --force",
                    value.codec.name(),
                    shown.len()
                )));
            }
            Place::Stdout { .. } => output::bytes(&shown)?,
            Place::File(path) => write(path, &shown)?,
            Place::Directory(dir) => write(&dir.join(file_name(task, &shown_key(task))), &shown)?,
        }
    }
    Ok(())
}

/// Brings an output of a task.
async fn one(admin: &Admin, task: &TaskArg, number: u16, wait: bool) -> Result<Value, Failure> {
    let max_wait = if wait { limits::MAX_WAIT } else { Span::ZERO };
    loop {
        let found = admin.result(task.name.clone(), number, max_wait).await;
        match found.map_err(task::refused(task))? {
            Found::Value(value) => return Ok(*value),
            Found::Placed(location) => {
                let fetched = admin.fetch(&location).await;
                return fetched.map_err(|refused| Failure::work(refused.message));
            }
            Found::Pending(_) if wait => {}
            Found::Pending(state) => {
                let state = state.map_or("not done", TaskState::name);
                let message = format!("task {task} is {state}: wait for its output by --wait");
                return Err(Failure::work(message));
            }
            Found::Failed(state, error) => {
                let why = error.map_or_else(String::new, |error| format!(": {error}"));
                return Err(Failure::work(format!("task {task} has {}{why}", ended(state))));
            }
        }
    }
}

fn ended(state: TaskState) -> &'static str {
    if state == TaskState::Cancelled { "been cancelled" } else { "failed" }
}

fn shown_key(task: &TaskArg) -> String {
    match &task.name {
        TaskName::Id(id) => id.index.to_string(),
        TaskName::Key(_, key) => key.clone(),
    }
}

/// A key as the name of a file in a directory.
fn file_name(task: &TaskArg, key: &str) -> String {
    let name = key.replace('/', "_");
    // These are directories.
    if matches!(name.as_str(), "" | "." | "..") { task.to_string().replace('/', "_") } else { name }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::work(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leaves_the_directory() {
        let named = |text: &str| {
            let task = text.parse().unwrap();
            file_name(&task, &shown_key(&task))
        };
        assert_eq!(named("7.1/fit[3]"), "fit[3]");
        assert_eq!(named("7.1/../../etc/passwd"), ".._.._etc_passwd");
        assert_eq!(named("7.1/.."), "7.1_..");
        assert_eq!(named("7.1/3"), "3");
    }
}
