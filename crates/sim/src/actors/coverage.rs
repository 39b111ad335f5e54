//! Which kinds of events, effects, words and ends a run has seen. One that no seed reaches is not tested.

use std::collections::BTreeMap;

use bireme_core::actor::call::{CallCode, Outcome};
use bireme_core::actor::caller::{Effect as CallerEffect, Event as CallerEvent};
use bireme_core::actor::host::{Effect as HostEffect, Event as HostEvent, Record, RunEnd};
use bireme_core::actor::place::EndKind;
use bireme_core::actor::wire::{ToCaller, ToHost};

use crate::coverage::{Kind, kinds};

kinds! {
    HostEvent {
        Alive CheckpointAsked Durable EndAsked Ended Exited Gathered Item LeaseEnded LeaseRenewed LineLost LogFailed MoveAsked
        NotBegun ProcessLost Refused Said StateKept TimerDue
    }
    HostEffect { Append Checkpoint Checkpointed Credit Gather Ungather Over Run Say Stop }
    Record { Call Crash Ended Life Poisoned }
    RunEnd { Cancelled Done NoSuchMethod Stored UnserializableArgs UnserializableResult UserError Value }
    EndKind { Crashed Diverged Exited Failed Killed Moved }
    CallerEvent {
        Cancelled Closed ItemsTaken Kept Prepared Resolved Said StreamDown StreamUp TimerDue Unresolved
    }
    CallerEffect { Ended Item Reach Resolve Room Say }
    ToHost { Ack AckItems Call Cancel Close Credit Open }
    ToCaller { Accepted Item OpenRefused Opened Redirect Reply Window }
    CallCode {
        ArgumentFailed Cancelled Deadline Deadlock Fenced Gone MailboxFull NoSuchMethod NotRun Poisoned ReplayDiverged Unknown
        UnserializableArgs UnserializableResult
    }
}

/// What cannot be seen, and why.
const NOT_YET: &[(&str, &str)] =
    &[("CallerEvent::Kept", "no actor here calls another; the caller's own tests have it")];

/// How often each kind was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    seen: BTreeMap<&'static str, u64>,
}

impl Seen {
    pub(super) fn saw(&mut self, thing: &impl Kind) {
        *self.seen.entry(thing.kind()).or_default() += 1;
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
        for (kind, count) in &other.seen {
            *self.seen.entry(kind).or_default() += count;
        }
    }

    /// Kinds that were never seen and could have been.
    pub fn missing(&self) -> Vec<&'static str> {
        let is_excused = |kind: &&str| NOT_YET.iter().any(|(other, _)| other == kind);
        let kinds = ALL.iter().copied().flatten().copied();
        kinds.filter(|kind| !is_excused(kind) && !self.seen.contains_key(kind)).collect()
    }

    /// Kinds that were seen although it is said that they cannot be.
    pub fn surprises(&self) -> Vec<&'static str> {
        NOT_YET.iter().map(|(kind, _)| *kind).filter(|kind| self.seen.contains_key(kind)).collect()
    }

    /// Each kind and how often it was seen.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let kinds = ALL.iter().copied().flatten();
        kinds.map(|kind| (*kind, self.seen.get(kind).copied().unwrap_or(0)))
    }
}
