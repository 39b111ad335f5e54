//! Incarnations begin: from what was found, or from what the one before left in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::callers::{Callers, Rests, Slot};
use super::crash::Lost;
use super::keep::Keeper;
use super::log::Log;
use super::mailbox::{Live, Mailbox, Replay};
use super::probes::Probes;
use super::record::{Record, Restored};
use super::runs::ungather;
use super::status::Counted;
use super::{Config, Effect, Host, Phase, RunNo};
use crate::actor::Delivery;
use crate::actor::call::{Call, CallId};
use crate::error::{ErrorClass, TaskError};
use crate::id::Incarnation;
use crate::numbered::Numbered;
use crate::time::Time;

/// A call as the log tells of it.
struct Logged {
    id: CallId,
    call: Arc<Call>,
    lane: u32,
    replay: Replay,
    crashes: u32,
}

impl Host {
    /// The host of an incarnation whose process is being started.
    pub fn new(now: Time, config: Config) -> Self {
        let Config { actor, incarnation, spec, worker, restored } = config;
        let mut host = Self {
            actor,
            incarnation,
            worker,
            phase: Phase::Starting,
            fenced: false,
            callers: Callers::default(),
            mailbox: Mailbox::new(&spec.lanes),
            given: Numbered::default(),
            not_begun: BTreeSet::new(),
            last_run: RunNo(0),
            urgent: BTreeSet::new(),
            log: Log::new(spec.delivery == Delivery::EffectivelyOnce, 0, Vec::new()),
            keeper: Keeper::default(),
            moving: None,
            ending: None,
            narrow: false,
            counted: Counted::default(),
            probes: Probes::default(),
            spec,
        };
        if let Some(restored) = restored {
            host.restore(now, restored);
        }
        host
    }

    /// Takes over what was found. Where the last incarnation did not come to rest, callers may have said more than is known.
    fn restore(&mut self, now: Time, restored: Restored) {
        let (end, left_out) = (restored.end(), self.left_out(&restored));
        let since = (!restored.rested).then_some(self.incarnation);
        self.callers = Callers::from_table(now, restored.table, since);
        self.log = Log::new(self.log.is_on(), end, left_out);
        if self.log.is_on() {
            self.play_again(now, restored.lsn, restored.records, false);
        }
    }

    /// The host of the next incarnation in the same daemon. Callers, their calls that wait and the replies they may not have go
    /// over to it; of a call log, what was found is the truth.
    #[must_use]
    pub fn succeed(
        mut self,
        now: Time,
        incarnation: Incarnation,
        restored: Option<Restored>,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let error = TaskError::new(ErrorClass::ProcessDied, "INCARNATION_LOST", "it was replaced");
        self.settle_given(now, Lost { reached: None, blames: false, error: &error }, effects);
        self.phase = Phase::Starting;
        self.fenced = false;
        self.incarnation = incarnation;
        self.last_run = RunNo(0);
        self.urgent = BTreeSet::new();
        self.keeper = Keeper::default();
        (self.moving, self.ending, self.counted) = (None, None, Counted::default());
        self.probes = Probes::default();
        if self.log.is_on() {
            let restored = restored.unwrap_or_default();
            if self.log.failed || restored.end() < self.log.last() {
                self.begin_anew(now, restored, effects);
            } else {
                self.continue_log(now, restored, effects);
            }
        }
        for caller in self.callers.ids() {
            self.say_opened(caller, effects);
        }
        debug_assert_eq!(self.check(), Ok(()));
        self
    }

    /// What was handed over is in the log: calls of the log run again, and replies that waited for it can be said.
    fn continue_log(&mut self, now: Time, restored: Restored, effects: &mut Vec<Effect>) {
        self.on_durable(self.log.last(), effects);
        for id in std::mem::take(&mut self.log.until_kept) {
            let slot = self.callers.get(id.caller).and_then(|caller| caller.slots.get(id.seq));
            // The state that it rested on was not kept, so it has not happened.
            if matches!(slot, Some(Slot::Ended(reply)) if reply.rests == Rests::Checkpoint) {
                self.callers.vacate(id);
            }
        }
        let logged = self.mailbox.iter().filter(|(_, live)| live.lsn() > 0 || live.logged);
        for ticket in logged.map(|(ticket, _)| ticket).collect::<Vec<_>>() {
            if let Some(live) = self.mailbox.take(ticket) {
                ungather(ticket, &live, effects);
                self.callers.vacate_live(live.id, ticket);
            }
        }
        for caller in self.callers.ids() {
            self.let_go(caller);
        }
        self.log = Log::new(true, restored.end(), self.left_out(&restored));
        self.play_again(now, restored.lsn, restored.records, true);
    }

