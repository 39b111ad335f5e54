//! From a job file to a graph.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use bireme_core::graph::{Dep, GraphBuilder, GraphOptions, Outputs, TaskSpec, Watch};
use bireme_core::limits;

use super::class::class;
use super::file::{File, ForEach, OneOrMany, Reduce, Task};
use super::input::Inputs;
use super::order::{order, producers, table};
use super::payload::{Given, KeyProblem};
use super::save::{Saved, Saves};
use super::template::Scope;
use super::{Files, JobError, Origin, Problem, nearest, payload, source};

/// A job that is ready to be submitted.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its name, for people.
    pub(crate) name: String,
    /// What is submitted.
    pub(crate) graph: GraphBuilder,
    /// What is printed when it is done.
    pub(crate) shown: Vec<Shown>,
    /// What is written to files when it is done.
    pub(crate) saved: Vec<Saved>,
    /// Its tables, in order of their tasks.
    pub(crate) tables: Vec<Table>,
}

/// A table and its tasks, which come after those of the table before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Table {
    name: String,
    tasks: u32,
    /// The keys of its tasks have numbers.
    has_rows: bool,
}

impl Table {
    /// The key of a task of these tables, by its number in the graph.
    pub(crate) fn key_of(tables: &[Self], task: u32) -> Option<String> {
        let mut row = task;
        for Self { name, tasks, has_rows } in tables {
            match row.checked_sub(*tasks) {
                Some(rest) => row = rest,
                None => return Some(key(name, has_rows.then_some(row))),
            }
        }
        None
    }
}

fn key(table: &str, row: Option<impl Display>) -> String {
    row.map_or_else(|| table.to_owned(), |row| format!("{table}[{row}]"))
}

/// A table whose outputs are printed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Shown {
    /// The table.
    pub(crate) table: String,
    /// The tasks whose outputs they are.
    pub(crate) tasks: Vec<u32>,
    /// How many outputs each of them has.
    pub(crate) outputs: u16,
}

/// The outputs of a table: all those of its first task, and so on.
#[derive(Clone, Debug, Default)]
struct Made {
    outputs: Vec<Dep>,
    /// How many are of one task.
    each: u16,
}

impl Made {
    /// The outputs of each task.
    fn tasks(&self) -> impl Iterator<Item = &[Dep]> {
        self.outputs.chunks(usize::from(self.each).max(1))
    }
}

/// Expands the text of a job file.
pub(crate) fn expand(text: &str, origin: &Origin, files: &dyn Files) -> Result<Plan, JobError> {
    expand_text(text, origin, files).map_err(|problem| problem.in_file(&origin.path))
}

fn expand_text(text: &str, origin: &Origin, files: &dyn Files) -> Result<Plan, Problem> {
    let file = File::parse(text).map_err(|error| Problem::at("", "", error.trim_end()))?;
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
        max_failures: file.job.max_failures,
        ..GraphOptions::default()
    };
    let mut expansion = Expansion {
        scope: Scope { params: &params, job_dir: &origin.dir, item: None, index: None },
        files,
        graph: GraphBuilder::new(options),
        made: BTreeMap::new(),
        saves: Saves::default(),
    };
    let mut tables = Vec::new();
    for task in order.into_iter().filter_map(|at| file.tasks.get(at)) {
        let before = expansion.graph.len();
        let made = expansion.table(task)?;
        expansion.made.insert(&task.name, made);
        tables.push(Table {
            name: task.name.clone(),
            tasks: expansion.graph.len() - before,
            has_rows: task.for_each.is_some() || task.reduce.is_some(),
        });
    }
    Ok(expansion.plan(name, shown, tables))
}

/// The tables whose outputs are printed: those named, or else those that nothing takes inputs from and no file is made of.
fn shown(tasks: &[Task], named: Option<OneOrMany>) -> Result<Vec<String>, Problem> {
    let names = || tasks.iter().map(|task| task.name.as_str());
    let Some(named) = named else {
        let is_sink = |name: &&str| !tasks.iter().flat_map(producers).any(|(_, of)| of == *name);
        let unsaved = tasks.iter().filter(|task| task.save.is_none());
        let sinks = unsaved.map(|task| task.name.as_str()).filter(is_sink);
        return Ok(sinks.map(str::to_owned).collect());
    };
    let named = named.as_slice();
    match named.iter().find(|name| !names().any(|other| other == *name)) {
        Some(name) => {
            let text = format!("no [[task]] is called \"{name}\": {}", nearest(name, names()));
            Err(Problem::at("[output]", "show", text))
        }
        None => Ok(named.to_vec()),
    }
}

/// What is a task's own, among those of its table.
#[derive(Clone, Copy)]
struct Row<'a> {
    scope: Scope<'a>,
    /// What it takes before what its table takes: whose outputs, and which.
    own: Option<(&'a str, &'a [Dep])>,
}

/// A graph in the making.
struct Expansion<'a> {
    scope: Scope<'a>,
    files: &'a dyn Files,
    graph: GraphBuilder,
    /// The outputs of each table so far.
    made: BTreeMap<&'a str, Made>,
    saves: Saves,
}

