//! Where inputs come from, and when objects go.

use bireme_core::ObjectId;
use bireme_core::id::{TaskId, WorkerId};
use bireme_core::protocol::Input;
use smallvec::SmallVec;

use super::attempts::{Slot, State};
use super::gathering::Waiter;
use super::reports::Mark;
use super::{Effect, Machine};

impl Machine {
    /// Pins an input for somebody and, where it is not here, sees to it that it comes.
    ///
    /// One that nobody is named for is told as missing, unless it is being made here or the scheduler says that it is
    /// `ahead`: then whoever makes it may just have failed, and the scheduler is about to hear of that.
    pub(super) fn need(
        &mut self,
        waiter: Waiter,
        input: Input,
        ahead: bool,
        effects: &mut Vec<Effect>,
    ) {
        let orphan = !ahead && !self.is_being_made(&input);
        let (object, input) = (input.object, self.keep(input, effects));
        if self.objects.revive(object) {
            // The scheduler counts on its release.
            self.mark(Mark::Replica(object), effects);
        }
        if self.objects.pin(object, waiter) {
            return;
        }
        self.one_more(waiter);
        let Some(input) = input else { return };
        if !input.holders.is_empty() {
            self.objects.seek(input, effects);
        } else if orphan {
            self.miss(object, effects);
        }
    }

    /// Keeps the value that came with an input, if one did; otherwise returns the input.
    fn keep(&mut self, mut input: Input, effects: &mut Vec<Effect>) -> Option<Input> {
        if self.objects.is_stored(input.object) {
            return None;
        }
        let Some(value) = input.value.take() else { return Some(input) };
        let size = value.size;
        effects.push(Effect::Keep(input.object, value));
        self.arrive(input.object, size);
        if self.objects.is_leaky {
            self.mark(Mark::Replica(input.object), effects);
        }
        None
    }

    /// Makes note of an object that is in the store: whoever waited for it is one step nearer.
    pub(super) fn arrive(&mut self, object: ObjectId, size: u64) {
        for waiter in self.objects.arrive(object, size) {
            self.one_fewer(waiter);
        }
    }

    /// Tells that nobody is known to have an object, unless it is being fetched. It may have been told before: what the
    /// scheduler then knew is no answer for those who want the object since.
    pub(super) fn miss(&mut self, object: ObjectId, effects: &mut Vec<Effect>) {
        let is_coming = self.objects.fetching.contains(&object);
        if let Some(sought) = self.objects.sought.get_mut(&object)
            && !is_coming
            && !sought.is_queued
        {
            sought.missing.get_or_insert_default();
            if !std::mem::replace(&mut sought.marked, true) {
                self.mark(Mark::Missing(object), effects);
            }
        }
    }

    pub(super) fn on_fetched(&mut self, object: ObjectId, size: u64, effects: &mut Vec<Effect>) {
        self.objects.fetch_ended(object, effects);
        if self.objects.sought.contains_key(&object) {
            self.arrive(object, size);
            self.mark(Mark::Replica(object), effects);
        } else if !self.objects.is_stored(object) || self.objects.held_back.contains(&object) {
            // Whoever wanted it has ended, or it was released.
            self.discard(object, effects);
        }
    }

    /// Keeps an object that a client put here, whether or not anybody seeks it.
    pub(super) fn on_stored(&mut self, object: ObjectId, size: u64, effects: &mut Vec<Effect>) {
        // Who had it released did so before it was put.
        self.objects.revive(object);
        self.arrive(object, size);
        self.mark(Mark::Replica(object), effects);
    }

