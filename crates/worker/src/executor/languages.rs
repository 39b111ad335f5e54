//! What runs the attempts of other languages: processes of its own for each runtime that this worker was given, and for each
//! variant of one that attempts ask for.

mod preparing;
mod variants;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bireme_core::graph::Runtime;
use bireme_core::{AttemptId, ErrorClass, Reason, TaskError};

pub(crate) use self::preparing::Preparing;
use self::variants::Variants;
use super::process::{Processes, Program, Setup, Variant};
use super::relay::Relay;
use super::{Executor as _, Job, Kill};
use crate::environments::Built;
use crate::failure::failure;

/// The language executors of a worker.
#[derive(Debug)]
pub(crate) struct Languages {
    relay: Arc<Relay>,
    /// As they are installed, by name.
    runtimes: BTreeMap<String, Processes>,
    variants: Variants,
    preparing: Preparing,
}

/// What became of an attempt that was to be given to processes.
enum Given {
    Taken,
    /// There are none yet: they need an environment first.
    Waits(Job),
    Refused(Job, Box<TaskError>),
}

impl Languages {
    /// Starts processes of each language, by a setup for its program. `None` where there are no languages.
    pub(crate) fn open(
        relay: Arc<Relay>,
        setup: impl Fn(Program) -> Setup,
        preparing: Preparing,
    ) -> io::Result<Option<Self>> {
        let mut runtimes = BTreeMap::new();
        for language in &preparing.languages {
            let processes = Processes::open(setup(Program::language(language.clone())))?;
            runtimes.insert(language.name.clone(), processes);
        }
        let is_any = !runtimes.is_empty();
        Ok(is_any.then(|| Self { relay, runtimes, variants: Variants::default(), preparing }))
    }

    /// The runtime whose environment an attempt has to wait for, if it has to. An error if nothing here can run it.
    pub(super) fn lacks(&self, job: &Job) -> Result<Option<Runtime>, Box<TaskError>> {
        let runtime = &job.execution.runtime;
        self.installed(runtime)?;
        let lacks = has_environment(runtime) && !self.variants.has(runtime);
        Ok(lacks.then(|| runtime.clone()))
    }

    /// Has an environment built; the inbox is told how that went.
    pub(super) fn prepare(&self, runtime: Runtime) {
        self.preparing.prepare(runtime);
    }

    /// Says in the log of an attempt that it waits for its environment.
    pub(super) fn note_wait(&self, attempt: AttemptId, runtime: &Runtime) {
        self.preparing.note_wait(attempt, runtime);
    }

    /// Starts processes in an environment, which is built.
    pub(super) fn open_in(
        &self,
        runtime: &Runtime,
        built: Arc<Built>,
    ) -> Result<(), Box<TaskError>> {
        let Runtime::External { fresh_process, .. } = runtime else { return Ok(()) };
        let variant = Variant { environment: Some(built), fresh_process: *fresh_process };
        self.open_variant(runtime, variant)
    }

    /// Has an attempt run when one with the same resources ends.
    pub(super) fn follow(&self, job: Job) {
        match self.give(job, Processes::follow) {
            Given::Taken => {}
            // Its environment is looked for when its turn comes.
            Given::Waits(job) => self.relay.follow(job),
            Given::Refused(job, error) => self.relay.refuse(&job, error),
        }
    }

    /// Runs an attempt at once. Returns it if it has to wait for its environment first.
    pub(super) fn start(&self, job: Job) -> Option<Job> {
        match self.give(job, Processes::start) {
            Given::Taken => None,
            Given::Waits(job) => Some(job),
            Given::Refused(job, error) => {
                self.relay.fail(&job, true, error);
                None
            }
        }
    }

    /// An attempt that was not to be had from the relay has resources of its own.
    pub(super) fn promoted(&self, attempt: AttemptId) {
        self.each(|processes| processes.promoted(attempt));
    }

    /// Ends an attempt; nothing happens if it is not here.
    pub(super) fn kill(&self, attempt: AttemptId, kill: Kill) {
        self.each(|processes| processes.kill(attempt, kill));
    }

    /// An attempt has the cpus again that it gave back.
    pub(super) fn rejoined(&self, attempt: AttemptId) {
        self.each(|processes| processes.rejoined(attempt));
    }

    /// Takes an attempt back that waits in a process. Returns whether there is one: then the answer comes later.
    pub(super) fn recall(&self, attempt: AttemptId) -> bool {
        let mut found = false;
        self.each(|processes| found = found || processes.recall(attempt));
        found
    }

    /// Has every process leave that runs nothing.
    pub(super) fn renew(&self) {
        self.each(Processes::renew);
    }

    /// Ends every process and waits for it.
    pub(super) async fn close(&self) {
        self.variants.close().await;
        for processes in self.runtimes.values() {
            processes.close().await;
        }
    }

    fn each(&self, mut what: impl FnMut(&Processes)) {
        self.runtimes.values().for_each(&mut what);
        self.variants.each(what);
    }

    /// Gives an attempt to the processes of its runtime.
    fn give(&self, job: Job, how: impl Fn(&Processes, Job)) -> Given {
        let runtime = &job.execution.runtime;
        let installed = match self.installed(runtime) {
            Ok(installed) => installed,
            Err(error) => return Given::Refused(job, error),
        };
        if is_plain(runtime) {
            how(installed, job);
            return Given::Taken;
        }
        let Some(job) = self.variants.give(job, &how) else { return Given::Taken };
        let runtime = &job.execution.runtime;
        if has_environment(runtime) {
            return Given::Waits(job);
        }
        let variant = Variant { environment: None, fresh_process: true };
        if let Err(error) = self.open_variant(runtime, variant) {
            return Given::Refused(job, error);
        }
        self.variants.give(job, how).map_or(Given::Taken, Given::Waits)
    }

    fn open_variant(&self, runtime: &Runtime, variant: Variant) -> Result<(), Box<TaskError>> {
        if !self.variants.make_room() {
            let message = "this worker runs its languages in as many environments as it may, all of them in use: use fewer at a time, or add workers";
            return Err(failure(ErrorClass::NotFound, Reason::Busy, message));
        }
        let opened = self.installed(runtime)?.variant(variant).map_err(|error| {
            let message = format!("no executor process can be started: {error}");
            failure(ErrorClass::NotFound, Reason::RuntimeBroken, message)
        })?;
        self.variants.add(runtime.clone(), opened);
        Ok(())
    }

    /// The language that a runtime is of, as it is installed.
    fn installed(&self, runtime: &Runtime) -> Result<&Processes, Box<TaskError>> {
        match runtime {
            Runtime::External { name, .. } => {
                self.runtimes.get(name).ok_or_else(|| self.unknown(name))
            }
            other => Err(self.unknown(other.name())),
        }
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

/// Whether a runtime is a language as it is installed.
fn is_plain(runtime: &Runtime) -> bool {
    matches!(runtime, Runtime::External { environment: None, fresh_process: false, .. })
}

/// Whether a runtime is a language in an environment.
fn has_environment(runtime: &Runtime) -> bool {
    matches!(runtime, Runtime::External { environment: Some(_), .. })
}
