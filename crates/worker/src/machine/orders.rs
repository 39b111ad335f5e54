//! What the scheduler orders about attempts.

use std::mem;

use bireme_core::id::AttemptId;
use bireme_core::protocol::{Input, Report, Start, Timing};
use bireme_core::resources::Pieces;
use bireme_core::{ErrorClass, Reason, Span, TaskError, Time};
use smallvec::SmallVec;

use super::attempts::{Attempt, Cpus, Fate, Recall, Slot, State};
use super::gathering::Waiter;
use super::queues::Turn;
use super::reports::Mark;
use super::{Effect, Execution, Machine};

impl Machine {
    /// Accepts an attempt, unless it or a later one of its task is known. Earlier ones are superseded. What has finished and
    /// left outputs is not remembered: the scheduler never orders an attempt that it knows to have ended.
    ///
    /// One that could never run here fails at once, and a worker that leaves gives it back.
    pub(super) fn on_start(&mut self, now: Time, start: Start, effects: &mut Vec<Effect>) {
        let id = start.attempt;
        if !self.is_latest(id) {
            return;
        }
        self.ended.remove(&id.task);
        if let Some(slot) = self.attempts.current(id.task) {
            self.supersede(slot, effects);
        }
        if self.leaving.is_asked() {
            self.tell_end(Report::Retracted(id), effects);
        } else if !self.pool.total().fits(&start.resources) {
            let (need, total) = (&start.resources, self.pool.total());
            let message = format!(
                "the attempt needs {need}, all this worker has is {total}: ask for less, or add workers"
            );
            let error = TaskError::new(ErrorClass::Reschedule, Reason::NoWorker.name(), message);
            self.tell_failure(id, error, Timing::default(), effects);
        } else {
            self.accept(now, start, effects);
        }
    }

    /// Whether no attempt of this number or a later one was accepted, as far as is still known here.
    fn is_latest(&self, id: AttemptId) -> bool {
        let ended = self.ended.get(&id.task).and_then(Report::ended);
        let current = self.attempts.current(id.task);
        let superseded = self.attempts.superseded(id.task);
        let here = current.into_iter().chain(superseded).map(|slot| self.attempts.at(slot).id);
        here.chain(ended).all(|known| known.no < id.no)
    }

    /// Has an attempt end unheard of.
    fn supersede(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        match self.attempts.at(slot).state {
            State::Ready | State::Waiting { .. } => {
                self.remove(slot, effects);
            }
            State::Following(_) | State::Running { .. } => {
                self.attempts.supersede(slot);
                self.doom(slot, Fate::Supersede, effects);
            }
        }
    }

    fn accept(&mut self, now: Time, start: Start, effects: &mut Vec<Effect>) {
        let Start {
            attempt: id,
            payload,
            inputs,
            resources,
            outputs,
            key,
            timeout,
            row,
            rank,
            ahead,
            runtime,
        } = start;
        let turn = Turn { rank, arrival: self.arrivals };
        self.arrivals += 1;
        let objects: SmallVec<_> = inputs.iter().map(|input| input.object).collect();
        let queue = self.queues.join(&resources, &runtime);
        let execution = Execution {
            attempt: id,
            key,
            payload,
            inputs: objects.clone(),
            resources,
            held: Pieces::none(),
            outputs,
            timeout,
            row,
            runtime,
        };
        // The one that counts as missing until all inputs have been looked at keeps it from getting ready half-way.
        let missing = 1 + usize::from(self.attempts.superseded(id.task).is_some());
        let slot = self.attempts.insert(Attempt {
            id,
            state: State::Waiting { missing },
            fate: Fate::Run,
            queue,
            turn,
            passed: 0,
            accepted: now,
            timeout,
            inputs: objects,
            execution: Some(Box::new(execution)),
            has_seceded: false,
            cpus_marked: false,
            prepares: false,
        });
        for input in inputs {
            self.need(Waiter::Attempt(slot), input, ahead, effects);
        }
        self.one_fewer(Waiter::Attempt(slot));
    }

