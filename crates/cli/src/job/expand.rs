//! From a job file to a graph.

use std::collections::BTreeMap;

use bireme_core::graph::{GraphBuilder, GraphOptions, Outputs, TaskClass, TaskSpec, Watch};
use bireme_core::resources::{Resources, UNITS};
use bireme_core::retry::RetryPolicy;
use bireme_core::{Span, limits};
use bireme_daemon::units;

use super::file::{File, ForEach, OneOrMany, Scalar, Task};
use super::input::Inputs;
use super::order::{order, producers, table};
use super::payload::KeyProblem;
use super::template::Scope;
use super::{Files, JobError, Origin, Problem, nearest, payload, source};

/// Greatest amount of a resource that a task may ask for.
const AMOUNT_MAX: f64 = 1e9;

/// A job that is ready to be submitted.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its name, for people.
    pub(crate) name: String,
    /// What is submitted.
    pub(crate) graph: GraphBuilder,
    /// What is printed when it is done.
    pub(crate) shown: Vec<Shown>,
    /// Its tables in order of their tasks: name, and how many tasks.
    pub(crate) tables: Vec<(String, u32)>,
}

/// A table whose outputs are printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Shown {
    /// The table.
    pub(crate) table: String,
    /// The tasks whose outputs they are.
    pub(crate) tasks: Vec<u32>,
}

/// Expands the text of a job file.
pub(crate) fn expand(text: &str, origin: &Origin, files: &dyn Files) -> Result<Plan, JobError> {
    expand_text(text, origin, files).map_err(|problem| problem.in_file(&origin.path))
}

fn expand_text(text: &str, origin: &Origin, files: &dyn Files) -> Result<Plan, Problem> {
    let file: File =
        toml::from_str(text).map_err(|error| Problem::at("", "", error.to_string().trim_end()))?;
    if file.tasks.is_empty() {
        return Err(Problem::at("", "", "there is no [[task]]; add one with `name` and `command`"));
    }
    let params = source::params(file.params, &origin.params)?;
    let order = order(&file.tasks)?;
    let shown = shown(&file.tasks, file.output.show)?;
    let stem = origin.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = file.job.name.or(stem).unwrap_or_default();
    let options = GraphOptions {
        name: name.clone(),
        outputs: Outputs::Listed,
        watch: Watch::Values,
        priority: file.job.priority,
        ..GraphOptions::default()
    };
    let mut expansion = Expansion {
        scope: Scope { params: &params, job_dir: &origin.dir, item: None, index: None },
        files,
        graph: GraphBuilder::new(options),
        outputs: BTreeMap::new(),
    };
    let mut tables = Vec::new();
    for task in order.into_iter().filter_map(|at| file.tasks.get(at)) {
        let before = expansion.graph.len();
        let outputs = expansion.table(task)?;
        expansion.outputs.insert(&task.name, outputs);
        tables.push((task.name.clone(), expansion.graph.len() - before));
    }
    Ok(expansion.plan(name, shown, tables))
}

/// The tables whose outputs are printed: those named, or else those that nothing takes inputs from.
fn shown(tasks: &[Task], named: Option<OneOrMany>) -> Result<Vec<String>, Problem> {
    let names = || tasks.iter().map(|task| task.name.as_str());
    let Some(named) = named else {
        let is_sink = |name: &&str| !tasks.iter().flat_map(producers).any(|(_, of)| of == *name);
        return Ok(names().filter(is_sink).map(str::to_owned).collect());
    };
    let named = named.into_vec();
    match named.iter().find(|name| !names().any(|other| other == *name)) {
        Some(name) => {
            let text = format!("no [[task]] is called \"{name}\": {}", nearest(name, names()));
            Err(Problem::at("[output]", "show", text))
        }
        None => Ok(named),
    }
}

/// A graph in the making.
struct Expansion<'a> {
    scope: Scope<'a>,
    files: &'a dyn Files,
    graph: GraphBuilder,
    /// The tasks whose outputs are those of each table so far.
    outputs: BTreeMap<&'a str, Vec<u32>>,
}

