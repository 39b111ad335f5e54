//! From what was typed to a graph.

use std::path::Path;

use bireme_client::{CommandPayload, Payload};
use bireme_core::graph::{
    GraphBuilder, GraphOptions, Outputs, Rows, TaskArray, TaskClass, TaskSpec, Watch,
};
use bireme_core::resources::{Resources, UNITS};
use bireme_core::retry::RetryPolicy;
use bireme_core::{Value, limits};
use bytes::Bytes;

use super::row::{Row, rows};
use crate::args::{Needs, Param, RowsArgs, Setting, Submit};
use crate::exit::Failure;

/// What is submitted.
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) graph: GraphBuilder,
    /// The rows in order of their tasks; `None` is a single task.
    pub(super) rows: Option<Vec<Row>>,
}

/// Everything is judged here, before anything is submitted.
pub(super) fn plan(args: &Submit) -> Result<Plan, Failure> {
    let name = args.name.clone().unwrap_or_else(|| program(&args.command));
    let options = GraphOptions {
        name: name.clone(),
        outputs: Outputs::All,
        watch: Watch::Outputs,
        detached: true,
        ..GraphOptions::default()
    };
    let mut graph = GraphBuilder::new(options);
    let class = graph.class(class(&args.needs)?);
    let rows = rows(&args.rows)?;
    let template = Template::new(args)?;
    let tasks = Tasks { name: &name, class, priority: args.needs.priority };
    match &rows {
        None => tasks.add(&mut graph, name.clone(), template.encode(None)?)?,
        Some(rows) if is_array(&args.rows) && !template.has_placeholders() => {
            tasks.add_array(&mut graph, rows.len(), template.encode(None)?)?;
        }
        Some(rows) => {
            for row in rows {
                let payload = template.encode(Some(row))?;
                tasks.add(&mut graph, format!("{name}[{}]", row.number), payload)?;
            }
        }
    }
    Ok(Plan { name, graph, rows })
}

/// What tasks are called unless told: the program.
fn program(command: &[String]) -> String {
    let word = command.first().map(Path::new);
    let name = word.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "command".to_owned())
}

/// Whether each task's number is its place, so that one record does for all tasks.
fn is_array(rows: &RowsArgs) -> bool {
    rows.array.as_ref().is_some_and(crate::args::Array::counts_from_zero)
}

/// Where tasks of a submission are added.
struct Tasks<'a> {
    name: &'a str,
    class: u32,
    priority: i32,
}

impl Tasks<'_> {
    fn add(&self, graph: &mut GraphBuilder, key: String, payload: Bytes) -> Result<(), Failure> {
        let (class, priority) = (self.class, self.priority);
        let task = TaskSpec { key, class, payload, priority, ..TaskSpec::default() };
        graph.task(task).map(drop).map_err(|refusal| Failure::bad_input(refusal.to_string()))
    }

    fn add_array(
        &self,
        graph: &mut GraphBuilder,
        count: usize,
        payload: Bytes,
    ) -> Result<(), Failure> {
        let array = TaskArray {
            key_prefix: self.name.to_owned(),
            count: u32::try_from(count).unwrap_or(u32::MAX),
            class: self.class,
            payload,
            rows: Rows::Range { start: 0, step: 1 },
            inputs: Vec::new(),
            priority: self.priority,
            order: 0,
        };
        graph.array(array).map(drop).map_err(|refusal| Failure::bad_input(refusal.to_string()))
    }
}

/// The command of every task, with its placeholders.
struct Template<'a> {
    command: &'a [String],
    variables: &'a [Param],
    directory: Option<String>,
    stdin: Option<Bytes>,
}

impl<'a> Template<'a> {
    fn new(args: &'a Submit) -> Result<Self, Failure> {
        let Setting { variables, cwd, stdin } = &args.setting;
        Ok(Self {
            command: &args.command,
            variables,
            directory: cwd.as_deref().map(directory).transpose()?,
            stdin: stdin.as_deref().map(read).transpose()?,
        })
    }

    /// Whether a row's number stands in any text. Other placeholders come with rows that are not numbers.
    fn has_placeholders(&self) -> bool {
        let values = self.variables.iter().map(|variable| &variable.value);
        self.command.iter().chain(values).any(|text| text.contains("{row}"))
    }

    fn encode(&self, row: Option<&Row>) -> Result<Bytes, Failure> {
        let fill = |text: &String| row.map_or_else(|| text.clone(), |row| row.fill(text));
        let mut payload = Payload::command(self.command.iter().map(fill));
        for (name, value) in row.into_iter().flat_map(Row::variables) {
            payload = payload.env(name, value);
        }
        for Param { name, value } in self.variables {
            payload = payload.env(name, fill(value));
        }
        if let Some(directory) = &self.directory {
            payload = payload.working_directory(directory);
        }
        if let Some(stdin) = &self.stdin {
            payload = payload.stdin(Value::raw(stdin.clone()));
        }
        let payload = payload.encode();
        if payload.len() > limits::PAYLOAD_BYTES {
            return Err(Failure::bad_input(format!(
                "the command takes {} bytes with its standard input and variables, the limit is {}: name large files by their path",
                payload.len(),
                limits::PAYLOAD_BYTES
            )));
        }
        Ok(payload)
    }
}

/// The directory as workers look for it.
fn directory(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Failure::bad_input(format!("--cwd {}: {error}", path.display())))?;
    absolute.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::bad_input(format!("--cwd {} is not UTF-8: name another", path.display()))
    })
}

fn read(path: &Path) -> Result<Bytes, Failure> {
    let read = std::fs::read(path).map(Bytes::from);
    read.map_err(|error| Failure::bad_input(format!("cannot read {}: {error}", path.display())))
}

fn class(needs: &Needs) -> Result<TaskClass, Failure> {
    Ok(TaskClass {
        runtime: CommandPayload::RUNTIME,
        resources: resources(needs)?,
        retry: RetryPolicy {
            max_retries: needs.retries,
            max_crashes: needs.max_crashes,
            ..RetryPolicy::default()
        },
        timeout: needs.timeout,
        ..TaskClass::default()
    })
}

fn resources(needs: &Needs) -> Result<Resources, Failure> {
    let cpus = units("cpus", &needs.cpus)?;
    let others = needs.resources.iter().map(|Param { name, value }| match name.as_str() {
        "cpus" | "memory" => Err(Failure::bad_input(format!("write --{name} {value}"))),
        name => Ok((name.to_owned(), units(name, value)?)),
    });
    let others = others.collect::<Result<Vec<_>, _>>()?;
    Resources::new(cpus, needs.memory.unwrap_or_default())
        .with_others(others)
        .map_err(|error| Failure::bad_input(error.to_string()))
}

/// Greatest amount of a resource that a task may ask for.
const AMOUNT_MAX: u64 = 1_000_000_000;

/// An amount of a resource, such as `2` or `0.5`, in the parts that are counted.
fn units(name: &str, text: &str) -> Result<u64, Failure> {
    amount(text).ok_or_else(|| {
        Failure::bad_input(format!(
            "{name} is `{text}`: write a number from 0 to {AMOUNT_MAX} with at most 4 digits after the point, such as 2 or 0.5"
        ))
    })
}

fn amount(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 4 {
        return None;
    }
    let whole: u64 = whole.parse().ok().filter(|whole| *whole < AMOUNT_MAX)?;
    let part: u64 = format!("{part:0<4}").parse().ok()?;
    Some(whole * UNITS + part)
}

#[cfg(test)]
mod tests;
