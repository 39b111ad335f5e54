//! Actors that take too much memory, and that stop with their lease.

use bireme_core::actor::call::CallCode;
use bireme_core::actor::place::EndKind;
use bireme_core::actor::wire::ToCaller;
use bireme_core::actor::{ActorSpec, OnSchedulerLoss};
use bireme_core::{ErrorClass, Resources, Span};
use bireme_proto::pb;
use bireme_worker::Config;
use tonic::Status;

use super::caller::call;
use super::{address, end, host, opened, spec};
use crate::scene::Scene;

#[tokio::test]
async fn an_actor_that_takes_more_memory_than_it_may_is_ended() {
    let resources = Resources::new(20_000, 1 << 30);
    let mut scene = Scene::new(|config| Config { resources, ..config }).await;
    // Less than any process takes.
    let spec = ActorSpec { resources: Resources::new(0, 1 << 16), ..spec() };
    scene.stream.tell(host(spec, 1)).await;
    let (end, class) = scene.stream.ended(1).await;
    assert_eq!((end, class), (EndKind::Crashed, Some(ErrorClass::OutOfMemory)));
    scene.close().await;
}

#[tokio::test]
async fn an_actor_that_stops_with_its_lease_turns_callers_away_until_the_scheduler_is_back() {
    let mut scene = Scene::new(|config| config).await;
    let (on_scheduler_loss, lease) = (OnSchedulerLoss::Stop, Span::millis(200));
    let stops = || ActorSpec { on_scheduler_loss, lease, ..spec() };
    scene.stream.tell(host(stops(), 1)).await;
    scene.stream.alive(1).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("increment", None)).await;
    assert_eq!(caller.number().await, (1, 1));
    scene.stream.answer.send(Err(Status::unavailable("the test says so"))).await.unwrap();
    let ToCaller::OpenRefused(failure) = caller.next().await else { panic!("it is not refused") };
    assert_eq!(failure.code, CallCode::Fenced);
    scene.stream = scene.scheduler.stream().await;
    scene.stream.admit().await;
    let announce_reply = Some(pb::AnnounceReply { equal: true });
    scene.stream.answer(pb::FleetDown { announce_reply, ..pb::FleetDown::default() }).await;
    // It is let in before it hears that the lease goes on.
    let again = async {
        loop {
            let mut caller = super::caller::Caller::new(&address(&scene.join)).await;
            if caller.try_open(1, 1, 1).await.is_some() {
                return caller;
            }
        }
    };
    let again = tokio::time::timeout(crate::played::GUARD, again).await;
    let mut caller = again.expect("its lease is renewed");
    caller.call(2, call("increment", None)).await;
    assert_eq!(caller.number().await, (2, 2), "its state is as it was");
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    scene.close().await;
}
