//! What runs attempts.
//!
//! [`Executors`] takes the machine's wishes and hands each attempt to the executor of its kind. A *follower* waits in
//! [`relay::Relay`] until an attempt with the same resources ends, and starts in its place: whoever ends the one takes the
//! other, and the driver hears of both at once, whenever it next looks.

mod awaiting;
pub(crate) mod command;
pub(crate) mod crew;
pub(crate) mod environment;
mod gathering;
mod languages;
pub(crate) mod payload;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod scales;
#[cfg(feature = "wasm")]
pub(crate) mod wasm;

use std::fmt;
use std::sync::Arc;

use bireme_core::graph::Runtime;
use bireme_core::id::Digest;
use bireme_core::{AttemptId, ErrorClass, Reason, Span, TaskError, Time, Value};
use bytes::Bytes;
use rustix::process::Signal;
use smallvec::SmallVec;

use self::awaiting::{Need, Needs, Waiting};
use self::command::Commands;
use self::gathering::Gathered;
pub(crate) use self::gathering::Gathering;
pub(crate) use self::languages::{Languages, Preparing};
use self::payload::malformed;
use self::pool::Pool;
use self::process::Processes;
use self::relay::Relay;
use crate::environments::Built;
use crate::failure::failure;
use crate::machine::{Event, Execution};
use crate::rpc::payload::blobs;
use crate::store::{Store, Stored};

/// An attempt on its way to an executor, with everything that it needs.
#[derive(Debug)]
pub(crate) struct Job {
    /// What to run.
    pub(crate) execution: Box<Execution>,
    /// The values of its inputs, in the payload's order.
    pub(crate) inputs: SmallVec<[Stored; 2]>,
    /// The blobs that its payload names.
    pub(crate) blobs: Vec<(Digest, Stored)>,
    /// When the machine let go of it.
    pub(crate) handed: Time,
    /// How many processes died that were to run it and had not begun.
    pub(crate) deaths: u32,
}

impl Job {
    pub(crate) fn new(
        execution: Box<Execution>,
        inputs: SmallVec<[Stored; 2]>,
        handed: Time,
    ) -> Self {
        Self { execution, inputs, blobs: Vec::new(), handed, deaths: 0 }
    }

    pub(crate) fn attempt(&self) -> AttemptId {
        self.execution.attempt
    }

    /// The blob that tells attempts which call the same from others; `None` where its payload names none.
    pub(crate) fn function(&self) -> Option<Digest> {
        self.blobs.first().map(|(digest, _)| *digest)
    }

    /// What the attempt's failure is told as. Where an input was cut, that is the cause, and its value is dropped.
    pub(crate) fn explain(&self, error: Box<TaskError>, store: &Store) -> Box<TaskError> {
        const CUT_UNDER_A_MAPPING: i32 = Signal::BUS.as_raw();
        let could_be = error.class == ErrorClass::InputLost
            || error.exit.is_some_and(|exit| exit.signal == CUT_UNDER_A_MAPPING);
        if !could_be {
            return error;
        }
        let mut lost = None;
        for (object, stored) in self.execution.inputs.iter().zip(&self.inputs) {
            if stored.check().is_err() {
                lost = Some(*object);
                store.examine(*object);
            }
        }
        let Some(object) = lost.filter(|_| error.class != ErrorClass::InputLost) else {
            return error;
        };
        let message = format!("input {object} was cut while the attempt read it");
        let lost = failure(ErrorClass::InputLost, Reason::InputLost, message);
        Box::new(TaskError { cause: Some(error), ..*lost })
    }

    /// The bytes of a blob that its payload names.
    pub(crate) fn blob(&self, digest: Digest) -> Result<Bytes, Box<TaskError>> {
        let blob = self.blobs.iter().find(|(named, _)| *named == digest);
        let (_, blob) = blob.ok_or_else(|| payload::no_blob(digest))?;
        let loaded = blob.load().map(|value| value.bytes().unwrap_or_default());
        loaded.map_err(|error| {
            let message = format!("blob {digest:?} cannot be read: {error}");
            failure(ErrorClass::InputLost, Reason::InputLost, message)
        })
    }

