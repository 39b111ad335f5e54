//! The host's half of all conversations with one incarnation of an actor: its mailbox, its lanes, its table of replies, and the
//! decisions about its log and its checkpoints.
//!
//! [`Host`] is pure: streams, the actor's process, the log's bytes and time are its driver's. The driver hands over records
//! to be appended ([`Effect::Append`]) and tells how far the log is durable ([`Event::Durable`]); a reply that rests on a
//! record is not said before.
//!
//! A call comes in through `intake`, waits in `mailbox`, is given to the process and ends in `runs`; its caller's slot in
//! `callers` keeps the reply until it is acknowledged. `log` knows what is durable and plays records again, `keep` makes
//! checkpoints, `crash` says what becomes of calls whose process died, `rest` ends incarnations, `succession` begins them,
//! `probes` finds calls that wait for each other, `away` ends those that wait for a caller who is gone.

mod away;
mod callers;
mod check;
mod crash;
mod deadlock;
mod digest;
mod effect;
mod event;
mod forgotten;
mod intake;
mod items;
mod keep;
mod log;
mod mailbox;
mod open;
mod pressure;
mod probes;
mod record;
mod rest;
mod runs;
mod status;
mod succession;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::effect::{Effect, Run};
pub use self::event::{Event, Line, Reached, RunEnd, RunNo};
pub use self::record::{Record, Remembered, Restored, Table};
pub use self::status::{LaneStatus, RunningCall, Status};

use super::wire::ToHost;
use super::{ActorSpec, Delivery, OnSchedulerLoss};
use crate::id::{ActorId, Incarnation, WorkerId};
use crate::numbered::Numbered;
use crate::time::Time;

use self::callers::Callers;
use self::keep::Keeper;
use self::log::Log;
use self::mailbox::Mailbox;
use self::probes::Probes;
use self::rest::{Ending, Moving, Over};
use self::status::Counted;

/// What a host is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which actor.
    pub actor: ActorId,
    /// Which incarnation.
    pub incarnation: Incarnation,
    /// What it is.
    pub spec: Arc<ActorSpec>,
    /// The worker that hosts it.
    pub worker: WorkerId,
    /// What was found of earlier incarnations, where there were any.
    pub restored: Option<Restored>,
}

/// How far an incarnation has come.
#[derive(Debug)]
enum Phase {
    /// Its process makes or restores the actor.
    Starting,
    /// Calls of its log run again.
    Replaying,
    /// It takes calls.
    Serving,
    /// It has ended.
    Over(Over),
}

/// One incarnation of an actor, as its worker sees it.
#[derive(Debug)]
pub struct Host {
    actor: ActorId,
    incarnation: Incarnation,
    spec: Arc<ActorSpec>,
    worker: WorkerId,
    phase: Phase,
    /// The lease is over: nothing begins and nobody is told anything.
    fenced: bool,
    callers: Callers,
    mailbox: Mailbox,
    /// The tickets of calls that the process was given and that have not ended, by [`RunNo`].
    given: Numbered<u64>,
    /// Those of them that the process, which ends, has not begun.
    not_begun: BTreeSet<RunNo>,
    last_run: RunNo,
    /// Calls that a running one waits for.
    urgent: BTreeSet<u64>,
    log: Log,
    keeper: Keeper,
    moving: Option<Moving>,
    ending: Option<Ending>,
    probes: Probes,
    /// Callers have been told to send one call at a time.
    narrow: bool,
    counted: Counted,
}

