//! Payloads off the wire, which only workers decode.

use std::path::{Component, Path};
use std::sync::Arc;

use bireme_core::graph::{Row, Runtime};
use bireme_core::id::Digest;
use bireme_core::reason::Refusal;
use bireme_core::{Span, TaskError, Value};
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;
use smallvec::SmallVec;

use crate::executor::payload::{
    Capture, Command, InputFile, Payload, Template, WasmWork, Work, malformed,
};
use crate::registry::IntoValue as _;

/// Reads an encoded `Payload`.
pub(crate) fn decode(payload: &Bytes) -> Result<Payload, Box<TaskError>> {
    let message = pb::Payload::decode(payload.clone())
        .map_err(|error| malformed(format!("payload: {error}; encode a bireme.v1.Payload")))?;
    let pb::Payload { args, named_args, work } = message;
    let work = work.ok_or_else(|| {
        malformed("payload.work is missing, or of a kind that this version does not know")
    })?;
    let work = match work {
        pb::payload::Work::Native(pb::Native { name }) => Work::Native(name),
        pb::payload::Work::Command(command) => Work::Command(Box::new(read_command(command)?)),
        pb::payload::Work::Wasm(wasm) => Work::Wasm(read_wasm(wasm)?),
        pb::payload::Work::External(_) => Work::Other("external"),
    };
    Ok(Payload { work, args: templates(args, "payload.args")?, named: named_args.len() })
}

/// Reads encoded `CallArguments` of a native actor.
pub(crate) fn decode_arguments(arguments: &Bytes) -> Result<Vec<Template>, Box<TaskError>> {
    let message = pb::CallArguments::decode(arguments.clone()).map_err(|error| {
        malformed(format!("arguments: {error}; encode a bireme.v1.CallArguments"))
    })?;
    let pb::CallArguments { args, named_args } = message;
    if !named_args.is_empty() {
        return Err(malformed("arguments.named_args: native actors take arguments by position"));
    }
    templates(args, "arguments.args")
}

/// The blobs that an encoded `Payload` names, as function, argument or content of a file.
pub(crate) fn blobs(
    payload: &Bytes,
    runtime: &Runtime,
) -> Result<SmallVec<[Digest; 1]>, Box<TaskError>> {
    let mut found = SmallVec::new();
    let is_language = matches!(runtime, Runtime::External { .. });
    if !is_language && payload.len() < size_of::<Digest>() {
        return Ok(found); // Most that take nothing are not decoded here.
    }
    let pb::Payload { work, args, named_args } = pb::Payload::decode(payload.clone())
        .map_err(|error| malformed(format!("payload: {error}; encode a bireme.v1.Payload")))?;
    let mut all = args;
    all.extend(named_args.into_iter().filter_map(|named| named.arg));
    match work {
        Some(pb::payload::Work::External(pb::External {
            function: Some(pb::external::Function::Blob(digest)),
        })) if is_language => {
            let digest = digest.try_into();
            found.push(digest.map_err(|refusal| refused("payload.external", refusal))?);
        }
        Some(pb::payload::Work::External(_)) if is_language => {}
        Some(pb::payload::Work::Wasm(wasm)) if *runtime == Runtime::Wasm => {
            found.push(read_wasm(wasm)?.module);
        }
        _ if is_language => {
            let message =
                "payload.work is no function of a language, but the task's class names a runtime";
            return Err(malformed(message));
        }
        Some(pb::payload::Work::Command(command)) => {
            all.extend(command.stdin);
            all.extend(command.files.into_iter().filter_map(|file| file.content));
        }
        _ => {}
    }
    all.into_iter().try_for_each(|arg| blobs_of(arg, &mut found))?;
    Ok(found)
}

