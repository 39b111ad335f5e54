//! Decoded payloads. Neighbouring attempts often have the same one, so each thread keeps its last.

use std::sync::Arc;

use bireme_core::TaskError;
use bytes::Bytes;

use crate::executor::Job;
use crate::executor::payload::{Args, Work, malformed};
use crate::registry::{Arg, Context, Function, Outputs, Registry};
use crate::rpc::payload::decode;

/// What a payload asks for.
pub(super) struct Plan {
    function: Arc<Function>,
    args: Args,
}

impl Plan {
    fn new(job: &Job, registry: &Registry) -> Result<Self, Box<TaskError>> {
        let payload = decode(&job.execution.payload)?;
        let name = match payload.work {
            Work::Native(name) => name,
            Work::Command(_) => return Err(mixed("a command")),
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
    pub(super) fn call(
        &self,
        context: &mut Context<'_>,
        job: &Job,
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
pub(super) struct Plans {
    last: Option<(Bytes, Plan)>,
}

impl Plans {
    /// What `job` asks for.
    pub(super) fn plan(&mut self, job: &Job, registry: &Registry) -> Result<&Plan, Box<TaskError>> {
        let payload = &job.execution.payload;
        let last = match self.last.take() {
            Some(last) if last.0 == *payload => last,
            _ => (payload.clone(), Plan::new(job, registry)?),
        };
        Ok(&self.last.insert(last).1)
    }
}