    /// Makes note that somebody waits for one more thing.
    pub(super) fn one_more(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Attempt(slot) => {
                if let State::Waiting { missing } = &mut self.attempts.at_mut(slot).state {
                    *missing += 1;
                }
            }
            Waiter::Gatherer(gatherer) => {
                if let Some(gathering) = self.gatherings.get_mut(&gatherer) {
                    gathering.missing += 1;
                }
            }
        }
    }

    /// Makes note that one of the things that somebody waits for is here.
    pub(super) fn one_fewer(&mut self, waiter: Waiter) {
        let slot = match waiter {
            Waiter::Attempt(slot) => slot,
            Waiter::Gatherer(gatherer) => return self.one_fewer_gathered(gatherer),
        };
        let attempt = self.attempts.at_mut(slot);
        let State::Waiting { missing } = &mut attempt.state else { return };
        *missing -= 1;
        if *missing == 0 {
            attempt.state = State::Ready;
            self.queues.at_mut(attempt.queue).ready.insert(attempt.turn, slot);
        }
    }

    /// Gives an attempt back if it has not started; if it has, its end will be told. One that is not here, and whose end
    /// is not still to be settled, never will be, and that is told too. So the scheduler need not wait for what it
    /// crossed on the way; it ignores this about an attempt that it knows to have ended.
    pub(super) fn on_retract(&mut self, id: AttemptId, effects: &mut Vec<Effect>) {
        match self.attempts.find(id) {
            Some(slot) => self.give_back(slot, effects),
            None => self.tell_unknown(id, effects),
        }
    }

    /// Ends an attempt, which then is told as failed unless it finishes first. For one that is not here, see
    /// [`Self::on_retract`].
    pub(super) fn on_cancel(&mut self, id: AttemptId, grace: Span, effects: &mut Vec<Effect>) {
        let Some(slot) = self.attempts.find(id) else { return self.tell_unknown(id, effects) };
        match self.attempts.at(slot).state {
            State::Ready | State::Waiting { .. } => {
                self.remove(slot, effects);
                self.tell_failure(id, super::ends::cancelled(), Timing::default(), effects);
            }
            State::Following(_) | State::Running { .. } => {
                self.doom(slot, Fate::Cancel { grace }, effects);
            }
        }
    }

    fn tell_unknown(&mut self, id: AttemptId, effects: &mut Vec<Effect>) {
        if self.ended.get(&id.task).and_then(Report::ended) != Some(id) {
            self.mark(Mark::Unknown(id), effects);
        }
    }

    /// Forgets how an attempt ended.
    pub(super) fn on_settle(&mut self, id: AttemptId) {
        if self.ended.get(&id.task).and_then(Report::ended) == Some(id) {
            self.ended.remove(&id.task);
        }
    }

    /// Gives an attempt back if it has not started.
    pub(super) fn give_back(&mut self, slot: Slot, effects: &mut Vec<Effect>) {
        let attempt = self.attempts.at(slot);
        let id = attempt.id;
        match attempt.state {
            State::Ready | State::Waiting { .. } => {
                self.remove(slot, effects);
                self.tell_end(Report::Retracted(id), effects);
            }
            State::Following(_) => self.doom(slot, Fate::GiveBack, effects),
            State::Running { .. } => {}
        }
    }

    /// Gives a fate to an attempt that an executor has, and has the executor do its part.
    pub(super) fn doom(&mut self, slot: Slot, fate: Fate, effects: &mut Vec<Effect>) {
        let attempt = self.attempts.at_mut(slot);
        attempt.fate = attempt.fate.max(fate);
        let (id, queue) = (attempt.id, attempt.queue);
        match &mut attempt.state {
            State::Following(recall @ Recall::No) => {
                *recall = Recall::Asked;
                self.queues.at_mut(queue).followers.retain(|follower| *follower != slot);
                effects.push(Effect::Recall(id));
            }
            State::Following(Recall::Refused) | State::Running { .. } => {
                if let Some(grace) = fate.grace() {
                    effects.push(Effect::Kill {
                        attempt: id,
                        grace,
                        timed_out: fate == Fate::TimeOut,
                    });
                }
            }
            State::Following(Recall::Asked) | State::Ready | State::Waiting { .. } => {}
        }
    }

    /// Removes an attempt and whatever names it but what it holds.
    pub(super) fn remove(&mut self, slot: Slot, effects: &mut Vec<Effect>) -> Attempt {
        if let Some(deadline) = self.attempts.at(slot).deadline() {
            self.timers.remove(&(deadline, slot));
        }
        let mut attempt = self.attempts.remove(slot);
        let queue = self.queues.at_mut(attempt.queue);
        queue.members -= 1;
        match attempt.state {
            State::Ready => {
                queue.ready.remove(&attempt.turn);
            }
            State::Following(Recall::No) => queue.followers.retain(|follower| *follower != slot),
            State::Running { cpus: Cpus::Wanted { .. }, .. } => {
                self.rejoining.retain(|rejoining| *rejoining != slot);
            }
            State::Running { cpus: Cpus::Given, .. } => {
                self.seceded.remove(&attempt.turn);
            }
            State::Following(Recall::Asked | Recall::Refused)
            | State::Running { cpus: Cpus::Held, .. }
            | State::Waiting { .. } => {}
        }
        for object in mem::take(&mut attempt.inputs) {
            if self.objects.unpin(object, Waiter::Attempt(slot)) {
                self.discard(object, effects);
            }
        }
        self.drop_held_back(attempt.id.task, effects);
        if let Some(heir) = self.attempts.current(attempt.id.task) {
            self.one_fewer(Waiter::Attempt(heir));
        }
        attempt
    }

    /// Whether an attempt accepted here makes this input.
    pub(super) fn is_being_made(&self, input: &Input) -> bool {
        input.object.task().is_some_and(|task| self.attempts.current(task).is_some())
    }
}
