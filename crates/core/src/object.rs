//! Stored values, named by whoever made them.

use std::fmt;

use crate::id::{HolderId, TaskId};

/// A stored value.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ObjectId {
    /// Something a session, an actor or a worker holds: a scattered value, the result of an actor call.
    Held {
        /// Who numbers it.
        holder: HolderId,
        /// Counts the holder's values, from 1.
        n: u64,
    },
    /// An output of a task.
    Output {
        /// The task.
        task: TaskId,
        /// Which output, from 0.
        output: u16,
    },
}

/// How an object came to be, and so whether it can be made again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Producer {
    /// The reply of an actor call; unfinished, it is a promise that tasks may depend on.
    ActorCall,
    /// Made while a task ran, and named by its result.
    Dynamic,
    /// Put by a session; lost with its last replica.
    Put,
    /// A task, which can be run again.
    TaskOutput,
}

impl ObjectId {
    /// The output of a task.
    pub fn output(task: TaskId, output: u16) -> Self {
        Self::Output { task, output }
    }

    /// The task whose output this is.
    pub fn task(self) -> Option<TaskId> {
        match self {
            Self::Output { task, .. } => Some(task),
            Self::Held { .. } => None,
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { holder, n } => write!(f, "h{}:{n}", holder.0),
            Self::Output { task, output } => write!(f, "{task}:{output}"),
        }
    }
}
