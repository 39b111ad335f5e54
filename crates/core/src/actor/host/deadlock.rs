//! Calls that wait for each other. What a call waits for is known from its chain; what this actor runs is known here.

use super::{Effect, Host, Phase};
use crate::actor::call::{CallCode, CallFailure, CallId};
use crate::limits;
use crate::time::Time;

impl Host {
    /// Which calls of a chain run here, by their places in it.
    pub(super) fn running_in(&self, chain: &[CallId]) -> Vec<usize> {
        // Not by its caller's slot: the caller may not wait for it any more.
        let runs = |id: &CallId| {
            let is_it = |ticket: &u64| self.mailbox.get(*ticket).is_some_and(|live| live.id == *id);
            id.actor == self.actor && self.given.values().any(is_it)
        };
        chain.iter().enumerate().filter(|(_, id)| runs(id)).map(|(place, _)| place).collect()
    }

    /// Looks whether a call that has just come, or whose inputs have, may wait in its lane at all: what it would wait for may
    /// wait for it.
    pub(super) fn judge_chain(&mut self, now: Time, ticket: u64, effects: &mut Vec<Effect>) {
        let Some(live) = self.mailbox.get(ticket) else { return };
        if live.call.chain.is_empty() || live.given.is_some() {
            return;
        }
        let (call, lane) = (live.call.clone(), live.lane);
        if call.chain.len() > limits::CALL_CHAIN {
            let most = limits::CALL_CHAIN;
            let why = format!("{} calls wait for this one, {most} may", call.chain.len());
            return self.end_unrun(now, ticket, CallFailure::new(CallCode::Deadlock, why), effects);
        }
        let running = self.running_in(&call.chain);
        if running.is_empty() {
            return;
        }
        if self.spec.reentrant {
            let may_run = matches!(self.phase, Phase::Serving | Phase::Replaying) && !self.fenced;
            if may_run && self.mailbox.get(ticket).is_some_and(|live| !live.gathering) {
                self.begin(now, ticket, true, effects);
            }
            return;
        }
        self.urgent.insert(ticket);
        if !self.stuck_lanes().contains(&lane) {
            return;
        }
        let cycle = self.cycle(ticket);
        self.urgent.remove(&ticket);
        let why = format!(
            "{} calls wait in a circle, each for the next and the last for the first ({}): make the actor reentrant, or give `{}` a lane of its own",
            cycle.len(),
            circle(&cycle),
            call.method
        );
        let failure = CallFailure { cycle, ..CallFailure::new(CallCode::Deadlock, why) };
        self.end_unrun(now, ticket, failure, effects);
    }

    /// Lanes in which nothing will ever begin: as many calls as may run there wait for calls that wait in such lanes.
    fn stuck_lanes(&self) -> Vec<usize> {
        let mut stuck: Vec<usize> = (0..self.mailbox.lanes()).collect();
        loop {
            let is_blocked = |ticket: &u64| self.blocker(*ticket, &stuck).is_some();
            let still = stuck.iter().copied().filter(|lane| {
                let runs_here = |ticket: &&u64| self.runs_in(**ticket, *lane);
                let blocked = self.given.values().filter(runs_here).filter(|it| is_blocked(it));
                blocked.count() >= self.mailbox.concurrency(*lane)
            });
            let still: Vec<usize> = still.collect();
            if still.len() == stuck.len() {
                return still;
            }
            stuck = still;
        }
    }

    pub(super) fn runs_in(&self, ticket: u64, lane: usize) -> bool {
        let live = self.mailbox.get(ticket);
        live.is_some_and(|live| live.lane == lane && live.given.is_some_and(|it| !it.beside))
    }

    /// A call that waits in one of these lanes and that this one, which runs, waits for.
    fn blocker(&self, running: u64, lanes: &[usize]) -> Option<u64> {
        let id = self.mailbox.get(running)?.id;
        let blocks = |ticket: &&u64| {
            let live = self.mailbox.get(**ticket).filter(|live| live.given.is_none());
            live.is_some_and(|live| lanes.contains(&live.lane) && live.call.chain.contains(&id))
        };
        self.urgent.iter().find(blocks).copied()
    }

    /// The calls that wait for each other, from one that waits in a stuck lane on.
    fn cycle(&self, first: u64) -> Vec<CallId> {
        let stuck = self.stuck_lanes();
        let (mut path, mut tickets, mut waiting) = (Vec::new(), Vec::new(), first);
        // It waits for one that runs in its lane; that, through its chain, for another that waits; and so on.
        while !tickets.contains(&waiting) {
            tickets.push(waiting);
            let Some(live) = self.mailbox.get(waiting) else { break };
            let in_lane = |ticket: &&u64| self.runs_in(**ticket, live.lane);
            let next = self.given.values().filter(in_lane).find_map(|running| {
                // Best one that waits for this very call: the shortest circle.
                let id = self.mailbox.get(*running)?.id;
                let own = live.call.chain.contains(&id).then_some(waiting);
                Some((id, own.or_else(|| self.blocker(*running, &stuck))?))
            });
            let Some((running, blocker)) = next else { break };
            let Some(blocking) = self.mailbox.get(blocker) else { break };
            let chain = blocking.call.chain.iter().skip_while(|id| **id != running);
            path.extend(chain.copied());
            path.push(blocking.id);
            waiting = blocker;
        }
        path
    }

    /// Gives calls that running ones wait for, and those before them in their lanes, though the actor is to come to rest:
    /// otherwise it never would.
    pub(super) fn give_what_is_waited_for(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let mailbox = &self.mailbox;
        self.urgent.retain(|ticket| mailbox.get(*ticket).is_some_and(|live| live.given.is_none()));
        while let Some(ticket) = self.next_urgent() {
            self.begin(now, ticket, false, effects);
            self.urgent.remove(&ticket);
        }
    }

    fn next_urgent(&self) -> Option<u64> {
        self.urgent.iter().find_map(|ticket| {
            let live = self.mailbox.get(*ticket)?;
            let is_waited_for = !self.running_in(&live.call.chain).is_empty();
            is_waited_for.then(|| self.mailbox.next(live.lane)).flatten()
        })
    }
}

/// The actors that are called one by the other, from the first to the first again.
fn circle(cycle: &[CallId]) -> String {
    let mut actors: Vec<String> = cycle.iter().map(|call| call.actor.to_string()).collect();
    actors.dedup();
    format!("actor {}", actors.join(" -> "))
}
