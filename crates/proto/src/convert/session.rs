//! `session.proto`: client and scheduler.
//!
//! The scheduler's side reads commands with [`command`] and writes notices with [`down`]; the client's side writes commands
//! by `From` and reads notices with [`notices`].

mod notice;

use bireme_core::graph::GraphChunk;
use bireme_core::id::{GraphId, SessionToken, SubmissionId, WorkerId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, IndexRange, Known, Open, Opened, Owner, Put, Replica};
use bireme_core::{Span, limits};
use pb::session_command::Command as Wire;

pub use self::notice::{down, notices};
use super::common::{graph, submission, submission_bytes};
use super::field::{
    Within as _, counted, id, id_bytes, list, name, no_arm, optional, required, sent, span, us,
};
use crate::pb;

impl TryFrom<pb::OpenSession> for Open {
    type Error = Refusal;

    fn try_from(message: pb::OpenSession) -> Result<Self, Refusal> {
        let pb::OpenSession { token, name: text, ttl_us, weight_percent, known, by_name, parent } =
            message;
        if by_name && text.is_empty() {
            return Err(Refusal::at(Reason::Malformed, "name", "coming back by name takes a name"));
        }
        Ok(Self {
            by_name,
            owner: Owner::default(),
            token: id(&token, SessionToken::from_slice, "token")?,
            name: name(text, "name")?,
            ttl: span(ttl_us),
            weight_percent: if weight_percent == 0 { 100 } else { weight_percent },
            known: list(known, "known")?,
            parent: optional(parent, "parent")?,
        })
    }
}

impl From<Open> for pb::OpenSession {
    fn from(open: Open) -> Self {
        let Open { token, name, by_name, owner: _, ttl, weight_percent, known, parent } = open;
        Self {
            by_name,
            token: id_bytes(token.to_bytes()),
            name,
            ttl_us: us(ttl),
            weight_percent,
            known: sent(known),
            parent: parent.map(Into::into),
        }
    }
}

impl TryFrom<pb::GraphKnown> for Known {
    type Error = Refusal;

    fn try_from(message: pb::GraphKnown) -> Result<Self, Refusal> {
        let pb::GraphKnown { graph: number, accepted_tasks, seen } = message;
        Ok(Self { graph: graph(number)?, accepted_tasks, seen: ranges(seen) })
    }
}

impl From<Known> for pb::GraphKnown {
    fn from(Known { graph, accepted_tasks, seen }: Known) -> Self {
        Self { graph: graph.0, accepted_tasks, seen: sent(seen) }
    }
}

impl TryFrom<pb::SessionOpened> for Opened {
    type Error = Refusal;

    /// Nothing rides on `inline_bytes` here: whatever comes inside messages is taken.
    fn try_from(message: pb::SessionOpened) -> Result<Self, Refusal> {
        let pb::SessionOpened { session, resumed, inline_bytes: _, ttl_us, last_graph, last_value } =
            message;
        let session = required(session, "session")?;
        Ok(Self { session, resumed, ttl: Span(ttl_us), last_graph, last_value })
    }
}

impl From<Opened> for pb::SessionOpened {
    fn from(Opened { session, resumed, ttl, last_graph, last_value }: Opened) -> Self {
        let session = Some(session.into());
        let inline_bytes = limits::INLINE_BYTES;
        Self { session, resumed, inline_bytes, ttl_us: ttl.0, last_graph, last_value }
    }
}

impl From<pb::IndexRange> for IndexRange {
    fn from(pb::IndexRange { first, count }: pb::IndexRange) -> Self {
        Self { first, count }
    }
}

impl From<IndexRange> for pb::IndexRange {
    fn from(IndexRange { first, count }: IndexRange) -> Self {
        Self { first, count }
    }
}

fn ranges(ranges: Vec<pb::IndexRange>) -> Vec<IndexRange> {
    ranges.into_iter().map(Into::into).collect()
}

/// What a command says of itself, whether or not the rest of it can be read: by this a refusal is answered, and a graph
/// one of whose chunks cannot be read is failed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Subject {
    /// The command's id, where it has one.
    pub submission: Option<SubmissionId>,
    /// The graph it is about, where it is about one.
    pub graph: Option<GraphId>,
}

