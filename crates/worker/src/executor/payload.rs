//! Payloads as executors read them, and the filling in of what they leave open.

use std::sync::Arc;

use bireme_core::id::Digest;
use bireme_core::value::Buffer;
use bireme_core::{ErrorClass, Reason, Span, TaskError, Value};
use bytes::Bytes;

use super::Job;
use crate::failure::failure;
use crate::registry::Arg;
use crate::rpc::payload::decode_row;

/// What is filled in for one attempt.
pub(crate) trait Material {
    /// An encoded `Payload`.
    fn payload(&self) -> &Bytes;

    /// The value of an input, every byte of it in reach.
    fn input(&self, n: usize) -> Result<Arc<Value>, Box<TaskError>>;

    /// The bytes of a blob that the payload names.
    fn blob(&self, digest: Digest) -> Result<Bytes, Box<TaskError>>;

    /// The row's own argument.
    fn row(&self) -> Result<Value, Box<TaskError>>;
}

impl Material for Job {
    fn payload(&self) -> &Bytes {
        &self.execution.payload
    }

    fn input(&self, n: usize) -> Result<Arc<Value>, Box<TaskError>> {
        Self::input(self, n)
    }

    fn blob(&self, digest: Digest) -> Result<Bytes, Box<TaskError>> {
        Self::blob(self, digest)
    }

    fn row(&self) -> Result<Value, Box<TaskError>> {
        decode_row(&self.execution.row)
    }
}

/// What an attempt is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payload {
    /// The work.
    pub(crate) work: Work,
    /// Arguments by position.
    pub(crate) args: Vec<Template>,
    /// How many arguments by name it had.
    pub(crate) named: usize,
}

/// The work of a payload, of the kinds that this worker can run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// A process of its own.
    Command(Box<Command>),
    /// The registered function of this name.
    Native(String),
    /// A function of a module.
    Wasm(WasmWork),
    /// Another kind, by name.
    Other(&'static str),
}

/// A function of a WebAssembly module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct WasmWork {
    /// The blob that is the module.
    pub(crate) module: Digest,
    /// Its name.
    pub(crate) function: String,
    /// Limit of linear memory; 0 is the worker's default.
    pub(crate) memory_bytes: u64,
    /// Limit of run time; zero is the attempt's timeout.
    pub(crate) time: Span,
}

/// An argument, with places for what differs between attempts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Template {
    /// The input of this number.
    Input(usize),
    /// Several, in order.
    List(Vec<Self>),
    /// Several with names, in order.
    Map(Vec<(String, Self)>),
    /// The row's own argument.
    Row,
    /// The same for all.
    Value(Arc<Value>),
}

/// A command to be run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Command {
    /// Program and arguments; not empty.
    pub(crate) argv: Vec<String>,
    /// Variables set besides the usual.
    pub(crate) environment: Vec<(String, String)>,
    /// Where it runs; `None` is a fresh directory.
    pub(crate) working_directory: Option<String>,
    /// What it reads from standard input.
    pub(crate) stdin: Option<Template>,
    /// Files written before it starts.
    pub(crate) files: Vec<InputFile>,
    /// Globs of files that become outputs.
    pub(crate) output_globs: Vec<String>,
    /// Exit codes that count as success; not empty.
    pub(crate) ok_exit: Vec<i32>,
    /// Standard output becomes output 0.
    pub(crate) stdout: Capture,
    /// What becomes of standard error.
    pub(crate) stderr: Capture,
    /// Take over the daemon's whole environment.
    pub(crate) inherit_environment: bool,
}

/// A file written before a command starts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InputFile {
    /// Relative to the working directory, and within it.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) content: Template,
    /// May be executed.
    pub(crate) executable: bool,
}

/// Where a process's output goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Capture {
    /// Nowhere.
    Discard,
    /// Its last lines are told if the command fails.
    #[default]
    LastLines,
    /// Into output 0.
    Value,
}

impl Template {
    /// Whether it is the same for every attempt.
    fn is_fixed(&self) -> bool {
        match self {
            Self::Input(_) | Self::Row => false,
            Self::List(items) => items.iter().all(Self::is_fixed),
            Self::Map(items) => items.iter().all(|(_, item)| item.is_fixed()),
            Self::Value(_) => true,
        }
    }

    /// Fills in the attempt's inputs and row.
    pub(crate) fn fill(&self, job: &impl Material) -> Result<Arg, Box<TaskError>> {
        Ok(match self {
            Self::Input(n) => Arg::Value(job.input(*n)?),
            Self::List(items) => {
                Arg::List(items.iter().map(|item| item.fill(job)).collect::<Result<_, _>>()?)
            }
            Self::Map(items) => Arg::Map(
                items
                    .iter()
                    .map(|(name, item)| Ok((name.clone(), item.fill(job)?)))
                    .collect::<Result<_, Box<TaskError>>>()?,
            ),
            Self::Row => Arg::Value(Arc::new(job.row()?)),
            Self::Value(value) => Arg::Value(with_blobs(value, job)?),
        })
    }
}

/// A value with its blobs in place.
fn with_blobs(value: &Arc<Value>, job: &impl Material) -> Result<Arc<Value>, Box<TaskError>> {
    if !value.buffers.iter().any(|buffer| matches!(buffer, Buffer::Blob(_))) {
        return Ok(Arc::clone(value));
    }
    let mut value = (**value).clone();
    for buffer in &mut value.buffers {
        if let Buffer::Blob(digest) = *buffer {
            *buffer = Buffer::Inline(job.blob(digest)?);
        }
    }
    Ok(Arc::new(value))
}

/// The failure of an attempt whose payload names a blob that did not come with it.
pub(crate) fn no_blob(digest: Digest) -> Box<TaskError> {
    let message = format!("blob {digest:?} did not come with the attempt that names it");
    failure(ErrorClass::NotFound, Reason::BlobUnknown, message)
}

/// The arguments of a payload.
#[derive(Debug)]
pub(crate) enum Args {
    /// The same for every attempt.
    Fixed(Vec<Arg>),
    /// To be filled in for each.
    Open(Vec<Template>),
}

impl Args {
    /// Fills in what can be once for all.
    pub(crate) fn new(
        templates: Vec<Template>,
        job: &impl Material,
    ) -> Result<Self, Box<TaskError>> {
        if templates.iter().all(Template::is_fixed) {
            let args = templates.iter().map(|template| template.fill(job));
            return Ok(Self::Fixed(args.collect::<Result<_, _>>()?));
        }
        Ok(Self::Open(templates))
    }
}

/// The failure of an attempt whose payload makes no sense.
pub(crate) fn malformed(message: impl Into<String>) -> Box<TaskError> {
    failure(ErrorClass::Malformed, Reason::Malformed, message)
}
