//! Items of a call that streams, sent as far as the caller has room for them.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use bireme_core::{ActorId, ErrorClass, Reason, TaskError, Value};
use bireme_proto::pb::executor_report::{ActorItem, Report};
use tokio::sync::Notify;

use super::hall::Means;
use crate::outputs::Owner;
use crate::sync::lock;

/// Where a call sends its items. By default nobody wants any.
pub struct Items {
    actor: ActorId,
    call: u64,
    means: Weak<Means>,
    credit: Arc<Credit>,
}

/// How many items a call may send.
#[derive(Debug)]
pub(super) struct Credit {
    state: Mutex<Granted>,
    changed: Notify,
}

#[derive(Debug)]
struct Granted {
    /// How many were sent.
    sent: u64,
    /// How many may be, in all.
    limit: u64,
    /// Nobody wants more.
    over: bool,
}

impl Credit {
    pub(super) fn new(items: u32) -> Self {
        let state = Mutex::new(Granted { sent: 0, limit: items.into(), over: false });
        Self { state, changed: Notify::new() }
    }

    /// Lets the call send more.
    pub(super) fn add(&self, items: u32) {
        let mut granted = lock(&self.state);
        granted.limit = granted.limit.saturating_add(items.into());
        drop(granted);
        self.changed.notify_one();
    }

    /// Has whoever waits here give up.
    pub(super) fn end(&self) {
        lock(&self.state).over = true;
        self.changed.notify_one();
    }

    /// Takes leave to send one item, which has this number, or hears that nobody wants it; `None` is to wait.
    fn take(&self) -> Option<Result<u64, Box<TaskError>>> {
        let mut granted = lock(&self.state);
        if granted.over {
            return Some(Err(unwanted()));
        }
        if granted.sent >= granted.limit {
            return None;
        }
        granted.sent += 1;
        Some(Ok(granted.sent))
    }
}

impl Items {
    pub(super) fn new(
        (actor, call): (ActorId, u64),
        means: Weak<Means>,
        credit: Arc<Credit>,
    ) -> Self {
        Self { actor, call, means, credit }
    }

    /// Sends an item when the caller has room for it; one thread of a call does so at a time, outside of any async runtime.
    /// Fails where nobody wants it any more, and then every time.
    pub fn send(&self, mut item: Value) -> Result<(), Box<TaskError>> {
        let means = self.means.upgrade().ok_or_else(unwanted)?;
        let n = means.desk.wait_for(&self.credit.changed, || self.credit.take())?;
        means.place(Owner::Actor(self.actor), &mut item)?;
        means.desk.report(Report::ActorItem(ActorItem {
            actor: Some(self.actor.into()),
            call: self.call,
            n,
            value: Some(item.into()),
        }));
        Ok(())
    }
}

impl Default for Items {
    fn default() -> Self {
        Self { actor: ActorId(0), call: 0, means: Weak::new(), credit: Arc::new(Credit::new(0)) }
    }
}

fn unwanted() -> Box<TaskError> {
    let message = "nobody waits for further items of this call";
    Box::new(TaskError::new(ErrorClass::Cancelled, Reason::Cancelled.name(), message))
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("call", &self.call).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_sent_as_there_is_credit_for() {
        let credit = Credit::new(1);
        assert_eq!(credit.take(), Some(Ok(1)));
        assert_eq!(credit.take(), None);
        credit.add(2);
        assert_eq!((credit.take(), credit.take()), (Some(Ok(2)), Some(Ok(3))));
        credit.end();
        assert_eq!(credit.take(), Some(Err(unwanted())));
    }
}
