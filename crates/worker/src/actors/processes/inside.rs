//! Actors inside the daemon: trusted native code on threads of its own, where the worker allows that.
//!
//! An actor's threads are entered among the processes and dealt with as one, by the same orders and reports. Only an end by
//! force is none: threads cannot be killed. Their calls are asked to return, and where they do not, the actor is given up.

use std::sync::{Arc, Weak};

use bireme_core::actor::host::Event;
use bireme_core::actor::{ActorSpec, Isolation};
use bireme_core::id::ActorId;
use bireme_core::{ErrorClass, Reason, TaskError, limits};
use bireme_executor::batches::{Batches, Taken};
use bireme_executor::{Actors, Inside};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{Order, ShutdownExecutor};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use super::{Shared, Turn, Use};
use crate::executor::process::ends::Death;
use crate::executor::process::keeper::{Owner as _, Post};
use crate::failure::failure;
use crate::rpc::executor::Reception as _;

impl Turn<'_> {
    /// Finds an actor its threads.
    pub(super) fn take_inside(&mut self, actor: ActorId, spec: &ActorSpec) {
        debug_assert_eq!(spec.isolation, Isolation::InProcess);
        let Some(maker) = self.shared.setup.inside.clone() else {
            let message = "this worker keeps native code out of its own process: start it with `--native in-process`, \
                           or leave the actor's isolation `in-process` out";
            let error = failure(ErrorClass::NotFound, Reason::Unsupported, message);
            return self.feed_later(actor, Event::Refused(error));
        };
        match self.open_inside(maker) {
            Ok(number) => self.move_in(actor, number, Use::Inside),
            Err(error) => self.feed_later(actor, Event::ProcessLost { reached: None, error }),
        }
    }

    fn open_inside(&mut self, maker: Arc<dyn Actors>) -> Result<u64, Box<TaskError>> {
        let post = self.enlist(String::new(), Use::Inside, Vec::new())?;
        let number = post.number;
        let orders = Batches::default();
        let taken = orders.taken();
        if let Some(process) = self.table.crew.processes.get_mut(&number) {
            (process.orders, process.pid) = (Some(orders), Some(std::process::id()));
        }
        self.shared.setup.bulk.spawn(keep(Arc::clone(self.shared), post, maker, taken));
        Ok(number)
    }
}

/// All that an actor's threads are looked after, from their start to their end.
async fn keep(
    shared: Arc<Shared>,
    mut post: Post,
    maker: Arc<dyn Actors>,
    orders: Taken<pb::ExecutorOrder>,
) {
    let number = post.number;
    let welcome = shared.about().welcome(number);
    let exit = match Inside::start(maker, welcome) {
        Ok((inside, reports)) => look_after(&shared, &mut post, inside, (orders, reports)).await,
        Err(error) => format!("no thread can be started for the actor: {error}"),
    };
    shared.bury(number, Death { exit: Err(exit), last_lines: Vec::new(), reached: None });
}

/// Passes on what is said both ways, until nothing more is. Returns how it ended.
async fn look_after(
    shared: &Arc<Shared>,
    post: &mut Post,
    mut inside: Inside,
    (mut orders, mut reports): (Taken<pb::ExecutorOrder>, Taken<pb::ExecutorReport>),
) -> String {
    loop {
        tokio::select! {
            Some(orders) = orders.next() => {
                for order in orders {
                    inside.take(order);
                }
            }
            said = reports.next() => match said {
                Some(said) => shared.hear(post.number, said),
                None => return "code of the actor panicked where nothing catches it".to_owned(),
            },
            Some(_) = post.wanted.recv() => break,
        }
    }
    inside.take(pb::ExecutorOrder { order: Some(Order::Shutdown(ShutdownExecutor::default())) });
    let last_words = async {
        while let Some(said) = reports.next().await {
            shared.hear(post.number, said);
        }
    };
    if timeout(limits::EXECUTOR_LAST_WORDS.to_std(), last_words).await.is_ok() {
        return "the actor was ended".to_owned();
    }
    tracing::warn!(
        executor = post.number,
        "code of an actor inside this worker does not return, the actor is given up"
    );
    shared.turn().table.crew.given_up += 1;
    tokio::spawn(await_return(Arc::downgrade(shared), reports));
    "the actor was given up: its code runs inside the worker and does not return".to_owned()
}

/// Counts an actor that was given up until its code returns after all.
async fn await_return(shared: Weak<Shared>, mut reports: Taken<pb::ExecutorReport>) {
    while reports.next().await.is_some() {}
    if let Some(shared) = shared.upgrade() {
        shared.turn().table.crew.given_up -= 1;
    }
}
