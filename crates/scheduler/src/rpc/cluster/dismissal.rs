//! Calls that send workers away.

use tonic::{Request, Response, Status};

use bireme_core::id::{SubmissionId, WorkerId};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Span;
use bireme_proto::pb;
use bireme_proto::pb::worker_selector::By;
use bireme_proto::status::status;

use super::fleet;
use super::work::present;
use crate::driver::mail::Mail;
use crate::machine::view::WorkerView;
use crate::machine::{Event, Machine};
use crate::rpc::Door;

impl Door {
    pub(super) async fn do_drain_worker(
        &self,
        request: Request<pb::DrainWorkerRequest>,
    ) -> Result<Response<pb::DrainWorkerResponse>, Status> {
        let pb::DrainWorkerRequest { submission_id, worker, deadline_us, max_wait_us, reason } =
            request.into_inner();
        let submission = submission(&submission_id)?;
        let worker = self.dismissed(submission, worker).await?;
        let deadline = (deadline_us > 0).then_some(Span(deadline_us));
        let event =
            Event::WorkerDrainAsked { submission, worker, deadline, reason: bounded(reason)? };
        self.mailbox.send(Mail::Asked(event)).await.map_err(status)?;
        let gone = self.mailbox.wait(Span(max_wait_us), move |scene| {
            let is_there = scene.machine.workers().any(|there| there.id == worker);
            (!is_there).then_some(())
        });
        if gone.await.map_err(status)?.is_some() {
            return Ok(Response::new(pb::DrainWorkerResponse::default()));
        }
        let look = self.mailbox.look(move |scene| standing(scene.machine, worker));
        look.await.map(Response::new).map_err(status)
    }

    pub(super) async fn do_stop_worker(
        &self,
        request: Request<pb::StopWorkerRequest>,
    ) -> Result<Response<pb::StopWorkerResponse>, Status> {
        let pb::StopWorkerRequest { submission_id, worker, grace_us, reason } =
            request.into_inner();
        let submission = submission(&submission_id)?;
        let worker = self.dismissed(submission, worker).await?;
        let look = self.mailbox.look(move |scene| {
            let found = view(scene.machine, worker);
            pb::StopWorkerResponse {
                running: found.map_or(0, |found| found.heartbeat.running),
                objects: scene.machine.lone_values(worker) as u64,
            }
        });
        let answer = look.await.map_err(status)?;
        let event = Event::WorkerStopAsked {
            submission,
            worker,
            grace: Span(grace_us),
            reason: bounded(reason)?,
        };
        self.mailbox.send(Mail::Asked(event)).await.map_err(status)?;
        Ok(Response::new(answer))
    }

    /// The worker that a request is about: the one that it was about when it came first, or else the one that it names.
    async fn dismissed(
        &self,
        submission: SubmissionId,
        worker: Option<pb::WorkerSelector>,
    ) -> Result<WorkerId, Status> {
        let by: By = present(worker.and_then(|worker| worker.by), "worker")?;
        let look = self.mailbox.look(move |scene| {
            let before = scene.machine.dismissed_by(submission);
            before.or_else(|| fleet::find(scene.machine, &by).map(|worker| worker.id))
        });
        look.await.map_err(status)?.ok_or_else(fleet::unknown)
    }

    /// Has every worker leave: those that run nothing at once, the others when that is over or `grace` is up. Returns when
    /// they have left, or do not.
    pub(super) async fn dismiss_all(&self, grace: Span, reason: String) -> Result<(), Refusal> {
        let ids = self
            .mailbox
            .look(|scene| scene.machine.workers().map(|worker| worker.id).collect::<Vec<_>>());
        for worker in ids.await? {
            let submission = SubmissionId(u128::from(worker.0));
            let reason = reason.clone();
            let event = Event::WorkerStopAsked { submission, worker, grace, reason };
            self.mailbox.send(Mail::Asked(event)).await?;
        }
        let mut left = Span(grace.0.saturating_add(limits::LEAVE_WAIT.0));
        while left > Span::ZERO {
            let turn = left.min(limits::MAX_WAIT);
            let gone = self.mailbox.wait(turn, |scene| {
                let any = scene.machine.workers().any(|worker| worker.connected);
                (!any).then_some(())
            });
            if gone.await?.is_some() {
                break;
            }
            left = Span(left.0 - turn.0);
        }
        Ok(())
    }
}

/// The id that a call names itself by.
pub(crate) fn submission(bytes: &[u8]) -> Result<SubmissionId, Status> {
    SubmissionId::from_slice(bytes).ok_or_else(|| {
        let message = format!("{} bytes, a submission's id has 16", bytes.len());
        status(Refusal::at(Reason::Malformed, "submission_id", message))
    })
}

/// A text for people, within its limit.
pub(super) fn bounded(text: String) -> Result<String, Status> {
    if text.len() > limits::NAME_BYTES {
        let message = format!("{} bytes, the limit is {}", text.len(), limits::NAME_BYTES);
        return Err(status(Refusal::at(Reason::Malformed, "reason", message)));
    }
    Ok(text)
}

fn view(machine: &Machine, worker: WorkerId) -> Option<WorkerView> {
    machine.workers().find(|there| there.id == worker)
}

/// How the way out of a worker stands.
fn standing(machine: &Machine, worker: WorkerId) -> pb::DrainWorkerResponse {
    let Some(found) = view(machine, worker) else { return pb::DrainWorkerResponse::default() };
    let values = found.drain.as_ref().map_or(0, |drain| drain.values);
    let running = found.sent();
    let others = machine.workers().any(|other| other.connected && !other.draining);
    let mut blockers = Vec::new();
    if running > 0 {
        blockers.push(format!("{running} attempts have not ended"));
    }
    if values > 0 && others {
        blockers.push(format!("{values} values are being copied to other workers"));
    } else if values > 0 {
        blockers.push(format!("{values} values have nowhere to go: start another worker"));
    }
    blockers.extend(machine.actors_in_the_way(worker));
    if !found.connected {
        blockers.push(format!("it is not connected, for {}", found.silent));
    }
    pb::DrainWorkerResponse {
        pending: true,
        running: u32::try_from(running).unwrap_or(u32::MAX),
        actors: u32::try_from(found.actors).unwrap_or(u32::MAX),
        objects: values as u64,
        blockers,
    }
}
