//! Which kinds of things a run has seen.
//!
//! A kind that no seed reaches is not tested: the test over the fixed seeds fails and names it, unless [`NOT_YET`] says why.

mod reasons;

use std::collections::BTreeMap;

use bireme_core::TaskError;
use bireme_core::protocol::{Order, Report};
use bireme_core::reason::Reason;
use bireme_core::session::{Command, Notice};
use bireme_scheduler::machine::{Effect as SchedulerEffect, Event as SchedulerEvent};
use bireme_worker::machine::{Effect as WorkerEffect, Event as WorkerEvent};

pub use self::reasons::{FAILURES, REFUSALS};
use crate::executor::Hold;
use crate::faults::Fault;

/// Something of which there are several kinds.
pub(crate) trait Kind {
    /// All of them.
    const KINDS: &'static [&'static str];

    /// Which this is.
    fn kind(&self) -> &'static str;
}

/// Something that no single event or message shows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// An attempt waits at a worker for inputs that are made there.
    Ahead,
    /// The row of an array was run.
    ArrayRow,
    /// A worker's supervisor told what was running when the daemon died.
    BlackBox,
    /// A client came back to its session by the session's name.
    ByName,
    /// An attempt ended while it waited for others.
    EndedAway,
    /// The outputs of a graph were dropped because their time was over.
    Expired,
    /// An attempt that finished while its worker was away was taken for finished when it came back.
    FinishedUnheard,
    /// So many values are in use that memory is full.
    MemoryFull,
    /// A digest spared an announcement.
    NoNews,
    /// A worker that comes to a restarted scheduler still has an attempt of the life before.
    OldEpoch,
    /// An attempt waits at a worker that has no room for it yet.
    Prefilled,
    /// An attempt took an input that had moved to disk.
    ReadBack,
    /// A command came twice.
    Repeated,
    /// A worker was set apart for a task that may have killed another.
    SetApart,
    /// A task made more than one value.
    SeveralOutputs,
    /// Values moved to disk.
    Spilled,
}

/// Says of types which kinds they have, and lists them all.
macro_rules! kinds {
    ($($Type:ident { $($Variant:ident)* })*) => {
        $(impl Kind for $Type {
            const KINDS: &'static [&'static str] = &[$(concat!(stringify!($Type), "::", stringify!($Variant))),*];

            fn kind(&self) -> &'static str {
                match self { $(Self::$Variant { .. } => concat!(stringify!($Type), "::", stringify!($Variant)),)* }
            }
        })*

        /// Every kind of everything.
        const ALL: &[&[&str]] = &[$(<$Type as Kind>::KINDS),*];
    };
}

pub(crate) use kinds;

kinds! {
    SchedulerEvent {
        ActorAsked ChunkUnreadable Commanded Disconnected SessionOpened TimerDue WorkerAnnounced WorkerBeat WorkerDrainAsked
        WorkerJoined WorkerReported WorkerStopAsked
    }
    SchedulerEffect { Answered Disconnect SessionGone SessionOpened Wake WorkerJoined }
    WorkerEvent {
        ActorTold AnnounceReplied Connected Disconnected DrainAsked Ended FetchFailed Fetched Gather Lost Ordered Paused
        Prepared Prepares Recalled Rejoining Seceded Stored TimerDue Ungather
    }
    WorkerEffect { Actor Gathered Host Fetch Drop Execute Promote Keep Kill Leave Recall Rejoined Wake Peers }
    Order { Actor Cancel Drain Gone Peers Places Release Replicate Retract Settle Start Stop }
    Report { Actor Draining Failed Finished InputMissing Rejoined ReplicaAdded ReplicaLost Retracted Seceded Started }
    Command { Cancel Chunk Close DropReplicas Forget Locate Ping Put Release ReleaseValues Retry Want }
    Moment {
        Ahead ArrayRow BlackBox ByName EndedAway Expired FinishedUnheard MemoryFull NoNews OldEpoch Prefilled ReadBack Repeated
        SetApart SeveralOutputs Spilled
    }
    Notice { Accepted Closing Graph Places Pong Refused Task Warning Workers }
    Hold { Share Whole }
    Fault {
        Abandon Crash CrashSession Cut CutSession CutWorker Dismiss Drain Fill Impostor Isolate Lose Pause Restart
        StallSession StallWorker Stop TakeOver
    }
}

