//! What people ask of actors. The same submission again is the same request, and has the same answer.

use std::collections::{BTreeMap, VecDeque};

use bireme_core::actor::place::{ActorPlace, Checkpoint};
use bireme_core::actor::{ActorSpec, Delivery, OnSchedulerLoss};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, SessionId, SubmissionId, WorkerId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::Owner;
use bireme_core::{ErrorClass, Span, TaskError, limits};

use super::Machine;
use super::record::{Actor, Ending, Moving, Phase, Wanted};
use crate::machine::Timer;

/// Who asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asker {
    /// In the name of this session.
    pub session: Option<SessionId>,
    /// With this token.
    pub owner: Owner,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum ActorRequest {
    /// Make a checkpoint.
    Checkpoint {
        /// Which actor.
        actor: ActorId,
    },
    /// Create an actor.
    Create {
        /// Its id, if it is made.
        actor: ActorId,
        /// What it is.
        spec: Box<ActorSpec>,
        /// If the name is taken, that actor will do.
        get_if_exists: bool,
    },
    /// End an actor.
    Kill {
        /// Which actor.
        actor: ActorId,
        /// End only its incarnation.
        allow_restart: bool,
        /// How long running calls may go on.
        grace: Span,
        /// The handle that kept it alive is gone, that is all.
        released: bool,
    },
    /// Move an actor to another worker.
    Move {
        /// Which actor.
        actor: ActorId,
        /// Where to; `None` is wherever there is room.
        to: Option<WorkerId>,
        /// How long running calls may go on before the move is given up; `None` is for ever.
        quiesce: Option<Span>,
        /// Move it even if it cannot be checkpointed.
        lose_state: bool,
    },
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum ActorAnswer {
    /// How a checkpoint stands; `None` while it is not made.
    Checkpoint(Option<Result<(Incarnation, Checkpoint), Box<TaskError>>>),
    /// There is an actor; `true` where this request made it.
    Created(ActorId, bool),
    /// It is ending, and was here.
    Killed(Box<ActorPlace>),
    /// It is on its way from this incarnation, or why that was given up.
    Moved(ActorId, Incarnation, Option<Box<TaskError>>),
    /// It was refused.
    Refused(Refusal),
}

/// The latest answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_submission: BTreeMap<SubmissionId, ActorAnswer>,
    order: VecDeque<SubmissionId>,
}

impl Answers {
    fn remember(&mut self, submission: SubmissionId, answer: ActorAnswer) {
        if self.by_submission.insert(submission, answer).is_none() {
            self.order.push_back(submission);
        }
        if self.order.len() > limits::SUBMISSIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_submission.remove(&oldest);
        }
    }

    /// How a request went on that is remembered.
    pub(super) fn update(&mut self, submission: SubmissionId, answer: ActorAnswer) {
        if let Some(slot) = self.by_submission.get_mut(&submission) {
            *slot = answer;
        }
    }
}

impl Machine {
    /// Somebody asks something of an actor. A request that came before is not carried out again.
    pub(in super::super) fn on_actor_asked(
        &mut self,
        submission: SubmissionId,
        asker: Asker,
        request: ActorRequest,
    ) {
        if self.actors.answers.by_submission.contains_key(&submission) {
            return;
        }
        let answer = match request {
            ActorRequest::Checkpoint { actor } => {
                self.on_checkpoint_asked(submission, asker, actor)
            }
            ActorRequest::Create { actor, spec, get_if_exists } => {
                self.on_create_asked(asker, actor, *spec, get_if_exists)
            }
            ActorRequest::Kill { actor, allow_restart, grace, released } => {
                let why =
                    if released { self.let_go(actor) } else { "somebody ended it".to_owned() };
                self.on_kill_asked(asker, actor, allow_restart, grace, &why)
            }
            ActorRequest::Move { actor, to, quiesce, lose_state } => {
                let moving = Moving {
                    request: 0,
                    submission: Some(submission),
                    quiesce,
                    lose_state,
                    told: false,
                };
                self.on_move_asked(asker, actor, to, moving)
            }
        };
        self.actors.answers.remember(submission, answer.unwrap_or_else(ActorAnswer::Refused));
    }

    /// What became of a request; `None` if it never came, or is too long ago.
    pub fn actor_answer(&self, submission: SubmissionId) -> Option<&ActorAnswer> {
        self.actors.answers.by_submission.get(&submission)
    }

