//! What workers tell of actors.

use bireme_core::actor::place::{ActorOrder, ActorReport, Checkpoint, EndKind, Hosted};
use bireme_core::id::{ActorId, Incarnation, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::reason::Reason;
use bireme_core::{ErrorClass, Span, TaskError};

use super::Machine;
use super::ask::{ActorAnswer, killed};
use super::record::{Actor, Phase};
use crate::machine::object::Object;
use crate::machine::worker::Errand;

impl Machine {
    pub(in super::super) fn on_actor_reported(&mut self, worker: WorkerId, report: ActorReport) {
        match report {
            ActorReport::Alive(hosted) => self.on_actor_alive(worker, hosted),
            ActorReport::Checkpointed { actor, incarnation, request, made } => {
                if self.actors.get(actor).is_some_and(|known| known.lives(worker, incarnation)) {
                    self.on_checkpointed(actor, incarnation, request, made);
                }
            }
            ActorReport::Copied { actor, incarnation, told } => {
                self.on_copied(worker, (actor, incarnation), told);
            }
            ActorReport::Ended { actor, incarnation, end, cause, checkpoint } => {
                self.on_actor_ended(worker, (actor, incarnation), end, cause, checkpoint);
            }
        }
    }

    /// An actor takes calls.
    fn on_actor_alive(&mut self, id: WorkerId, hosted: Hosted) {
        let Hosted { actor, incarnation, checkpoints, .. } = hosted;
        let Some(uid) = self.workers.get(id).map(|worker| worker.join.uid) else { return };
        let known = self.actors.records.get_mut(&actor);
        let Some(record) = known.filter(|known| known.lives(id, incarnation)) else {
            return self.end_superseded(id, actor, incarnation);
        };
        record.checkpoints = checkpoints;
        if record.is_alive() {
            return;
        }
        record.phase = Phase::Alive(id);
        record.alive_since = self.now;
        record.has_state = true;
        record.home = Some(uid);
        record.travels = false;
        let baggage = record.baggage.take();
        if let Some(object) = baggage {
            self.drop_value(object);
        }
        self.begin_with_copies(actor, uid);
        self.tell_host(actor);
        self.actor_changed(actor);
        if self.workers.get(id).is_some_and(|worker| worker.draining) {
            self.drains.insert(id);
        }
    }

    /// A checkpoint was made, or not; or a move was given up.
    fn on_checkpointed(
        &mut self,
        id: ActorId,
        incarnation: Incarnation,
        request: u64,
        made: Result<Checkpoint, Box<TaskError>>,
    ) {
        let Some(actor) = self.actors.records.get_mut(&id) else { return };
        if let Some(at) = actor.wanted.iter().position(|wanted| wanted.request == request) {
            let wanted = actor.wanted.swap_remove(at);
            let made = made.map(|made| (incarnation, made));
            self.actors.answers.update(wanted.submission, ActorAnswer::Checkpoint(Some(made)));
            return;
        }
        let is_move = actor.moving.as_ref().is_some_and(|moving| moving.request == request);
        if let Err(error) = made
            && is_move
        {
            self.give_up_move(id, error);
            self.actor_changed(id);
        }
    }

    /// A move does not take place.
    pub(super) fn give_up_move(&mut self, id: ActorId, error: Box<TaskError>) {
        let Some(actor) = self.actors.records.get_mut(&id) else { return };
        let Some(moving) = actor.moving.take() else { return };
        actor.bound_for = None;
        match moving.submission {
            Some(submission) => {
                let answer = ActorAnswer::Moved(id, actor.incarnation, Some(error));
                self.actors.answers.update(submission, answer);
            }
            // Its worker is to leave: this is in the way.
            None => actor.checkpoints = false,
        }
    }

    /// An incarnation has ended.
    fn on_actor_ended(
        &mut self,
        worker: WorkerId,
        (id, incarnation): (ActorId, Incarnation),
        end: EndKind,
        cause: Option<Box<TaskError>>,
        checkpoint: Option<(ObjectId, u64)>,
    ) {
        self.errand(worker, Errand::SettleActor(id, incarnation));
        let lives = self.actors.get(id).is_some_and(|actor| actor.lives(worker, incarnation));
        if !lives {
            // Told again it is what the next incarnation begins with.
            let is_carried =
                |object| self.actors.get(id).is_some_and(|actor| actor.baggage == Some(object));
            if let Some((object, _)) = checkpoint.filter(|(object, _)| !is_carried(*object)) {
                self.errand(worker, Errand::Release(object));
            }
            let is_last = |actor: &Actor| {
                actor.worker().is_none() && !actor.is_dead() && actor.incarnation == incarnation
            };
            if end == EndKind::Failed && self.actors.get(id).is_some_and(is_last) {
                self.turns_to_copies(id, worker, cause.as_deref()); // It was lost before it could say so.
            }
            return;
        }
        let is_over = |actor: &Actor| actor.ending.as_ref().is_some_and(|ending| ending.forget);
        let nobody_waits = match end {
            EndKind::Exited => true,
            EndKind::Killed => self.actors.get(id).is_some_and(is_over),
            _ => false,
        };
        if !nobody_waits {
            self.mourn(worker, id, incarnation);
        }
        let may_go_on = matches!(end, EndKind::Crashed | EndKind::Failed);
        let end = if may_go_on && self.turns_to_copies(id, worker, cause.as_deref()) {
            EndKind::Crashed
        } else {
            end
        };
        match end {
            EndKind::Moved => self.on_actor_moved(id, worker, checkpoint),
            EndKind::Crashed => self.lose_life(id, cause.unwrap_or_else(crashed)),
            EndKind::Killed => {
                let ending = self.actors.get_mut(id).and_then(|actor| actor.ending.take());
                let why = ending.as_ref().map_or("it was ended", |ending| ending.reason.as_str());
                let cause = cause.unwrap_or_else(|| killed(why));
                if ending.is_some_and(|ending| ending.forget) {
                    self.bury(id, cause);
                } else {
                    self.lose_life(id, cause); // Its worker leaves, or only this life was to end.
                }
            }
            EndKind::Diverged | EndKind::Exited | EndKind::Failed => {
                self.bury(id, cause.unwrap_or_else(exited));
            }
        }
    }

    /// An actor came to rest, so that it can begin again elsewhere with what it left.
    fn on_actor_moved(
        &mut self,
        id: ActorId,
        worker: WorkerId,
        checkpoint: Option<(ObjectId, u64)>,
    ) {
        self.unsettle(id);
        let carried = self.actors.get(id).and_then(|actor| actor.baggage);
        let baggage = match checkpoint {
            // It did not even begin there.
            Some((object, _)) if carried == Some(object) => carried,
            left => left.and_then(|(object, size)| self.adopt_value(worker, object, size)),
        };
        let Some(actor) = self.actors.records.get_mut(&id) else { return };
        actor.moving = None;
        actor.forget_what_was_told(false);
        actor.travels = true;
        actor.baggage = baggage;
        if baggage.is_none() {
            actor.has_state = false; // It was to leave without.
        }
        if actor.ending.as_ref().is_some_and(|ending| ending.forget) {
            return self.bury(id, killed("it was ended on its way"));
        }
        self.want_worker(id, None);
    }

    /// A worker has a value that no task and no session tells of.
    fn adopt_value(&mut self, worker: WorkerId, id: ObjectId, size: u64) -> Option<ObjectId> {
        if !matches!(id, ObjectId::Held { .. }) || self.held.contains_key(&id) {
            return None; // No worker numbers its own values so.
        }
        let mut object = Object::new(id);
        object.size = size;
        let no = self.objects.insert(object);
        self.held.insert(id, no);
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.untold.remove(&id);
        }
        self.add_holder(no, worker);
        Some(id)
    }

    /// Nobody needs a value any more that an actor left.
    pub(super) fn drop_value(&mut self, id: ObjectId) {
        if let Some(no) = self.held.remove(&id) {
            self.drop_object(no);
        }
    }

    /// A worker hosts what should not live, or lives elsewhere by now.
    pub(super) fn end_superseded(&mut self, worker: WorkerId, id: ActorId, life: Incarnation) {
        let uid = self.workers.get(worker).map(|worker| worker.join.uid);
        let known = self.actors.get(id).filter(|actor| !actor.is_dead());
        // What is left there may be what the next incarnation begins with.
        let may_begin = |actor| uid.is_some_and(|uid| Self::may_begin_at(actor, uid));
        let forget = !known.is_some_and(may_begin);
        self.errand(worker, Errand::EndActor(id, life, forget));
    }

    /// An incarnation ended at a worker, which keeps the calls that wait for the next until it is told where that is.
    fn mourn(&mut self, worker: WorkerId, id: ActorId, life: Incarnation) {
        self.stop_mourning(id);
        if let Some(record) = self.workers.get_mut(worker) {
            record.mourned.insert(id, life);
        }
        if let Some(actor) = self.actors.get_mut(id) {
            actor.mourned_at = Some(worker);
        }
    }

    /// The worker that keeps calls for the next incarnation learns that it is to host that, or that it is elsewhere, or that
    /// there is none.
    pub(super) fn tell_mourner(&mut self, id: ActorId, next: Option<WorkerId>) {
        let Some(actor) = self.actors.get_mut(id) else { return };
        let Some(worker) = actor.mourned_at else { return };
        let life = self.workers.get(worker).and_then(|worker| worker.mourned.get(&id).copied());
        if let Some(life) = life.filter(|_| next != Some(worker)) {
            self.errand(worker, Errand::EndActor(id, life, next.is_none()));
        } else {
            self.stop_mourning(id);
        }
    }

    /// Nobody waits at the last worker of an actor any more.
    pub(super) fn stop_mourning(&mut self, id: ActorId) {
        let worker = self.actors.get_mut(id).and_then(|actor| actor.mourned_at.take());
        if let Some(worker) = worker.and_then(|worker| self.workers.get_mut(worker)) {
            worker.mourned.remove(&id);
        }
    }

    /// The order to end an incarnation that nobody wants, as things stand.
    pub(in super::super) fn end_order(
        &self,
        actor: ActorId,
        incarnation: Incarnation,
        forget: bool,
    ) -> ActorOrder {
        let reason = match self.actors.get(actor) {
            None => {
                "the scheduler does not know it: it has ended, or the scheduler started anew".into()
            }
            Some(record) => record.cause.as_ref().map_or_else(
                || "a later incarnation takes its place".to_owned(),
                |cause| cause.message.clone(),
            ),
        };
        ActorOrder::End { actor, incarnation, grace: Span::ZERO, forget, reason }
    }
}

fn crashed() -> Box<TaskError> {
    let message = "its process died";
    Box::new(TaskError::new(ErrorClass::ProcessDied, Reason::ProcessDied.name(), message))
}

fn exited() -> Box<TaskError> {
    let message = "it ended itself";
    Box::new(TaskError::new(ErrorClass::Cancelled, Reason::ActorExited.name(), message))
}
