//! Actors that share a process, that take too much memory, and that stop with their lease.

use std::collections::BTreeSet;

use bireme_core::actor::call::CallCode;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind, HostOrder};
use bireme_core::actor::wire::ToCaller;
use bireme_core::actor::{ActorSpec, Isolation, OnSchedulerLoss};
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::protocol::{Order, Report};
use bireme_core::{ErrorClass, Resources, Span};
use bireme_proto::convert::fleet;
use bireme_proto::pb;
use bireme_worker::Config;
use smallvec::SmallVec;
use tonic::Status;

use super::caller::{authorized, call, client, number};
use super::{COUNTER, address, end, host, opened, spec};
use crate::scene::Scene;

fn host_of(actor: ActorId, spec: ActorSpec) -> Order {
    Order::Actor(ActorOrder::Host(Box::new(HostOrder {
        actor,
        incarnation: Incarnation(1),
        spec,
        inputs: SmallVec::new(),
        checkpoint: None,
        restores: false,
    })))
}

fn selector(actor: ActorId) -> pb::ActorSelector {
    pb::ActorSelector { by: Some(pb::actor_selector::By::Actor(actor.into())) }
}

/// Increments an actor, whichever it is.
async fn increment(address: &str, actor: ActorId, submission: u8) -> i64 {
    let request = pb::CallRequest {
        submission_id: vec![submission; 16].into(),
        actor: Some(selector(actor)),
        method: "increment".to_owned(),
        max_wait_us: 30_000_000,
        ..pb::CallRequest::default()
    };
    let response = client(address).await.call(authorized(request)).await.unwrap().into_inner();
    number(&bireme_proto::convert::actor::ending(response).unwrap().unwrap().outcome)
}

async fn pid(address: &str, actor: ActorId) -> u32 {
    let request = pb::DescribeActorRequest { actor: Some(selector(actor)), stacks: false };
    client(address).await.describe(authorized(request)).await.unwrap().into_inner().pid
}

#[tokio::test]
async fn shared_actors_live_and_die_with_one_process_and_have_their_own_state() {
    let mut scene = Scene::new(|config| config).await;
    let shared = || ActorSpec { isolation: Isolation::Shared, ..spec() };
    let actors = [COUNTER, ActorId(8), ActorId(9)];
    for actor in actors {
        scene.stream.tell(host_of(actor, shared())).await;
        scene.stream.alive(1).await;
    }
    let address = address(&scene.join);
    let process = pid(&address, COUNTER).await;
    for (n, actor) in (1_u8..).zip(actors) {
        assert_eq!(pid(&address, actor).await, process);
        for count in 1..=i64::from(n) {
            let submission = n * 16 + u8::try_from(count).unwrap();
            assert_eq!(increment(&address, actor, submission).await, count);
        }
    }
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    assert_eq!(increment(&address, ActorId(8), 200).await, 3, "one may go without the others");
    let request = pb::CallRequest {
        submission_id: vec![201; 16].into(),
        actor: Some(selector(ActorId(8))),
        method: "die".to_owned(),
        arguments: call("die", Some("9")).arguments,
        ..pb::CallRequest::default()
    };
    client(&address).await.call(authorized(request)).await.unwrap();
    // They may be told together.
    let mut crashed = BTreeSet::new();
    while crashed.len() < 2 {
        let said = scene.stream.next().await.expect("the worker has left");
        for report in fleet::reports(said.reports).expect("reports make sense").0 {
            let Report::Actor(ActorReport::Ended { actor, end, .. }) = report else { continue };
            assert_eq!(end, EndKind::Crashed);
            crashed.insert(actor);
        }
    }
    assert_eq!(crashed, BTreeSet::from([ActorId(8), ActorId(9)]));
    for actor in crashed {
        let settle = ActorOrder::Settle { actor, incarnation: Incarnation(1) };
        scene.stream.tell(Order::Actor(settle)).await;
    }
    scene.close().await;
}

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
