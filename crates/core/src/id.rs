//! Names of things. Each is its own type, so that none can be taken for another.

use std::fmt;
use std::str::FromStr;

/// A graph: the session's number in the upper half, the session's own count in the lower. Never reused by a cluster.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GraphId(pub u64);

/// A task: a node of a graph.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TaskId {
    /// Its graph.
    pub graph: GraphId,
    /// Its place in the graph, from 0, in submission order.
    pub index: u32,
}

/// Numbers the attempts of a task. The greater one is the truth.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AttemptNo {
    /// Epoch of the scheduler that sent the attempt.
    pub epoch: Epoch,
    /// Counts the task's attempts within the epoch, from 1.
    pub n: u32,
}

/// One execution of a task.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AttemptId {
    /// What is executed.
    pub task: TaskId,
    /// Which execution.
    pub no: AttemptNo,
}

/// A worker daemon, as numbered by one life of the scheduler, from 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkerId(pub u32);

/// A session: one client's presence. From 1; never reused by a cluster.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub u32);

/// Whoever may number objects that are no task's output: a session, an actor, a worker.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HolderId(pub u64);

/// One life of the scheduler, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u32);

/// One life of an actor, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Incarnation(pub u32);

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub u128);

        impl $name {
            /// Reads the wire form; `None` unless there are 16 bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
            }

            /// The wire form.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }
    };
}

random_id! {
    /// A cluster: given once, kept in the scheduler's state.
    ClusterId
}
random_id! {
    /// Chosen by the sender of a command: the same one again gets the same answer.
    SubmissionId
}
random_id! {
    /// A worker across restarts of its daemon, kept in its state.
    WorkerUid
}
random_id! {
    /// One start of a worker daemon.
    WorkerLife
}
random_id! {
    /// Whoever knows it is the session. Not shown to others.
    SessionToken
}
random_id! {
    /// An actor.
    ActorId
}

/// Content address of a blob: its BLAKE3.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest(pub [u8; 32]);

impl GraphId {
    /// The graph that is a session's `n`th.
    pub fn new(session: SessionId, n: u32) -> Self {
        Self(u64::from(session.0) << 32 | u64::from(n))
    }

    /// The session whose graph this is.
    pub fn session(self) -> SessionId {
        SessionId((self.0 >> 32) as u32)
    }

    /// Which of the session's graphs.
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
    pub fn n(self) -> u32 {
        self.0 as u32
    }
}

impl From<SessionId> for HolderId {
    fn from(session: SessionId) -> Self {
        Self(u64::from(session.0))
    }
}

impl SessionId {
    /// The session that is this holder; `None` if it can be none.
    pub fn of(holder: HolderId) -> Option<Self> {
        u32::try_from(holder.0).ok().map(Self)
    }
}

impl fmt::Display for GraphId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session().0, self.n())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.graph, self.index)
    }
}

impl fmt::Display for AttemptNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch.0, self.n)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task, self.no)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest(")?;
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "..)")
    }
}

/// The text is not `SESSION.N` or `SESSION.N/INDEX`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected SESSION.N for a graph or SESSION.N/INDEX for a task, all whole numbers")]
pub struct NotAnId;

impl FromStr for GraphId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (session, n) = text.split_once('.').ok_or(NotAnId)?;
        let session = SessionId(session.parse().map_err(|_| NotAnId)?);
        Ok(Self::new(session, n.parse().map_err(|_| NotAnId)?))
    }
}

impl FromStr for TaskId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (graph, index) = text.split_once('/').ok_or(NotAnId)?;
        Ok(Self { graph: graph.parse()?, index: index.parse().map_err(|_| NotAnId)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_shown() {
        let task = TaskId { graph: GraphId::new(SessionId(7), 3), index: 12 };
        assert_eq!(task.to_string(), "7.3/12");
        assert_eq!("7.3/12".parse(), Ok(task));
        assert_eq!("7.3".parse(), Ok(task.graph));
        for bad in ["", "7", "7.", "7.3/", "7.3/x", "-1.3", "7.4294967296"] {
            assert_eq!(bad.parse::<TaskId>(), Err(NotAnId), "{bad}");
        }
    }

    #[test]
    fn a_later_epoch_beats_any_count() {
        let old = AttemptNo { epoch: Epoch(1), n: 900 };
        let new = AttemptNo { epoch: Epoch(2), n: 1 };
        assert!(new > old);
    }
}
