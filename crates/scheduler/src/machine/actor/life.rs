//! What follows when an incarnation is lost: another one after a pause, or the end for good.

use bireme_core::actor::OnSchedulerLoss;
use bireme_core::id::{ActorId, WorkerId};
use bireme_core::reason::Reason;
use bireme_core::{ErrorClass, Span, TaskError, Time, limits};

use super::Machine;
use super::ask::{ActorAnswer, killed};
use super::record::{Actor, Death, Phase};
use crate::machine::Timer;

impl Machine {
    /// An incarnation is lost, and it is certain that it does not live any more.
    pub(super) fn lose_life(&mut self, id: ActorId, cause: Box<TaskError>) {
        self.lose_life_until(id, cause, Time::default());
    }

    /// An incarnation is lost. Until `fence` it may still live, where nobody can see it.
    pub(super) fn lose_life_until(&mut self, id: ActorId, cause: Box<TaskError>, fence: Time) {
        self.note_death(id, &cause);
        self.unsettle(id);
        self.abandon_requests(id, &cause);
        let now = self.now;
        let Some(actor) = self.actors.records.get_mut(&id) else { return };
        if let Some(ending) = actor.ending.take_if(|ending| ending.forget) {
            return self.bury(id, killed(&ending.reason));
        }
        actor.ending = None;
        actor.travels = false;
        if actor.spec.restart.max_restarts.is_some_and(|max| actor.restarts >= max) {
            let cause = exhausted(actor, cause);
            return self.bury(id, cause);
        }
        actor.restarts += 1;
        let due = (now + actor.pause(now)).max(fence);
        if due > now {
            actor.phase = Phase::Pausing(due);
            self.timers.insert((due, Timer::Actor(id)));
            self.actor_changed(id);
        } else {
            self.revive_actor(id);
        }
    }

    /// An actor that was lost wants a worker again; one with a log wants the worker that has it.
    fn revive_actor(&mut self, id: ActorId) {
        let now = self.now;
        let Some(actor) = self.actors.get(id) else { return };
        let until = actor.needs_home().then(|| now + limits::ACTOR_HOME_WAIT);
        self.want_worker(id, until);
    }

    /// The time of an actor has come: it may begin again, or has waited for long enough, or is forgotten.
    pub(in super::super) fn on_actor_timer(&mut self, id: ActorId) {
        let now = self.now;
        let Some(actor) = self.actors.get(id) else { return };
        match actor.phase {
            Phase::Pausing(due) if due <= now => self.revive_actor(id),
            Phase::Waiting(Some(until)) if until <= now => {
                if let Some(worker) = self.last_resort(id) {
                    return self.settle_on(id, worker);
                }
                let Some(actor) = self.actors.get(id) else { return };
                let home = actor.home.and_then(|home| self.worker_with(home)).is_some();
                let message = if home {
                    "the worker that has its log and checkpoint had no room for it in time"
                } else {
                    "the worker that has its log and checkpoint did not come back in time"
                };
                let mut error =
                    TaskError::new(ErrorClass::WorkerLost, Reason::StateLost.name(), message);
                error.cause = actor.deaths.front().map(|death| death.cause.clone());
                self.bury(id, Box::new(error));
            }
            Phase::Dead(until) if until <= now => self.forget_actor(id),
            Phase::Starting { .. } | Phase::Alive(_) => self.fill_copies(id),
            _ => {}
        }
    }

    /// Where an actor begins again whose time to wait for its log is up, and of which there are copies.
    fn last_resort(&mut self, id: ActorId) -> Option<WorkerId> {
        let has_copies = self.actors.get(id)?.spec.peers > 0;
        let has_inputs = has_copies && self.inputs_of_actor(id).is_ok_and(|are_here| are_here);
        self.actors.get(id).filter(|_| has_inputs).and_then(|actor| self.heir(actor, true))
    }

