//! What an attempt is to do, read off its payload.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::id::Digest;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ErrorClass, TaskError, Value};
use bireme_executor::Attempt;
use bireme_proto::pb;
use prost::Message as _;

/// A call of a function.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: Function,
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
        Self::read(attempt).map_err(|refusal| {
            let (reason, message) = (refusal.reason.name(), refusal.to_string());
            Box::new(TaskError::new(ErrorClass::Malformed, reason, message))
        })
    }

    fn read(attempt: &Attempt) -> Result<Self, Refusal> {
        let payload = pb::Payload::decode(attempt.payload.clone());
        let payload = payload.map_err(|error| bad("payload", &error.to_string()))?;
        let Some(pb::payload::Work::External(external)) = payload.work else {
            return Err(bad("payload.work", "it is no function of a language executor"));
        };
        let given = Given(attempt);
        match external.function {
            Some(pb::external::Function::Blob(digest)) => {
                given.pickled(digest.try_into()?, payload.args)
            }
            Some(pb::external::Function::Name(name)) => {
                let args = payload.args.into_iter().map(|arg| given.arg(arg));
                let named = payload.named_args.into_iter();
                let named = named.map(|pb::NamedArg { name, arg }| {
                    Ok((name, given.arg(arg.unwrap_or_default())?))
                });
                Ok(Self {
                    function: Function::Name(name),
                    args: args.collect::<Result<_, Refusal>>()?,
                    named_args: named.collect::<Result<_, Refusal>>()?,
                    inputs: attempt.inputs.clone(),
                })
            }
            None => Err(bad("payload.external.function", "it is missing")),
        }
    }
}

/// What an attempt was given.
struct Given<'a>(&'a Attempt);

impl Given<'_> {
    /// A call from Python: the first argument is the pickle of all, the others say in which order it numbers the inputs.
    fn pickled(&self, function: Digest, args: Vec<pb::Arg>) -> Result<Call, Refusal> {
        let mut args = args.into_iter();
        let pickle = args.next().ok_or_else(|| bad("payload.args", "they are missing"))?;
        let pickle = self.arg(pickle)?;
        let inputs: Vec<_> = args.map(|arg| self.input_of(arg)).collect::<Result<_, _>>()?;
        let inputs = if inputs.is_empty() { self.0.inputs.clone() } else { inputs };
        Ok(Call {
            function: Function::Blob(function),
            args: vec![pickle],
            named_args: BTreeMap::new(),
            inputs,
        })
    }

    fn input_of(&self, arg: pb::Arg) -> Result<Arc<Value>, Refusal> {
        match arg.kind {
            Some(pb::arg::Kind::Input(input)) => self.input(input),
            _ => Err(bad("payload.args", "an argument after the first is the number of an input")),
        }
    }

    fn input(&self, input: u32) -> Result<Arc<Value>, Refusal> {
        self.0.inputs.get(input as usize).cloned().ok_or_else(|| {
            bad("payload.args", &format!("there is no input {input}, of {}", self.0.inputs.len()))
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
        let row = pb::Value::decode(self.0.row.clone());
        row.map_err(|error| bad("row", &error.to_string()))?.try_into()
    }
}

fn bad(field: &str, problem: &str) -> Refusal {
    Refusal::at(Reason::Malformed, field, problem)
}