    fn on_create_asked(
        &mut self,
        asker: Asker,
        id: ActorId,
        spec: ActorSpec,
        get_if_exists: bool,
    ) -> Result<ActorAnswer, Refusal> {
        if let Some(name) = &spec.name
            && let Some(taken) = self.actors.names.get(name)
        {
            if get_if_exists {
                return Ok(ActorAnswer::Created(*taken, false));
            }
            let message = format!("an actor named {name} is there already: {taken}");
            return Err(Refusal::at(Reason::NameTaken, "spec.name", message));
        }
        if self.actors.records.contains_key(&id) {
            let message = format!("there is an actor {id} already; choose an id at random");
            return Err(Refusal::at(Reason::NameTaken, "actor", message));
        }
        self.check_creation(&asker, &spec)?;
        self.pin_inputs(&spec.inputs)?;
        if let Some(name) = &spec.name {
            self.actors.names.insert(name.clone(), id);
        }
        if let Some(session) = asker.session.filter(|_| !spec.detached) {
            self.actors.owned.insert((session, id));
        }
        let actor = Actor::new(id, spec, asker.session, asker.owner, self.now);
        self.actors.records.insert(id, actor);
        self.want_worker(id, None);
        Ok(ActorAnswer::Created(id, true))
    }

    /// What an actor must be for this scheduler to take care of it.
    fn check_creation(&self, asker: &Asker, spec: &ActorSpec) -> Result<(), Refusal> {
        spec.check()?;
        if matches!(spec.runtime, Runtime::Command | Runtime::Wasm) {
            let message = "an actor is a class of a native worker or of a language runtime";
            return Err(Refusal::at(Reason::Unsupported, "spec.runtime", message));
        }
        if spec.delivery == Delivery::EffectivelyOnce
            && spec.on_scheduler_loss == OnSchedulerLoss::Continue
        {
            let message = "an effectively-once actor stops when its lease ends: choose `stop`";
            return Err(Refusal::at(Reason::Malformed, "spec.on_scheduler_loss", message));
        }
        if asker.session.is_none() && !spec.detached {
            let message = "no session would end it: open one, or set `detached`";
            return Err(Refusal::at(Reason::Malformed, "spec.detached", message));
        }
        if self.actors.records.len() >= limits::ACTORS {
            let message = format!("there are {} actors, the limit", limits::ACTORS);
            return Err(Refusal::new(Reason::Busy, message));
        }
        Ok(())
    }

    fn on_kill_asked(
        &mut self,
        asker: Asker,
        id: ActorId,
        allow_restart: bool,
        grace: Span,
        why: &str,
    ) -> Result<ActorAnswer, Refusal> {
        self.own_actor(asker, id)?;
        let place = self.actor_place(id).ok_or_else(|| unknown(id))?;
        if !allow_restart || self.actors.get(id).is_some_and(|actor| actor.worker().is_some()) {
            self.end_actor(id, grace, !allow_restart, why);
        }
        Ok(ActorAnswer::Killed(Box::new(place)))
    }

    /// Ends an actor: at once where it does not live anywhere, else when its worker says that it has ended.
    pub(super) fn end_actor(&mut self, id: ActorId, grace: Span, forget: bool, why: &str) {
        let Some(actor) = self.actors.records.get_mut(&id).filter(|actor| !actor.is_dead()) else {
            return;
        };
        let is_hosted = actor.worker().is_some();
        let before = actor.ending.as_ref();
        let grace = before.map_or(grace, |before| before.grace.min(grace));
        let forget = forget || before.is_some_and(|before| before.forget);
        actor.ending = Some(Ending { grace, forget, reason: why.to_owned(), told: false });
        if forget {
            self.free_name(id);
        }
        if is_hosted {
            self.tell_host(id);
            self.actor_changed(id);
        } else if forget {
            self.bury(id, killed(why));
        }
    }

    fn on_checkpoint_asked(
        &mut self,
        submission: SubmissionId,
        asker: Asker,
        id: ActorId,
    ) -> Result<ActorAnswer, Refusal> {
        self.own_actor(asker, id)?;
        self.living(id)?;
        let request = self.actors.next_request();
        if let Some(actor) = self.actors.get_mut(id) {
            if actor.wanted.len() >= limits::SUBMISSIONS {
                let message = format!("{} checkpoints are asked for already", actor.wanted.len());
                return Err(Refusal::new(Reason::Busy, message));
            }
            actor.wanted.push(Wanted { request, submission, told: false });
        }
        self.tell_host(id);
        Ok(ActorAnswer::Checkpoint(None))
    }

