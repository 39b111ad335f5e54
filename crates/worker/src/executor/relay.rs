//! Where attempts end, and others take their place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bireme_core::graph::Runtime;
use bireme_core::protocol::{Output, Timing};
use bireme_core::{AttemptId, ObjectId, Resources, TaskError, Value, limits};
use smallvec::SmallVec;

use super::Job;
use crate::blackbox::BlackBox;
use crate::inbox::{Inbox, Told};
use crate::machine::Event;
use crate::registry::Outputs;
use crate::store::{Draft, Store};
use crate::sync::lock;

/// An attempt that has ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) attempt: AttemptId,
    /// What ran it.
    pub(crate) runtime: Runtime,
    /// What it held and now gives up.
    pub(crate) resources: Resources,
    /// What it made.
    pub(crate) outcome: Result<Outputs, Box<TaskError>>,
    pub(crate) timing: Timing,
}

impl End {
    /// The end of an attempt whose code never ran.
    pub(crate) fn failed(job: &Job, error: Box<TaskError>) -> Self {
        Self {
            attempt: job.attempt(),
            runtime: job.execution.runtime.clone(),
            resources: job.execution.resources.clone(),
            outcome: Err(error),
            timing: Timing::default(),
        }
    }
}

/// Shared by all executors of a worker.
#[derive(Debug)]
pub(crate) struct Relay {
    followers: Mutex<Followers>,
    inbox: Arc<Inbox>,
    store: Arc<Store>,
    worker: String,
    black_box: BlackBox,
    /// Outputs up to this size are told along with their attempt's end, in bytes.
    inline_bytes: AtomicU64,
}

impl Relay {
    /// `worker` is the name that errors carry.
    pub(crate) fn new(inbox: Arc<Inbox>, store: Arc<Store>, worker: String) -> Self {
        let inline_bytes = AtomicU64::new(limits::INLINE_BYTES);
        let (followers, black_box) = (Mutex::default(), BlackBox::none());
        Self { followers, inbox, store, worker, black_box, inline_bytes }
    }

    /// Has executors note in `black_box` what they run.
    pub(crate) fn with_black_box(mut self, black_box: BlackBox) -> Self {
        self.black_box = black_box;
        self
    }

    /// Where executors note an attempt before they run it, and when its code has ended.
    pub(crate) fn black_box(&self) -> &BlackBox {
        &self.black_box
    }

    /// Outputs up to this size are told along with their attempt's end, in bytes; never more than the limit.
    pub(crate) fn set_inline_bytes(&self, bytes: u64) {
        self.inline_bytes.store(bytes.min(limits::INLINE_BYTES), Ordering::Relaxed);
    }

    /// Has an attempt wait for the end of one with the same resources.
    pub(crate) fn follow(&self, job: Job) {
        lock(&self.followers).push(job);
    }

    /// A follower that no executor has yet, to be dealt with otherwise.
    pub(crate) fn promote(&self, attempt: AttemptId) -> Option<Job> {
        let mut followers = lock(&self.followers);
        followers.remove(attempt).or_else(|| followers.remove_passed(attempt))
    }

    /// Takes a follower back if it has not started, and says whether. If it has started, whoever reads the inbox has been
    /// told so before.
    pub(crate) fn recall(&self, attempt: AttemptId) {
        let mut followers = lock(&self.followers);
        let taken_back = followers.remove(attempt).is_some();
        self.inbox.tell(Event::Recalled { attempt, taken_back });
    }

    /// Takes a follower of a runtime with these resources for an executor that is to run it later, in the place of an attempt that it runs.
    /// From here on it cannot be recalled.
    pub(crate) fn take_ahead(&self, runtime: &Runtime, resources: &Resources) -> Option<Job> {
        lock(&self.followers).take(&(runtime.clone(), resources.clone()))
    }

    /// Takes a follower back from an executor that was to run it later. It is the next of its resources.
    pub(crate) fn give_back(&self, job: Job) {
        lock(&self.followers).push_front(job);
    }

    /// Stores what an attempt made, tells its end, and returns the follower that is to run in its place, now: one that the
    /// caller `takes`. Any other goes to the executor of its kind by way of the driver.
    pub(crate) fn end(&self, end: End, takes: impl FnOnce(&Job) -> bool) -> Option<Job> {
        self.end_written(end, &[], takes)
    }