    /// The value of an input, every byte of it in memory.
    pub(crate) fn input(&self, n: usize) -> Result<Arc<Value>, Box<TaskError>> {
        let stored = self.inputs.get(n).ok_or_else(|| {
            malformed(format!("payload.args: input {n} of {} is named", self.inputs.len()))
        })?;
        stored.load().map_err(|error| {
            let message = format!("input {n} cannot be read: {error}");
            failure(ErrorClass::InputLost, Reason::InputLost, message)
        })
    }
}

/// How a running attempt is to be ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kill {
    /// How long its code may go on.
    pub(crate) grace: Span,
    /// It is over its time, rather than unwanted.
    pub(crate) timed_out: bool,
}

impl Kill {
    /// Unwanted, and not worth waiting for.
    pub(crate) const AT_ONCE: Self = Self { grace: Span::ZERO, timed_out: false };

    /// What is said of an attempt that was ended.
    pub(crate) fn error(self) -> Box<TaskError> {
        if self.timed_out {
            let message = "the attempt ran longer than its timeout; raise it or split the work";
            failure(ErrorClass::Timeout, Reason::TimedOut, message)
        } else {
            failure(ErrorClass::Cancelled, Reason::Cancelled, "the attempt was cancelled")
        }
    }
}

/// Runs attempts of one kind. It tells their ends through its [`Relay`].
pub(crate) trait Executor: fmt::Debug + Send + Sync {
    /// Runs an attempt at once.
    fn start(&self, job: Job);

    /// Ends an attempt; nothing happens if it is not running here.
    fn kill(&self, attempt: AttemptId, kill: Kill);

    /// Ends what runs and takes nothing more on, for those whose end need not be waited for.
    fn close(&self) {}
}

/// What runs native functions.
#[derive(Debug)]
pub(crate) enum Native {
    /// Threads of this process.
    InProcess(Pool),
    /// Processes of their own.
    Isolated(Processes),
}

impl Native {
    /// Runs an attempt when one with the same resources ends.
    fn follow(&self, relay: &Relay, job: Job) {
        match self {
            Self::InProcess(_) => relay.follow(job),
            Self::Isolated(processes) => processes.follow(job),
        }
    }

    /// A follower that was taken ahead has resources of its own.
    fn promoted(&self, attempt: AttemptId) {
        match self {
            // Followers wait in the relay only.
            Self::InProcess(_) => {}
            Self::Isolated(processes) => processes.promoted(attempt),
        }
    }

    /// Takes an attempt back that waits in a process. Returns whether there is one: then the answer comes later.
    fn recall(&self, attempt: AttemptId) -> bool {
        match self {
            Self::InProcess(_) => false,
            Self::Isolated(processes) => processes.recall(attempt),
        }
    }

    /// An attempt has the cpus again that it gave back.
    fn rejoined(&self, attempt: AttemptId) {
        match self {
            Self::InProcess(pool) => pool.rejoined(attempt),
            Self::Isolated(processes) => processes.rejoined(attempt),
        }
    }

    async fn close(&self) {
        match self {
            Self::InProcess(pool) => pool.close(),
            Self::Isolated(processes) => processes.close().await,
        }
    }
}

impl Executor for Native {
    fn start(&self, job: Job) {
        match self {
            Self::InProcess(pool) => pool.start(job),
            Self::Isolated(processes) => processes.start(job),
        }
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        match self {
            Self::InProcess(pool) => pool.kill(attempt, kill),
            Self::Isolated(processes) => processes.kill(attempt, kill),
        }
    }
}

/// The executors of a worker.
#[derive(Debug)]
pub(crate) struct Executors {
    relay: Arc<Relay>,
    native: Native,
    command: Commands,
    /// None where the worker was given no runtime.
    languages: Option<Languages>,
    /// None where there is nobody to ask for blobs.
    gathering: Option<Gathering>,
    /// None where the worker was built without.
    wasm: Option<Box<dyn Executor>>,
}