    /// Does without an object that was here. Attempts that were handed over have it, or end with an error of their own; the
    /// others wait for it again.
    pub(super) fn on_lost(&mut self, object: ObjectId, effects: &mut Vec<Effect>) {
        if !self.objects.is_stored(object) {
            return;
        }
        let users = self.attempts.iter().filter(|(_, attempt)| attempt.inputs.contains(&object));
        let users: Vec<Slot> = users.map(|(slot, _)| slot).collect();
        let mut waiters = Vec::new();
        for slot in users {
            let attempt = self.attempts.at_mut(slot);
            let uses = attempt.inputs.iter().filter(|input| **input == object).count();
            match &mut attempt.state {
                State::Following(_) | State::Running { .. } => {
                    attempt.inputs.retain(|input| *input != object);
                    continue;
                }
                State::Ready => {
                    self.queues.at_mut(attempt.queue).ready.remove(&attempt.turn);
                    attempt.state = State::Waiting { missing: uses };
                }
                State::Waiting { missing } => *missing += uses,
            }
            waiters.extend(std::iter::repeat_n(Waiter::Attempt(slot), uses));
        }
        self.lose_gathered(object, &mut waiters);
        self.objects.lose(object, waiters);
        self.mark(Mark::Lost(object), effects);
        self.miss(object, effects);
    }

    pub(super) fn on_fetch_failed(
        &mut self,
        object: ObjectId,
        asked: SmallVec<[WorkerId; 2]>,
        effects: &mut Vec<Effect>,
    ) {
        if self.objects.fetch_failed(object, asked, effects) {
            self.mark(Mark::Missing(object), effects);
        }
        if self.objects.held_back.contains(&object) {
            self.discard(object, effects);
        }
    }

    /// Hears where inputs are that attempts wait for. About one that is here, the scheduler is told so.
    pub(super) fn on_places(&mut self, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        for input in inputs {
            if self.objects.is_stored(input.object) {
                self.mark(Mark::Replica(input.object), effects);
            } else if self.objects.sought.contains_key(&input.object) {
                self.find_at(input, effects);
            } else if input.value.is_some() {
                // Nobody wants it any more, and the scheduler believes that what comes with an order is kept.
                self.mark(Mark::Lost(input.object), effects);
            }
        }
    }

    /// Makes replicas. One that nobody can give is told as missing, once.
    pub(super) fn on_replicate(&mut self, inputs: Vec<Input>, effects: &mut Vec<Effect>) {
        for input in inputs {
            let object = input.object;
            self.objects.revive(object);
            if self.objects.is_stored(object) {
                self.mark(Mark::Replica(object), effects);
                continue;
            }
            self.objects.sought.entry(object).or_default().replicate = true;
            self.find_at(input, effects);
        }
    }

    fn find_at(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let object = input.object;
        match self.keep(input, effects) {
            Some(input) if !input.holders.is_empty() => self.objects.seek(input, effects),
            Some(_) => self.miss(object, effects),
            None => self.mark(Mark::Replica(object), effects),
        }
    }

    /// Gives up a replica: at once, or when the last attempt that needs or makes it has ended.
    pub(super) fn on_release(&mut self, object: ObjectId, effects: &mut Vec<Effect>) {
        if self.objects.release(object) {
            self.discard(object, effects);
        }
    }

    /// Drops an object that nobody wants, now or when nothing can put it into the store any more.
    pub(super) fn discard(&mut self, object: ObjectId, effects: &mut Vec<Effect>) {
        let is_made = object.task().is_some_and(|task| self.is_here(task));
        if is_made || self.objects.fetching.contains(&object) {
            self.objects.held_back.insert(object);
        } else {
            self.objects.remove(object);
            effects.push(Effect::Drop(object));
        }
    }

    /// Drops what was not dropped because an attempt of this task was here.
    pub(super) fn drop_held_back(&mut self, task: TaskId, effects: &mut Vec<Effect>) {
        if self.objects.held_back.is_empty() || self.is_here(task) {
            return;
        }
        let outputs = ObjectId::output(task, 0)..=ObjectId::output(task, u16::MAX);
        let outputs: SmallVec<[ObjectId; 2]> =
            self.objects.held_back.range(outputs).copied().collect();
        for object in outputs {
            self.discard(object, effects);
        }
    }

    /// Whether an attempt of this task is here, superseded or not.
    fn is_here(&self, task: TaskId) -> bool {
        self.attempts.current(task).or_else(|| self.attempts.superseded(task)).is_some()
    }
}
