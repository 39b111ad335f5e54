//! Attempts that wait: for tasks of their own, when they give their cpus back and want them again when they go on; and for what
//! they run in, when they keep them.
//!
//! Whatever else an attempt takes it keeps while it waits: memory and devices are in use whether or not code runs. Those that
//! want to go on have run already and hold a process: they go before everything that has not started, first come, first served.
//! While somebody waits, nothing follows without asking that comes after him: what he waits for is about to come, and goes first.

use bireme_core::id::AttemptId;
use bireme_core::{Resources, Time};

use super::attempts::{Cpus, Fate, Slot, State};
use super::pool::Held;
use super::queues::QueueId;
use super::reports::Mark;
use super::{Effect, Machine};

impl Machine {
    /// User code of an attempt waits: its cpus are for others.
    pub(super) fn on_seceded(&mut self, id: AttemptId, effects: &mut Vec<Effect>) {
        let Some(slot) = self.attempts.find(id) else { return };
        let attempt = self.attempts.at_mut(slot);
        let State::Running { held, cpus, .. } = &mut attempt.state else { return };
        let turn = attempt.turn;
        match std::mem::replace(cpus, Cpus::Given) {
            Cpus::Given => return,
            Cpus::Held => {
                self.pool.give_cpus(held);
                self.queues.at_mut(attempt.queue).running -= 1;
            }
            Cpus::Wanted { .. } => self.rejoining.retain(|rejoining| *rejoining != slot),
        }
        self.seceded.insert(turn);
        self.run_timer(slot);
        self.note_cpus(slot, effects);
        let is_later = |slot: &Slot| self.attempts.at(*slot).turn > turn;
        let followers = self.queues.iter().flat_map(|(_, queue)| queue.followers.iter().copied());
        let later = followers.filter(is_later).collect();
        self.give_back_each(later, effects);
    }

    /// User code of an attempt has what it waited for. One that never gave its cpus back goes on at once.
    pub(super) fn on_rejoining(&mut self, now: Time, id: AttemptId, effects: &mut Vec<Effect>) {
        let Some(slot) = self.attempts.find(id) else { return };
        let attempt = self.attempts.at_mut(slot);
        let deadline = attempt.deadline();
        match &mut attempt.state {
            State::Running { cpus: cpus @ Cpus::Given, .. } => {
                *cpus = Cpus::Wanted { since: now };
                self.seceded.remove(&attempt.turn);
                if let Some(deadline) = deadline {
                    self.timers.remove(&(deadline, slot));
                }
            }
            State::Running { cpus: Cpus::Held, .. } => return effects.push(Effect::Rejoined(id)),
            State::Running { cpus: Cpus::Wanted { .. }, .. }
            | State::Following(_)
            | State::Ready
            | State::Waiting { .. } => return,
        }
        self.rejoining.push_back(slot);
        self.note_cpus(slot, effects);
        self.rejoin(now, effects);
        if !self.rejoining.is_empty() {
            self.give_back_followers(effects);
        }
    }

    /// Gives cpus that are free to those that want theirs again, in the order in which they asked.
    pub(super) fn rejoin(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some(&slot) = self.rejoining.front() {
            let attempt = self.attempts.at_mut(slot);
            let queue = self.queues.at_mut(attempt.queue);
            let State::Running { since: began, held, cpus } = &mut attempt.state else { return };
            if !self.pool.take_cpus(queue.need.cpu_units, held) {
                return;
            }
            if let Cpus::Wanted { since } = std::mem::replace(cpus, Cpus::Held) {
                *began = *began + now.since(since);
            }
            queue.running += 1;
            self.rejoining.pop_front();
            effects.push(Effect::Rejoined(attempt.id));
            self.run_timer(slot);
        }
    }

    /// What an attempt runs in is being made: its time does not run.
    pub(super) fn on_prepares(&mut self, id: AttemptId) {
        let Some(slot) = self.attempts.find(id) else { return };
        let attempt = self.attempts.at_mut(slot);
        if let Some(deadline) = attempt.deadline() {
            self.timers.remove(&(deadline, slot));
        }
        attempt.prepares = true;
    }

    /// What an attempt runs in is there: its time begins.
    pub(super) fn on_prepared(&mut self, now: Time, id: AttemptId) {
        let Some(slot) = self.attempts.find(id) else { return };
        let attempt = self.attempts.at_mut(slot);
        if !std::mem::take(&mut attempt.prepares) {
            return;
        }
        if let State::Running { since: began, cpus, .. } = &mut attempt.state {
            *began = now;
            if let Cpus::Wanted { since } = cpus {
                *since = now;
            }
        }
        self.run_timer(slot);
    }

    /// Has an attempt that waits for cpus no more ended when its time is up.
    fn run_timer(&mut self, slot: Slot) {
        let attempt = self.attempts.at(slot);
        if let Some(deadline) = attempt.deadline().filter(|_| attempt.fate < Fate::TimeOut) {
            self.timers.insert((deadline, slot));
        }
    }

    /// An attempt that had given its cpus back has ended, and a follower has begun in its place: it runs, and gets its cpus as
    /// soon as there are any.
    pub(super) fn begin_without_cpus(
        &mut self,
        now: Time,
        slot: Slot,
        held: Held,
        effects: &mut Vec<Effect>,
    ) {
        self.started(now, slot, held, Cpus::Wanted { since: now }, effects);
        self.rejoining.push_back(slot);
        self.note_cpus(slot, effects);
    }

    /// Whether what somebody needs does not fit beside what attempts hold that have given their cpus back.
    pub(super) fn is_kept_waiting(&self, need: &Resources) -> bool {
        let held = self.attempts.iter().filter_map(|(_, attempt)| match &attempt.state {
            State::Running { held, cpus: Cpus::Given, .. } => Some(held),
            State::Running { .. } | State::Following(_) | State::Ready | State::Waiting { .. } => {
                None
            }
        });
        !self.pool.fits_beside(need, held)
    }

    /// Has the scheduler told how it stands with an attempt's cpus.
    fn note_cpus(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let attempt = self.attempts.at_mut(slot);
        attempt.has_seceded = true;
        if !std::mem::replace(&mut attempt.cpus_marked, true) {
            let mark = Mark::Cpus(attempt.id);
            self.mark(mark, effects);
        }
    }

    /// A scheduler that was away does not know who has given cpus back since, or has them again.
    pub(super) fn tell_cpus(&mut self, effects: &mut Vec<Effect>) {
        let waits = self.attempts.iter().filter(|(_, attempt)| attempt.has_seceded);
        let mut slots: Vec<Slot> = waits.map(|(slot, _)| slot).collect();
        slots.sort_unstable();
        for slot in slots {
            self.attempts.at_mut(slot).cpus_marked = false;
            self.note_cpus(slot, effects);
        }
    }

    /// What an attempt of a queue holds by now.
    pub(super) fn holding(&self, queue: QueueId, cpus: Cpus) -> Resources {
        let mut need = self.queues.at(queue).need.clone();
        if cpus != Cpus::Held {
            need.cpu_units = 0;
        }
        need
    }
}
