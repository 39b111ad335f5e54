//! What the tasks of a table do: a command or a function, with its placeholders filled in.

use std::collections::BTreeSet;

use bireme_client::{Arg, CommandPayload, NativePayload, Payload};
use bireme_core::graph::Runtime;
use bireme_core::{Codec, Value, limits};
use bytes::Bytes;

use super::Files;
use super::file::{Content, Local, Scalar, Task};
use super::input::Inputs;
use super::template::{Scope, Taken, Template};

/// A key of the table, and what is wrong with it.
pub(super) type KeyProblem = (&'static str, String);

/// Which kind of executor runs the tasks of a table, if its keys fit together.
pub(super) fn runtime(task: &Task) -> Result<Runtime, KeyProblem> {
    let only_command = [
        ("stdin", task.stdin.is_some()),
        ("files", !task.files.is_empty()),
        ("outputs", !task.outputs.is_empty()),
        ("env", !task.env.is_empty()),
        ("inherit_env", task.inherit_env.is_some()),
        ("cwd", task.cwd.is_some()),
        ("ok_exit", !task.ok_exit.is_empty()),
    ];
    match (&task.command, &task.function) {
        (Some(_), Some(_)) => {
            Err(("command", "there is `function` too; a task is one or the other".into()))
        }
        (None, None) => Err((
            "command",
            "missing: say what to run, by `command = [\"PROGRAM\", ...]` or `function = \"NAME\"`"
                .into(),
        )),
        (Some(command), None) if command.is_empty() => {
            Err(("command", "empty: the program comes first, then its arguments".into()))
        }
        (Some(_), None) if !task.args.is_empty() => Err((
            "args",
            "goes with `function`; the arguments of a command stand in `command`".into(),
        )),
        (Some(_), None) => Ok(CommandPayload::RUNTIME),
        (None, Some(_)) => match only_command.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => Err((key, "goes with `command`, not with `function`".into())),
            None => Ok(NativePayload::RUNTIME),
        },
    }
}

/// What there is to fill in the placeholders of one task with.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) files: &'a dyn Files,
}

/// The payload of one task of a table.
pub(super) fn encode(task: &Task, given: Given<'_>) -> Result<Bytes, KeyProblem> {
    let (key, payload) = match (&task.command, &task.function) {
        (Some(argv), _) => ("command", command(task, argv, given)?),
        (None, Some(name)) => ("args", function(task, name, given)?),
        (None, None) => ("command", Bytes::new()),
    };
    if payload.len() > limits::PAYLOAD_BYTES {
        let text = format!(
            "{} bytes with all that belongs to it, the limit is {}; bring many inputs together by `reduce`, or shorten it",
            payload.len(),
            limits::PAYLOAD_BYTES
        );
        return Err((key, text));
    }
    Ok(payload)
}

fn command(task: &Task, argv: &[String], given: Given<'_>) -> Result<Bytes, KeyProblem> {
    let at = |key| move |problem| (key, problem);
    let (words, taken) = words(argv, given).map_err(at("command"))?;
    let mut payload = Payload::command(words).ok_exit(task.ok_exit.iter().copied());
    if let Some(cwd) = &task.cwd {
        let is_shared = !(taken.is_empty() && task.files.is_empty());
        payload = payload.working_directory(directory(cwd, is_shared, given).map_err(at("cwd"))?);
    }
    for number in taken {
        payload = payload.file(path(number), Arg::input(number));
    }
    for (name, content) in &task.files {
        let at = |problem| ("files", format!("{name}: {problem}"));
        for (path, content) in files(name, content, given).map_err(at)? {
            payload = payload.file(path, content);
        }
    }
    if let Some(text) = &task.stdin {
        payload = payload.stdin(stdin(text, given).map_err(at("stdin"))?);
    }
    if !task.outputs.is_empty() {
        let globs = task.outputs.iter().map(|text| given.scope.text(text));
        payload =
            payload.output_files(globs.collect::<Result<Vec<_>, _>>().map_err(at("outputs"))?);
    }
    for (name, text) in &task.env {
        payload = payload.env(name, given.scope.text(text).map_err(at("env"))?);
    }
    if task.inherit_env == Some(true) {
        payload = payload.inherit_environment();
    }
    Ok(payload.encode())
}