impl Subject {
    /// Looks at a command without taking it.
    pub fn of(message: &pb::SessionCommand) -> Self {
        let (submission, graph): (&[u8], u64) = match &message.command {
            Some(Wire::Chunk(chunk)) => (&chunk.submission_id, chunk.graph),
            Some(Wire::Release(release)) => (&release.submission_id, release.graph),
            Some(Wire::Cancel(cancel)) => (&cancel.submission_id, cancel.graph),
            Some(Wire::Retry(retry)) => (&retry.submission_id, retry.graph),
            Some(Wire::Forget(forget)) => (&forget.submission_id, forget.graph),
            Some(Wire::Want(want)) => (&[], want.graph),
            Some(Wire::Put(put)) => (&put.submission_id, 0),
            Some(Wire::ReleaseValues(release)) => (&release.submission_id, 0),
            Some(Wire::DropReplicas(drop)) => (&drop.submission_id, 0),
            Some(Wire::Close(close)) => (&close.submission_id, 0),
            Some(Wire::Locate(_) | Wire::Ping(_)) | None => (&[], 0),
        };
        Self {
            submission: SubmissionId::from_slice(submission),
            graph: (graph > 0).then_some(GraphId(graph)),
        }
    }
}

/// Reads one command of a client.
pub fn command(message: pb::SessionCommand) -> Result<Command, Refusal> {
    match message.command.ok_or_else(|| no_arm("command"))? {
        Wire::Chunk(chunk) => {
            GraphChunk::try_from(chunk).map(|chunk| Command::Chunk(Box::new(chunk))).within("chunk")
        }
        Wire::Want(want) => want.try_into().within("want"),
        Wire::Release(release) => release.try_into().within("release"),
        Wire::Cancel(cancel) => cancel.try_into().within("cancel"),
        Wire::Retry(retry) => retry.try_into().within("retry"),
        Wire::Forget(forget) => forget.try_into().within("forget"),
        Wire::Locate(locate) => locate.try_into().within("locate"),
        Wire::Put(put) => put.try_into().within("put"),
        Wire::ReleaseValues(release) => release.try_into().within("release_values"),
        Wire::DropReplicas(drop) => drop.try_into().within("drop_replicas"),
        Wire::Close(close) => close.try_into().within("close"),
        Wire::Ping(number) => Ok(Command::Ping(number)),
    }
}

impl TryFrom<pb::SessionCommand> for Command {
    type Error = Refusal;

    fn try_from(message: pb::SessionCommand) -> Result<Self, Refusal> {
        command(message)
    }
}

impl From<Command> for pb::SessionCommand {
    fn from(command: Command) -> Self {
        let submission_id = |submission| submission_bytes(submission);
        let command = match command {
            Command::Cancel { submission, graph, tasks, grace, reason } => {
                Wire::Cancel(pb::CancelTasks {
                    submission_id: submission_id(submission),
                    graph: graph.0,
                    tasks: sent(tasks),
                    grace_us: grace.0,
                    reason,
                })
            }
            Command::Chunk(chunk) => Wire::Chunk((*chunk).into()),
            Command::Close { submission } => {
                Wire::Close(pb::CloseSession { submission_id: submission_id(submission) })
            }
            Command::DropReplicas { submission, replicas } => {
                Wire::DropReplicas(pb::DropReplicas {
                    submission_id: submission_id(submission),
                    replicas: sent(replicas),
                })
            }
            Command::Forget { submission, graph } => Wire::Forget(pb::ForgetGraph {
                submission_id: submission_id(submission),
                graph: graph.0,
            }),
            Command::Locate { request, objects } => {
                Wire::Locate(pb::LocateObjects { request, objects: sent(objects) })
            }
            Command::Ping(number) => Wire::Ping(number),
            Command::Put { submission, objects } => Wire::Put(pb::ObjectsPut {
                submission_id: submission_id(submission),
                objects: sent(objects),
            }),
            Command::Release { submission, graph, tasks } => Wire::Release(pb::ReleaseOutputs {
                submission_id: submission_id(submission),
                graph: graph.0,
                tasks: sent(tasks),
            }),
            Command::ReleaseValues { submission, objects } => {
                Wire::ReleaseValues(pb::ReleaseValues {
                    submission_id: submission_id(submission),
                    objects: sent(objects),
                })
            }
            Command::Retry { submission, graph, tasks } => Wire::Retry(pb::RetryTasks {
                submission_id: submission_id(submission),
                graph: graph.0,
                tasks: sent(tasks),
            }),
            Command::Want { graph, tasks, values } => {
                Wire::Want(pb::Want { graph: graph.0, tasks: sent(tasks), values })
            }
        };
        Self { command: Some(command) }
    }
}

impl TryFrom<pb::Want> for Command {
    type Error = Refusal;

    fn try_from(message: pb::Want) -> Result<Self, Refusal> {
        let pb::Want { graph: number, tasks, values } = message;
        Ok(Self::Want { graph: graph(number)?, tasks: ranges(tasks), values })
    }
}