impl Executors {
    pub(crate) fn new(relay: Arc<Relay>, native: Native, command: Commands) -> Self {
        Self { relay, native, command, languages: None, gathering: None, wasm: None }
    }

    /// The same with language executors.
    pub(crate) fn with_languages(self, languages: Languages) -> Self {
        Self { languages: Some(languages), ..self }
    }

    /// The same with blobs for those that name some.
    pub(crate) fn with_blobs(self, gathering: Gathering) -> Self {
        Self { gathering: Some(gathering), ..self }
    }

    /// The same with something that runs WebAssembly.
    #[cfg_attr(not(feature = "wasm"), expect(dead_code, reason = "there is nothing that does"))]
    pub(crate) fn with_wasm(self, wasm: impl Executor + 'static) -> Self {
        Self { wasm: Some(Box::new(wasm)), ..self }
    }

    /// Runs an attempt, at once or when one with the same resources ends, as soon as all that it needs is here.
    pub(crate) fn execute(&self, job: Job, follow: bool) {
        match (self.needs(&job), &self.gathering) {
            (Err(error), _) => self.relay.fail(&job, !follow, error),
            (Ok(needs), Some(gathering)) if !needs.is_empty() => {
                if let (Some(Need::Environment(runtime)), Some(languages)) =
                    (needs.first(), &self.languages)
                {
                    languages.note_wait(job.attempt(), runtime);
                    self.relay.tell(Event::Prepares(job.attempt()));
                }
                self.gather(gathering, Waiting::new(job, needs, !follow));
            }
            _ if follow => self.follow(job),
            _ => self.start(job),
        }
    }

    /// What an attempt has to have before it starts.
    fn needs(&self, job: &Job) -> Result<Needs, Box<TaskError>> {
        let Execution { payload, runtime, .. } = &*job.execution;
        let mut needs = Needs::new();
        match (runtime, &self.languages) {
            (Runtime::External { .. }, Some(languages)) => {
                let lacks = languages.lacks(job)?;
                needs.extend(lacks.map(|runtime| Need::Environment(Box::new(runtime))));
            }
            // It is refused where it starts.
            (Runtime::External { .. }, None) => return Ok(needs),
            (Runtime::Wasm, _) if self.wasm.is_none() => return Ok(needs),
            (Runtime::Native | Runtime::Command | Runtime::Wasm, _) => {}
        }
        needs.extend(blobs(payload, runtime)?.into_iter().map(Need::Blob));
        Ok(needs)
    }

    /// Runs an attempt, or has it wait for what it needs.
    fn gather(&self, gathering: &Gathering, waiting: Waiting) {
        match (gathering.gather(waiting), &self.languages) {
            (Gathered::All(waiting), _) if waiting.granted => self.start(waiting.job),
            (Gathered::All(waiting), _) => self.follow(waiting.job),
            (Gathered::Lacks(runtime), Some(languages)) => languages.prepare(runtime),
            (Gathered::Lacks(_) | Gathered::Waits, _) => {}
        }
    }

    fn follow(&self, job: Job) {
        match (&job.execution.runtime, &self.languages) {
            (Runtime::External { .. }, Some(languages)) => languages.follow(job),
            (Runtime::Native, _) => self.native.follow(&self.relay, job),
            _ => self.relay.follow(job),
        }
    }

    /// A blob has come, or why not.
    pub(crate) fn blob_came(&self, digest: Digest, came: Result<Stored, Box<TaskError>>) {
        let (blob, came) = (came.as_ref().ok().cloned(), came.map(drop));
        self.came(&Need::Blob(digest), blob.as_ref(), came);
    }

    /// The environment of a runtime is built, or why not.
    pub(crate) fn environment_came(
        &self,
        runtime: Runtime,
        came: Result<Arc<Built>, Box<TaskError>>,
    ) {
        let Some(languages) = &self.languages else { return };
        let came = came.and_then(|built| languages.open_in(&runtime, built));
        self.came(&Need::Environment(Box::new(runtime)), None, came);
    }

