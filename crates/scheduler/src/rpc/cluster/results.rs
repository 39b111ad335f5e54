//! Calls that ask for values, or where they are.

use smallvec::SmallVec;
use tonic::{Request, Response, Status};

use bireme_core::graph::TaskState;
use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::object::ObjectId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, Place};
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::pb::get_result_request::Of;
use bireme_proto::status::status;

use super::show;
use super::tasks::{resolve, unknown};
use super::work::present;
use crate::machine::Machine;
use crate::rpc::Door;

impl Door {
    pub(super) async fn do_result(
        &self,
        request: Request<pb::GetResultRequest>,
    ) -> Result<Response<pb::GetResultResponse>, Status> {
        let pb::GetResultRequest { of, output, max_wait_us, inline_bytes } = request.into_inner();
        let of = Asked { of: present(of, "of")?, output };
        let inline_bytes = match inline_bytes {
            0 => limits::INLINE_BYTES,
            bytes => bytes.min(limits::INLINE_BYTES),
        };
        let again = of.clone();
        let wait = self.mailbox.wait(Span(max_wait_us), move |scene| {
            match of.look(scene.machine, inline_bytes) {
                Ok(pb::GetResultResponse { pending: true, .. }) => None,
                settled => Some(settled),
            }
        });
        let settled = wait.await.map_err(status)?;
        if let Some(settled) = settled {
            return settled.map(Response::new).map_err(status);
        }
        let look = self.mailbox.look(move |scene| again.look(scene.machine, inline_bytes));
        let settled = look.await.map_err(status)?;
        settled.map(Response::new).map_err(status)
    }

    pub(super) async fn do_locate_objects(
        &self,
        request: Request<pb::LocateObjectsRequest>,
    ) -> Result<Response<pb::LocateObjectsResponse>, Status> {
        let locate = present(request.into_inner().locate, "locate")?;
        let command = Command::try_from(locate).map_err(status)?;
        let Command::Locate { request: _, objects } = command else {
            unreachable!("this message is read as this command");
        };
        let look = self.mailbox.look(move |scene| {
            let place = |object: ObjectId| {
                let nowhere = Place { object, size: 0, holders: SmallVec::new(), value: None };
                scene.machine.object(object).unwrap_or(nowhere)
            };
            let places: Vec<Place> = objects.into_iter().map(place).collect();
            let mut holders: Vec<WorkerId> =
                places.iter().flat_map(|place| place.holders.iter().copied()).collect();
            holders.sort_unstable();
            holders.dedup();
            pb::LocateObjectsResponse {
                objects: places
                    .into_iter()
                    .map(|place| Place { value: None, ..place }.into())
                    .collect(),
                workers: show::places(scene.machine, &holders),
            }
        });
        look.await.map(Response::new).map_err(status)
    }
}

/// The value that is asked for.
#[derive(Clone)]
struct Asked {
    of: Of,
    output: u32,
}

impl Asked {
    fn object(&self, machine: &Machine) -> Result<ObjectId, Refusal> {
        match &self.of {
            Of::Object(object) => (*object).try_into(),
            Of::Task(selector) => {
                let missing = || Refusal::at(Reason::Malformed, "task.by", "is missing");
                let task = resolve(machine, selector.by.as_ref().ok_or_else(missing)?)?;
                let output = u16::try_from(self.output).map_err(|_| {
                    Refusal::at(Reason::Malformed, "output", format!("no task has {}", self.output))
                })?;
                Ok(ObjectId::output(task, output))
            }
        }
    }

    /// The value or where it is, why there is none, or that it is still being made.
    fn look(&self, machine: &Machine, inline_bytes: u64) -> Result<pb::GetResultResponse, Refusal> {
        let object = self.object(machine)?;
        let task = match object.task() {
            Some(id) => Some(machine.find_task_view(id).ok_or_else(unknown)?),
            None => None,
        };
        let state = task.as_ref().map(|task| task.state);
        let mut answer = pb::GetResultResponse {
            state: state.map_or(0, show::state),
            object: Some(object.into()),
            ..pb::GetResultResponse::default()
        };
        if let Some(Place { object: _, size, holders, value }) = machine.object(object) {
            answer.size = size;
            answer.value = value.filter(|_| size <= inline_bytes).map(|value| (*value).into());
            answer.holders = show::places(machine, &holders);
            return Ok(answer);
        }
        match (state, task.and_then(|task| task.error)) {
            (Some(TaskState::Failed | TaskState::Cancelled), error) => {
                answer.error = error.map(|error| (*error).into());
            }
            (Some(TaskState::Finished) | None, _) => {
                let message = format!("there is no {object}, or it was released: keep the output");
                return Err(Refusal::at(Reason::ObjectUnknown, "object", message));
            }
            (Some(_), _) => answer.pending = true,
        }
        Ok(answer)
    }
}
