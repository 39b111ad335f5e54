//! What an executor process of this binary is: its main, and how it runs native functions.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use bireme_core::graph::Row;
use bireme_core::id::Digest;
use bireme_core::{Codec, TaskError, Value};
use bireme_executor::{Actors, Attempt, Description, Launch, Outcome, Runtime, Services, serve};
use bytes::Bytes;

use super::fork_server::siblings::{self, Became};
use crate::builtin;
use crate::executor::payload::{Material, malformed, no_blob};
use crate::executor::pool::plan::Plans;
use crate::registry::{Context, NativeActors, Registry, Runner};
use crate::rpc::payload::decode_row;
use crate::sync::lock;

/// All of an executor process: runs native functions for the worker that started it.
pub(crate) fn main(registry: Registry) -> ExitCode {
    let native = Native { registry: builtin::register(registry), plans: Mutex::default() };
    if siblings::are_wanted() {
        match siblings::make() {
            Ok(Became::Executor) => {}
            Ok(Became::Needless) => return ExitCode::SUCCESS,
            Err(error) => return fail(&error),
        }
    }
    let launch = match Launch::from_env() {
        Ok(Some(launch)) => launch,
        Ok(None) => return fail(&"this is for a worker to start"),
        Err(error) => return fail(&error),
    };
    match serve(launch, &native) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a process that cannot go on")]
fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// The native functions and actors of a worker.
struct Native {
    registry: Registry,
    /// The last payload's; whoever runs an attempt has them meanwhile.
    plans: Mutex<Plans>,
}

impl Runtime for Native {
    fn describe(&self) -> Description {
        Description {
            runtime: "native".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            language: "rust".to_owned(),
            slots: 1,
            codecs: vec![Codec::Raw, Codec::Utf8, Codec::Json, Codec::Msgpack, Codec::None],
            functions: self.registry.told(),
        }
    }

    fn run(&self, attempt: &Attempt) -> Outcome {
        let mut plans = std::mem::take(&mut *lock(&self.plans));
        let of = (attempt.id, attempt.key.as_str());
        let mut context = Context::new(of, attempt.outputs, &attempt.stop, attempt);
        let outcome = plans.call(&self.registry, attempt, &mut context);
        *lock(&self.plans) = plans;
        Ok(outcome?.into_vec())
    }

    fn actors(&self) -> Option<Arc<dyn Actors>> {
        Some(Arc::new(NativeActors(self.registry.clone())))
    }
}

impl Runner for Attempt {
    fn services(&self) -> Option<Arc<Services>> {
        self.services.clone()
    }

    fn secede(&self) -> Result<(), Box<TaskError>> {
        self.cpus.secede()
    }

    fn rejoin(&self) -> Result<(), Box<TaskError>> {
        self.cpus.rejoin()
    }
}

impl Material for Attempt {
    fn payload(&self) -> &Bytes {
        &self.payload
    }

    fn input(&self, n: usize) -> Result<Arc<Value>, Box<TaskError>> {
        self.inputs.get(n).cloned().ok_or_else(|| {
            malformed(format!("payload.args: input {n} of {} is named", self.inputs.len()))
        })
    }

    fn blob(&self, digest: Digest) -> Result<Bytes, Box<TaskError>> {
        self.blobs.get(digest).ok_or_else(|| no_blob(digest))
    }

    fn row(&self) -> Result<Value, Box<TaskError>> {
        let row = if self.row.is_empty() { Row::None } else { Row::Value(self.row.clone()) };
        decode_row(&row)
    }
}
