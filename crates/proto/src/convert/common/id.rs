//! Ids of tasks, attempts, objects, workers, sessions, actors and blobs.

use bireme_core::id::{
    ActorId, AttemptId, AttemptNo, Digest, Epoch, GraphId, HolderId, SessionId, SubmissionId,
    TaskId, WorkerId,
};
use bireme_core::object::ObjectId;
use bireme_core::reason::Refusal;
use bytes::Bytes;
use smallvec::SmallVec;

use crate::convert::field::{
    Within as _, counted, id, id_bytes, malformed, missing, no_arm, required,
};
use crate::pb;

/// The graph that a command is about.
pub(crate) fn graph(number: u64) -> Result<GraphId, Refusal> {
    if number == 0 { Err(missing("graph")) } else { Ok(GraphId(number)) }
}

/// The id of a command.
pub(crate) fn submission(bytes: &Bytes) -> Result<SubmissionId, Refusal> {
    id(bytes, SubmissionId::from_slice, "submission_id")
}

/// The id of a command on its way out.
pub(crate) fn submission_bytes(submission: SubmissionId) -> Bytes {
    id_bytes(submission.to_bytes())
}

/// Numbers of workers. One that is nobody's is for the machine to pass over.
pub(crate) fn holders(numbers: Vec<u32>) -> SmallVec<[WorkerId; 2]> {
    numbers.into_iter().map(WorkerId).collect()
}

/// The other way round.
pub(crate) fn holder_numbers(holders: SmallVec<[WorkerId; 2]>) -> Vec<u32> {
    holders.into_iter().map(|WorkerId(number)| number).collect()
}

impl TryFrom<pb::TaskId> for TaskId {
    type Error = Refusal;

    fn try_from(message: pb::TaskId) -> Result<Self, Refusal> {
        let pb::TaskId { graph: number, index } = message;
        Ok(Self { graph: graph(number)?, index })
    }
}

impl From<TaskId> for pb::TaskId {
    fn from(TaskId { graph, index }: TaskId) -> Self {
        Self { graph: graph.0, index }
    }
}

impl TryFrom<pb::AttemptId> for AttemptId {
    type Error = Refusal;

    fn try_from(message: pb::AttemptId) -> Result<Self, Refusal> {
        let pb::AttemptId { task, epoch, n } = message;
        let no = AttemptNo { epoch: Epoch(counted(epoch, "epoch")?), n: counted(n, "n")? };
        Ok(Self { task: required(task, "task")?, no })
    }
}

impl From<AttemptId> for pb::AttemptId {
    fn from(AttemptId { task, no: AttemptNo { epoch, n } }: AttemptId) -> Self {
        Self { task: Some(task.into()), epoch: epoch.0, n }
    }
}

impl TryFrom<pb::ObjectId> for ObjectId {
    type Error = Refusal;

    fn try_from(message: pb::ObjectId) -> Result<Self, Refusal> {
        let pb::ObjectId { producer } = message;
        match producer.ok_or_else(|| no_arm("producer"))? {
            pb::object_id::Producer::TaskOutput(output) => output.try_into().within("task_output"),
            pb::object_id::Producer::Held(held) => held.try_into().within("held"),
        }
    }
}

impl TryFrom<pb::object_id::TaskOutput> for ObjectId {
    type Error = Refusal;

    fn try_from(message: pb::object_id::TaskOutput) -> Result<Self, Refusal> {
        let pb::object_id::TaskOutput { task, output } = message;
        let output = u16::try_from(output)
            .map_err(|_| malformed("output", format!("no task has an output {output}")))?;
        Ok(Self::Output { task: required(task, "task")?, output })
    }
}

impl TryFrom<pb::object_id::Held> for ObjectId {
    type Error = Refusal;

    fn try_from(message: pb::object_id::Held) -> Result<Self, Refusal> {
        let pb::object_id::Held { holder, n } = message;
        Ok(Self::Held { holder: HolderId(counted(holder, "holder")?), n: counted(n, "n")? })
    }
}

impl From<ObjectId> for pb::ObjectId {
    fn from(object: ObjectId) -> Self {
        let producer = match object {
            ObjectId::Output { task, output } => {
                pb::object_id::Producer::TaskOutput(pb::object_id::TaskOutput {
                    task: Some(task.into()),
                    output: output.into(),
                })
            }
            ObjectId::Held { holder, n } => {
                pb::object_id::Producer::Held(pb::object_id::Held { holder: holder.0, n })
            }
        };
        Self { producer: Some(producer) }
    }
}

impl TryFrom<pb::WorkerId> for WorkerId {
    type Error = Refusal;

    fn try_from(pb::WorkerId { number }: pb::WorkerId) -> Result<Self, Refusal> {
        counted(number, "number").map(Self)
    }
}

impl From<WorkerId> for pb::WorkerId {
    fn from(WorkerId(number): WorkerId) -> Self {
        Self { number }
    }
}

impl TryFrom<pb::SessionId> for SessionId {
    type Error = Refusal;

    fn try_from(pb::SessionId { number }: pb::SessionId) -> Result<Self, Refusal> {
        counted(number, "number").map(Self)
    }
}

impl From<SessionId> for pb::SessionId {
    fn from(SessionId(number): SessionId) -> Self {
        Self { number }
    }
}

impl TryFrom<pb::ActorId> for ActorId {
    type Error = Refusal;

    fn try_from(message: pb::ActorId) -> Result<Self, Refusal> {
        id(&message.id, Self::from_slice, "id")
    }
}

impl From<ActorId> for pb::ActorId {
    fn from(actor: ActorId) -> Self {
        Self { id: id_bytes(actor.to_bytes()) }
    }
}

impl TryFrom<pb::Digest> for Digest {
    type Error = Refusal;

    fn try_from(pb::Digest { blake3 }: pb::Digest) -> Result<Self, Refusal> {
        let digest = blake3.as_ref().try_into().map_err(|_| {
            malformed("blake3", format!("blake3 has {} bytes, 32 are needed", blake3.len()))
        })?;
        Ok(Self(digest))
    }
}

impl From<Digest> for pb::Digest {
    fn from(Digest(digest): Digest) -> Self {
        Self { blake3: Bytes::copy_from_slice(&digest) }
    }
}
