//! The host's part in finding calls that wait for each other: it sends probes, adds to those of others, and ends the call that
//! closes a circle. How and why is in [`probe`](crate::actor::probe).

use std::collections::BTreeMap;

use super::callers::{Rests, Slot};
use super::event::{Line, RunNo};
use super::runs::ungather;
use super::{Effect, Host, Phase, Record};
use crate::actor::call::{CallCode, CallFailure, CallId, Outcome};
use crate::actor::probe::{Probe, Step, short};
use crate::limits;
use crate::time::{Span, Time};

/// What a host knows of the probes that it has sent.
#[derive(Debug, Default)]
pub(super) struct Probes {
    /// When it looks next for calls that have waited long.
    due: Option<Time>,
    /// The number given last.
    last: u64,
    /// By lane.
    sent: BTreeMap<usize, Sent>,
    /// Calls that the process was asked to give back, and how they end then.
    taken: BTreeMap<RunNo, Box<CallFailure>>,
}

/// The probe that was sent last after the call that holds up a lane.
#[derive(Debug)]
struct Sent {
    number: u64,
    /// The way that the one before it came back by.
    came_back: Option<Vec<Step>>,
}

/// What holds up a call.
struct HeldUp {
    run: RunNo,
    ticket: u64,
    /// The call waits in its lane; else it is the one that runs.
    waits: bool,
}

impl Probes {
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }
}

impl Host {
    /// Looks after calls again in a while, if some may wait behind one that runs.
    pub(super) fn watch_waits(&mut self, now: Time) {
        let may_wait = !self.given.is_empty() && self.mailbox.len() > 1 && !self.is_over();
        if self.probes.due.is_none() && may_wait {
            self.probes.due = Some(now + limits::DEADLOCK_PROBE_AFTER);
        }
    }

    /// Sends probes after the calls behind which others have waited for long.
    pub(super) fn probe_waits(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.probes.due.is_none_or(|due| due > now) {
            return;
        }
        let given = &self.given;
        self.probes.taken.retain(|run, _| given.contains(run.0));
        self.probes.due = None;
        self.probes.sent.clear();
        if !self.may_conclude() {
            return;
        }
        for lane in 0..self.mailbox.lanes() {
            let since = self.waits_since(lane);
            let long = |since| now.since(since) >= limits::DEADLOCK_PROBE_AFTER;
            if since.is_some_and(long) {
                self.send_probe(lane, None, effects);
            }
        }
    }

    /// Whether what waits here would begin as soon as it could, and may be told how it ends.
    fn may_conclude(&self) -> bool {
        let lives = matches!(self.phase, Phase::Replaying | Phase::Serving);
        lives && !self.fenced && self.ending.is_none()
    }

    /// Calls of a lane that were given, in the order in which they run, where one runs at a time.
    fn given_in(&self, lane: usize) -> impl Iterator<Item = (RunNo, u64)> {
        let is_one = self.mailbox.concurrency(lane) == 1;
        let given = self.given.iter().map(|(run, ticket)| (RunNo(run), *ticket));
        given.filter(move |(_, ticket)| is_one && self.runs_in(*ticket, lane))
    }

    /// Since when the first call of a lane waits behind one that runs.
    fn waits_since(&self, lane: usize) -> Option<Time> {
        let mut given = self.given_in(lane);
        given.next()?;
        let ahead = given.next().map(|(_, ticket)| ticket);
        let first = ahead.or_else(|| self.mailbox.first_waiting(lane))?;
        Some(self.mailbox.get(first)?.arrived)
    }

    fn send_probe(&mut self, lane: usize, came_back: Option<Vec<Step>>, effects: &mut Vec<Effect>) {
        let Some((run, ticket)) = self.given_in(lane).next() else { return };
        let Some(step) = self.step(None, run, ticket) else { return };
        self.probes.last += 1;
        let number = self.probes.last;
        self.probes.sent.insert(lane, Sent { number, came_back });
        effects.push(Effect::Probe { run, probe: Box::new(Probe { number, steps: vec![step] }) });
    }

    fn step(&self, waits: Option<u64>, run: RunNo, ticket: u64) -> Option<Step> {
        let runs = self.mailbox.get(ticket)?;
        let waits = waits.and_then(|waits| self.mailbox.get(waits));
        Some(Step {
            waits: waits.map(|live| live.id),
            waits_method: waits.map_or_else(String::new, |live| short(&live.call.method)),
            runs: runs.id,
            runs_method: short(&runs.call.method),
            class_name: short(&self.spec.class_name),
            incarnation: self.incarnation,
            run: run.0,
            wait: 0,
        })
    }

    /// What a call that has not ended waits for; `None` where that is not certain.
    fn held_up_by(&self, ticket: u64) -> Option<HeldUp> {
        let live = self.mailbox.get(ticket)?;
        if let Some(given) = live.given
            && (given.beside || self.mailbox.concurrency(live.lane) > 1)
        {
            return Some(HeldUp { run: given.run, ticket, waits: false });
        }
        // One of a replay waits for more than its lane; one whose inputs are on their way may begin beside its lane then.
        let is_unsure = live.replay.is_some() || (self.spec.reentrant && live.gathering);
        if live.given.is_none() && is_unsure {
            return None;
        }
        let (run, runs) = self.given_in(live.lane).next()?;
        Some(HeldUp { run, ticket: runs, waits: runs != ticket })
    }

