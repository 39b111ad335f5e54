//! The names of a job's tables, and an order in which each comes after those it takes inputs from.

use std::collections::BTreeMap;

use super::file::{ForEach, Task};
use super::{Problem, nearest};

/// Longest name of a task table, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The tables that a table takes inputs from, each with the key that says so.
pub(super) fn producers(task: &Task) -> impl Iterator<Item = (&'static str, &str)> {
    let for_each = match &task.for_each {
        Some(ForEach::Task(name)) => Some(("for_each.task", name.as_str())),
        _ => None,
    };
    let reduce = task.reduce.as_ref().map(|reduce| ("reduce.from", reduce.from.as_str()));
    let inputs = task.inputs.iter().map(|name| ("inputs", name.as_str()));
    for_each.into_iter().chain(reduce).chain(inputs)
}

/// How errors call a table.
pub(super) fn table(task: &Task) -> String {
    format!("[[task]] \"{}\"", task.name)
}

/// Judges names and references, and orders the tables: producers first, otherwise as written.
pub(super) fn order(tasks: &[Task]) -> Result<Vec<usize>, Problem> {
    let mut places = BTreeMap::new();
    for (at, task) in tasks.iter().enumerate() {
        check_name(task, at)?;
        if places.insert(task.name.as_str(), at).is_some() {
            let text = "another [[task]] has this name; give each its own";
            return Err(Problem::at(table(task), "name", text));
        }
    }
    for task in tasks {
        let mut seen = Vec::new();
        for (key, name) in producers(task) {
            if !places.contains_key(name) {
                let hint = nearest(name, places.keys().copied());
                let text = format!("no [[task]] is called \"{name}\": {hint}");
                return Err(Problem::at(table(task), key, text));
            }
            if seen.contains(&name) {
                let text = format!("\"{name}\" is an input already; name it once");
                return Err(Problem::at(table(task), key, text));
            }
            seen.push(name);
        }
    }
    let mut walk = Walk { tasks, places, marks: vec![Mark::New; tasks.len()], order: Vec::new() };
    (0..tasks.len()).try_for_each(|at| walk.visit(at, &mut Vec::new()))?;
    Ok(walk.order)
}

fn check_name(task: &Task, at: usize) -> Result<(), Problem> {
    let is_name = task.name.len() <= NAME_BYTES_MAX
        && task.name.starts_with(|c: char| c.is_ascii_alphabetic())
        && task.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_name {
        return Ok(());
    }
    let text = format!(
        "{:?} cannot be a name: use a letter, then letters, digits and _, at most {NAME_BYTES_MAX}",
        task.name
    );
    Err(Problem::at(format!("[[task]] number {}", at + 1), "name", text))
}

/// A walk from consumers to producers.
struct Walk<'a> {
    tasks: &'a [Task],
    places: BTreeMap<&'a str, usize>,
    marks: Vec<Mark>,
    order: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    Open,
    Done,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, at: usize, path: &mut Vec<&'a str>) -> Result<(), Problem> {
        let Some((task, mark)) = self.tasks.get(at).zip(self.marks.get_mut(at)) else {
            return Ok(());
        };
        match *mark {
            Mark::Done => return Ok(()),
            Mark::Open => {
                let start = path.iter().position(|name| *name == task.name).unwrap_or(0);
                let circle = path.get(start..).unwrap_or_default().join(" <- ");
                let text = format!("tasks need each other in a circle: {circle} <- {}", task.name);
                return Err(Problem::at(table(task), "", text));
            }
            Mark::New => *mark = Mark::Open,
        }
        path.push(&task.name);
        for (_, name) in producers(task) {
            let producer = self.places.get(name).copied().unwrap_or(at);
            self.visit(producer, path)?;
        }
        path.pop();
        if let Some(mark) = self.marks.get_mut(at) {
            *mark = Mark::Done;
        }
        self.order.push(at);
        Ok(())
    }
}