    /// An actor has ended for good. It is remembered for a while, with the cause.
    pub(super) fn bury(&mut self, id: ActorId, cause: Box<TaskError>) {
        if self.actors.get(id).is_none_or(Actor::is_dead) {
            return;
        }
        if self.actors.get(id).is_some_and(|actor| actor.worker().is_some()) {
            self.note_death(id, &cause);
        }
        self.unsettle(id);
        self.free_name(id);
        self.abandon_requests(id, &cause);
        let now = self.now;
        let Some(actor) = self.actors.records.get_mut(&id) else { return };
        let due = now + actor.spec.ttl;
        actor.phase = Phase::Dead(due);
        actor.cause = Some(cause);
        (actor.ending, actor.travels, actor.bound_for) = (None, false, None);
        let (inputs, baggage) = (actor.spec.inputs.clone(), actor.baggage.take());
        self.timers.insert((due, Timer::Actor(id)));
        self.unpin_inputs(&inputs);
        self.tell_mourner(id, None);
        self.drop_copies(id);
        if let Some(object) = baggage {
            self.drop_value(object);
        }
        self.actor_changed(id);
    }

    fn forget_actor(&mut self, id: ActorId) {
        self.stop_mourning(id);
        if let Some(actor) = self.actors.records.remove(&id) {
            self.actors.changes.forget(id, actor.version);
            self.actors.counts.forget(id);
        }
    }

    fn note_death(&mut self, id: ActorId, cause: &TaskError) {
        let now = self.now;
        let Some(actor) = self.actors.get(id) else { return };
        let (incarnation, worker) = (actor.incarnation, actor.worker());
        let worker = worker.and_then(|worker| self.workers.get(worker));
        let worker = worker.map(|worker| worker.join.name.clone()).unwrap_or_default();
        let death = Death { incarnation, cause: Box::new(cause.clone()), at: now, worker };
        if let Some(actor) = self.actors.get_mut(id) {
            actor.note_death(death);
        }
    }

    /// What was asked of an incarnation that is over is not done.
    fn abandon_requests(&mut self, id: ActorId, cause: &TaskError) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        let wanted = std::mem::take(&mut actor.wanted);
        for wanted in wanted {
            let made = ActorAnswer::Checkpoint(Some(Err(Box::new(cause.clone()))));
            self.actors.answers.update(wanted.submission, made);
        }
        self.give_up_move(id, Box::new(cause.clone()));
    }
}

impl Actor {
    /// How long it rests before it begins again: twice as long each time, and not at all after a life that was long enough.
    fn pause(&mut self, now: Time) -> Span {
        let policy = &self.spec.restart;
        if self.is_long_lived(now) {
            self.streak = 0;
        }
        let pause =
            (0..self.streak).fold(policy.backoff, |pause, _| pause.doubled(policy.backoff_max));
        self.streak = (self.streak + 1).min(u32::BITS);
        pause
    }

    fn is_long_lived(&self, now: Time) -> bool {
        self.has_state && now.since(self.alive_since) >= self.spec.restart.backoff_max
    }

    /// Until when an incarnation may live that was last heard of then.
    pub(super) fn fence(&self, heard: Time) -> Time {
        match self.spec.on_scheduler_loss {
            OnSchedulerLoss::Continue => Time::default(),
            // Only the worker that has the log can host it, and has to lock that first; or one that has a copy in step, without
            // which nobody is answered, and which keeps nothing of an earlier life once it is told to host a later one.
            OnSchedulerLoss::Stop if self.needs_home() => Time::default(),
            OnSchedulerLoss::Stop => heard + self.spec.lease + limits::ACTOR_FENCE,
        }
    }
}

fn exhausted(actor: &Actor, cause: Box<TaskError>) -> Box<TaskError> {
    if actor.restarts == 0 {
        return cause;
    }
    let message = format!("it was started again {} times, as often as it may be", actor.restarts);
    let mut error =
        TaskError::new(ErrorClass::ProcessDied, Reason::RestartsExhausted.name(), message);
    error.cause = Some(cause);
    Box::new(error)
}
