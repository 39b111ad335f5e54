//! The list of sessions.

use tonic::{Request, Response, Status};

use bireme_proto::pb;
use bireme_proto::status::status;

use super::page::Page;
use super::show;
use crate::rpc::Door;

impl Door {
    pub(super) async fn do_list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let page: Page<u32> = Page::read(request.into_inner().page, &["name", "connected"])?;
        let look = self.mailbox.look(move |scene| {
            let passing = scene.machine.sessions().filter(|session| {
                page.after.is_none_or(|after| session.id.0 > after)
                    && page.passes("name", &session.name)
                    && page.passes("connected", session.connected)
            });
            let (sessions, next_page_token) = page.cut(passing, |session| session.id.0);
            let sessions = sessions.into_iter().map(|session| show::session(scene, session));
            pb::ListSessionsResponse { sessions: sessions.collect(), next_page_token }
        });
        look.await.map(Response::new).map_err(status)
    }
}