    /// Some of what was handed over is lost: nothing is known but what was found. Callers that are there say the rest again.
    fn begin_anew(&mut self, now: Time, restored: Restored, effects: &mut Vec<Effect>) {
        for ticket in self.mailbox.iter().map(|(ticket, _)| ticket).collect::<Vec<_>>() {
            if let Some(live) = self.mailbox.take(ticket) {
                ungather(ticket, &live, effects);
            }
        }
        let before = std::mem::take(&mut self.callers);
        self.restore(now, Restored { rested: false, ..restored });
        for (id, known) in before.iter() {
            let Some(line) = known.line else { continue };
            let up_to = known.processed_up_to;
            if let Some(caller) = self.callers.admit(now, id, self.incarnation, up_to) {
                (caller.credit, caller.on_unknown) = (known.credit, known.on_unknown);
                caller.forgotten |= known.forgotten;
                caller.listens_from = self.incarnation;
                self.callers.attach(now, line, id);
                // What it has done with is played again all the same, and nobody would grant its items any room.
                let unwanted = self.callers.acknowledge(id, up_to);
                self.let_flow(&unwanted, effects);
            }
        }
    }

    /// Queues the calls of a log, to run again once there is an actor. Where `all_known`, callers that are not known have left.
    fn play_again(&mut self, now: Time, checkpoint: u64, records: Vec<Record>, all_known: bool) {
        for (_, logged) in read(checkpoint, records) {
            let Logged { id, call, lane, replay, crashes } = logged;
            let ticket = self.mailbox.ticket();
            if !all_known {
                self.callers.admit(now, id.caller, self.incarnation, 0);
            }
            let lane = usize::try_from(lane).unwrap_or_default().min(self.mailbox.lanes() - 1);
            if let Some(caller) =
                self.callers.get_mut(id.caller).filter(|_| !call.unordered && !replay.unrun)
            {
                let last = caller.logged.entry(lane).or_default();
                *last = id.seq.max(*last);
            }
            let (replay, live) = (Some(replay), self.live(now, id, call));
            let mut live = Live { lane, gathering: false, deadline: None, crashes, replay, ..live };
            if self.waits_for(id) {
                self.callers.occupy(id.caller, id.seq, ticket);
            } else if let Some(items) = live.items.as_deref_mut() {
                let _ = items.let_flow();
            }
            self.mailbox.push_replay(ticket, live);
            self.log.replay.push_back(ticket);
        }
    }

    /// How many calls were set aside before the checkpoint. Those in the log after it are counted when it is played again.
    fn left_out(&self, restored: &Restored) -> Vec<u32> {
        restored.table.left_out.iter().copied().take(self.mailbox.lanes()).collect()
    }

    /// Whether a caller may not have the reply to a call of the log, and it is not kept either.
    fn waits_for(&self, id: CallId) -> bool {
        self.callers.get(id.caller).is_some_and(|caller| !caller.has_used(id.seq))
    }
}

/// The calls of a log, each with what became of it.
fn read(checkpoint: u64, records: Vec<Record>) -> BTreeMap<u64, Logged> {
    let mut calls: BTreeMap<u64, Logged> = BTreeMap::new();
    for (lsn, record) in (checkpoint + 1..).zip(records) {
        match record {
            Record::Call { id, call, lane, ticket: _ } => {
                let replay = Replay { lsn, ..Replay::default() };
                calls.insert(lsn, Logged { id, call, lane, replay, crashes: 0 });
            }
            Record::Ended { lsn, digest } => {
                if let Some(logged) = calls.get_mut(&lsn) {
                    logged.replay.expected = Some(digest);
                    logged.crashes = 0;
                }
            }
            Record::Life { .. } => {}
            Record::Poisoned { lsn } => {
                if let Some(logged) = calls.get_mut(&lsn) {
                    logged.replay.poisoned = true;
                }
            }
            Record::Unrun { lsn } => {
                if let Some(logged) = calls.get_mut(&lsn) {
                    logged.replay.unrun = true;
                }
            }
            Record::Crash { running } => {
                for lsn in running {
                    if let Some(logged) = calls.get_mut(&lsn) {
                        logged.crashes += 1;
                    }
                }
            }
        }
    }
    calls
}