    /// A caller waits for one of its calls, and somebody for the caller.
    pub(super) fn on_probe(
        &mut self,
        now: Time,
        line: Line,
        seq: u64,
        mut probe: Box<Probe>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(caller) = self.callers.of_line(line).and_then(|id| self.callers.get(id)) else {
            return;
        };
        let Some(Slot::Live(ticket)) = caller.slots.get(seq) else { return };
        let ticket = *ticket;
        let Some(held) = self.held_up_by(ticket).filter(|_| self.may_conclude()) else { return };
        let Some(step) = self.step(Some(ticket), held.run, held.ticket) else { return };
        let Some(first) = probe.steps.first() else { return };
        let is_back =
            (first.runs, first.incarnation, first.run) == (step.runs, step.incarnation, step.run);
        if is_back && held.waits {
            if let Some(first) = probe.steps.first_mut() {
                (first.waits, first.waits_method) = (step.waits, step.waits_method);
            }
            return self.close_circle(now, ticket, *probe, effects);
        }
        // The probe of the greatest of those that send one is to be the only one that comes back.
        let is_anothers = held.waits && step.runs > first.runs;
        if is_anothers || probe.has_seen(step.runs) || probe.steps.len() >= limits::CALL_CHAIN {
            return;
        }
        probe.steps.push(step);
        effects.push(Effect::Probe { run: held.run, probe });
    }

    /// A probe is back. The first time it is sent again; the second time, if it came the same way, the circle is real.
    fn close_circle(&mut self, now: Time, ticket: u64, probe: Probe, effects: &mut Vec<Effect>) {
        let Some(lane) = self.mailbox.get(ticket).map(|live| live.lane) else { return };
        let Some(sent) = self.probes.sent.get(&lane) else { return };
        if sent.number != probe.number {
            return;
        }
        match &sent.came_back {
            None => self.send_probe(lane, Some(probe.steps), effects),
            Some(before) if probe.is_same_way(before) => {
                self.probes.sent.remove(&lane);
                self.end_deadlocked(now, ticket, &probe, effects);
            }
            Some(_) => {} // Something has changed: it is looked at anew when it has lasted.
        }
    }

    /// Ends a call that waits for itself, unless it may have run before.
    fn end_deadlocked(&mut self, now: Time, ticket: u64, probe: &Probe, effects: &mut Vec<Effect>) {
        let Some(live) = self.mailbox.get(ticket) else { return };
        if live.replay.is_some() || live.begun || live.crashes > 0 {
            return;
        }
        let failure = Box::new(failure(probe, &live.call.method));
        match live.given {
            Some(given) => {
                self.probes.taken.insert(given.run, failure);
                effects.push(Effect::TakeBack { run: given.run });
            }
            None if live.logged => {}
            None => {
                let mut lsn = 0;
                if self.is_logged(live) {
                    let (id, call) = (live.id, live.call.clone());
                    let lane = u32::try_from(live.lane).unwrap_or_default();
                    lsn = self.append(Record::Call { id, call, lane, ticket }, effects);
                }
                self.end_set_aside(now, ticket, lsn, *failure, effects);
            }
        }
    }

    /// The process has given a call back that it has not begun.
    pub(super) fn on_taken_back(&mut self, now: Time, run: RunNo, effects: &mut Vec<Effect>) {
        if self.is_over() {
            return; // Superseded: what became of the call is settled with the process.
        }
        let Some(failure) = self.probes.taken.remove(&run) else { return };
        let Some(ticket) = self.given.remove(run.0) else { return };
        let Some(live) = self.mailbox.get(ticket) else { return };
        self.counted.given_no_more(&live.call.method);
        let lsn = live.lsn();
        self.end_set_aside(now, ticket, lsn, *failure, effects);
    }

    /// Ends a call that has not begun. Where there is a record of it, one more says that it is not to run, so that a replay
    /// gives its caller the same.
    fn end_set_aside(
        &mut self,
        now: Time,
        ticket: u64,
        lsn: u64,
        failure: CallFailure,
        effects: &mut Vec<Effect>,
    ) {
        let Some(mut live) = self.mailbox.take(ticket) else { return };
        let rests = match lsn {
            0 => Rests::Nothing,
            lsn => Rests::Record(self.append(Record::Unrun { lsn }, effects)),
        };
        ungather(ticket, &live, effects);
        live.given = None;
        let outcome = Outcome::Failure(Box::new(failure));
        self.finish(now, ticket, live, outcome, Span::ZERO, rests, effects);
    }

    /// A call of the log that ended because it waited for itself does so again.
    pub(super) fn end_again(&mut self, now: Time, ticket: u64, effects: &mut Vec<Effect>) {
        let Some(live) = self.mailbox.take(ticket) else { return };
        let why =
            "the call waited for itself, through others that ran in an earlier life of the actor";
        let outcome = Outcome::failure(CallCode::Deadlock, why);
        self.finish(now, ticket, live, outcome, Span::ZERO, Rests::Nothing, effects);
    }
}

fn failure(probe: &Probe, method: &str) -> CallFailure {
    let cycle: Vec<CallId> = probe.calls();
    let why = format!(
        "{} calls wait in a circle, each for the next and the last for the first ({}): give `{method}` a lane of its own, or calls that may meet a deadline",
        cycle.len(),
        probe.way(),
    );
    CallFailure { cycle, ..CallFailure::new(CallCode::Deadlock, why) }
}
