//! A process as its worker sees it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bireme_core::{AttemptId, Resources, limits};
use bireme_daemon::auth::Token;
use rustix::process::Signal;
use smallvec::SmallVec;
use tokio::sync::{Notify, mpsc};

use super::growth::Newborn;
use super::habits::Habits;
use super::pace::Pace;
use super::shown::Shown;
use crate::blackbox;
use crate::executor::scales::Bloat;
use crate::executor::{Job, Kill};
use crate::logs::Writer;
use crate::rpc::executor::Orders;
use crate::store::{Draft, Stored};

/// A process with one slot, from its start to its end.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) token: Token,
    /// The way to it, once it has come back.
    pub(super) orders: Option<Orders>,
    /// The first one runs; the others wait behind it in the process, and hold nothing unless they are `granted`.
    pub(super) jobs: VecDeque<Sent>,
    /// How many attempts it was given.
    pub(super) given: u64,
    pub(super) pace: Pace,
    /// Somebody looks whether the first one takes too long for the others.
    pub(super) watched: bool,
    /// Its number in the system, while it is there.
    pub(super) pid: Option<u32>,
    /// Somebody looks whether the first one takes more memory than it may.
    pub(super) weighed: bool,
    /// How much memory it had when it was ready, and when that was last compared.
    pub(super) newborn: Option<Newborn>,
    /// It is about to end: nothing more is given to it.
    pub(super) doomed: bool,
    /// The blobs that it has been sent.
    pub(super) shown: Shown,
    pub(super) habits: Habits,
    pub(super) manners: Manners,
    /// What keeps inputs in place that it has mapped.
    pub(super) leases: BTreeMap<AttemptId, Lease>,
    /// The last attempts that have ended, by number.
    pub(super) recent: VecDeque<(u64, AttemptId)>,
    /// To whoever looks after the process.
    pub(super) signals: mpsc::Sender<Signal>,
    /// Told when its stream is over.
    pub(super) over: Arc<Notify>,
}

/// What a process says of itself, and does beyond what every one must.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Manners {
    /// It has attempts wait their turn.
    pub(crate) runs_ahead: bool,
    /// It says when it has let go of inputs; another has, when their attempt ends.
    pub(crate) keeps_inputs: bool,
    /// Its number in the system; `None` where it does not say.
    pub(crate) pid: Option<u32>,
}

/// An attempt that a process was given.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) job: Job,
    /// As the process counts what it was given; 0 where it has not come back yet.
    pub(super) number: u64,
    /// It has its resources: it runs, or was promoted.
    pub(super) granted: bool,
    /// The process was asked not to run it.
    pub(super) asked_back: bool,
    /// It was given to a process that was busy with attempts which hold nothing.
    pub(super) lodges: bool,
    /// The machine awaits whether it could be taken back.
    pub(super) recalled: bool,
    /// Its code waits for others, and it has no cpus.
    pub(super) seceded: bool,
    /// The number of its question for cpus.
    pub(super) rejoins: Option<u64>,
    pub(super) killed: Option<Kill>,
    /// It took more memory than it may, and its process is ended for that.
    pub(super) bloat: Option<Bloat>,
    /// Room that it was given for what it makes.
    pub(super) drafts: Vec<Draft>,
    /// It was given some before it asked.
    pub(super) has_room: bool,
    pub(super) running: Option<Running>,
}

/// What is kept of an attempt while it runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) noted: blackbox::Slot,
    pub(super) writer: Arc<Writer>,
}

/// What an attempt's inputs lie in.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) _inputs: SmallVec<[Stored; 2]>,
    pub(super) _drafts: Vec<Draft>,
}

impl Sent {
    pub(super) fn new(job: Job, number: u64, granted: bool) -> Self {
        let (drafts, running) = (Vec::new(), None);
        let (killed, bloat) = (None, None);
        Self {
            job,
            number,
            granted,
            asked_back: false,
            lodges: false,
            recalled: false,
            seceded: false,
            rejoins: None,
            killed,
            bloat,
            drafts,
            has_room: false,
            running,
        }
    }

