//! Calls about the daemon itself: its end, its tokens, its event loop.

use tonic::{Request, Response, Status};

use bireme_core::time::Span;
use bireme_daemon::auth::{Access, Role};
use bireme_proto::pb;
use bireme_proto::status::status;

use super::caller::Caller;
use super::unsupported;
use crate::rpc::Door;

impl Door {
    pub(super) async fn do_shutdown(
        &self,
        request: Request<pb::ShutdownRequest>,
    ) -> Result<Response<pb::ShutdownResponse>, Status> {
        let pb::ShutdownRequest { submission_id: _, workers, grace_us, reason } =
            request.into_inner();
        let lost = self.mailbox.look(|scene| {
            let status = scene.machine.status();
            let open = status.tasks.iter().filter(|(state, _)| !state.is_final());
            let open = open.map(|(_, count)| count).sum();
            [(open, "unfinished tasks"), (status.graphs as u64, "graphs")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect()
        });
        let lost = lost.await.map_err(status)?;
        tracing::info!(reason, workers, "asked to end");
        if workers && grace_us > 0 {
            let door = self.clone();
            tokio::spawn(async move {
                // A driver that has ended has no workers left.
                let _ = door.dismiss_all(Span(grace_us), reason).await;
                door.site.ending.begin(workers);
            });
        } else {
            self.site.ending.begin(workers);
        }
        Ok(Response::new(pb::ShutdownResponse { lost }))
    }

    pub(super) fn do_token(
        &self,
        request: Request<pb::GetTokenRequest>,
    ) -> Result<Response<pb::GetTokenResponse>, Status> {
        let grant = Caller::grant(self, &request);
        let (caller, pb::GetTokenRequest {}) = Caller::of(self, request)?;
        let granted = Role::ALL.into_iter().filter(|role| caller.roles.allow(*role));
        Ok(Response::new(pb::GetTokenResponse {
            name: grant.as_ref().map(|grant| grant.name.clone()).unwrap_or_default(),
            roles: granted.map(|role| pb::Role::from(role).into()).collect(),
            expires_us: grant.and_then(|grant| grant.left).map_or(0, |left| left.0.max(1)),
            insecure: matches!(self.site.access, Access::Everybody),
        }))
    }

    pub(super) async fn do_loop_stats(
        &self,
        request: Request<pb::GetLoopStatsRequest>,
    ) -> Result<Response<pb::GetLoopStatsResponse>, Status> {
        if request.into_inner().worker.is_some() {
            return Err(unsupported("loop statistics of workers"));
        }
        let look = self.mailbox.look(|scene| (scene.accounts.clone(), scene.now));
        let (accounts, now) = look.await.map_err(status)?;
        let mut handlers: Vec<_> = accounts
            .steps()
            .map(|(event, account)| pb::HandlerStats {
                event: event.to_owned(),
                count: account.count,
                total_us: account.total_ns / 1_000,
                max_us: account.max_ns / 1_000,
                step_ns: None,
            })
            .collect();
        handlers.sort_by_key(|handler| std::cmp::Reverse(handler.total_us));
        Ok(Response::new(pb::GetLoopStatsResponse {
            uptime_us: now.0,
            busy_us: accounts.busy_ns() / 1_000,
            idle_us: accounts.idle.0,
            handlers,
            ..pb::GetLoopStatsResponse::default()
        }))
    }
}
