//! Calls that change one's own work: sessions, graphs, tasks, objects.

use tonic::{Request, Response, Status};

use bireme_core::graph::GraphChunk;
use bireme_core::id::GraphId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, Open};
use bireme_proto::pb;
use bireme_proto::pb::session_command::Command as Arm;
use bireme_proto::status::status;

use super::caller::Caller;
use crate::driver::mail::{Answer, By};
use crate::rpc::Door;

type Answered<T> = Result<Response<T>, Status>;

impl Door {
    pub(super) async fn do_open_session(
        &self,
        request: Request<pb::OpenSessionRequest>,
    ) -> Answered<pb::OpenSessionResponse> {
        let owner = Caller::owner(self, &request);
        let open = present(request.into_inner().open, "open")?;
        let open = Open::try_from(open).map_err(status)?;
        let opened = self.mailbox.open(Open { known: Vec::new(), owner, ..open }).await;
        Ok(Response::new(pb::OpenSessionResponse {
            opened: Some(opened.map_err(status)?.into()),
            cluster_id: self.site.cluster().to_bytes().to_vec().into(),
            epoch: self.site.hello.epoch.0,
        }))
    }

    pub(super) async fn do_close_session(
        &self,
        request: Request<pb::CloseSessionRequest>,
    ) -> Answered<pb::CloseSessionResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::CloseSessionRequest { session, close } = request;
        let by = caller.by(&session)?;
        if by == By::Nobody {
            return Err(missing("session"));
        }
        self.carry_out(by, Arm::Close(present(close, "close")?)).await?;
        Ok(Response::new(pb::CloseSessionResponse::default()))
    }

    pub(super) async fn do_submit_graph(
        &self,
        request: Request<pb::SubmitGraphRequest>,
    ) -> Answered<pb::SubmitGraphResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::SubmitGraphRequest { session, chunk } = request;
        let by = caller.by(&session)?;
        let chunk = GraphChunk::try_from(present(chunk, "chunk")?);
        let chunk = Box::new(chunk.map_err(status)?);
        let (graph, tasks) = self.command(by, Command::Chunk(chunk)).await?;
        let graph = graph.map_or(0, |graph| graph.0);
        Ok(Response::new(pb::SubmitGraphResponse { graph, tasks, warnings: Vec::new() }))
    }

    pub(super) async fn do_cancel_graph(
        &self,
        request: Request<pb::CancelGraphRequest>,
    ) -> Answered<pb::CancelGraphResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::CancelGraphRequest { submission_id, session, graph, grace_us, reason } = request;
        let by = caller.by_for(&session, graph)?;
        let open = self.open_tasks(graph).await?;
        let cancel = pb::CancelTasks { submission_id, graph, tasks: Vec::new(), grace_us, reason };
        self.carry_out(by, Arm::Cancel(cancel)).await?;
        Ok(Response::new(pb::CancelGraphResponse { cancelled: open }))
    }

    pub(super) async fn do_forget_graph(
        &self,
        request: Request<pb::ForgetGraphRequest>,
    ) -> Answered<pb::ForgetGraphResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::ForgetGraphRequest { session, forget } = request;
        let forget = present(forget, "forget")?;
        let by = caller.by_for(&session, forget.graph)?;
        let open = self.open_tasks(forget.graph).await?;
        self.carry_out(by, Arm::Forget(forget)).await?;
        Ok(Response::new(pb::ForgetGraphResponse { cancelled: open }))
    }

    pub(super) async fn do_cancel_tasks(
        &self,
        request: Request<pb::CancelTasksRequest>,
    ) -> Answered<pb::CancelTasksResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::CancelTasksRequest { session, cancel } = request;
        let cancel = present(cancel, "cancel")?;
        let graph = cancel.graph;
        let by = caller.by_for(&session, graph)?;
        let before = self.open_tasks(graph).await?;
        self.carry_out(by, Arm::Cancel(cancel)).await?;
        let cancelled = before.saturating_sub(self.open_tasks(graph).await?);
        Ok(Response::new(pb::CancelTasksResponse { cancelled }))
    }

    pub(super) async fn do_retry_tasks(
        &self,
        request: Request<pb::RetryTasksRequest>,
    ) -> Answered<pb::RetryTasksResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::RetryTasksRequest { session, retry } = request;
        let retry = present(retry, "retry")?;
        let graph = retry.graph;
        let by = caller.by_for(&session, graph)?;
        let before = self.open_tasks(graph).await?;
        self.carry_out(by, Arm::Retry(retry)).await?;
        let retried = self.open_tasks(graph).await?.saturating_sub(before);
        Ok(Response::new(pb::RetryTasksResponse { retried }))
    }

    pub(super) async fn do_put_objects(
        &self,
        request: Request<pb::PutObjectsRequest>,
    ) -> Answered<pb::PutObjectsResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::PutObjectsRequest { session, put } = request;
        let put = present(put, "put")?;
        let recorded = u32::try_from(put.objects.len()).unwrap_or(u32::MAX);
        self.carry_out(caller.by(&session)?, Arm::Put(put)).await?;
        Ok(Response::new(pb::PutObjectsResponse { recorded }))
    }

    pub(super) async fn do_release_objects(
        &self,
        request: Request<pb::ReleaseObjectsRequest>,
    ) -> Answered<pb::ReleaseObjectsResponse> {
        let (caller, request) = Caller::of(self, request)?;
        let pb::ReleaseObjectsRequest { submission_id, session, objects, tasks, graph, replicas } =
            request;
        if !replicas.is_empty() {
            if !(objects.is_empty() && tasks.is_empty()) {
                let message = "replicas cannot be dropped by a call that releases values too";
                return Err(status(Refusal::at(Reason::Unsupported, "replicas", message)));
            }
            let drop = pb::DropReplicas { submission_id, replicas };
            let by = caller.by(&session)?;
            let (_, dropped) = self.carry_out(by, Arm::DropReplicas(drop)).await?;
            return Ok(Response::new(pb::ReleaseObjectsResponse { released: dropped.into() }));
        }
        if !objects.is_empty() {
            if !tasks.is_empty() {
                let message = "values and outputs of tasks cannot be released by one call";
                return Err(status(Refusal::at(Reason::Unsupported, "objects", message)));
            }
            let released = objects.len() as u64;
            let release = pb::ReleaseValues { submission_id, objects };
            self.carry_out(caller.by(&session)?, Arm::ReleaseValues(release)).await?;
            return Ok(Response::new(pb::ReleaseObjectsResponse { released }));
        }
        let released = tasks.iter().map(|range| u64::from(range.count)).sum();
        let release = pb::ReleaseOutputs { submission_id, graph, tasks };
        self.carry_out(caller.by_for(&session, graph)?, Arm::Release(release)).await?;
        Ok(Response::new(pb::ReleaseObjectsResponse { released }))
    }

    /// Reads a command as it would come over a stream, and has it carried out.
    async fn carry_out(&self, by: By, command: Arm) -> Result<(Option<GraphId>, u32), Status> {
        let command = Command::try_from(pb::SessionCommand { command: Some(command) });
        self.command(by, command.map_err(status)?).await
    }

    async fn command(&self, by: By, command: Command) -> Result<(Option<GraphId>, u32), Status> {
        let answer: Answer = self.mailbox.command(by, command).await;
        answer.map_err(status)
    }

    /// How many tasks of a graph have not ended.
    async fn open_tasks(&self, graph: u64) -> Result<u64, Status> {
        let open = self.mailbox.look(move |scene| {
            let graph = scene.machine.find_graph(GraphId(graph));
            graph.map_or(0, |graph| graph.counts.total() - graph.counts.ended())
        });
        open.await.map(u64::from).map_err(status)
    }
}

/// A part that a request must have.
pub(crate) fn present<T>(part: Option<T>, field: &str) -> Result<T, Status> {
    part.ok_or_else(|| missing(field))
}

fn missing(field: &str) -> Status {
    status(Refusal::at(Reason::Malformed, field, "is missing"))
}