impl TryFrom<pb::ReleaseOutputs> for Command {
    type Error = Refusal;

    fn try_from(message: pb::ReleaseOutputs) -> Result<Self, Refusal> {
        let pb::ReleaseOutputs { submission_id, graph: number, tasks } = message;
        let submission = submission(&submission_id)?;
        Ok(Self::Release { submission, graph: graph(number)?, tasks: ranges(tasks) })
    }
}

impl TryFrom<pb::CancelTasks> for Command {
    type Error = Refusal;

    fn try_from(message: pb::CancelTasks) -> Result<Self, Refusal> {
        let pb::CancelTasks { submission_id, graph: number, tasks, grace_us, reason } = message;
        Ok(Self::Cancel {
            submission: submission(&submission_id)?,
            graph: graph(number)?,
            tasks: ranges(tasks),
            grace: Span(grace_us),
            reason,
        })
    }
}

impl TryFrom<pb::RetryTasks> for Command {
    type Error = Refusal;

    fn try_from(message: pb::RetryTasks) -> Result<Self, Refusal> {
        let pb::RetryTasks { submission_id, graph: number, tasks } = message;
        let submission = submission(&submission_id)?;
        Ok(Self::Retry { submission, graph: graph(number)?, tasks: ranges(tasks) })
    }
}

impl TryFrom<pb::ForgetGraph> for Command {
    type Error = Refusal;

    fn try_from(message: pb::ForgetGraph) -> Result<Self, Refusal> {
        let pb::ForgetGraph { submission_id, graph: number } = message;
        Ok(Self::Forget { submission: submission(&submission_id)?, graph: graph(number)? })
    }
}

impl TryFrom<pb::LocateObjects> for Command {
    type Error = Refusal;

    fn try_from(message: pb::LocateObjects) -> Result<Self, Refusal> {
        let pb::LocateObjects { request, objects } = message;
        Ok(Self::Locate { request, objects: list(objects, "objects")? })
    }
}

impl TryFrom<pb::ObjectsPut> for Command {
    type Error = Refusal;

    fn try_from(message: pb::ObjectsPut) -> Result<Self, Refusal> {
        let pb::ObjectsPut { submission_id, objects } = message;
        let submission = submission(&submission_id)?;
        Ok(Self::Put { submission, objects: list(objects, "objects")? })
    }
}

impl TryFrom<pb::ReleaseValues> for Command {
    type Error = Refusal;

    fn try_from(message: pb::ReleaseValues) -> Result<Self, Refusal> {
        let pb::ReleaseValues { submission_id, objects } = message;
        let submission = submission(&submission_id)?;
        Ok(Self::ReleaseValues { submission, objects: list(objects, "objects")? })
    }
}

impl TryFrom<pb::CloseSession> for Command {
    type Error = Refusal;

    fn try_from(pb::CloseSession { submission_id }: pb::CloseSession) -> Result<Self, Refusal> {
        Ok(Self::Close { submission: submission(&submission_id)? })
    }
}

impl TryFrom<pb::PutObject> for Put {
    type Error = Refusal;

    fn try_from(message: pb::PutObject) -> Result<Self, Refusal> {
        let pb::PutObject { object, size, worker, copies } = message;
        Ok(Self {
            object: required(object, "object")?,
            size,
            worker: WorkerId(counted(worker, "worker")?),
            copies: copies.max(1),
        })
    }
}

impl TryFrom<pb::DropReplicas> for Command {
    type Error = Refusal;

    fn try_from(message: pb::DropReplicas) -> Result<Self, Refusal> {
        let pb::DropReplicas { submission_id, replicas } = message;
        let submission = submission(&submission_id)?;
        Ok(Self::DropReplicas { submission, replicas: list(replicas, "replicas")? })
    }
}

impl TryFrom<pb::ReplicaPlace> for Replica {
    type Error = Refusal;

    fn try_from(message: pb::ReplicaPlace) -> Result<Self, Refusal> {
        let pb::ReplicaPlace { object, worker } = message;
        let worker = WorkerId(counted(worker, "worker")?);
        Ok(Self { object: required(object, "object")?, worker })
    }
}

impl From<Replica> for pb::ReplicaPlace {
    fn from(Replica { object, worker }: Replica) -> Self {
        Self { object: Some(object.into()), worker: worker.0 }
    }
}

impl From<Put> for pb::PutObject {
    fn from(Put { object, size, worker, copies }: Put) -> Self {
        Self { object: Some(object.into()), size, worker: worker.0, copies }
    }
}