/// What cannot be seen yet, and why.
const NOT_YET: &[(&str, &str)] = &[
    ("SchedulerEvent::ActorAsked", "actors have worlds of their own: this one has tasks"),
    ("Order::Actor", "actors have worlds of their own: this one has tasks"),
    ("WorkerEvent::ActorTold", "actors have worlds of their own: this one has tasks"),
    ("WorkerEvent::Gather", "actors have worlds of their own: this one has tasks"),
    ("WorkerEvent::Ungather", "actors have worlds of their own: this one has tasks"),
    ("WorkerEffect::Actor", "actors have worlds of their own: this one has tasks"),
    ("WorkerEffect::Gathered", "actors have worlds of their own: this one has tasks"),
    ("WorkerEffect::Host", "actors have worlds of their own: this one has tasks"),
    ("Report::Actor", "actors have worlds of their own: this one has tasks"),
    (
        "SchedulerEvent::ChunkUnreadable",
        "told by the door, which reads messages; there are none here",
    ),
    ("Notice::Closing", "sent by the driver, not by the machine"),
];

/// How often each kind of a list was seen.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    all: &'static [&'static [&'static str]],
    /// What cannot be seen yet, and why.
    not_yet: &'static [(&'static str, &'static str)],
    seen: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn new(
        all: &'static [&'static [&'static str]],
        not_yet: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { all, not_yet, seen: BTreeMap::new() }
    }

    pub(crate) fn saw(&mut self, thing: &impl Kind) {
        *self.seen.entry(thing.kind()).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.seen {
            *self.seen.entry(kind).or_default() += count;
        }
    }

    pub(crate) fn missing(&self) -> impl Iterator<Item = &'static str> {
        let is_excused = |kind: &&str| self.not_yet.iter().any(|(other, _)| other == kind);
        let kinds = self.all.iter().copied().flatten().copied();
        kinds.filter(move |kind| !is_excused(kind) && !self.seen.contains_key(kind))
    }

    pub(crate) fn surprises(&self) -> Vec<&'static str> {
        let excused = self.not_yet.iter().map(|(kind, _)| *kind);
        excused.filter(|kind| self.seen.contains_key(kind)).collect()
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let kinds = self.all.iter().copied().flatten();
        kinds.map(|kind| (*kind, self.seen.get(kind).copied().unwrap_or(0)))
    }
}

/// How often each kind was seen.
#[derive(Clone, Debug)]
pub struct Coverage {
    kinds: Tally,
    refusals: BTreeMap<Reason, u64>,
    failures: BTreeMap<Reason, u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        let kinds = Tally::new(ALL, NOT_YET);
        Self { kinds, refusals: BTreeMap::new(), failures: BTreeMap::new() }
    }
}

impl Coverage {
    pub(crate) fn saw(&mut self, thing: &impl Kind) {
        self.kinds.saw(thing);
    }

    pub(crate) fn saw_refusal(&mut self, reason: Reason) {
        *self.refusals.entry(reason).or_default() += 1;
    }

    pub(crate) fn saw_error(&mut self, error: &TaskError) {
        for reason in reasons::of(error) {
            *self.failures.entry(reason).or_default() += 1;
        }
    }

    /// Adds what another run has seen.
    pub fn add(&mut self, other: &Self) {
        self.kinds.add(&other.kinds);
        for (reason, count) in &other.refusals {
            *self.refusals.entry(*reason).or_default() += count;
        }
        for (reason, count) in &other.failures {
            *self.failures.entry(*reason).or_default() += count;
        }
    }

    /// Kinds that were never seen and could have been.
    pub fn missing(&self) -> Vec<String> {
        let refusals = REFUSALS.iter().filter(|reason| !self.refusals.contains_key(reason));
        let failures = FAILURES.iter().filter(|reason| !self.failures.contains_key(reason));
        let kinds = self.kinds.missing().map(str::to_owned);
        kinds
            .chain(refusals.map(|reason| format!("refusal {reason}")))
            .chain(failures.map(|reason| format!("failure {reason}")))
            .collect()
    }

    /// Kinds that were seen although it is said that they cannot be.
    pub fn surprises(&self) -> Vec<&'static str> {
        self.kinds.surprises()
    }

    /// How often this kind was seen, named as in [`Self::counts`].
    pub fn count(&self, kind: &str) -> u64 {
        self.counts().find(|(other, _)| other == kind).map_or(0, |(_, count)| count)
    }

    /// Each kind and how often it was seen.
    pub fn counts(&self) -> impl Iterator<Item = (String, u64)> {
        let kinds = self.kinds.counts().map(|(kind, count)| (kind.to_owned(), count));
        let refusals = self.refusals.iter();
        let failures = self.failures.iter();
        kinds
            .chain(refusals.map(|(reason, count)| (format!("refusal {reason}"), *count)))
            .chain(failures.map(|(reason, count)| (format!("failure {reason}"), *count)))
    }
}
