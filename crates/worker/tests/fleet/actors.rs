//! Actors over real sockets and processes: the test plays their scheduler and their callers.

#[path = "actors/caller.rs"]
mod caller;
#[path = "actors/copied.rs"]
mod copied;
#[path = "actors/inside.rs"]
mod inside;
#[path = "actors/kinds.rs"]
mod kinds;
#[path = "actors/liar.rs"]
mod liar;
#[path = "actors/life.rs"]
mod life;
#[path = "actors/logged.rs"]
mod logged;
#[path = "actors/shared.rs"]
mod shared;

use bireme_core::actor::copies::CopyPlaces;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind, HostOrder, Hosted};
use bireme_core::actor::{ActorSpec, Delivery, OnSchedulerLoss, RestartPolicy};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::protocol::{Order, Report};
use bireme_core::{ErrorClass, Span};
use bireme_proto::convert::fleet;
use bireme_proto::pb;
use prost::Message as _;
use smallvec::SmallVec;

use self::caller::Caller;
use crate::played::Stream;

pub(crate) const COUNTER: ActorId = ActorId(7);

/// An encoded payload that makes an actor of a class without arguments.
pub(crate) fn native(class: &str) -> Vec<u8> {
    let work = pb::payload::Work::Native(pb::Native { name: class.to_owned() });
    pb::Payload { work: Some(work), ..pb::Payload::default() }.encode_to_vec()
}

/// An encoded payload that makes a counter, from this number on.
pub(crate) fn counter_from(json: &'static str) -> Vec<u8> {
    let work = pb::payload::Work::Native(pb::Native { name: "builtin/Counter".to_owned() });
    let args = vec![caller::json(json)];
    pb::Payload { work: Some(work), args, named_args: Vec::new() }.encode_to_vec()
}

pub(crate) fn spec() -> ActorSpec {
    ActorSpec::new("Counter", Runtime::Native, counter_from("0"))
}

/// A counter whose calls and state outlive its processes.
pub(crate) fn durable() -> ActorSpec {
    let restart = RestartPolicy { max_restarts: None, ..RestartPolicy::default() };
    let on_scheduler_loss = OnSchedulerLoss::Stop;
    ActorSpec { delivery: Delivery::EffectivelyOnce, restart, on_scheduler_loss, ..spec() }
}

/// An order to host an incarnation of the counter.
pub(crate) fn host(spec: ActorSpec, incarnation: u32) -> Order {
    host_with(spec, incarnation, CopyPlaces::default())
}

/// The same, with copies of its log elsewhere.
pub(crate) fn host_with(spec: ActorSpec, incarnation: u32, copies: CopyPlaces) -> Order {
    Order::Actor(ActorOrder::Host(Box::new(HostOrder {
        actor: COUNTER,
        incarnation: Incarnation(incarnation),
        spec,
        inputs: SmallVec::new(),
        checkpoint: None,
        restores: incarnation > 1,
        copies,
    })))
}

/// An order to end it.
pub(crate) fn end(incarnation: u32, grace: Span, forget: bool) -> Order {
    Order::Actor(ActorOrder::End {
        actor: COUNTER,
        incarnation: Incarnation(incarnation),
        grace,
        forget,
        reason: "the test says so".to_owned(),
    })
}

impl Stream {
    /// Has the worker do something.
    pub(crate) async fn tell(&self, order: Order) {
        let order: pb::FleetOrder = order.into();
        let orders = vec![order];
        self.answer(pb::FleetDown { orders, ..pb::FleetDown::default() }).await;
    }

    /// The next report about an actor.
    pub(crate) async fn actor_report(&mut self) -> ActorReport {
        let wait = async {
            loop {
                let said = self.next().await.expect("the worker has left");
                let (reports, _) = fleet::reports(said.reports).expect("reports make sense");
                for report in reports {
                    if let Report::Actor(report) = report {
                        return report;
                    }
                }
            }
        };
        tokio::time::timeout(crate::played::GUARD, wait).await.expect("it reports in time")
    }

    /// Waits until an incarnation takes calls.
    pub(crate) async fn alive(&mut self, incarnation: u32) -> Hosted {
        match self.actor_report().await {
            ActorReport::Alive(hosted) => {
                assert_eq!(hosted.incarnation, Incarnation(incarnation));
                hosted
            }
            other => panic!("it should be alive: {other:?}"),
        }
    }

    /// Waits until an incarnation has ended, and settles that.
    pub(crate) async fn ended(&mut self, expected: u32) -> (EndKind, Option<ErrorClass>) {
        loop {
            match self.actor_report().await {
                ActorReport::Ended { actor, incarnation, end, cause, .. } => {
                    assert_eq!(incarnation, Incarnation(expected));
                    self.tell(Order::Actor(ActorOrder::Settle { actor, incarnation })).await;
                    return (end, cause.map(|cause| cause.class));
                }
                ActorReport::Alive(_) | ActorReport::Copied { .. } => {}
                other @ ActorReport::Checkpointed { .. } => panic!("nobody asked: {other:?}"),
            }
        }
    }
}

/// The address of a worker.
pub(crate) fn address(join: &pb::JoinFleet) -> String {
    let address = join.addresses.first().expect("it listens");
    format!("http://{}:{}", address.host, address.port)
}

/// A caller of the counter, who has opened it.
pub(crate) async fn opened(join: &pb::JoinFleet, incarnation: u32) -> Caller {
    let mut caller = Caller::new(&address(join)).await;
    caller.open(1, incarnation, 0).await;
    caller
}
