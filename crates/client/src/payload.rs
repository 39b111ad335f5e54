//! What a task is to do, encoded for the worker that will do it.
//!
//! ```
//! use bireme_client::{Arg, Payload};
//! use bireme_core::Value;
//!
//! let echo = Payload::native("builtin/echo").arg(Value::text("hello")).encode();
//! let sort = Payload::command(["sort", "-u"]).stdin(Arg::input(0)).encode();
//! # assert!(!echo.is_empty() && !sort.is_empty());
//! ```

mod external;
mod wasm;

use bireme_core::Value;
use bireme_core::graph::Runtime;
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;

pub use external::ExternalPayload;
pub use wasm::WasmPayload;

/// Where payloads begin.
#[derive(Clone, Copy, Debug)]
pub enum Payload {}

/// A call of a function that is registered in the worker's binary.
#[derive(Clone, Debug)]
pub struct NativePayload(pb::Payload);

/// A process of its own.
#[derive(Clone, Debug, Default)]
pub struct CommandPayload(pb::Command);

/// An argument: its structure is seen by the worker, its values are not.
#[derive(Clone, Debug)]
pub struct Arg(pb::arg::Kind);

impl Payload {
    /// Calls a function by the name it is registered under.
    pub fn native(name: impl Into<String>) -> NativePayload {
        let native = pb::Native { name: name.into() };
        NativePayload(pb::Payload {
            work: Some(pb::payload::Work::Native(native)),
            ..pb::Payload::default()
        })
    }

    /// Starts a program with arguments; it is looked up in the worker's `PATH`.
    pub fn command<I>(argv: I) -> CommandPayload
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let argv = argv.into_iter().map(Into::into).collect();
        CommandPayload(pb::Command { argv, ..pb::Command::default() })
    }
}

impl NativePayload {
    /// What the class of such a task must name.
    pub const RUNTIME: Runtime = Runtime::Native;

    /// Adds an argument by position.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<Arg>) -> Self {
        self.0.args.push(arg.into().into_pb());
        self
    }

    /// Adds the task's input of this number as an argument.
    #[must_use]
    pub fn input(self, input: u32) -> Self {
        self.arg(Arg::input(input))
    }

    /// The payload as a task carries it.
    pub fn encode(&self) -> Bytes {
        self.0.encode_to_vec().into()
    }
}

impl CommandPayload {
    /// What the class of such a task must name.
    pub const RUNTIME: Runtime = Runtime::Command;

    /// What the process reads from its standard input; nothing unless given. A list is read one after the other.
    #[must_use]
    pub fn stdin(mut self, arg: impl Into<Arg>) -> Self {
        self.0.stdin = Some(arg.into().into_pb());
        self
    }

    /// The process reads the task's input of this number from its standard input.
    #[must_use]
    pub fn stdin_input(self, input: u32) -> Self {
        self.stdin(Arg::input(input))
    }

    /// Has a file written before the process starts. The path is relative to the attempt's directory.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: impl Into<Arg>) -> Self {
        self.0.files.push(pb::InputFile {
            path: path.into(),
            content: Some(content.into().into_pb()),
            executable: false,
        });
        self
    }

    /// Sets a variable of the process's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.environment.push(pb::EnvironmentVariable { name: name.into(), value: value.into() });
        self
    }

    /// Counts these exit codes as success, instead of 0 alone.
    #[must_use]
    pub fn ok_exit(mut self, codes: impl IntoIterator<Item = i32>) -> Self {
        self.0.ok_exit.extend(codes);
        self
    }

    /// Runs in this directory of the worker's machine, instead of a fresh one of the attempt's own.
    #[must_use]
    pub fn working_directory(mut self, path: impl Into<String>) -> Self {
        self.0.working_directory = path.into();
        self
    }

    /// Hands on the whole environment of the worker's daemon, instead of `PATH`, `HOME`, `LANG` and `TMPDIR` alone.
    #[must_use]
    pub fn inherit_environment(mut self) -> Self {
        self.0.inherit_environment = true;
        self
    }

    /// Makes files the task's outputs, instead of what is written to standard output, which goes to the log. The globs are
    /// relative to the working directory, and the class must declare as many outputs as there are files.
    #[must_use]
    pub fn output_files(mut self, globs: impl IntoIterator<Item: Into<String>>) -> Self {
        self.0.output_globs.extend(globs.into_iter().map(Into::into));
        self.0.stdout = pb::Capture::Log.into();
        self
    }

    /// The payload as a task carries it.
    pub fn encode(&self) -> Bytes {
        let work = pb::payload::Work::Command(self.0.clone());
        pb::Payload { work: Some(work), ..pb::Payload::default() }.encode_to_vec().into()
    }
}

impl Arg {
    /// The task's input of this number: its dependencies come first, values from outside the graph after them.
    pub fn input(input: u32) -> Self {
        Self(pb::arg::Kind::Input(input))
    }

    /// Arguments in order.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        let items = items.into_iter().map(Self::into_pb).collect();
        Self(pb::arg::Kind::List(pb::ArgList { items }))
    }

    /// The row's own argument, in a task array.
    pub fn row() -> Self {
        Self(pb::arg::Kind::Row(pb::RowArgument {}))
    }

    pub(crate) fn into_pb(self) -> pb::Arg {
        pb::Arg { kind: Some(self.0) }
    }
}

impl From<Value> for Arg {
    fn from(value: Value) -> Self {
        Self(pb::arg::Kind::Value(value.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(payload: Bytes) -> pb::Payload {
        pb::Payload::decode(payload).unwrap()
    }

    #[test]
    fn a_native_call_keeps_the_order_of_its_arguments() {
        let payload = Payload::native("builtin/concat")
            .input(1)
            .arg(Value::text("x"))
            .arg(Arg::list([Arg::input(0), Arg::row()]))
            .encode();
        let payload = decode(payload);
        assert_eq!(
            payload.work,
            Some(pb::payload::Work::Native(pb::Native { name: "builtin/concat".into() }))
        );
        let kinds: Vec<_> = payload.args.into_iter().map(|arg| arg.kind.unwrap()).collect();
        assert_eq!(kinds[0], pb::arg::Kind::Input(1));
        assert!(matches!(&kinds[1], pb::arg::Kind::Value(value) if value.size == 1));
        assert!(matches!(&kinds[2], pb::arg::Kind::List(list) if list.items.len() == 2));
    }

    #[test]
    fn a_command_carries_all_that_was_asked_for() {
        let payload = Payload::command(["sort", "in/0"])
            .stdin_input(0)
            .file("in/0", Arg::input(1))
            .env("LC_ALL", "C")
            .ok_exit([0, 1])
            .working_directory("/data")
            .output_files(["out/*"])
            .inherit_environment()
            .encode();
        let Some(pb::payload::Work::Command(command)) = decode(payload).work else {
            panic!("not a command")
        };
        assert_eq!(command.argv, ["sort", "in/0"]);
        assert_eq!(command.stdin.as_ref().unwrap().kind, Some(pb::arg::Kind::Input(0)));
        assert_eq!(command.files[0].path, "in/0");
        assert_eq!(command.environment[0].name, "LC_ALL");
        assert_eq!(command.ok_exit, [0, 1]);
        assert_eq!(
            (command.working_directory.as_str(), command.inherit_environment),
            ("/data", true)
        );
        assert_eq!(
            (command.output_globs[0].as_str(), command.stdout()),
            ("out/*", pb::Capture::Log)
        );
    }
}