/// The words of a command, and the inputs that it takes as files, in order.
fn words(argv: &[String], given: Given<'_>) -> Result<(Vec<String>, BTreeSet<u32>), String> {
    let mut taken = BTreeSet::new();
    let mut words = Vec::with_capacity(argv.len());
    for text in argv {
        let template = Template::parse(text)?;
        let mut paths = |which: &Taken| {
            let numbers = given.inputs.numbers(which)?;
            taken.extend(numbers.clone());
            Ok::<_, String>(numbers.map(path).collect::<Vec<_>>())
        };
        if let Some(which) = template.as_inputs() {
            words.extend(paths(which)?);
        } else {
            words.push(template.render(&given.scope, |which| Ok(paths(which)?.join(" ")))?);
        }
    }
    Ok((words, taken))
}

/// The directory that a command runs in.
fn directory(text: &str, takes_files: bool, given: Given<'_>) -> Result<String, String> {
    let path = given.scope.text(text)?;
    if !path.starts_with('/') {
        return Err(format!("`{path}` is not absolute, and workers run elsewhere"));
    }
    if takes_files {
        let problem = "other tasks may run there too, so it takes no files: leave out `files`, and take inputs by `stdin`";
        return Err(problem.into());
    }
    Ok(path)
}

/// Where an input lies in a command's working directory. Such a path needs no quotes in a shell.
fn path(number: u32) -> String {
    format!("in/{number}")
}

/// Files that a command finds: one, or with a name that ends in `/` one for each input.
fn files(name: &str, content: &Content, given: Given<'_>) -> Result<Vec<(String, Arg)>, String> {
    let text = match content {
        Content::Text(text) => text,
        Content::Local(Local { path }) => return Ok(vec![(name.to_owned(), local(path, given)?)]),
    };
    let template = Template::parse(text)?;
    let Some(taken) = template.as_inputs() else {
        return Ok(vec![(name.to_owned(), content_of(&template, given)?)]);
    };
    let numbers = given.inputs.numbers(taken)?;
    match (name.strip_suffix('/'), numbers.len()) {
        (Some(directory), _) => {
            let file = |(n, number)| (format!("{directory}/{n}"), Arg::input(number));
            Ok((0..).zip(numbers).map(file).collect::<Vec<(String, Arg)>>())
        }
        (None, 1) => Ok(vec![(name.to_owned(), Arg::input(numbers.start))]),
        (None, count) => Err(format!(
            "{count} inputs do not fit into one file; write `\"{name}/\"` for a directory with a file for each"
        )),
    }
}

/// What is in a file where the job is submitted.
fn local(path: &str, given: Given<'_>) -> Result<Arg, String> {
    let bytes = given.files.read(&given.scope.text(path)?)?;
    if bytes.len() > limits::PAYLOAD_BYTES {
        let (bytes, limit) = (bytes.len(), limits::PAYLOAD_BYTES);
        return Err(format!(
            "{bytes} bytes, the limit is {limit}; put it where workers can open it, and name its path"
        ));
    }
    Ok(Value::raw(bytes).into())
}

/// What a command reads from its standard input: inputs one after the other, or a text.
fn stdin(text: &str, given: Given<'_>) -> Result<Arg, String> {
    let template = Template::parse(text)?;
    let Some(taken) = template.as_inputs() else { return content_of(&template, given) };
    let numbers = given.inputs.numbers(taken)?;
    Ok(match numbers.len() {
        1 => Arg::input(numbers.start),
        _ => Arg::list(numbers.map(Arg::input)),
    })
}

/// A text that is no input.
fn content_of(template: &Template, given: Given<'_>) -> Result<Arg, String> {
    let mixed = |_: &Taken| Err("`{inputs}` must be all of it, or none".to_owned());
    Ok(Value::text(template.render(&given.scope, mixed)?).into())
}

fn function(task: &Task, name: &str, given: Given<'_>) -> Result<Bytes, KeyProblem> {
    let Given { scope, inputs, .. } = given;
    let at = |key| move |problem| (key, problem);
    let mut payload = Payload::native(scope.text(name).map_err(at("function"))?);
    for scalar in &task.args {
        let Scalar::Text(text) = scalar else {
            // Numbers and truth values are JSON as they are written.
            payload = payload.arg(Value::inline(Codec::Json, scalar.to_string()));
            continue;
        };
        let template = Template::parse(text).map_err(at("args"))?;
        if let Some(taken) = template.as_inputs() {
            for number in inputs.numbers(taken).map_err(at("args"))? {
                payload = payload.input(number);
            }
        } else {
            let mixed = |_: &Taken| Err("`{inputs}` must be an argument of its own".to_owned());
            payload = payload.arg(Value::text(template.render(&scope, mixed).map_err(at("args"))?));
        }
    }
    Ok(payload.encode())
}