    /// Something is here that attempts waited for, or why not.
    fn came(&self, need: &Need, blob: Option<&Stored>, came: Result<(), Box<TaskError>>) {
        let Some(gathering) = &self.gathering else { return };
        for waiting in gathering.take(need, blob) {
            match &came {
                Ok(()) => {
                    if matches!(need, Need::Environment(_)) {
                        self.relay.tell(Event::Prepared(waiting.job.attempt()));
                    }
                    self.gather(gathering, waiting);
                }
                Err(error) => self.relay.fail(&waiting.job, waiting.granted, error.clone()),
            }
        }
    }

    /// Runs a follower at once, if no executor has it yet.
    pub(crate) fn promote(&self, attempt: AttemptId) {
        if let Some(job) = self.relay.promote(attempt) {
            return self.start(job);
        }
        self.gathering.iter().for_each(|gathering| gathering.promote(attempt));
        self.native.promoted(attempt);
        self.languages.iter().for_each(|languages| languages.promoted(attempt));
    }

    /// Takes a follower back, if it has not started; the answer comes through the inbox.
    pub(crate) fn recall(&self, attempt: AttemptId) {
        let waiting = self.gathering.as_ref().and_then(|all| all.remove_follower(attempt));
        if let Some(waiting) = waiting {
            self.relay.follow(waiting.job);
        }
        let comes_later = self.native.recall(attempt)
            || self.languages.as_ref().is_some_and(|languages| languages.recall(attempt));
        if !comes_later {
            self.relay.recall(attempt);
        }
    }

    /// An attempt has the cpus again that it gave back.
    pub(crate) fn rejoined(&self, attempt: AttemptId) {
        self.native.rejoined(attempt);
        self.languages.iter().for_each(|languages| languages.rejoined(attempt));
    }

    /// The scheduler is another than the one that language executors were told of.
    pub(crate) fn renew(&self) {
        self.languages.iter().for_each(Languages::renew);
    }

    /// Ends an attempt, started or not.
    pub(crate) fn kill(&self, attempt: AttemptId, kill: Kill) {
        let waiting = self.gathering.as_ref().and_then(|all| all.remove(attempt));
        let waiting = waiting.map(|waiting| waiting.job);
        if let Some(job) = waiting.or_else(|| self.relay.promote(attempt)) {
            self.relay.refuse(&job, kill.error());
        } else {
            self.native.kill(attempt, kill);
            self.command.kill(attempt, kill);
            self.languages.iter().for_each(|languages| languages.kill(attempt, kill));
            self.wasm.iter().for_each(|wasm| wasm.kill(attempt, kill));
        }
    }

    /// Ends everything that runs, and waits for every process; native code is only asked to return.
    pub(crate) async fn close(&self) {
        self.native.close().await;
        self.command.close().await;
        if let Some(languages) = &self.languages {
            languages.close().await;
        }
        self.wasm.iter().for_each(|wasm| wasm.close());
    }

    /// Runs an attempt at once.
    pub(crate) fn start(&self, job: Job) {
        match (&job.execution.runtime, &self.languages) {
            (Runtime::Native, _) => self.native.start(job),
            (Runtime::Command, _) => self.command.start(job),
            (Runtime::External { .. }, Some(languages)) => {
                if let Some((job, gathering)) = languages.start(job).zip(self.gathering.as_ref()) {
                    let need = Need::Environment(Box::new(job.execution.runtime.clone()));
                    self.gather(gathering, Waiting::new(job, Needs::from_iter([need]), true));
                }
            }
            (Runtime::External { .. }, None) => {
                self.refuse_runtime(&job, "was given no `--runtime`");
            }
            (Runtime::Wasm, _) => match &self.wasm {
                Some(wasm) => wasm.start(job),
                None => self.refuse_runtime(&job, "was built without the feature `wasm`"),
            },
        }
    }

    fn refuse_runtime(&self, job: &Job, why: &str) {
        let name = job.execution.runtime.name();
        let message = format!("this worker has no executor for {name} payloads: it {why}");
        let error = failure(ErrorClass::NotFound, Reason::RuntimeUnknown, message);
        self.relay.fail(job, true, error);
    }
}