impl Expansion<'_> {
    /// Adds the tasks of a table. Returns the outputs that are the table's.
    fn table(&mut self, task: &Task) -> Result<Made, Problem> {
        let problem = |(key, text): KeyProblem| Problem::at(table(task), key, text);
        let mut class = class(task).map_err(problem)?;
        // A name that differs from row to row is looked up by whichever worker the row comes to.
        class.function = task.function.as_ref().and_then(|name| self.scope.text(name).ok());
        let each = class.outputs;
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
            (None, Some(reduce)) => self.tree(task, class, reduce),
            (None, None) => {
                let row = Row { scope: self.scope, own: None };
                self.end(task, class, row).map(|task| vec![task])
            }
        };
        let tasks = tasks.map_err(problem)?;
        let outputs = |task| (0..each).map(move |output| Dep { task, output });
        Ok(Made { outputs: tasks.into_iter().flat_map(outputs).collect(), each })
    }

    fn items(&mut self, task: &Task, class: u32, source: &ForEach) -> Result<Vec<u32>, KeyProblem> {
        let items = source::items(source, &self.scope, self.files)?.unwrap_or_default();
        let mut tasks = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let scope = Scope { item: Some(item), index: Some(index), ..self.scope };
            tasks.push(self.end(task, class, Row { scope, own: None })?);
        }
        Ok(tasks)
    }

    fn map(&mut self, task: &Task, class: u32, from: &str) -> Result<Vec<u32>, KeyProblem> {
        let made = self.made.get(from).cloned().unwrap_or_default();
        let mut tasks = Vec::with_capacity(made.outputs.len());
        for (index, outputs) in made.tasks().enumerate() {
            let scope = Scope { index: Some(index), ..self.scope };
            let own = Some((from, outputs));
            tasks.push(self.end(task, class, Row { scope, own })?);
        }
        Ok(tasks)
    }

    /// Level by level, as evenly as can be, until one task is left. Only that one's output is the table's.
    fn tree(&mut self, task: &Task, class: u32, reduce: &Reduce) -> Result<Vec<u32>, KeyProblem> {
        let Reduce { from, fan_in } = reduce;
        if *fan_in < 2 {
            return Err((
                "reduce.fan_in",
                format!("{fan_in} brings nothing together; use 2 or more"),
            ));
        }
        if task.outputs.len() > 1 {
            let text = "a task of a tree has one output, as it may be an input of the same tree; name one file";
            return Err(("outputs", text.into()));
        }
        let mut level = self.made.get(from.as_str()).cloned().unwrap_or_default().outputs;
        let mut index = 0;
        loop {
            let mut next = Vec::new();
            for run in even_runs(&level, *fan_in as usize) {
                let scope = Scope { index: Some(index), ..self.scope };
                let own = Some((from.as_str(), run));
                next.push(self.add(task, class, Row { scope, own })?);
                index += 1;
            }
            if let [last] = next.as_slice() {
                self.saves.add(task, *last, &self.scope)?;
                return Ok(next);
            }
            level = next.into_iter().map(Dep::from).collect();
        }
    }

    /// Adds a task whose outputs are the table's.
    fn end(&mut self, task: &Task, class: u32, row: Row<'_>) -> Result<u32, KeyProblem> {
        let number = self.add(task, class, row)?;
        self.saves.add(task, number, &row.scope)?;
        Ok(number)
    }

    /// Adds one task.
    fn add(&mut self, task: &Task, class: u32, row: Row<'_>) -> Result<u32, KeyProblem> {
        let Row { scope, own } = row;
        let mut inputs = Inputs::default();
        if let Some((from, outputs)) = own {
            inputs.push(from, outputs);
        }
        for name in &task.inputs {
            let outputs = self.made.get(name.as_str()).map(|made| made.outputs.as_slice());
            inputs.push(name, outputs.unwrap_or_default());
        }
        if inputs.len() > limits::TASK_INPUTS {
            let (count, limit) = (inputs.len(), limits::TASK_INPUTS);
            let text =
                format!("{count} of them, the limit is {limit}; bring them together by `reduce`");
            return Err(("inputs", text));
        }
        let given = Given { scope, inputs: &inputs, files: self.files };
        let spec = TaskSpec {
            key: key(&task.name, scope.index),
            class,
            deps: inputs.outputs().collect(),
            payload: payload::encode(task, given)?,
            priority: task.priority,
            ..TaskSpec::default()
        };
        self.graph.task(spec).map_err(|refusal| ("for_each", refusal.message))
    }

    fn plan(mut self, name: String, shown: Vec<String>, tables: Vec<Table>) -> Plan {
        let mut kept = BTreeSet::new();
        let shown = shown.into_iter().map(|table| {
            let Made { outputs, each } = self.made.get(table.as_str()).cloned().unwrap_or_default();
            let tasks = outputs.iter().filter(|dep| dep.output == 0).map(|dep| dep.task);
            Shown { table, tasks: tasks.collect(), outputs: each }
        });
        let shown: Vec<_> = shown.collect();
        let saved = self.saves.into_vec();
        kept.extend(shown.iter().flat_map(|shown| &shown.tasks).copied());
        kept.extend(saved.iter().map(|saved| saved.task));
        for task in kept {
            self.graph.keep(task);
        }
        Plan { name, graph: self.graph, shown, saved, tables }
    }
}

/// Cuts `items` into as few runs of at most `most` as there can be, of lengths that differ by at most one.
fn even_runs<T>(items: &[T], most: usize) -> impl Iterator<Item = &[T]> {
    let runs = items.len().div_ceil(most);
    let mut rest = items;
    (0..runs).map(move |n| {
        let (run, after) = rest.split_at(rest.len().div_ceil(runs - n));
        rest = after;
        run
    })
}

#[cfg(test)]
mod tests;
