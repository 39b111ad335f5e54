//! Calls of functions of WebAssembly modules.

use bireme_core::Span;
use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;

use super::{Arg, Payload};

/// A call of a function of a WebAssembly module. It takes the bytes of each argument, and returns bytes.
#[derive(Clone, Debug)]
pub struct WasmPayload {
    wasm: pb::Wasm,
    args: Vec<pb::Arg>,
}

impl Payload {
    /// Calls a function that the module in a blob exports.
    pub fn wasm(module: Digest, function: impl Into<String>) -> WasmPayload {
        let (module, function) = (Some(module.into()), function.into());
        WasmPayload { wasm: pb::Wasm { module, function, ..pb::Wasm::default() }, args: Vec::new() }
    }
}

impl WasmPayload {
    /// What the class of such a task must name.
    pub const RUNTIME: Runtime = Runtime::Wasm;

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<Arg>) -> Self {
        self.args.push(arg.into().into_pb());
        self
    }

    /// Adds the task's input of this number as an argument.
    #[must_use]
    pub fn input(self, input: u32) -> Self {
        self.arg(Arg::input(input))
    }

    /// Limits the module's linear memory, in bytes; else the class's memory does, or the worker's default.
    #[must_use]
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.wasm.memory_bytes = bytes;
        self
    }

    /// Limits how long the function may run; else the class's timeout does.
    #[must_use]
    pub fn time_limit(mut self, time: Span) -> Self {
        self.wasm.time_us = time.0;
        self
    }

    /// The payload as a task carries it.
    pub fn encode(self) -> Bytes {
        let work = Some(pb::payload::Work::Wasm(self.wasm));
        pb::Payload { work, args: self.args, named_args: Vec::new() }.encode_to_vec().into()
    }
}