    /// The same for an attempt that has written some of what it made into `drafts`.
    pub(crate) fn end_written(
        &self,
        end: End,
        drafts: &[Draft],
        takes: impl FnOnce(&Job) -> bool,
    ) -> Option<Job> {
        let End { attempt, runtime, resources, outcome, timing } = end;
        let outcome = self.keep(attempt, outcome, drafts);
        let mut followers = lock(&self.followers);
        let job = followers.take(&(runtime, resources));
        let next = job.as_ref().map(Job::attempt);
        // Under the lock: who is told that a follower cannot be recalled has been told of its start before.
        self.inbox.tell(Event::Ended { attempt, outcome, timing, next });
        let job = job?;
        if takes(&job) {
            return Some(job);
        }
        self.inbox.push(Told::Start(job.attempt()));
        followers.passed.push(job);
        None
    }

    /// Tells the driver something for its machine.
    pub(crate) fn tell(&self, event: Event) {
        self.inbox.tell(event);
    }

    /// Stores what an attempt made and tells its end, in whose place `next` runs, which the executor has taken ahead; nothing
    /// else does.
    pub(crate) fn end_before(&self, end: End, drafts: &[Draft], next: Option<AttemptId>) {
        let End { attempt, runtime: _, resources: _, outcome, timing } = end;
        let outcome = self.keep(attempt, outcome, drafts);
        self.inbox.tell(Event::Ended { attempt, outcome, timing, next });
    }

    /// Tells the end of an attempt that never held its resources.
    pub(crate) fn refuse(&self, job: &Job, error: Box<TaskError>) {
        let (attempt, timing) = (job.attempt(), Timing::default());
        let outcome = Err(self.sign(attempt, error));
        self.inbox.tell(Event::Ended { attempt, outcome, timing, next: None });
    }

    /// Tells the end of an attempt that did not run, whether or not it was `granted` its resources.
    pub(crate) fn fail(&self, job: &Job, granted: bool, error: Box<TaskError>) {
        if granted {
            self.end(End::failed(job, error), |_| false);
        } else {
            self.refuse(job, error);
        }
    }

    fn keep(
        &self,
        attempt: AttemptId,
        outcome: Result<Outputs, Box<TaskError>>,
        drafts: &[Draft],
    ) -> Result<SmallVec<[Output; 1]>, Box<TaskError>> {
        let inline_bytes = self.inline_bytes.load(Ordering::Relaxed);
        let keep = |(value, n): (Value, u16)| {
            let small = value.size <= inline_bytes && value.is_inline();
            let told = small.then(|| Box::new(value.clone()));
            let object = ObjectId::output(attempt.task, n);
            let size = if drafts.is_empty() {
                self.store.put(object, Arc::new(value), Some(attempt))
            } else {
                self.store.put_written(object, value, drafts.iter(), Some(attempt))
            };
            let size = size.map_err(|error| error.failure())?;
            Ok(Output { size, value: told })
        };
        let kept = outcome.and_then(|values| values.into_iter().zip(0..).map(keep).collect());
        kept.map_err(|error| self.sign(attempt, error))
    }

    fn sign(&self, attempt: AttemptId, mut error: Box<TaskError>) -> Box<TaskError> {
        error.attempt = Some(attempt);
        error.worker.clone_from(&self.worker);
        Box::new(error.bounded())
    }
}

/// Attempts that wait for others to end, first come first served among those of one kind with the same resources. The
/// machine hands out at most [`limits::FOLLOWERS`] of each.
#[derive(Debug, Default)]
struct Followers {
    by_need: BTreeMap<(Runtime, Resources), VecDeque<Job>>,
    /// Those whose turn has come, on their way to the executor of their kind.
    passed: Vec<Job>,
}

impl Followers {
    fn push(&mut self, job: Job) {
        let need = (job.execution.runtime.clone(), job.execution.resources.clone());
        self.by_need.entry(need).or_default().push_back(job);
    }

    fn push_front(&mut self, job: Job) {
        let need = (job.execution.runtime.clone(), job.execution.resources.clone());
        self.by_need.entry(need).or_default().push_front(job);
    }

    /// The first that needs just this.
    fn take(&mut self, need: &(Runtime, Resources)) -> Option<Job> {
        let queue = self.by_need.get_mut(need)?;
        let job = queue.pop_front();
        if queue.is_empty() {
            self.by_need.remove(need);
        }
        job
    }

    fn remove_passed(&mut self, attempt: AttemptId) -> Option<Job> {
        let at = self.passed.iter().position(|job| job.attempt() == attempt)?;
        Some(self.passed.swap_remove(at))
    }

    fn remove(&mut self, attempt: AttemptId) -> Option<Job> {
        let mut queues = self.by_need.values_mut();
        let job = queues.find_map(|queue| {
            let at = queue.iter().position(|job| job.attempt() == attempt)?;
            queue.remove(at)
        })?;
        self.by_need.retain(|_, queue| !queue.is_empty());
        Some(job)
    }
}
