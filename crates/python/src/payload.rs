//! What an attempt, an actor or a call is to do, read off the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::id::Digest;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::Buffer;
use bireme_core::{Codec, ErrorClass, TaskError, Value};
use bireme_executor::{Attempt, Creation};
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;

use crate::values;

/// A call of a function, or of a class.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) arguments: Arguments,
}

/// What something is called with.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    /// One pickle of everything, from Python; else the arguments by position.
    pub(crate) args: Vec<Arg>,
    pub(crate) named_args: BTreeMap<String, Arg>,
    /// In the order that the pickle numbers them.
    pub(crate) inputs: Vec<Arc<Value>>,
}

/// How the function is found.
#[derive(Clone, Debug)]
pub(crate) enum Function {
    /// It is pickled in this blob.
    Blob(Digest),
    /// `module:function`.
    Name(String),
}

/// An argument.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
    Value(Arc<Value>),
}

impl Call {
    /// Reads the payload of an attempt.
    pub(crate) fn of(attempt: &Attempt) -> Result<Self, Box<TaskError>> {
        let given = Given { inputs: &attempt.inputs, row: &attempt.row };
        Self::read(&attempt.payload, &given).map_err(malformed)
    }

    /// Reads what an actor is made from.
    pub(crate) fn of_actor(creation: &Creation) -> Result<Self, Box<TaskError>> {
        let given = Given { inputs: &creation.inputs, row: &Bytes::new() };
        Self::read(&creation.spec.payload, &given).map_err(malformed)
    }

    fn read(payload: &Bytes, given: &Given<'_>) -> Result<Self, Refusal> {
        let payload = pb::Payload::decode(payload.clone());
        let payload = payload.map_err(|error| bad("payload", &error.to_string()))?;
        let Some(pb::payload::Work::External(external)) = payload.work else {
            return Err(bad("payload.work", "it is no function of a language executor"));
        };
        let (function, arguments) = match external.function {
            Some(pb::external::Function::Blob(digest)) => {
                (Function::Blob(digest.try_into()?), given.pickled(payload.args)?)
            }
            Some(pb::external::Function::Name(name)) => {
                (Function::Name(name), given.plain(payload.args, payload.named_args)?)
            }
            None => return Err(bad("payload.external.function", "it is missing")),
        };
        Ok(Self { function, arguments })
    }
}

impl Arguments {
    /// The one small buffer of the one pickle that they are, if they are.
    pub(crate) fn pickle(&self) -> Option<&Bytes> {
        let [Arg::Value(value)] = self.args.as_slice() else { return None };
        let [Buffer::Inline(bytes)] = value.buffers.as_slice() else { return None };
        let is_pickle = value.codec == Codec::Pickle5 && self.named_args.is_empty();
        (is_pickle && bytes.len() <= values::COPIED).then_some(bytes)
    }

    /// Reads the arguments of a call of an actor. Those from Python are one pickle, and the inputs that it numbers.
    pub(crate) fn of(call: &bireme_executor::Call) -> Result<Self, Box<TaskError>> {
        let given = Given { inputs: &call.inputs, row: &Bytes::new() };
        Self::read(&call.arguments, &given).map_err(malformed)
    }

    fn read(arguments: &Bytes, given: &Given<'_>) -> Result<Self, Refusal> {
        let arguments = pb::CallArguments::decode(arguments.clone());
        let arguments = arguments.map_err(|error| bad("arguments", &error.to_string()))?;
        let pb::CallArguments { args, named_args } = arguments;
        let first = args.first().cloned().map(|arg| given.arg(arg)).transpose()?;
        match first {
            Some(Arg::Value(value)) if value.codec == Codec::Pickle5 && named_args.is_empty() => {
                given.pickled(args)
            }
            _ => given.plain(args, named_args),
        }
    }
}

/// The values that arguments name.
struct Given<'a> {
    inputs: &'a [Arc<Value>],
    row: &'a Bytes,
}

impl Given<'_> {
    /// Arguments from Python: the first one is the pickle of all, the others say in which order it numbers the inputs.
    fn pickled(&self, args: Vec<pb::Arg>) -> Result<Arguments, Refusal> {
        let mut args = args.into_iter();
        let pickle = args.next().ok_or_else(|| bad("payload.args", "they are missing"))?;
        let pickle = self.arg(pickle)?;
        let inputs: Vec<_> = args.map(|arg| self.input_of(arg)).collect::<Result<_, _>>()?;
        let inputs = if inputs.is_empty() { self.inputs.to_vec() } else { inputs };
        Ok(Arguments { args: vec![pickle], named_args: BTreeMap::new(), inputs })
    }

    /// Arguments as other languages send them.
    fn plain(
        &self,
        args: Vec<pb::Arg>,
        named_args: Vec<pb::NamedArg>,
    ) -> Result<Arguments, Refusal> {
        let args = args.into_iter().map(|arg| self.arg(arg));
        let named = named_args.into_iter();
        let named =
            named.map(|pb::NamedArg { name, arg }| Ok((name, self.arg(arg.unwrap_or_default())?)));
        Ok(Arguments {
            args: args.collect::<Result<_, Refusal>>()?,
            named_args: named.collect::<Result<_, Refusal>>()?,
            inputs: self.inputs.to_vec(),
        })
    }

    fn input_of(&self, arg: pb::Arg) -> Result<Arc<Value>, Refusal> {
        match self.arg(arg)? {
            Arg::Value(value) => Ok(value),
            Arg::List(_) | Arg::Map(_) => {
                Err(bad("payload.args", "an argument after the first is an input, or its number"))
            }
        }
    }

    fn input(&self, input: u32) -> Result<Arc<Value>, Refusal> {
        self.inputs.get(input as usize).cloned().ok_or_else(|| {
            bad("payload.args", &format!("there is no input {input}, of {}", self.inputs.len()))
        })
    }

    fn arg(&self, arg: pb::Arg) -> Result<Arg, Refusal> {
        use pb::arg::Kind;
        Ok(match arg.kind {
            Some(Kind::Input(input)) => Arg::Value(self.input(input)?),
            Some(Kind::Value(value)) => Arg::Value(Arc::new(value.try_into()?)),
            Some(Kind::Row(_)) => Arg::Value(Arc::new(self.row()?)),
            Some(Kind::List(list)) => {
                let items = list.items.into_iter().map(|item| self.arg(item));
                Arg::List(items.collect::<Result<_, _>>()?)
            }
            Some(Kind::Map(map)) => {
                let items = map.items.into_iter();
                let items = items.map(|pb::NamedArg { name, arg }| {
                    Ok((name, self.arg(arg.unwrap_or_default())?))
                });
                Arg::Map(items.collect::<Result<_, Refusal>>()?)
            }
            None => return Err(bad("payload.args", "an argument is of no kind")),
        })
    }

    fn row(&self) -> Result<Value, Refusal> {
        let row = pb::Value::decode(self.row.clone());
        row.map_err(|error| bad("row", &error.to_string()))?.try_into()
    }
}

fn malformed(refusal: Refusal) -> Box<TaskError> {
    let (reason, message) = (refusal.reason.name(), refusal.to_string());
    Box::new(TaskError::new(ErrorClass::Malformed, reason, message))
}

fn bad(field: &str, problem: &str) -> Refusal {
    Refusal::at(Reason::Malformed, field, problem)
}
