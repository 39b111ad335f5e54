//! Where attempts end, and others take their place.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bireme_core::protocol::{Output, Timing};
use bireme_core::{AttemptId, ObjectId, Resources, TaskError, limits};
use smallvec::SmallVec;

use super::Job;
use crate::inbox::{Inbox, Told};
use crate::machine::Event;
use crate::registry::Outputs;
use crate::store::Store;
use crate::sync::lock;

/// An attempt that has ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) attempt: AttemptId,
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
    /// Outputs up to this size are told along with their attempt's end, in bytes.
    inline_bytes: AtomicU64,
}

impl Relay {
    /// `worker` is the name that errors carry.
    pub(crate) fn new(inbox: Arc<Inbox>, store: Arc<Store>, worker: String) -> Self {
        let inline_bytes = AtomicU64::new(limits::INLINE_BYTES);
        Self { followers: Mutex::default(), inbox, store, worker, inline_bytes }
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

    /// Stores what an attempt made, tells its end, and returns the follower that is to run in its place, now: one that the
    /// caller `takes`. Any other goes to the executor of its kind by way of the driver.
    pub(crate) fn end(&self, end: End, takes: impl FnOnce(&Job) -> bool) -> Option<Job> {
        let End { attempt, resources, outcome, timing } = end;
        let outcome = match outcome {
            Ok(values) => Ok(self.keep(attempt, values)),
            Err(error) => Err(self.sign(attempt, error)),
        };
        let mut followers = lock(&self.followers);
        let job = followers.take(&resources);
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

    /// Tells the end of an attempt that never held its resources.
    pub(crate) fn refuse(&self, job: &Job, error: Box<TaskError>) {
        let (attempt, timing) = (job.attempt(), Timing::default());
        let outcome = Err(self.sign(attempt, error));
        self.inbox.tell(Event::Ended { attempt, outcome, timing, next: None });
    }

    fn keep(&self, attempt: AttemptId, values: Outputs) -> SmallVec<[Output; 1]> {
        let inline_bytes = self.inline_bytes.load(Ordering::Relaxed);
        let outputs = values.into_iter().zip(0_u16..).map(|(value, n)| {
            let small = value.size <= inline_bytes && value.is_inline();
            let told = small.then(|| Box::new(value.clone()));
            let object = ObjectId::output(attempt.task, n);
            let size = self.store.put(object, Arc::new(value), Some(attempt));
            Output { size, value: told }
        });
        outputs.collect()
    }

    fn sign(&self, attempt: AttemptId, mut error: Box<TaskError>) -> Box<TaskError> {
        error.attempt = Some(attempt);
        error.worker.clone_from(&self.worker);
        Box::new(error.bounded())
    }
}

/// Attempts that wait for others to end, first come first served among those with the same resources. The machine hands
/// out at most [`limits::FOLLOWERS`].
#[derive(Debug, Default)]
struct Followers {
    by_resources: BTreeMap<Resources, VecDeque<Job>>,
    /// Those whose turn has come, on their way to the executor of their kind.
    passed: Vec<Job>,
}

impl Followers {
    fn push(&mut self, job: Job) {
        if let Some(queue) = self.by_resources.get_mut(&job.execution.resources) {
            queue.push_back(job);
        } else {
            let resources = job.execution.resources.clone();
            self.by_resources.insert(resources, VecDeque::from([job]));
        }
    }

    /// The first that takes just what `resources` are.
    fn take(&mut self, resources: &Resources) -> Option<Job> {
        let queue = self.by_resources.get_mut(resources)?;
        let job = queue.pop_front();
        if queue.is_empty() {
            self.by_resources.remove(resources);
        }
        job
    }

    fn remove_passed(&mut self, attempt: AttemptId) -> Option<Job> {
        let at = self.passed.iter().position(|job| job.attempt() == attempt)?;
        Some(self.passed.swap_remove(at))
    }

    fn remove(&mut self, attempt: AttemptId) -> Option<Job> {
        let mut queues = self.by_resources.values_mut();
        let job = queues.find_map(|queue| {
            let at = queue.iter().position(|job| job.attempt() == attempt)?;
            queue.remove(at)
        })?;
        self.by_resources.retain(|_, queue| !queue.is_empty());
        Some(job)
    }
}
