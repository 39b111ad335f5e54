//! Time, for callers: their deadlines, acknowledgements and pauses; and the end of the session.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tokio::sync::Notify;

use super::hub::WeakHub;
use crate::session::Session;

/// A number greater than that of any client that had this session before.
#[expect(clippy::disallowed_methods, reason = "lives of callers are told apart by when they began")]
pub(super) fn life() -> u64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Wakes callers when their time has come, until the session is over, if there is one. `alarm` tells that somebody's time comes earlier than
/// all others', or that nobody is left.
pub(super) async fn keep(hub: WeakHub, alarm: Arc<Notify>, session: Option<Arc<Session>>) {
    let over = async {
        match &session {
            Some(session) => drop(session.until_lost().await),
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        let next = match hub.upgrade() {
            Some(hub) => hub.on_clock().map(|at| hub.instant(at)),
            None => return,
        };
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = alarm.notified() => {}
            () = due => {}
            () = &mut over => break,
        }
    }
    if let Some(hub) = hub.upgrade() {
        hub.close();
    }
}
