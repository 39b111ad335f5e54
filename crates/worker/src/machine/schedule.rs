//! Which attempt runs next.
//!
//! The smallest turn goes first: rank, then arrival. The first that does not fit into what is free is passed by later ones
//! that do, but only [`limits::PASSES`] times: after that nothing that takes anything starts before it, unless what it lacks is
//! held by attempts that wait for others, which may be those that would start. Resources that
//! become free go to followers before they go to anyone else; as long as there are followers with none left to follow, nothing
//! new that takes anything starts. Before all of them go attempts that want the cpus again which they gave back (`cpus`), and
//! actors that are to begin (`actors`).

use bireme_core::{Time, limits};

use super::attempts::{Cpus, Recall, Slot, State};
use super::pool::Held;
use super::queues::{Queue, QueueId};
use super::reports::Mark;
use super::{Effect, Machine};

impl Machine {
    /// Starts whatever can start.
    pub(super) fn schedule(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.rejoin(now, effects);
        self.hand_gathered(effects);
        if self.paused {
            return;
        }
        self.seat_actors(effects);
        while let Some((slot, queue)) = self.follower_to_promote() {
            self.queues.at_mut(queue).followers.pop_front();
            self.grant(now, slot, effects);
            effects.push(Effect::Promote(self.attempts.at(slot).id));
        }
        while let Some((slot, queue)) = self.next_to_start() {
            let turn = self.attempts.at(slot).turn;
            self.queues.at_mut(queue).ready.remove(&turn);
            self.grant(now, slot, effects);
            self.execute(slot, false, effects);
        }
        self.hand_followers(effects);
    }

    /// The first follower whose resources are free: no attempt of its queue needs to end for it.
    fn follower_to_promote(&self) -> Option<(Slot, QueueId)> {
        if !self.rejoining.is_empty() || self.actor_goes_first() {
            return None;
        }
        let mut queues = self.queues.iter();
        queues.find_map(|(id, queue)| {
            let slot = *queue.followers.front()?;
            self.pool.fits(&queue.need).then_some((slot, id))
        })
    }

    /// The runnable attempt that starts next, if any may. Counts that it passed the first that does not fit.
    pub(super) fn next_to_start(&mut self) -> Option<(Slot, QueueId)> {
        let (slot, queue, passed) = self.candidate()?;
        if let Some(passed) = passed {
            self.attempts.at_mut(passed).passed += 1;
        }
        Some((slot, queue))
    }

    /// The runnable attempt that may start next, and whom it passes.
    pub(super) fn candidate(&self) -> Option<(Slot, QueueId, Option<Slot>)> {
        let free = || {
            let (_, slot, queue) = self.queues.first(Queue::is_free)?;
            Some((slot, queue, None))
        };
        if self.has_stranded_followers() || !self.rejoining.is_empty() || self.actor_goes_first() {
            return free();
        }
        let (turn, slot, queue) = self.queues.first(|queue| self.pool.fits(&queue.need))?;
        let unfit = self.queues.first(|queue| !self.pool.fits(&queue.need));
        let Some((unfit, waiting, lacking)) = unfit else {
            return Some((slot, queue, None));
        };
        if turn < unfit || self.queues.at(queue).is_free() {
            return Some((slot, queue, None));
        }
        if self.attempts.at(waiting).passed < limits::PASSES
            || self.is_kept_waiting(&self.queues.at(lacking).need)
        {
            return Some((slot, queue, Some(waiting)));
        }
        free()
    }

    /// Whether there are followers that follow nobody: what they waited for went to others.
    fn has_stranded_followers(&self) -> bool {
        self.queues.iter().any(|(_, queue)| queue.running == 0 && !queue.followers.is_empty())
    }

    /// Hands runnable attempts over before there is room, first ones first, as long as the very first can follow another.
    fn hand_followers(&mut self, effects: &mut Vec<Effect>) {
        if self.has_stranded_followers() || !self.rejoining.is_empty() || self.actor_goes_first() {
            return;
        }
        while let Some((turn, slot, queue)) = self.queues.first(|_| true) {
            if self.seceded.first().is_some_and(|seceded| *seceded < turn) {
                break;
            }
            let queue = self.queues.at_mut(queue);
            if !queue.can_follow() || queue.running == 0 || queue.followers.len() >= self.followers
            {
                break;
            }
            queue.ready.remove(&turn);
            queue.followers.push_back(slot);
            self.attempts.at_mut(slot).state = State::Following(Recall::No);
            self.execute(slot, true, effects);
        }
    }

    fn execute(&mut self, slot: Slot, follow: bool, effects: &mut Vec<Effect>) {
        if let Some(execution) = self.attempts.at_mut(slot).execution.take() {
            effects.push(Effect::Execute { execution, follow });
        }
    }

    /// Gives an attempt the resources it needs, which are free.
    fn grant(&mut self, now: Time, slot: Slot, effects: &mut Vec<Effect>) {
        let queue = self.queues.at_mut(self.attempts.at(slot).queue);
        let held = self.pool.take(&queue.need);
        queue.running += 1;
        if let Some(execution) = &mut self.attempts.at_mut(slot).execution {
            execution.held.clone_from(held.pieces());
        }
        self.started(now, slot, held, Cpus::Held, effects);
    }

    /// Makes note that an attempt runs.
    pub(super) fn started(
        &mut self,
        now: Time,
        slot: Slot,
        held: Held,
        cpus: Cpus,
        effects: &mut Vec<Effect>,
    ) {
        let attempt = self.attempts.at_mut(slot);
        attempt.state = State::Running { since: now, held, cpus };
        let (id, deadline) = (attempt.id, attempt.deadline());
        if let Some(deadline) = deadline {
            self.timers.insert((deadline, slot));
        }
        self.mark(Mark::Started(id), effects);
    }

    /// Passes what an ended attempt held to the follower that took its place, or back to the pool.
    pub(super) fn pass_on(
        &mut self,
        now: Time,
        (held, cpus): (Held, Cpus),
        queue: QueueId,
        next: Option<Slot>,
        effects: &mut Vec<Effect>,
    ) {
        let next = next.and_then(|slot| Some((slot, self.recall_of(slot, queue)?)));
        let Some((slot, recall)) = next else {
            // Nobody took it, or somebody who was promoted a moment before and holds resources of its own.
            self.queues.at_mut(queue).running -= usize::from(cpus == Cpus::Held);
            self.pool.give(held);
            return;
        };
        if recall == Recall::No {
            self.queues.at_mut(queue).followers.retain(|follower| *follower != slot);
        }
        match cpus {
            Cpus::Held => self.started(now, slot, held, Cpus::Held, effects),
            Cpus::Given | Cpus::Wanted { .. } => self.begin_without_cpus(now, slot, held, effects),
        }
        if recall == Recall::Asked {
            self.kept_running(slot, effects);
        }
    }

    /// How it stands with taking a follower of this queue back; `None` if it is none.
    fn recall_of(&self, slot: Slot, queue: QueueId) -> Option<Recall> {
        let attempt = self.attempts.at(slot);
        match attempt.state {
            State::Following(recall) => (attempt.queue == queue).then_some(recall),
            State::Ready | State::Running { .. } | State::Waiting { .. } => None,
        }
    }

    /// Deals with a follower that was asked back and had started: one that was only to be given back goes on.
    pub(super) fn kept_running(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let attempt = self.attempts.at(slot);
        if let Some(grace) = attempt.fate.grace() {
            effects.push(Effect::Kill { attempt: attempt.id, grace, timed_out: false });
        }
    }
}
