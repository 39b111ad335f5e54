//! Who prints, and whose text is read together.

use bireme_core::AttemptId;
use bireme_core::id::{ActorId, AttemptNo, Epoch, Incarnation, TaskId};

/// Whose text is read together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Subject {
    /// The incarnations of an actor.
    Actor(ActorId),
    /// All actors of a process that several share, by its number.
    Process(u64),
    /// The attempts of a task.
    Task(TaskId),
}

/// Who prints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Author {
    pub(crate) subject: Subject,
    /// Which attempt of the task; or which incarnation of the actor, numbered within no epoch.
    pub(crate) no: AttemptNo,
}

impl Author {
    /// An incarnation that has its process for itself.
    pub(crate) fn incarnation(actor: ActorId, Incarnation(n): Incarnation) -> Self {
        Self { subject: Subject::Actor(actor), no: AttemptNo { epoch: Epoch(0), n } }
    }

    /// A process that several actors share.
    pub(crate) fn process(number: u64) -> Self {
        Self { subject: Subject::Process(number), no: AttemptNo { epoch: Epoch(0), n: 0 } }
    }

    /// The attempt, if it is one.
    pub(crate) fn attempt(self) -> Option<AttemptId> {
        match self.subject {
            Subject::Task(task) => Some(AttemptId { task, no: self.no }),
            Subject::Actor(_) | Subject::Process(_) => None,
        }
    }
}

impl From<AttemptId> for Author {
    fn from(AttemptId { task, no }: AttemptId) -> Self {
        Self { subject: Subject::Task(task), no }
    }
}
