//! The cluster's service for people and scripts: what the session stream can do, in calls.
//!
//! Each call either looks at the machine through the driver, or hands it a command and waits for the answer. A call that
//! waits for the machine to get somewhere is answered `pending` when its time is up.

pub(crate) mod caller;
mod daemon;
pub(crate) mod dismissal;
mod fleet;
mod graphs;
mod logs;
pub(crate) mod page;
mod results;
mod sessions;
mod show;
mod story;
mod tasks;
mod tokens;
mod watch;
mod watch_workers;
pub(crate) mod work;

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::pb::cluster_server::Cluster;
use bireme_proto::status::status;

pub(crate) use self::caller::Caller;
use crate::rpc::Door;

/// What a watching call answers with.
pub(crate) type Watching<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

type Answered<T> = Result<Response<T>, Status>;

/// The refusal of a method whose feature is not there.
fn unsupported(what: &str) -> Status {
    let message = format!("{what} are not served by this version");
    status(Refusal::new(Reason::Unsupported, message))
}

#[tonic::async_trait]
impl Cluster for Door {
    type WatchWorkersStream = Watching<pb::WatchWorkersResponse>;
    type WatchGraphStream = Watching<pb::WatchGraphResponse>;
    type TaskLogsStream = Watching<pb::TaskLogsResponse>;

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Answered<pb::GetStatusResponse> {
        self.do_status(request).await
    }

    async fn list_workers(
        &self,
        request: Request<pb::ListWorkersRequest>,
    ) -> Answered<pb::ListWorkersResponse> {
        self.do_list_workers(request).await
    }

    async fn get_worker(
        &self,
        request: Request<pb::GetWorkerRequest>,
    ) -> Answered<pb::GetWorkerResponse> {
        self.do_worker(request).await
    }

    async fn watch_workers(
        &self,
        request: Request<pb::WatchWorkersRequest>,
    ) -> Answered<Self::WatchWorkersStream> {
        self.do_watch_workers(request).map(Response::new)
    }

    async fn drain_worker(
        &self,
        request: Request<pb::DrainWorkerRequest>,
    ) -> Answered<pb::DrainWorkerResponse> {
        self.do_drain_worker(request).await
    }

    async fn stop_worker(
        &self,
        request: Request<pb::StopWorkerRequest>,
    ) -> Answered<pb::StopWorkerResponse> {
        self.do_stop_worker(request).await
    }

    async fn shutdown(
        &self,
        request: Request<pb::ShutdownRequest>,
    ) -> Answered<pb::ShutdownResponse> {
        self.do_shutdown(request).await
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Answered<pb::ListSessionsResponse> {
        self.do_list_sessions(request).await
    }

    async fn open_session(
        &self,
        request: Request<pb::OpenSessionRequest>,
    ) -> Answered<pb::OpenSessionResponse> {
        self.do_open_session(request).await
    }

    async fn close_session(
        &self,
        request: Request<pb::CloseSessionRequest>,
    ) -> Answered<pb::CloseSessionResponse> {
        self.do_close_session(request).await
    }

    async fn submit_graph(
        &self,
        request: Request<pb::SubmitGraphRequest>,
    ) -> Answered<pb::SubmitGraphResponse> {
        self.do_submit_graph(request).await
    }

    async fn wait_graph(
        &self,
        request: Request<pb::WaitGraphRequest>,
    ) -> Answered<pb::WaitGraphResponse> {
        self.do_wait_graph(request).await
    }

    async fn watch_graph(
        &self,
        request: Request<pb::WatchGraphRequest>,
    ) -> Answered<Self::WatchGraphStream> {
        Ok(Response::new(self.do_watch_graph(request)))
    }

    async fn list_graphs(
        &self,
        request: Request<pb::ListGraphsRequest>,
    ) -> Answered<pb::ListGraphsResponse> {
        self.do_list_graphs(request).await
    }

    async fn get_graph(
        &self,
        request: Request<pb::GetGraphRequest>,
    ) -> Answered<pb::GetGraphResponse> {
        self.do_graph(request).await
    }

    async fn cancel_graph(
        &self,
        request: Request<pb::CancelGraphRequest>,
    ) -> Answered<pb::CancelGraphResponse> {
        self.do_cancel_graph(request).await
    }

    async fn forget_graph(
        &self,
        request: Request<pb::ForgetGraphRequest>,
    ) -> Answered<pb::ForgetGraphResponse> {
        self.do_forget_graph(request).await
    }

    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Answered<pb::ListTasksResponse> {
        self.do_list_tasks(request).await
    }

    async fn get_task(
        &self,
        request: Request<pb::GetTaskRequest>,
    ) -> Answered<pb::GetTaskResponse> {
        self.do_task(request).await
    }

    async fn explain_task(
        &self,
        request: Request<pb::ExplainTaskRequest>,
    ) -> Answered<pb::ExplainTaskResponse> {
        self.do_explain_task(request).await
    }

    async fn task_story(
        &self,
        request: Request<pb::TaskStoryRequest>,
    ) -> Answered<pb::TaskStoryResponse> {
        self.do_task_story(request).await
    }

    async fn task_logs(
        &self,
        request: Request<pb::TaskLogsRequest>,
    ) -> Answered<Self::TaskLogsStream> {
        self.do_task_logs(request).await
    }

    async fn get_result(
        &self,
        request: Request<pb::GetResultRequest>,
    ) -> Answered<pb::GetResultResponse> {
        self.do_result(request).await
    }

    async fn cancel_tasks(
        &self,
        request: Request<pb::CancelTasksRequest>,
    ) -> Answered<pb::CancelTasksResponse> {
        self.do_cancel_tasks(request).await
    }

    async fn retry_tasks(
        &self,
        request: Request<pb::RetryTasksRequest>,
    ) -> Answered<pb::RetryTasksResponse> {
        self.do_retry_tasks(request).await
    }

    async fn put_objects(
        &self,
        request: Request<pb::PutObjectsRequest>,
    ) -> Answered<pb::PutObjectsResponse> {
        self.do_put_objects(request).await
    }

    async fn locate_objects(
        &self,
        request: Request<pb::LocateObjectsRequest>,
    ) -> Answered<pb::LocateObjectsResponse> {
        self.do_locate_objects(request).await
    }

    async fn release_objects(
        &self,
        request: Request<pb::ReleaseObjectsRequest>,
    ) -> Answered<pb::ReleaseObjectsResponse> {
        self.do_release_objects(request).await
    }

    async fn get_token(
        &self,
        request: Request<pb::GetTokenRequest>,
    ) -> Answered<pb::GetTokenResponse> {
        self.do_token(request)
    }

    async fn issue_token(
        &self,
        request: Request<pb::IssueTokenRequest>,
    ) -> Answered<pb::IssueTokenResponse> {
        self.do_issue_token(request)
    }

    async fn get_loop_stats(
        &self,
        request: Request<pb::GetLoopStatsRequest>,
    ) -> Answered<pb::GetLoopStatsResponse> {
        self.do_loop_stats(request).await
    }
}
