//! Calls of functions that a language executor finds.

use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use bireme_proto::pb;
use bytes::Bytes;
use pb::external::Function;
use prost::Message as _;

use super::{Arg, Payload};

/// A call of a function of a language executor.
#[derive(Clone, Debug)]
pub struct ExternalPayload(pb::Payload);

impl Payload {
    /// Calls the function that a blob holds, as its language writes functions down.
    pub fn blob(function: Digest) -> ExternalPayload {
        ExternalPayload::of(Function::Blob(function.into()))
    }

    /// Calls a function by a name that the executor knows: `module:function` in Python.
    pub fn named(function: impl Into<String>) -> ExternalPayload {
        ExternalPayload::of(Function::Name(function.into()))
    }
}

impl ExternalPayload {
    /// What the class of such a task must name.
    pub fn runtime(name: impl Into<String>) -> Runtime {
        Runtime::external(name)
    }

    fn of(function: Function) -> Self {
        let external = pb::External { function: Some(function) };
        let work = Some(pb::payload::Work::External(external));
        Self(pb::Payload { work, ..pb::Payload::default() })
    }

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

    /// Adds an argument by name.
    #[must_use]
    pub fn named_arg(mut self, name: impl Into<String>, arg: impl Into<Arg>) -> Self {
        let (name, arg) = (name.into(), Some(arg.into().into_pb()));
        self.0.named_args.push(pb::NamedArg { name, arg });
        self
    }

    /// The payload as a task carries it.
    pub fn encode(&self) -> Bytes {
        self.0.encode_to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::Value;

    use super::*;

    #[test]
    fn a_call_names_its_function_and_keeps_the_order_of_its_arguments() {
        let call = Payload::named("statistics:mean").input(1).arg(Value::text("x"));
        let call = call.named_arg("key", Arg::input(0)).encode();
        let call = pb::Payload::decode(call).unwrap();
        let name = Function::Name("statistics:mean".into());
        let external = pb::External { function: Some(name) };
        assert_eq!(call.work, Some(pb::payload::Work::External(external)));
        assert_eq!(call.args[0].kind, Some(pb::arg::Kind::Input(1)));
        assert!(matches!(&call.args[1].kind, Some(pb::arg::Kind::Value(value)) if value.size == 1));
        assert_eq!(call.named_args[0].name, "key");
    }
}