impl Host {
    /// Applies one event and appends to `effects` what must be done about it.
    ///
    /// Total: any event is legal in any state. What is said over a line that is not open, and news of calls that have ended or
    /// of an incarnation that is over, is dropped.
    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        self.counted.born(now);
        match event {
            Event::Alive { checkpoints } => self.on_alive(now, checkpoints, effects),
            Event::CheckpointAsked { request } => self.on_checkpoint_asked(request, effects),
            Event::Durable { lsn } => self.on_durable(lsn, effects),
            Event::EndAsked { grace, forget, reason } => {
                self.on_end_asked(now, grace, forget, reason, effects);
            }
            Event::Ended { run, end, took } => self.on_ended(now, run, end, took, effects),
            Event::Exited => self.on_exited(now, effects),
            Event::Gathered { ticket, inputs } => self.on_gathered(now, ticket, inputs, effects),
            Event::Item { run, n, value } => self.on_item(run, n, value, effects),
            Event::LeaseEnded => self.on_lease_ended(now, effects),
            Event::LeaseRenewed => self.fenced = false,
            Event::LineLost(line) => self.callers.detach(now, line),
            Event::LogFailed(error) => self.on_log_failed(now, error, effects),
            Event::MoveAsked { request, quiesce, lose_state } => {
                self.on_move_asked(Moving::new(now, request, quiesce, lose_state), effects);
            }
            Event::NotBegun(run) => self.on_not_begun(run),
            Event::ProcessLost { reached, error } => {
                self.on_process_lost(now, reached, error, effects);
            }
            Event::Refused(error) => self.on_refused(now, error, effects),
            Event::Said { line, word } => self.on_said(now, line, word, effects),
            Event::StateKept(kept) => self.on_state_kept(now, kept, effects),
            Event::TakenBack(run) => self.on_taken_back(now, run, effects),
            Event::TimerDue => self.on_timer(now, effects),
        }
        self.advance(now, effects);
        self.watch_waits(now);
        self.fit_window(effects);
        debug_assert_eq!(self.check(), Ok(()));
    }

    /// When [`Event::TimerDue`] is wanted next.
    pub fn next_timer(&self) -> Option<Time> {
        let serves = matches!(self.phase, Phase::Serving) && !self.fenced;
        let keeps = serves && self.ending.is_none() && self.moving.is_none();
        let keep = self.keeper.next_timer(&self.spec.checkpoint).filter(|_| keeps);
        let moving = self.moving.as_ref().and_then(|moving| moving.until);
        let ending = self.ending.as_ref().and_then(|ending| ending.until);
        let absent = self.callers.next_expiry(self.caller_ttl());
        let held_up = self.held_up().map(|(until, _)| until);
        let away = self.next_away();
        let probes = self.probes.due();
        let times =
            [self.mailbox.next_deadline(), keep, moving, ending, absent, away, held_up, probes];
        times.into_iter().flatten().min()
    }

    /// The scheduler has numbered the worker anew.
    pub fn set_worker(&mut self, worker: WorkerId) {
        self.worker = worker;
    }

    /// Whether the incarnation has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    fn on_said(&mut self, now: Time, line: Line, word: ToHost, effects: &mut Vec<Effect>) {
        match word {
            ToHost::Ack { processed_up_to } => self.on_ack(line, processed_up_to, effects),
            ToHost::AckItems { seq, up_to } => self.on_ack_items(line, seq, up_to, effects),
            ToHost::Call { seq, call, incarnation } => {
                self.on_call(now, line, seq, call, incarnation, effects);
            }
            ToHost::Cancel { seq, grace } => self.on_cancel(now, line, seq, grace, effects),
            ToHost::Close { forget } => self.on_close(now, line, forget, effects),
            ToHost::Credit { seq, n } => self.on_credit(line, seq, n, effects),
            ToHost::Open(open) => self.on_open(now, line, &open, effects),
            ToHost::Probe { seq, probe } => self.on_probe(now, line, seq, probe, effects),
        }
    }

    fn on_timer(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.end_overdue(now, effects);
        self.forget_absent(now, effects);
        self.forget_who_holds_up(now, effects);
        self.end_streams_of_absent(now, effects);
        self.give_up_move(now, effects);
        self.probe_waits(now, effects);
    }

    /// What follows from the state of the moment, after whatever changed it.
    fn advance(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.end_if_ready(now, effects);
        let lives = matches!(self.phase, Phase::Replaying | Phase::Serving);
        if !lives || self.fenced {
            return;
        }
        if self.ending.is_some() {
            return self.give_what_is_waited_for(now, effects);
        }
        if matches!(self.phase, Phase::Replaying) {
            self.replay_next(now, effects);
        }
        if matches!(self.phase, Phase::Serving) {
            self.keep_if_due(now, effects);
        }
        if self.may_give() {
            self.give_what_may_begin(now, effects);
        }
        if !self.is_over() {
            self.give_what_is_waited_for(now, effects);
        }
    }

    /// Whether the mailbox may be served.
    fn may_give(&self) -> bool {
        let serves = matches!(self.phase, Phase::Serving) && self.moving.is_none();
        serves && !self.keeper.wants_quiet()
    }

    /// Whether it stops when it does not hear from the scheduler.
    fn stops(&self) -> bool {
        self.spec.on_scheduler_loss == OnSchedulerLoss::Stop
            || self.spec.delivery == Delivery::EffectivelyOnce
    }
}