impl Expansion<'_> {
    /// Adds the tasks of a table. Returns those whose outputs are the table's.
    fn table(&mut self, task: &Task) -> Result<Vec<u32>, Problem> {
        let problem = |(key, text): KeyProblem| Problem::at(table(task), key, text);
        let class = class(task).map_err(problem)?;
        let class = self.graph.class(class);
        if task.reduce.is_some() && task.for_each.is_some() {
            return Err(problem((
                "reduce",
                "goes without `for_each`: it makes its own tasks".into(),
            )));
        }
        let tasks = match (&task.for_each, &task.reduce) {
            (Some(ForEach::Task(from)), _) => self.map(task, class, from),
            (Some(source), _) => self.items(task, class, source),
            (None, Some(reduce)) => self.tree(task, class, &reduce.from, reduce.fan_in),
            (None, None) => self.one(task, class),
        };
        tasks.map_err(problem)
    }

    fn one(&mut self, task: &Task, class: u32) -> Result<Vec<u32>, KeyProblem> {
        Ok(vec![self.add(task, class, self.scope, None)?])
    }

    fn items(&mut self, task: &Task, class: u32, source: &ForEach) -> Result<Vec<u32>, KeyProblem> {
        let items = source::items(source, &self.scope, self.files)?.unwrap_or_default();
        let mut tasks = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let scope = Scope { item: Some(item), index: Some(index), ..self.scope };
            tasks.push(self.add(task, class, scope, None)?);
        }
        Ok(tasks)
    }

    fn map(&mut self, task: &Task, class: u32, from: &str) -> Result<Vec<u32>, KeyProblem> {
        let producers = self.outputs.get(from).cloned().unwrap_or_default();
        let mut tasks = Vec::with_capacity(producers.len());
        for (index, producer) in producers.into_iter().enumerate() {
            let scope = Scope { index: Some(index), ..self.scope };
            tasks.push(self.add(task, class, scope, Some((from, &[producer])))?);
        }
        Ok(tasks)
    }

    /// Level by level, as evenly as can be, until one task is left.
    fn tree(
        &mut self,
        task: &Task,
        class: u32,
        from: &str,
        fan_in: u32,
    ) -> Result<Vec<u32>, KeyProblem> {
        if fan_in < 2 {
            return Err((
                "reduce.fan_in",
                format!("{fan_in} brings nothing together; use 2 or more"),
            ));
        }
        let mut level = self.outputs.get(from).cloned().unwrap_or_default();
        let mut index = 0;
        loop {
            let mut next = Vec::new();
            for run in even_runs(&level, fan_in as usize) {
                let scope = Scope { index: Some(index), ..self.scope };
                next.push(self.add(task, class, scope, Some((from, run)))?);
                index += 1;
            }
            if next.len() <= 1 {
                return Ok(next);
            }
            level = next;
        }
    }

    /// Adds one task, which takes `own` before what its table takes.
    fn add(
        &mut self,
        task: &Task,
        class: u32,
        scope: Scope<'_>,
        own: Option<(&str, &[u32])>,
    ) -> Result<u32, KeyProblem> {
        let mut inputs = Inputs::default();
        if let Some((from, tasks)) = own {
            inputs.push(from, tasks);
        }
        for name in &task.inputs {
            let tasks = self.outputs.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            inputs.push(name, tasks);
        }
        if inputs.len() > limits::TASK_INPUTS {
            let (count, limit) = (inputs.len(), limits::TASK_INPUTS);
            let text =
                format!("{count} of them, the limit is {limit}; bring them together by `reduce`");
            return Err(("inputs", text));
        }
        let spec = TaskSpec {
            key: scope.index.map_or(task.name.clone(), |n| format!("{}[{n}]", task.name)),
            class,
            deps: inputs.tasks().map(Into::into).collect(),
            payload: payload::encode(task, &scope, &inputs)?,
            priority: task.priority,
            ..TaskSpec::default()
        };
        self.graph.task(spec).map_err(|refusal| ("for_each", refusal.message))
    }

    fn plan(mut self, name: String, shown: Vec<String>, tables: Vec<(String, u32)>) -> Plan {
        let mut kept = Vec::new();
        for table in shown {
            let tasks = self.outputs.get(table.as_str()).cloned().unwrap_or_default();
            for &task in &tasks {
                self.graph.keep(task);
            }
            kept.push(Shown { table, tasks });
        }
        Plan { name, graph: self.graph, shown: kept, tables }
    }
}

/// Cuts `items` into as few runs of at most `most` as there can be, of lengths that differ by at most one.
fn even_runs(items: &[u32], most: usize) -> impl Iterator<Item = &[u32]> {
    let runs = items.len().div_ceil(most);
    let mut rest = items;
    (0..runs).map(move |n| {
        let (run, after) = rest.split_at(rest.len().div_ceil(runs - n));
        rest = after;
        run
    })
}

/// What the tasks of a table have in common.
fn class(task: &Task) -> Result<TaskClass, KeyProblem> {
    let span = |key: &'static str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => units::span(text).map(Some).map_err(|error| (key, error.to_string())),
    };
    let retry = RetryPolicy {
        max_retries: task.retries,
        backoff: span("backoff", &task.backoff)?.unwrap_or(Span::ZERO),
        ..RetryPolicy::default()
    };
    Ok(TaskClass {
        runtime: payload::runtime(task)?,
        resources: resources(task).map_err(|text| ("resources", text))?,
        retry,
        timeout: span("timeout", &task.timeout)?,
        ..TaskClass::default()
    })
}

fn resources(task: &Task) -> Result<Resources, String> {
    let mut all = Resources::one_cpu();
    let mut others = Vec::new();
    for (name, amount) in &task.resources {
        match (name.as_str(), amount) {
            ("cpus", amount) => all.cpu_units = amount_units(name, amount)?,
            ("memory", Scalar::Text(text)) => {
                all.memory_bytes =
                    units::bytes(text).map_err(|error| format!("memory: {error}"))?;
            }
            ("memory", other) => {
                return Err(format!("memory is `{other}`: write a text such as \"512MiB\""));
            }
            _ => others.push((name.clone(), amount_units(name, amount)?)),
        }
    }
    all.with_others(others).map_err(|error| error.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "beyond the limit it is refused")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the limits")]
fn amount_units(name: &str, amount: &Scalar) -> Result<u64, String> {
    let number = match amount {
        Scalar::Int(number) => *number as f64,
        Scalar::Float(number) => *number,
        Scalar::Bool(_) | Scalar::Text(_) => {
            return Err(format!("{name} is `{amount}`: write a number such as 2 or 0.5"));
        }
    };
    if !(0.0..=AMOUNT_MAX).contains(&number) {
        return Err(format!("{name} is {number}: write a number from 0 to {AMOUNT_MAX}"));
    }
    Ok((number * UNITS as f64).round() as u64)
}

#[cfg(test)]
mod tests;