    pub(super) fn attempt(&self) -> AttemptId {
        self.job.attempt()
    }

    /// Counts the death of a process in which it was the next to run; whether there were too many to think it innocent.
    pub(super) fn is_fatal(&mut self) -> bool {
        self.job.deaths += u32::from(self.running.is_some());
        self.job.deaths >= limits::EXECUTOR_DEATHS
    }
}

impl Seat {
    pub(super) fn new(token: Token, signals: mpsc::Sender<Signal>, over: Arc<Notify>) -> Self {
        Self {
            token,
            orders: None,
            jobs: VecDeque::new(),
            given: 0,
            pace: Pace::default(),
            watched: false,
            pid: None,
            weighed: false,
            newborn: None,
            doomed: false,
            shown: Shown::default(),
            habits: Habits::default(),
            manners: Manners::default(),
            leases: BTreeMap::new(),
            recent: VecDeque::new(),
            signals,
            over,
        }
    }

    /// Whether another attempt with these resources may wait behind the one that runs, and take them over.
    pub(super) fn has_room_for(&self, resources: &Resources) -> bool {
        let same = self.jobs.front().is_some_and(|head| head.job.execution.resources == *resources);
        same && self.jobs.iter().any(|sent| sent.granted)
            && !self.doomed
            && self.manners.runs_ahead
            && self.orders.is_some()
            && self.jobs.len() <= self.pace.room()
    }

    /// Whether nothing in it holds resources: what is there was asked back, or has begun in the place of another that was.
    pub(super) fn lets_lodge(&self) -> bool {
        self.orders.is_some() && !self.doomed && !self.jobs.iter().any(|sent| sent.granted)
    }

    /// How long one that comes last has to wait, roughly.
    pub(super) fn load(&self) -> u64 {
        self.pace.weight().saturating_mul(self.jobs.len() as u64)
    }

    /// Where an attempt stands.
    pub(super) fn find(&self, attempt: AttemptId) -> Option<usize> {
        self.jobs.iter().position(|sent| sent.attempt() == attempt)
    }

    /// The attempt of a number, if it has not been forgotten.
    pub(super) fn numbered(&self, number: u64) -> Option<AttemptId> {
        let here = self.jobs.iter().find(|sent| sent.number == number).map(Sent::attempt);
        here.or_else(|| {
            let (_, attempt) = self.recent.iter().find(|(recent, _)| *recent == number)?;
            Some(*attempt)
        })
    }

    /// Remembers an attempt that has ended.
    pub(super) fn remember(&mut self, number: u64, attempt: AttemptId) {
        if self.recent.len() == limits::EXECUTOR_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((number, attempt));
    }

    /// Makes note of the blobs of the attempt that was given last, and has those dropped that are too many.
    pub(super) fn count_blobs(&mut self) {
        let Self { shown, jobs, orders, .. } = self;
        let Some(Sent { job, .. }) = jobs.back() else { return };
        for (digest, blob) in &job.blobs {
            shown.show(*digest, blob.value.size);
        }
        let uses = |sent: &Sent, digest| sent.job.blobs.iter().any(|(used, _)| *used == digest);
        let gone = shown.pass_over(|digest| jobs.iter().any(|sent| uses(sent, digest)));
        if let Some(orders) = orders.as_ref().filter(|_| !gone.is_empty()) {
            orders.release(gone);
        }
    }

    /// Has the process end when it has nothing more to run. Nothing more is given to it.
    pub(super) fn leave(&mut self, reason: &str) {
        self.doomed = true;
        if let Some(orders) = &self.orders {
            orders.drain(reason);
        }
    }

    /// Has the process end. Nothing more is given to it.
    pub(super) fn end(&mut self, signal: Signal) {
        self.doomed = true;
        // One that does not fit is as good as those that wait.
        let _ = self.signals.try_send(signal);
    }
}
