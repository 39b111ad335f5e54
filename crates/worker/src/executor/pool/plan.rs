//! Decoded payloads, and the calls they ask for. Neighbouring attempts often have the same payload, so each thread keeps its
//! last.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bireme_core::{ErrorClass, Reason, TaskError};
use bytes::Bytes;

use crate::executor::payload::{Args, Material, Work, malformed};
use crate::failure::failure;
use crate::registry::{Arg, Context, Function, Outputs, Registry};
use crate::rpc::payload::decode;

/// What a payload asks for.
struct Plan {
    function: Arc<Function>,
    args: Args,
}

impl Plan {
    fn new(job: &impl Material, registry: &Registry) -> Result<Self, Box<TaskError>> {
        let payload = decode(job.payload())?;
        let name = match payload.work {
            Work::Native(name) => name,
            Work::Command(_) => return Err(mixed("a command")),
            Work::Wasm(_) => return Err(mixed("wasm")),
            Work::Other(kind) => return Err(mixed(kind)),
        };
        if payload.named > 0 {
            let message = "payload.named_args: native functions take arguments by position";
            return Err(malformed(message));
        }
        let function = registry.find(&name)?;
        Ok(Self { function, args: Args::new(payload.args, job)? })
    }

    /// Calls the function for an attempt.
    fn call(
        &self,
        context: &mut Context<'_>,
        job: &impl Material,
    ) -> Result<Outputs, Box<TaskError>> {
        match &self.args {
            Args::Fixed(args) => (self.function)(context, args),
            Args::Open(templates) => {
                let args: Vec<Arg> = templates
                    .iter()
                    .map(|template| template.fill(job))
                    .collect::<Result<_, _>>()?;
                (self.function)(context, &args)
            }
        }
    }
}

fn mixed(work: &str) -> Box<TaskError> {
    malformed(format!("payload.work: it is {work}, but the task's class says native"))
}

/// The last plan of a thread.
#[derive(Default)]
pub(crate) struct Plans {
    last: Option<(Bytes, Plan)>,
}

impl Plans {
    /// Does what a payload asks for. A panic is a failure like another.
    pub(crate) fn call(
        &mut self,
        registry: &Registry,
        material: &impl Material,
        context: &mut Context<'_>,
    ) -> Result<Outputs, Box<TaskError>> {
        let plan = self.plan(material, registry)?;
        // What a panic leaves behind is the function's own: nothing of ours is changed within the call.
        let called = catch_unwind(AssertUnwindSafe(|| plan.call(context, material)));
        let outputs = called.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        if outputs.len() == usize::from(context.outputs()) {
            return Ok(outputs);
        }
        let message = format!(
            "the function made {} outputs, the task's class declares {}",
            outputs.len(),
            context.outputs()
        );
        Err(failure(ErrorClass::Serialize, Reason::UserError, message))
    }

    fn plan(
        &mut self,
        material: &impl Material,
        registry: &Registry,
    ) -> Result<&Plan, Box<TaskError>> {
        let payload = material.payload();
        let last = match self.last.take() {
            Some(last) if last.0 == *payload => last,
            _ => (payload.clone(), Plan::new(material, registry)?),
        };
        Ok(&self.last.insert(last).1)
    }
}

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans").finish_non_exhaustive()
    }
}

/// The failure of code that panicked.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Box<TaskError> {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the panic has no message");
    let mut error = failure(ErrorClass::User, Reason::UserPanic, text);
    "rust".clone_into(&mut error.language);
    error
}
