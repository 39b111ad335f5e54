//! Which kinds of events, effects, words and ends a run has seen. One that no seed reaches is not tested.

use bireme_core::actor::call::{CallCode, Outcome};
use bireme_core::actor::caller::{Effect as CallerEffect, Event as CallerEvent};
use bireme_core::actor::host::{Effect as HostEffect, Event as HostEvent, Record, RunEnd};
use bireme_core::actor::place::EndKind;
use bireme_core::actor::wire::{ToCaller, ToHost};

use crate::coverage::{Kind, Tally, kinds};

kinds! {
    HostEvent {
        Alive CheckpointAsked Durable EndAsked Ended Exited Gathered Item LeaseEnded LeaseRenewed LineLost LogFailed MoveAsked
        NotBegun ProcessLost Refused Said StateKept TakenBack TimerDue
    }
    HostEffect { Append Checkpoint Checkpointed Credit Gather Ungather Over Probe Run Say Stop TakeBack }
    Record { Call Crash Ended Life Poisoned Unrun }
    RunEnd { Cancelled Done NoSuchMethod Stored UnserializableArgs UnserializableResult UserError Value }
    EndKind { Crashed Diverged Exited Failed Killed Moved }
    CallerEvent {
        Cancelled Closed ItemsTaken Kept Prepared Probed Resolved Said StreamDown StreamUp TimerDue Unresolved
    }
    CallerEffect { Ended Item Reach Resolve Room Say }
    ToHost { Ack AckItems Call Cancel Close Credit Open Probe }
    ToCaller { Accepted Item OpenRefused Opened Redirect Reply Window }
    CallCode {
        ArgumentFailed Cancelled Deadline Deadlock Fenced Gone MailboxFull NoSuchMethod NotRun Poisoned ReplayDiverged Unknown
        UnserializableArgs UnserializableResult
    }
}

/// What one actor alone does not come to: the calls that wait for each other tell so, and a circle ends before anybody has
/// waited. See [`deadlocks`](crate::deadlocks).
const ELSEWHERE: &[(&str, &str)] = &[
    ("HostEvent::TakenBack", "it takes actors that wait for each other"),
    ("HostEffect::TakeBack", "it takes actors that wait for each other"),
    ("Record::Unrun", "it takes actors that wait for each other"),
];

/// How often each kind was seen.
#[derive(Clone, Debug)]
pub struct Seen(Tally);

impl Default for Seen {
    fn default() -> Self {
        Self(Tally::new(ALL, ELSEWHERE))
    }
}

impl Seen {
    pub(super) fn saw(&mut self, thing: &impl Kind) {
        self.0.saw(thing);
    }

    pub(super) fn saw_outcome(&mut self, outcome: &Outcome) {
        if let Some(code) = outcome.code() {
            self.saw(&code);
        }
    }

    /// Counts a code that callers are told: how a call ended, or why a host does not begin.
    pub(super) fn saw_word(&mut self, word: &ToCaller) {
        self.saw(word);
        if let ToCaller::OpenRefused(failure) = word {
            self.saw(&failure.code);
        }
    }

    /// Adds what another run has seen.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0);
    }

    /// Kinds that were never seen.
    pub fn missing(&self) -> Vec<&'static str> {
        self.0.missing().collect()
    }

    /// Each kind and how often it was seen.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.counts()
    }
}