    fn on_move_asked(
        &mut self,
        asker: Asker,
        id: ActorId,
        to: Option<WorkerId>,
        moving: Moving,
    ) -> Result<ActorAnswer, Refusal> {
        self.own_actor(asker, id)?;
        let actor = self.living(id)?;
        if actor.moving.is_some() || actor.travels {
            return Err(Refusal::new(Reason::Busy, format!("actor {id} is on its way already")));
        }
        let (spec, from, life) = (actor.spec.clone(), actor.worker(), actor.incarnation);
        if let Some(to) = to {
            let worker = self.workers.get(to).ok_or_else(|| {
                Refusal::at(Reason::WorkerUnknown, "worker", format!("there is no worker {}", to.0))
            })?;
            if let Some(why) = worker.refuses_actor(&spec) {
                let message = format!("{} {why}", worker.join.name);
                return Err(Refusal::at(Reason::NoWorker, "worker", message));
            }
        }
        if from.is_none() || from == to {
            // It is nowhere yet, or there already: the next place will be the right one.
            if let Some(actor) = self.actors.get_mut(id) {
                actor.bound_for = to;
            }
            self.actors.stir();
            return Ok(ActorAnswer::Moved(id, Incarnation(life.0.saturating_sub(1)), None));
        }
        let request = self.actors.next_request();
        if let Some(actor) = self.actors.get_mut(id) {
            actor.bound_for = to;
            actor.moving = Some(Moving { request, ..moving });
        }
        self.tell_host(id);
        self.actor_changed(id);
        Ok(ActorAnswer::Moved(id, life, None))
    }

    /// An actor that the asker may change.
    fn own_actor(&self, asker: Asker, id: ActorId) -> Result<&Actor, Refusal> {
        let actor = self.actors.get(id).ok_or_else(|| unknown(id))?;
        let is_own = actor.session.is_some() && actor.session == asker.session;
        if is_own || actor.owner.admits(asker.owner) {
            return Ok(actor);
        }
        let message = format!("actor {id} is another's: that takes the role admin");
        Err(Refusal::new(Reason::RoleMissing, message))
    }

    /// An actor that has not ended, and is not about to.
    fn living(&self, id: ActorId) -> Result<&Actor, Refusal> {
        let actor = self.actors.get(id).ok_or_else(|| unknown(id))?;
        let ends = actor.is_dead() || actor.ending.as_ref().is_some_and(|ending| ending.forget);
        if !ends {
            return Ok(actor);
        }
        let cause = actor.cause.as_ref().map_or("it is ending", |cause| cause.message.as_str());
        Err(Refusal::new(Reason::ActorGone, format!("actor {id} has ended: {cause}")))
    }

    /// Ends the actors of a session that do not outlive it.
    pub(in super::super) fn end_actors_of(&mut self, session: SessionId) {
        let of_session = (session, ActorId(0))..=(session, ActorId(u128::MAX));
        let actors: Vec<ActorId> =
            self.actors.owned.range(of_session).map(|(_, actor)| *actor).collect();
        let who = self.called(session);
        let why = format!("{who}, which made it, is over; `detached` lets an actor outlive that");
        for actor in actors {
            self.end_actor(actor, Span::ZERO, true, &why);
        }
    }

    /// Why an actor ends whose creator has no handle of it any more.
    fn let_go(&self, id: ActorId) -> String {
        let session = self.actors.get(id).and_then(|actor| actor.session);
        let who = session.map_or_else(|| "its session".to_owned(), |id| self.called(id));
        format!(
            "{who}, which made it, has let its handle go; `detached` lets an actor outlive that"
        )
    }

    /// A session as errors name it.
    fn called(&self, id: SessionId) -> String {
        match self.sessions.get(&id).map(|session| session.name.as_str()) {
            None | Some("") => format!("session {id}"),
            Some(name) => format!("session {id} ({name})"),
        }
    }

    /// Another actor may have its name.
    pub(super) fn free_name(&mut self, id: ActorId) {
        let Some(actor) = self.actors.get(id) else { return };
        let (name, session) = (actor.spec.name.clone(), actor.session);
        if let Some(name) = name.filter(|name| self.actors.names.get(name) == Some(&id)) {
            self.actors.names.remove(&name);
        }
        if let Some(session) = session {
            self.actors.owned.remove(&(session, id));
        }
    }

    /// An actor wants a worker; with a time, only the one that has its log, and only until then.
    pub(super) fn want_worker(&mut self, id: ActorId, until: Option<bireme_core::Time>) {
        if let Some(actor) = self.actors.records.get_mut(&id) {
            actor.phase = Phase::Waiting(until);
            self.actors.await_worker(id);
        }
        if let Some(until) = until {
            self.timers.insert((until, Timer::Actor(id)));
        }
        self.actor_changed(id);
    }
}

/// Why an actor that somebody ended is dead.
pub(super) fn killed(why: &str) -> Box<TaskError> {
    Box::new(TaskError::new(ErrorClass::Cancelled, Reason::ActorKilled.name(), why))
}

fn unknown(id: ActorId) -> Refusal {
    let message = format!("there is no actor {id}, or it ended and was forgotten");
    Refusal::at(Reason::ActorUnknown, "actor", message)
}
