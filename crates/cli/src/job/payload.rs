//! What the tasks of a table do: a command or a function, with its placeholders filled in.

use bireme_client::{Arg, CommandPayload, NativePayload, Payload};
use bireme_core::graph::Runtime;
use bireme_core::{Codec, Value, limits};
use bytes::Bytes;

use super::file::{Scalar, Task};
use super::input::Inputs;
use super::template::{Scope, Taken, Template};

/// A key of the table, and what is wrong with it.
pub(super) type KeyProblem = (&'static str, String);

/// Which kind of executor runs the tasks of a table, if its keys fit together.
pub(super) fn runtime(task: &Task) -> Result<Runtime, KeyProblem> {
    let only_command = [
        ("stdin", task.stdin.is_some()),
        ("env", !task.env.is_empty()),
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

/// The payload of one task of a table.
pub(super) fn encode(
    task: &Task,
    scope: &Scope<'_>,
    inputs: &Inputs<'_>,
) -> Result<Bytes, KeyProblem> {
    let (key, payload) = match (&task.command, &task.function) {
        (Some(argv), _) => ("command", command(task, argv, scope, inputs)?),
        (None, Some(name)) => ("args", function(task, name, scope, inputs)?),
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

fn command(
    task: &Task,
    argv: &[String],
    scope: &Scope<'_>,
    inputs: &Inputs<'_>,
) -> Result<Bytes, KeyProblem> {
    let at = |key| move |problem| (key, problem);
    let mut files = vec![false; inputs.len()];
    let mut words = Vec::with_capacity(argv.len());
    for text in argv {
        let template = Template::parse(text).map_err(at("command"))?;
        let mut paths = |taken: &Taken| {
            let numbers = inputs.numbers(taken)?;
            for number in numbers.clone() {
                if let Some(file) = files.get_mut(number as usize) {
                    *file = true;
                }
            }
            Ok(numbers.map(path).collect::<Vec<_>>())
        };
        if let Some(taken) = template.as_inputs() {
            words.extend(paths(taken).map_err(at("command"))?);
        } else {
            let word = template.render(scope, |taken| Ok(paths(taken)?.join(" ")));
            words.push(word.map_err(at("command"))?);
        }
    }
    let mut payload = Payload::command(words);
    for (number, _) in (0..).zip(&files).filter(|(_, is_file)| **is_file) {
        payload = payload.file(path(number), Arg::input(number));
    }
    if let Some(text) = &task.stdin {
        payload = payload.stdin(stdin(text, scope, inputs).map_err(at("stdin"))?);
    }
    for (name, text) in &task.env {
        payload = payload.env(name, scope.text(text).map_err(at("env"))?);
    }
    Ok(payload.ok_exit(task.ok_exit.iter().copied()).encode())
}

/// Where an input lies in a command's working directory. Such a path needs no quotes in a shell.
fn path(number: u32) -> String {
    format!("in/{number}")
}

fn stdin(text: &str, scope: &Scope<'_>, inputs: &Inputs<'_>) -> Result<Arg, String> {
    let template = Template::parse(text)?;
    if let Some(taken) = template.as_inputs() {
        let numbers = inputs.numbers(taken)?;
        return Ok(match numbers.len() {
            1 => Arg::input(numbers.start),
            _ => Arg::list(numbers.map(Arg::input)),
        });
    }
    let mixed = |_: &Taken| Err("`{inputs}` must be all of it, or none".to_owned());
    Ok(Value::text(template.render(scope, mixed)?).into())
}

fn function(
    task: &Task,
    name: &str,
    scope: &Scope<'_>,
    inputs: &Inputs<'_>,
) -> Result<Bytes, KeyProblem> {
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
            payload = payload.arg(Value::text(template.render(scope, mixed).map_err(at("args"))?));
        }
    }
    Ok(payload.encode())
}
