//! What is known of one actor.

use std::collections::VecDeque;
use std::sync::Arc;

use bireme_core::actor::ActorSpec;
use bireme_core::actor::place::ActorState;
use bireme_core::id::{ActorId, Incarnation, SessionId, SubmissionId, WorkerId, WorkerUid};
use bireme_core::object::ObjectId;
use bireme_core::session::Owner;
use bireme_core::{Span, TaskError, Time, limits};

use super::copies::Copies;

/// An actor.
#[derive(Debug)]
pub(in super::super) struct Actor {
    pub(super) id: ActorId,
    pub(super) spec: Arc<ActorSpec>,
    /// The session that made it, if one did.
    pub(super) session: Option<SessionId>,
    /// Who may change it besides that.
    pub(super) owner: Owner,
    pub(super) created: Time,
    pub(super) phase: Phase,
    /// The greatest that was given; none is given twice.
    pub(super) incarnation: Incarnation,
    /// Worker that has its log, once an incarnation was alive there.
    pub(super) home: Option<WorkerUid>,
    /// Who else keeps its log.
    pub(super) copies: Copies,
    /// The worker that keeps calls for its next incarnation.
    pub(super) mourned_at: Option<WorkerId>,
    /// An incarnation was alive, and its state is to be found again.
    pub(super) has_state: bool,
    /// It can give its state, as far as known.
    pub(super) checkpoints: bool,
    /// What the last incarnation left when it came to rest, until the next is alive.
    pub(super) baggage: Option<ObjectId>,
    /// It is on its way: its last incarnation came to rest, the next is not alive.
    pub(super) travels: bool,
    /// Where to, if somebody said so.
    pub(super) bound_for: Option<WorkerId>,
    /// How often it was started again.
    pub(super) restarts: u32,
    /// How often of late: the pause grows with it.
    pub(super) streak: u32,
    /// When its incarnation came alive.
    pub(super) alive_since: Time,
    /// How its last incarnations ended, the latest first.
    pub(super) deaths: VecDeque<Death>,
    /// Somebody wants it to end.
    pub(super) ending: Option<Ending>,
    /// Somebody wants it to move.
    pub(super) moving: Option<Moving>,
    /// Checkpoints that are asked for.
    pub(super) wanted: Vec<Wanted>,
    /// Why it is dead.
    pub(super) cause: Option<Box<TaskError>>,
    /// When it changed last, among all changes.
    pub(super) version: u64,
}

/// How far an actor is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// It wants a worker. With a time, only the one that has its log will do, and only until then.
    Waiting(Option<Time>),
    /// It wants a worker from then on.
    Pausing(Time),
    /// A worker is to host it; `told` once it was taken into a message for it.
    Starting { worker: WorkerId, told: bool },
    /// It takes calls.
    Alive(WorkerId),
    /// It has ended for good, and is forgotten then.
    Dead(Time),
}

/// How an incarnation ended.
#[derive(Clone, Debug)]
pub(super) struct Death {
    pub(super) incarnation: Incarnation,
    pub(super) cause: Box<TaskError>,
    pub(super) at: Time,
    /// Name of the worker where it lived.
    pub(super) worker: String,
}

/// How an actor is to end.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) grace: Span,
    /// For good; else the restart policy says what follows.
    pub(super) forget: bool,
    pub(super) reason: String,
    /// It was taken into a message for the worker.
    pub(super) told: bool,
}

/// How an actor is to move.
#[derive(Clone, Debug)]
pub(super) struct Moving {
    pub(super) request: u64,
    /// Who asked; `None` where its worker is sent away.
    pub(super) submission: Option<SubmissionId>,
    pub(super) quiesce: Option<Span>,
    pub(super) lose_state: bool,
    pub(super) told: bool,
}

/// A checkpoint that is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) request: u64,
    pub(super) submission: SubmissionId,
    pub(super) told: bool,
}

impl Actor {
    pub(super) fn new(
        id: ActorId,
        spec: ActorSpec,
        session: Option<SessionId>,
        owner: Owner,
        now: Time,
    ) -> Self {
        Self {
            id,
            spec: Arc::new(spec),
            session,
            owner,
            created: now,
            phase: Phase::Waiting(None),
            incarnation: Incarnation(0),
            home: None,
            copies: Copies::default(),
            mourned_at: None,
            has_state: false,
            checkpoints: false,
            baggage: None,
            travels: false,
            bound_for: None,
            restarts: 0,
            streak: 0,
            alive_since: now,
            deaths: VecDeque::new(),
            ending: None,
            moving: None,
            wanted: Vec::new(),
            cause: None,
            version: 0,
        }
    }

    /// The worker whose resources it holds.
    pub(super) fn worker(&self) -> Option<WorkerId> {
        match self.phase {
            Phase::Starting { worker, .. } | Phase::Alive(worker) => Some(worker),
            Phase::Waiting(_) | Phase::Pausing(_) | Phase::Dead(_) => None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Alive(_))
    }

    pub(super) fn is_dead(&self) -> bool {
        matches!(self.phase, Phase::Dead(_))
    }

    /// Whether this worker is to host this incarnation.
    pub(super) fn lives(&self, worker: WorkerId, incarnation: Incarnation) -> bool {
        self.worker() == Some(worker) && self.incarnation == incarnation
    }

    /// How it is, in one word.
    pub(super) fn state(&self) -> ActorState {
        match self.phase {
            Phase::Dead(_) => ActorState::Dead,
            _ if self.travels || self.moving.is_some() => ActorState::Moving,
            Phase::Alive(_) => ActorState::Alive,
            Phase::Starting { .. } => ActorState::Starting,
            Phase::Waiting(_) | Phase::Pausing(_) if self.deaths.is_empty() => ActorState::Waiting,
            Phase::Waiting(_) | Phase::Pausing(_) => ActorState::Restarting,
        }
    }

    /// Its worker has to be told everything anew, but for what it says that it hosts.
    pub(super) fn forget_what_was_told(&mut self, hosted: bool) {
        if let Phase::Starting { told, .. } = &mut self.phase {
            *told = hosted;
        }
        self.copies.forget_what_was_told();
        if let Some(ending) = &mut self.ending {
            ending.told = false;
        }
        if let Some(moving) = &mut self.moving {
            moving.told = false;
        }
        for wanted in &mut self.wanted {
            wanted.told = false;
        }
    }

    /// Takes note of how an incarnation ended, unless that is known.
    pub(super) fn note_death(&mut self, death: Death) {
        if self.deaths.front().is_some_and(|last| last.incarnation == death.incarnation) {
            return;
        }
        self.deaths.push_front(death);
        self.deaths.truncate(limits::ACTOR_DEATHS);
    }
}