/// Adds the blobs that an argument names. Structures nest no deeper than the decoder lets them.
fn blobs_of(arg: pb::Arg, found: &mut SmallVec<[Digest; 1]>) -> Result<(), Box<TaskError>> {
    match arg.kind {
        Some(pb::arg::Kind::Value(value)) => {
            for buffer in value.buffers {
                if let Some(pb::buffer::Place::Blob(digest)) = buffer.place {
                    let digest = digest.try_into();
                    let digest = digest.map_err(|refusal| refused("payload.args", refusal))?;
                    if !found.contains(&digest) {
                        found.push(digest);
                    }
                }
            }
            Ok(())
        }
        Some(pb::arg::Kind::List(list)) => {
            list.items.into_iter().try_for_each(|item| blobs_of(item, found))
        }
        Some(pb::arg::Kind::Map(map)) => {
            let items = map.items.into_iter().filter_map(|item| item.arg);
            items.into_iter().try_for_each(|item| blobs_of(item, found))
        }
        Some(pb::arg::Kind::Input(_) | pb::arg::Kind::Row(_)) | None => Ok(()),
    }
}

/// The value that is a row's own argument.
pub(crate) fn decode_row(row: &Row) -> Result<Value, Box<TaskError>> {
    match row {
        Row::None => {
            Err(malformed("payload.args: the row's argument is named, but the task is no row"))
        }
        Row::Number(number) => number.into_value(),
        Row::Value(encoded) => {
            let message = pb::Value::decode(encoded.clone())
                .map_err(|error| malformed(format!("row: {error}")))?;
            message.try_into().map_err(|refusal| refused("row", refusal))
        }
    }
}

fn refused(field: &str, refusal: Refusal) -> Box<TaskError> {
    malformed(format!("{field}.{}: {}", refusal.field, refusal.message))
}

fn templates(args: Vec<pb::Arg>, field: &str) -> Result<Vec<Template>, Box<TaskError>> {
    args.into_iter().map(|arg| template(Some(arg), field)).collect()
}

/// Structures nest no deeper than the decoder lets them.
fn template(arg: Option<pb::Arg>, field: &str) -> Result<Template, Box<TaskError>> {
    let kind = arg.and_then(|arg| arg.kind).ok_or_else(|| {
        malformed(format!("{field}: an argument is missing or of an unknown kind"))
    })?;
    Ok(match kind {
        pb::arg::Kind::Value(value) => {
            Template::Value(Arc::new(value.try_into().map_err(|refusal| refused(field, refusal))?))
        }
        pb::arg::Kind::Input(n) => Template::Input(n as usize),
        pb::arg::Kind::List(list) => Template::List(templates(list.items, field)?),
        pb::arg::Kind::Map(map) => {
            let items = map.items.into_iter();
            let items = items.map(|item| Ok((item.name, template(item.arg, field)?)));
            Template::Map(items.collect::<Result<_, Box<TaskError>>>()?)
        }
        pb::arg::Kind::Row(pb::RowArgument {}) => Template::Row,
    })
}

fn read_command(message: pb::Command) -> Result<Command, Box<TaskError>> {
    let pb::Command {
        argv,
        environment,
        working_directory,
        stdin,
        files,
        output_globs,
        mut ok_exit,
        stdout,
        stderr,
        inherit_environment,
    } = message;
    if argv.first().is_none_or(String::is_empty) {
        return Err(malformed("payload.command.argv is empty; name a program"));
    }
    if ok_exit.is_empty() {
        ok_exit.push(0);
    }
    if let Some(glob) = output_globs.iter().find(|glob| !stays_within(glob)) {
        return Err(malformed(format!(
            "payload.command.output_globs: {glob:?} leaves the directory"
        )));
    }
    let stderr = match capture(stderr, Capture::LastLines, "payload.command.stderr")? {
        Capture::Value => {
            let message =
                "payload.command.stderr: output 0 is standard output; redirect with a shell";
            return Err(malformed(message));
        }
        capture => capture,
    };
    Ok(Command {
        argv,
        environment: environment.into_iter().map(|one| (one.name, one.value)).collect(),
        working_directory: Some(working_directory).filter(|directory| !directory.is_empty()),
        stdin: stdin.map(|arg| template(Some(arg), "payload.command.stdin")).transpose()?,
        files: files.into_iter().map(input_file).collect::<Result<_, _>>()?,
        output_globs,
        ok_exit,
        stdout: capture(stdout, Capture::Value, "payload.command.stdout")?,
        stderr,
        inherit_environment,
    })
}

