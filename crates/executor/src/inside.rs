//! An executor that is no process: actors on threads of the program that wants them.
//!
//! It takes the orders that come over a stream otherwise, and makes the same reports. None of them is encoded on the way.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use bireme_proto::pb;
use bireme_proto::pb::executor_order::{self, Order};
use tokio::runtime::Builder;

use crate::actors::Actors;
use crate::actors::hall::Hall;
use crate::batches::Taken;
use crate::blobs::Blobs;
use crate::desk::{Desk, Next};
use crate::orders::services;
use crate::pool::Pool;
use crate::turns::Turns;

/// Hosts actors on threads of this process. Dropping it asks their calls to return and waits for none of them.
#[derive(Debug)]
pub struct Inside {
    desk: Arc<Desk>,
    hall: Hall,
}

impl Inside {
    /// Starts the thread on which the first actor is made and the calls of its first lane run. What an executor that comes
    /// back is told first is said here. Also returns its reports, which end when that thread does.
    pub fn start(
        actors: Arc<dyn Actors>,
        welcome: pb::Welcome,
    ) -> io::Result<(Self, Taken<pb::ExecutorReport>)> {
        let pb::Welcome { pool_directory, inline_bytes, services: places, token, .. } = welcome;
        // Nothing is sent on it, and no time is told.
        let waits = Turns::only_to_wait(Builder::new_current_thread().build()?);
        let desk = Arc::new(Desk::new(Arc::new(waits)));
        let reports = desk.reports.taken();
        let pool = Pool::new(PathBuf::from(pool_directory), inline_bytes);
        let means = (Arc::clone(&desk), pool);
        let hall = Hall::new(Some(actors), means, Blobs::default(), services(places, token));
        let own = Arc::clone(&desk);
        thread::Builder::new().name("actor".to_owned()).spawn(move || live(&own))?;
        Ok((Self { desk, hall }, reports))
    }

    /// Does what an order says. One about anything but actors is refused.
    pub fn take(&mut self, order: pb::ExecutorOrder) {
        match order.order {
            Some(Order::Answer(executor_order::Answer { request, answer: Some(answer) })) => {
                self.desk.answer(request, answer);
            }
            Some(Order::Shutdown(_)) => self.close(),
            other => self.hall.take(other),
        }
    }

    fn close(&self) {
        self.hall.close();
        self.desk.close();
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.close();
    }
}

/// The life of the first thread.
fn live(desk: &Desk) {
    let work = || {
        while let Some(next) = desk.take(|| ()) {
            if let Next::Actor(home) = next {
                home.live(None);
            }
        }
    };
    // A panic has been told where it happened. Whoever hears that there are no more reports takes the actor as lost.
    let _ = catch_unwind(AssertUnwindSafe(work));
    desk.reports.close();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bireme_core::actor::ActorSpec;
    use bireme_core::graph::Runtime;
    use bireme_core::{ActorId, TaskError, Value};
    use bireme_proto::pb::executor_order::{ActorCall, ActorCreate, ActorDrop};
    use bireme_proto::pb::executor_report::Report;
    use bireme_proto::pb::executor_report::actor_reply::Outcome;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::{Actor, Call, CallEnd, Creation, State};

    const ACTOR: ActorId = ActorId(7);

    #[derive(Debug)]
    struct Echo;

    impl Actors for Echo {
        fn create(&self, _: &Creation) -> Result<Box<dyn Actor>, Box<TaskError>> {
            Ok(Box::new(Self))
        }
    }

    impl Actor for Echo {
        fn methods(&self) -> Vec<String> {
            Vec::new()
        }

        fn call(&self, call: &Call) -> CallEnd {
            assert_ne!(call.method, "break", "as the test wants");
            if call.method == "hang" {
                call.stop.wait(Duration::from_mins(1));
            }
            CallEnd::Returned(Value::text(call.method.clone()))
        }

        fn checkpoint(&self) -> Result<State, Box<TaskError>> {
            Ok(State::default())
        }
    }

    fn order(order: Order) -> pb::ExecutorOrder {
        pb::ExecutorOrder { order: Some(order) }
    }

    fn call(number: u64, method: &str) -> pb::ExecutorOrder {
        let (actor, method) = (Some(ACTOR.into()), method.to_owned());
        order(Order::ActorCall(ActorCall { actor, call: number, method, ..ActorCall::default() }))
    }

    fn created() -> (Inside, Taken<pb::ExecutorReport>) {
        let (mut inside, reports) = Inside::start(Arc::new(Echo), pb::Welcome::default()).unwrap();
        let spec = Some(ActorSpec::new("Echo", Runtime::Native, "").into());
        let (actor, incarnation) = (Some(ACTOR.into()), 1);
        let create = ActorCreate { actor, incarnation, spec, ..ActorCreate::default() };
        inside.take(order(Order::ActorCreate(Box::new(create))));
        (inside, reports)
    }

    /// What is told next; `None` where nothing more comes.
    async fn next(
        reports: &mut Taken<pb::ExecutorReport>,
        told: &mut Vec<Report>,
    ) -> Option<Report> {
        while told.is_empty() {
            let more = tokio::time::timeout(Duration::from_mins(1), reports.next());
            let more = more.await.expect("nothing comes")?;
            told.extend(more.into_iter().filter_map(|report| report.report));
        }
        Some(told.remove(0))
    }

    #[tokio::test]
    async fn an_actor_is_made_called_and_dropped_without_a_process() {
        let ((mut inside, mut reports), mut told) = (created(), Vec::new());
        let Some(Report::ActorReady(_)) = next(&mut reports, &mut told).await else {
            panic!("it is not made")
        };
        inside.take(call(1, "hello"));
        let Some(Report::ActorReply(reply)) = next(&mut reports, &mut told).await else {
            panic!("it is not answered")
        };
        let Some(Outcome::Value(value)) = reply.outcome else { panic!("{reply:?}") };
        assert_eq!(Value::try_from(value).unwrap(), Value::text("hello"));
        let actor = Some(ACTOR.into());
        inside.take(order(Order::ActorDrop(ActorDrop { actor, ..ActorDrop::default() })));
        let dropped = next(&mut reports, &mut told).await;
        assert!(matches!(dropped, Some(Report::ActorDropped(_))), "{dropped:?}");
        drop(inside);
        assert_eq!(next(&mut reports, &mut told).await, None);
    }

    #[tokio::test]
    async fn a_reply_does_not_wait_for_the_call_behind_it() {
        let ((mut inside, mut reports), mut told) = (created(), Vec::new());
        inside.take(call(1, "hello"));
        inside.take(call(2, "hang"));
        next(&mut reports, &mut told).await;
        let first = next(&mut reports, &mut told).await;
        assert!(matches!(first, Some(Report::ActorReply(reply)) if reply.call == 1));
        drop(inside);
        let second = next(&mut reports, &mut told).await;
        assert!(matches!(second, Some(Report::ActorReply(reply)) if reply.call == 2));
    }

    #[tokio::test]
    async fn a_panic_that_nobody_catches_ends_the_reports() {
        let ((mut inside, mut reports), mut told) = (created(), Vec::new());
        next(&mut reports, &mut told).await;
        inside.take(call(1, "break"));
        assert_eq!(next(&mut reports, &mut told).await, None);
    }
}
