//! Values on their way between a worker and somebody who cannot reach it, message by message as they are.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use bireme_core::id::{SubmissionId, WorkerId};
use bireme_core::limits;
use bireme_core::object::ObjectId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, Put};
use bireme_daemon::auth::Bearer;
use bireme_proto::pb;
use bireme_proto::pb::put_request::Part;
use bireme_proto::pb::store_client::StoreClient;
use bireme_proto::status::status;

use crate::driver::mail::By;
use crate::machine::Machine;
use crate::machine::view::WorkerView;
use crate::relay::{Sender, Whereabouts};
use crate::rpc::Door;
use crate::rpc::cluster::Caller;

/// Parts of a put that wait for the worker.
const AHEAD: usize = 2;

/// Passes a value on from the first holder that begins to give it.
pub(super) async fn fetch(
    holders: Vec<Whereabouts>,
    bearer: Bearer,
    request: pb::FetchRequest,
    sender: Sender<pb::FetchResponse>,
) -> Result<(), Status> {
    let message = "no worker that is connected holds the value: ask again when it was made anew";
    let mut why = status(Refusal::new(Reason::ObjectUnknown, message));
    for holder in holders {
        let mut parts = match open(&holder, bearer.clone(), request.clone()).await {
            Ok(parts) => parts,
            Err(status) => {
                why = status;
                continue;
            }
        };
        while let Some(part) = parts.message().await? {
            if sender.send(Ok(part)).await.is_err() {
                break;
            }
        }
        return Ok(());
    }
    Err(why)
}

async fn open(
    holder: &Whereabouts,
    bearer: Bearer,
    request: pb::FetchRequest,
) -> Result<Streaming<pb::FetchResponse>, Status> {
    let channel = holder.reach().await.map_err(status)?;
    let mut client = StoreClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(limits::STORE_CHUNK_BYTES + limits::MESSAGE_BYTES);
    Ok(client.fetch(request).await?.into_inner())
}

impl Door {
    /// Passes a value on to a worker, and then tells the machine that it is there.
    pub(super) async fn do_put(
        &self,
        request: Request<Streaming<pb::PutRequest>>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        let (caller, mut parts) = Caller::of(self, request)?;
        let first = parts.message().await?.and_then(|message| message.part);
        let Some(Part::Head(head)) = first else {
            return Err(malformed("head", "the first message carries no head"));
        };
        for (given, field) in [
            (!head.pool_files.is_empty(), "head.pool_files"),
            (!head.ticket.is_empty(), "head.ticket"),
        ] {
            if given {
                return Err(malformed(
                    field,
                    "the scheduler has neither pool nor bulk port: send chunks",
                ));
            }
        }
        if head.copies > 1 {
            let message =
                format!("{} are asked for, a value that is put has one copy", head.copies);
            return Err(status(Refusal::at(Reason::Unsupported, "head.copies", message)));
        }
        let by = caller.by(&head.session)?;
        if by == By::Nobody {
            return Err(malformed("head.session", "is missing: a value belongs to a session"));
        }
        let submission = SubmissionId::from_slice(&head.submission_id)
            .ok_or_else(|| malformed("head.submission_id", "has not 16 bytes"))?;
        let chosen = self.mailbox.look(|scene| roomiest(scene.machine)).await.map_err(status)?;
        let (worker, at) = chosen.ok_or_else(|| {
            status(Refusal::new(Reason::NoWorker, "there is no worker to keep the value"))
        })?;
        let bearer = self.site.relay.bearer();
        let relayed = self.site.relay.run(send(at, bearer, head, parts)).await;
        let mut answer = relayed.map_err(status)??;
        self.record(by, submission, worker, &answer).await?;
        answer.worker = Some(worker.into());
        Ok(Response::new(answer))
    }

    /// Tells the machine of a value that a worker has stored.
    async fn record(
        &self,
        by: By,
        submission: SubmissionId,
        worker: WorkerId,
        answer: &pb::PutResponse,
    ) -> Result<(), Status> {
        let object = answer.object.ok_or_else(|| malformed("object", "the worker names none"))?;
        let object = ObjectId::try_from(object).map_err(status)?;
        let put = Put { object, size: answer.size, worker, copies: 1 };
        let command = Command::Put { submission, objects: vec![put] };
        self.mailbox.command(by, command).await.map_err(status)?;
        Ok(())
    }
}

/// The worker with fewest bytes of values.
fn roomiest(machine: &Machine) -> Option<(WorkerId, Whereabouts)> {
    let open = machine.workers().filter(|view| view.connected && !view.draining);
    let roomiest = open.min_by_key(|view: &WorkerView| (view.heartbeat.stored_bytes, view.id))?;
    Some((roomiest.id, roomiest.into()))
}

/// Passes the parts of a put on.
async fn send(
    to: Whereabouts,
    bearer: Bearer,
    head: pb::PutHead,
    mut parts: Streaming<pb::PutRequest>,
) -> Result<pb::PutResponse, Status> {
    let channel = to.reach().await.map_err(status)?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let first = pb::PutRequest { part: Some(Part::Head(head)) };
    let pass_on = async move {
        let mut next = Some(first);
        while let Some(part) = next {
            if sender.send(part).await.is_err() {
                return Ok(()); // The worker has had enough, and says why.
            }
            next = parts.message().await?;
        }
        Ok::<_, Status>(())
    };
    let mut client = StoreClient::with_interceptor(channel, bearer)
        .max_encoding_message_size(limits::STORE_CHUNK_BYTES + limits::MESSAGE_BYTES);
    let mut answer = std::pin::pin!(client.put(ReceiverStream::new(receiver)));
    tokio::select! {
        answer = &mut answer => Ok(answer?.into_inner()),
        passed = pass_on => {
            passed?;
            Ok(answer.await?.into_inner())
        }
    }
}

fn malformed(field: &str, message: &str) -> Status {
    status(Refusal::at(Reason::Malformed, field, message))
}