fn read_wasm(message: pb::Wasm) -> Result<WasmWork, Box<TaskError>> {
    let pb::Wasm { module, function, memory_bytes, time_us } = message;
    let module = module.ok_or_else(|| malformed("payload.wasm.module is missing; name a blob"))?;
    let module = module.try_into().map_err(|refusal| refused("payload.wasm.module", refusal))?;
    if function.is_empty() {
        return Err(malformed("payload.wasm.function is empty; name a function of the module"));
    }
    Ok(WasmWork { module, function, memory_bytes, time: Span(time_us) })
}

fn input_file(file: pb::InputFile) -> Result<InputFile, Box<TaskError>> {
    let pb::InputFile { path, content, executable } = file;
    if path.is_empty() || !stays_within(&path) {
        let message = format!(
            "payload.command.files: {path:?} must be a path relative to the directory, and within it"
        );
        return Err(malformed(message));
    }
    let content = template(content, "payload.command.files.content")?;
    Ok(InputFile { path, content, executable })
}

fn stays_within(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn capture(wire: i32, unspecified: Capture, field: &str) -> Result<Capture, Box<TaskError>> {
    match pb::Capture::try_from(wire) {
        Ok(pb::Capture::Unspecified) => Ok(unspecified),
        Ok(pb::Capture::Value) => Ok(Capture::Value),
        Ok(pb::Capture::Log) => Ok(Capture::LastLines),
        Ok(pb::Capture::Discard) => Ok(Capture::Discard),
        Err(_) => Err(malformed(format!("{field}: {wire} is not known to this version"))),
    }
}

/// Payloads for tests.
#[cfg(test)]
pub(crate) mod make {
    use super::*;

    pub(crate) fn value(value: Value) -> pb::Arg {
        pb::Arg { kind: Some(pb::arg::Kind::Value(value.into())) }
    }

    pub(crate) fn input(n: u32) -> pb::Arg {
        pb::Arg { kind: Some(pb::arg::Kind::Input(n)) }
    }

    pub(crate) fn list(items: impl Into<Vec<pb::Arg>>) -> pb::Arg {
        pb::Arg { kind: Some(pb::arg::Kind::List(pb::ArgList { items: items.into() })) }
    }

    pub(crate) fn native(name: &str, args: Vec<pb::Arg>) -> Bytes {
        let native = pb::Native { name: name.to_owned() };
        let work = Some(pb::payload::Work::Native(native));
        pb::Payload { work, args, named_args: Vec::new() }.encode_to_vec().into()
    }

    pub(crate) fn command(command: pb::Command) -> Bytes {
        let work = Some(pb::payload::Work::Command(command));
        pb::Payload { work, args: Vec::new(), named_args: Vec::new() }.encode_to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(payload: Bytes) -> String {
        decode(&payload).unwrap_err().message
    }

    #[test]
    fn what_is_wrong_with_a_payload_is_named() {
        assert!(refusal(Bytes::from_static(&[0xff])).starts_with("payload: "));
        assert!(refusal(Bytes::new()).starts_with("payload.work is missing"));
        assert!(
            refusal(make::native("f", vec![pb::Arg { kind: None }])).starts_with("payload.args: ")
        );
        let command = |change: fn(&mut pb::Command)| {
            let mut command = pb::Command { argv: vec!["true".into()], ..pb::Command::default() };
            change(&mut command);
            refusal(make::command(command))
        };
        assert!(command(|command| command.argv.clear()).contains("argv is empty"));
        assert!(command(|command| command.stderr = 99).contains("99 is not known"));
        assert!(command(|command| command.output_globs.push("../*".into())).contains("\"../*\""));
        for path in ["", "/etc/x", "a/../../x"] {
            let file = pb::InputFile {
                path: path.to_owned(),
                content: Some(make::value(Value::none())),
                executable: false,
            };
            let payload = pb::Command {
                argv: vec!["true".into()],
                files: vec![file],
                ..pb::Command::default()
            };
            assert!(refusal(make::command(payload)).contains(&format!("{path:?}")), "{path}");
        }
    }

    #[test]
    fn a_row_is_wanted_only_from_rows() {
        assert!(decode_row(&Row::None).unwrap_err().message.contains("the task is no row"));
        let row = Row::Value(pb::Value::from(Value::text("x")).encode_to_vec().into());
        assert_eq!(decode_row(&row), Ok(Value::text("x")));
    }
}
