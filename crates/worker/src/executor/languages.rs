//! What runs the attempts of other languages: processes of its own for each runtime that this worker was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};

use super::awaiting::{Awaiting, Found, Waiting};
use super::process::Processes;
use super::relay::Relay;
use super::{Executor as _, Job, Kill};
use crate::failure::failure;
use crate::rpc::payload::blobs;
use crate::store::{Store, Stored};
use crate::transfer::courier::Courier;

/// The language executors of a worker.
#[derive(Debug)]
pub(crate) struct Languages {
    relay: Arc<Relay>,
    store: Arc<Store>,
    courier: Courier,
    /// By name.
    runtimes: BTreeMap<String, Processes>,
    awaiting: Awaiting,
}

impl Languages {
    pub(crate) fn new(
        relay: Arc<Relay>,
        store: Arc<Store>,
        courier: Courier,
        runtimes: BTreeMap<String, Processes>,
    ) -> Self {
        Self { relay, store, courier, runtimes, awaiting: Awaiting::default() }
    }

    /// Runs an attempt, at once or when one with the same resources ends, as soon as the blobs that its payload names are
    /// here.
    pub(super) fn admit(&self, job: Job, follow: bool) {
        let needs = self.runtime(&job).and_then(|_| blobs(&job.execution.payload));
        match needs {
            Ok(needs) => self.go_on(Waiting::new(job, needs, !follow)),
            Err(error) => self.relay.fail(&job, !follow, error),
        }
    }

    /// Looks for the blobs of an attempt, and hands it over once it has all.
    fn go_on(&self, waiting: Waiting) {
        match self.awaiting.find(waiting, &self.store) {
            Found::All(waiting) if waiting.granted => self.start(waiting.job),
            Found::All(waiting) => self.follow(waiting.job),
            Found::Fetch(digest) => self.courier.fetch(digest),
            Found::Coming => {}
        }
    }

    /// A blob has come, or why not.
    pub(super) fn blob_came(&self, digest: Digest, came: Result<Stored, Box<TaskError>>) {
        for waiting in self.awaiting.take(digest, came.as_ref().ok()) {
            match &came {
                Ok(_) => self.go_on(waiting),
                Err(error) => self.relay.fail(&waiting.job, waiting.granted, error.clone()),
            }
        }
    }

    fn follow(&self, job: Job) {
        match self.runtime(&job) {
            Ok(processes) => processes.follow(job),
            Err(error) => self.relay.refuse(&job, error),
        }
    }

    /// Runs an attempt that has its blobs.
    pub(super) fn start(&self, job: Job) {
        match self.runtime(&job) {
            Ok(processes) => processes.start(job),
            Err(error) => self.relay.fail(&job, true, error),
        }
    }

    /// An attempt that was not to be had from the relay has resources of its own.
    pub(super) fn promoted(&self, attempt: AttemptId) {
        self.awaiting.promote(attempt);
        self.runtimes.values().for_each(|processes| processes.promoted(attempt));
    }

    /// Has the relay answer for an attempt that waits for a blob.
    pub(super) fn recall(&self, attempt: AttemptId) {
        if let Some(waiting) = self.awaiting.remove_follower(attempt) {
            self.relay.follow(waiting.job);
        }
    }

    /// Ends an attempt; nothing happens if it is not here.
    pub(super) fn kill(&self, attempt: AttemptId, kill: Kill) {
        match self.awaiting.remove(attempt) {
            Some(waiting) => self.relay.refuse(&waiting.job, kill.error()),
            None => self.runtimes.values().for_each(|processes| processes.kill(attempt, kill)),
        }
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
