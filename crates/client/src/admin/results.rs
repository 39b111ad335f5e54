//! Values, for whoever has no session of his own.

use bireme_core::graph::TaskState;
use bireme_core::id::WorkerId;
use bireme_core::object::ObjectId;
use bireme_core::protocol::Peer;
use bireme_core::time::Span;
use bireme_core::{TaskError, Value};
use bireme_proto::pb;

use super::{Admin, PAGE, TaskName, error, state};
use crate::error::Refused;
use crate::fetch;

/// What there is of an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The task failed or was cancelled, for this reason where it is known.
    Failed(TaskState, Option<Box<TaskError>>),
    /// It is still being made, and the task is in this state.
    Pending(Option<TaskState>),
    /// It is where this says; [`Admin::fetch`] brings it.
    Placed(Location),
    /// Here it is.
    Value(Box<Value>),
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// The value.
    pub object: ObjectId,
    /// Its size in bytes.
    pub size: u64,
    /// Workers that have it.
    pub holders: Vec<Peer>,
}

impl Admin {
    /// Looks for an output of a task, and waits for it at most `max_wait`, which is at most 30 s. Values of a few kilobytes
    /// come with the answer.
    pub async fn result(
        &self,
        task: impl Into<TaskName>,
        output: u16,
        max_wait: Span,
    ) -> Result<Found, Refused> {
        let of = pb::get_result_request::Of::Task(task.into().into());
        let request = pb::GetResultRequest {
            of: Some(of),
            output: output.into(),
            max_wait_us: max_wait.0,
            inline_bytes: 0,
        };
        let answer = self.cluster.clone().get_result(self.request(request)).await?.into_inner();
        found(answer)
    }

    /// The size of each of these values in bytes, and the workers that have it; none where it is gone, not made yet or no
    /// larger than a message carries.
    pub async fn holders(
        &self,
        objects: &[ObjectId],
    ) -> Result<Vec<(u64, Vec<WorkerId>)>, Refused> {
        let mut holders = Vec::with_capacity(objects.len());
        for objects in objects.chunks(PAGE as usize) {
            let objects = objects.iter().map(|object| (*object).into()).collect();
            let locate = pb::LocateObjects { objects, ..pb::LocateObjects::default() };
            let request = self.request(pb::LocateObjectsRequest { locate: Some(locate) });
            let answer = self.cluster.clone().locate_objects(request).await?.into_inner();
            holders.extend(
                answer
                    .objects
                    .into_iter()
                    .map(|place| (place.size, place.holders.into_iter().map(WorkerId).collect())),
            );
        }
        Ok(holders)
    }

    /// Brings a value from a worker that has it or, where none can be reached, through the scheduler.
    pub async fn fetch(&self, location: &Location) -> Result<Value, Refused> {
        let fetched = fetch::from_holders(&self.peers, location.object, &location.holders).await;
        fetched.map_err(|problem| Refused {
            reason: "FETCH".to_owned(),
            field: String::new(),
            message: format!("cannot fetch {}: {problem}", location.object),
        })
    }
}

/// What the answer says of an output.
pub(crate) fn found(answer: pb::GetResultResponse) -> Result<Found, Refused> {
    let state = state(answer.state());
    if answer.pending {
        return Ok(Found::Pending(state));
    }
    if let Some(value) = answer.value {
        return Ok(Found::Value(Box::new(value.try_into()?)));
    }
    if let Some(ended @ (TaskState::Failed | TaskState::Cancelled)) = state {
        return Ok(Found::Failed(ended, error(answer.error)?));
    }
    let object = answer.object.unwrap_or_default().try_into()?;
    let holders = answer.holders.into_iter().map(holder).collect();
    Ok(Found::Placed(Location { object, size: answer.size, holders }))
}

fn holder(place: pb::WorkerPlace) -> Peer {
    let addresses = place.addresses.into_iter().filter_map(|address| address.try_into().ok());
    let worker = WorkerId(place.worker.unwrap_or_default().number);
    Peer { worker, addresses: addresses.collect(), machine: place.machine }
}
