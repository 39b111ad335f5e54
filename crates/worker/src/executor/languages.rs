//! What runs the attempts of other languages: processes of its own for each runtime that this worker was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::graph::Runtime;
use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};

use super::process::Processes;
use super::relay::Relay;
use super::{Executor as _, Job, Kill};
use crate::failure::failure;

/// The language executors of a worker.
#[derive(Debug)]
pub(crate) struct Languages {
    relay: Arc<Relay>,
    /// By name.
    runtimes: BTreeMap<String, Processes>,
}

impl Languages {
    pub(crate) fn new(relay: Arc<Relay>, runtimes: BTreeMap<String, Processes>) -> Self {
        Self { relay, runtimes }
    }

    /// Why an attempt can run in none of them; nothing if it can.
    pub(super) fn check(&self, job: &Job) -> Result<(), Box<TaskError>> {
        self.runtime(job).map(|_| ())
    }

    /// Has an attempt run when one with the same resources ends.
    pub(super) fn follow(&self, job: Job) {
        match self.runtime(&job) {
            Ok(processes) => processes.follow(job),
            Err(error) => self.relay.refuse(&job, error),
        }
    }

    /// Runs an attempt at once.
    pub(super) fn start(&self, job: Job) {
        match self.runtime(&job) {
            Ok(processes) => processes.start(job),
            Err(error) => self.relay.fail(&job, true, error),
        }
    }

    /// An attempt that was not to be had from the relay has resources of its own.
    pub(super) fn promoted(&self, attempt: AttemptId) {
        self.runtimes.values().for_each(|processes| processes.promoted(attempt));
    }

    /// Ends an attempt; nothing happens if it is not here.
    pub(super) fn kill(&self, attempt: AttemptId, kill: Kill) {
        self.runtimes.values().for_each(|processes| processes.kill(attempt, kill));
    }

    /// An attempt has the cpus again that it gave back.
    pub(super) fn rejoined(&self, attempt: AttemptId) {
        self.runtimes.values().for_each(|processes| processes.rejoined(attempt));
    }

    /// Takes an attempt back that waits in a process. Returns whether there is one: then the answer comes later.
    pub(super) fn recall(&self, attempt: AttemptId) -> bool {
        self.runtimes.values().any(|processes| processes.recall(attempt))
    }

    /// Has every process leave that runs nothing.
    pub(super) fn renew(&self) {
        self.runtimes.values().for_each(Processes::renew);
    }

    /// Ends every process and waits for it.
    pub(super) async fn close(&self) {
        for processes in self.runtimes.values() {
            processes.close().await;
        }
    }

    /// The processes that an attempt can run in.
    fn runtime(&self, job: &Job) -> Result<&Processes, Box<TaskError>> {
        let Runtime::External { name, environment } = &job.execution.runtime else {
            return Err(self.unknown(job.execution.runtime.name()));
        };
        if environment.is_some() {
            let message = format!(
                "the task asks for an environment of runtime {name} by digest, which this version cannot build: start a worker whose `--runtime` is of that environment"
            );
            return Err(failure(ErrorClass::NotFound, Reason::Unsupported, message));
        }
        self.runtimes.get(name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Box<TaskError> {
        let has: Vec<_> = self.runtimes.keys().map(String::as_str).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        let message = format!(
            "this worker has no runtime {name}, it has {has}: start it with `--runtime {name}=COMMAND`"
        );
        failure(ErrorClass::NotFound, Reason::RuntimeUnknown, message)
    }
}
