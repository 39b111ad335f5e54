//! Where actors are, and what the scheduler and the workers tell each other of them.

use smallvec::SmallVec;

use super::ActorSpec;
use super::copies::{CopiesTold, CopyPlaces};
use super::statistics::ActorStatistics;
use crate::error::TaskError;
use crate::id::{ActorId, Incarnation, WorkerId};
use crate::object::ObjectId;
use crate::protocol::{Address, Input};
use crate::time::Span;

/// How an actor is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ActorState {
    /// It takes calls.
    Alive,
    /// It has ended for good.
    Dead,
    /// It is on its way to another worker.
    Moving,
    /// Its incarnation is lost; the next has not started yet.
    Restarting,
    /// Its constructor runs.
    Starting,
    /// No worker has room for it, or none is able to host it.
    Waiting,
}

impl ActorState {
    /// Its name, as people spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::Moving => "moving",
            Self::Restarting => "restarting",
            Self::Starting => "starting",
            Self::Waiting => "waiting",
        }
    }
}

/// Where an actor is.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorPlace {
    /// The actor.
    pub actor: ActorId,
    /// Its incarnation; 0 where there was none yet.
    pub incarnation: Incarnation,
    /// How it is.
    pub state: ActorState,
    /// The worker that hosts it, if one does now.
    pub worker: Option<WorkerId>,
    /// Where that worker listens.
    pub addresses: Vec<Address>,
    /// Boot id and host name of the worker.
    pub machine: String,
    /// How long the host's lease lasts; zero where it does not end by itself.
    pub lease: Span,
    /// Why it ended, where it did.
    pub cause: Option<Box<TaskError>>,
}

/// How an incarnation of an actor ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EndKind {
    /// Its process died, or its log could not be written.
    Crashed,
    /// A call played again from its log gave another result than the first time.
    Diverged,
    /// It ended itself.
    Exited,
    /// Its constructor failed, or its state could not be restored: it would fail again.
    Failed,
    /// It was ended by [`ActorOrder::End`].
    Killed,
    /// It came to rest, so that it can begin again elsewhere.
    Moved,
}

/// What the scheduler tells a worker of actors.
#[derive(Clone, Debug, PartialEq)]
pub enum ActorOrder {
    /// Make a checkpoint.
    Checkpoint {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
        /// Comes back with the answer.
        request: u64,
    },
    /// Keep copies of the log and the checkpoint in these places, and in no others.
    Copy {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
        /// Where.
        copies: CopyPlaces,
    },
    /// End an incarnation.
    End {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
        /// How long running calls may go on.
        grace: Span,
        /// It ends for good: its log is removed, and calls that wait end as gone.
        forget: bool,
        /// Why, for people.
        reason: String,
    },
    /// Host an incarnation.
    Host(Box<HostOrder>),
    /// Bring it to rest, so that it can begin again elsewhere.
    Move {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
        /// Comes back with the answer.
        request: u64,
        /// How long running calls may go on before the move is given up; `None` is for ever.
        quiesce: Option<Span>,
        /// Leave without its state if it cannot be checkpointed.
        lose_state: bool,
    },
    /// The end of this incarnation is known.
    Settle {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
    },
}

/// An incarnation to be hosted. It begins when its resources are free and its inputs are here: with the checkpoint that is
/// named, else with the log that the worker has of it, else with its constructor.
#[derive(Clone, Debug, PartialEq)]
pub struct HostOrder {
    /// Which actor.
    pub actor: ActorId,
    /// Which incarnation.
    pub incarnation: Incarnation,
    /// What it is.
    pub spec: ActorSpec,
    /// The values of [`ActorSpec::inputs`], in their order.
    pub inputs: SmallVec<[Input; 2]>,
    /// What the last incarnation left when it came to rest elsewhere.
    pub checkpoint: Option<Input>,
    /// There was an incarnation before whose state must be found here.
    pub restores: bool,
    /// Where copies of its log and its checkpoint are kept.
    pub copies: CopyPlaces,
}

/// What a worker tells the scheduler of actors.
#[derive(Clone, Debug, PartialEq)]
pub enum ActorReport {
    /// It takes calls.
    Alive(Hosted),
    /// A checkpoint was made, or not; a move that was given up is told so too.
    Checkpointed {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
        /// As in the order.
        request: u64,
        /// What was made.
        made: Result<Checkpoint, Box<TaskError>>,
    },
    /// How it stands with the copies of its log and its checkpoint.
    Copied {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
        /// How.
        told: CopiesTold,
    },
    /// An incarnation has ended. Told until it is settled.
    Ended {
        /// Which actor.
        actor: ActorId,
        /// Which incarnation.
        incarnation: Incarnation,
        /// How.
        end: EndKind,
        /// Why, where that is an error.
        cause: Option<Box<TaskError>>,
        /// With [`EndKind::Moved`]: what the next begins with, and its size in bytes.
        checkpoint: Option<(ObjectId, u64)>,
    },
}

/// An incarnation that a worker has accepted and whose end it has not told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Hosted {
    /// Which actor.
    pub actor: ActorId,
    /// Which incarnation.
    pub incarnation: Incarnation,
    /// It takes calls.
    pub alive: bool,
    /// It can be checkpointed; known once it is alive.
    pub checkpoints: bool,
}

/// A checkpoint that was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Checkpoint {
    /// It holds all calls up to this record of the log.
    pub lsn: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// How long it took.
    pub took: Span,
}

/// What an actor's counters say, as of a heartbeat.
pub type Beat = (ActorId, Incarnation, ActorStatistics);
