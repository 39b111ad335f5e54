//! Actors that share a process.

use std::collections::BTreeSet;
use std::fs;

use bireme_core::actor::call::{Call, CallCode};
use bireme_core::actor::copies::CopyPlaces;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind, HostOrder};
use bireme_core::actor::wire::ToHost;
use bireme_core::actor::{ActorSpec, Isolation};
use bireme_core::id::{ActorId, HolderId, Incarnation};
use bireme_core::protocol::{Order, Report};
use bireme_core::{ObjectId, Span, limits};
use bireme_proto::convert::fleet;
use bireme_proto::pb;
use rustix::process::{Pid, test_kill_process};
use smallvec::SmallVec;

use super::caller::{authorized, call, client, number, within};
use super::{COUNTER, address, end, opened, spec};
use crate::scene::Scene;

/// Lives beside the counter.
const OTHER: ActorId = ActorId(8);

/// An order to host an incarnation of any actor.
pub(crate) fn host_of(actor: ActorId, incarnation: u32, spec: ActorSpec) -> Order {
    Order::Actor(ActorOrder::Host(Box::new(HostOrder {
        actor,
        incarnation: Incarnation(incarnation),
        spec,
        inputs: SmallVec::new(),
        checkpoint: None,
        restores: false,
        copies: CopyPlaces::default(),
    })))
}

pub(crate) fn selector(actor: ActorId) -> pb::ActorSelector {
    pb::ActorSelector { by: Some(pb::actor_selector::By::Actor(actor.into())) }
}

fn shared() -> ActorSpec {
    ActorSpec { isolation: Isolation::Shared, ..spec() }
}

/// An order to end an actor, whichever it is, for good.
fn end_of(actor: ActorId) -> Order {
    Order::Actor(ActorOrder::End {
        actor,
        incarnation: Incarnation(1),
        grace: Span::ZERO,
        forget: true,
        reason: "the test says so".to_owned(),
    })
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

pub(crate) async fn pid(address: &str, actor: ActorId) -> u32 {
    let request = pb::DescribeActorRequest { actor: Some(selector(actor)), stacks: false };
    client(address).await.describe(authorized(request)).await.unwrap().into_inner().pid
}

/// A counter and another actor in one process. Also returns that.
async fn neighbours() -> (Scene, u32) {
    let mut scene = Scene::new(|config| config).await;
    for actor in [COUNTER, OTHER] {
        scene.stream.tell(host_of(actor, 1, shared())).await;
        scene.stream.alive(1).await;
    }
    let at = address(&scene.join);
    let process = pid(&at, COUNTER).await;
    assert_eq!(pid(&at, OTHER).await, process);
    assert_eq!(increment(&at, OTHER, 1).await, 1);
    (scene, process)
}

/// Waits until a process has computed for a tenth of a second.
async fn until_it_computes(process: u32) {
    let ticks = || {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let after_name = text.rsplit(')').next().unwrap();
        after_name.split_whitespace().nth(11).unwrap().parse::<u64>().unwrap()
    };
    let before = ticks();
    let computes = async {
        while ticks() < before + 10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::played::GUARD, computes).await.expect("it computes");
}

/// Waits until a process has ended.
async fn until_it_ends(process: u32) {
    let pid = Pid::from_raw(process.cast_signed()).unwrap();
    let ends = async {
        while test_kill_process(pid).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::played::GUARD, ends).await.expect("it ends");
}

#[tokio::test]
async fn shared_actors_live_and_die_with_one_process_and_have_their_own_state() {
    let mut scene = Scene::new(|config| config).await;
    let actors = [COUNTER, ActorId(8), ActorId(9)];
    for actor in actors {
        scene.stream.tell(host_of(actor, 1, shared())).await;
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
async fn one_that_does_not_return_is_ended_without_its_neighbours_and_gets_no_new_ones() {
    let (mut scene, process) = neighbours().await;
    let at = address(&scene.join);
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("spin", Some("600000000"))).await;
    until_it_computes(process).await;
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (1, Some(CallCode::Unknown)));
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    assert_eq!(increment(&at, OTHER, 2).await, 2, "it goes on");
    scene.stream.tell(host_of(ActorId(9), 1, shared())).await;
    scene.stream.alive(1).await;
    assert_ne!(pid(&at, ActorId(9)).await, process);
    scene.stream.tell(end_of(OTHER)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    until_it_ends(process).await;
    assert_eq!(increment(&at, ActorId(9), 3).await, 1);
    scene.close().await;
}

#[tokio::test]
async fn a_call_that_does_not_return_when_it_is_cancelled_ends_only_its_own_actor() {
    let (mut scene, process) = neighbours().await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("spin", Some("600000000"))).await;
    until_it_computes(process).await;
    caller.say([ToHost::Cancel { seq: 1, grace: Some(Span::millis(1)) }]).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (1, Some(CallCode::Unknown)));
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Crashed);
    assert_eq!(increment(&address(&scene.join), OTHER, 2).await, 2, "it goes on");
    scene.close().await;
}

#[tokio::test]
async fn one_that_leaves_before_its_process_is_ready_leaves_the_others_in_it() {
    let mut scene = Scene::new(|config| config).await;
    scene.stream.tell(host_of(COUNTER, 1, shared())).await;
    scene.stream.tell(host_of(OTHER, 1, shared())).await;
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    assert_eq!(increment(&address(&scene.join), OTHER, 1).await, 1);
    scene.close().await;
}

#[tokio::test]
async fn the_time_that_one_had_to_leave_is_not_counted_against_the_next() {
    let (mut scene, process) = neighbours().await;
    let at = address(&scene.join);
    scene.stream.tell(end(1, Span::ZERO, false)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    scene.stream.tell(host_of(COUNTER, 2, shared())).await;
    scene.stream.alive(2).await;
    assert_eq!(pid(&at, COUNTER).await, process);
    let mut caller = opened(&scene.join, 2).await;
    // What it wants is nowhere: it waits until after that time.
    let inputs = std::iter::once(ObjectId::Held { holder: HolderId(3), n: 99 }).collect();
    let waits = Call { inputs, ..call("increment", None) };
    let after = Span(limits::ACTOR_DROP.0 + Span::millis(200).0);
    caller.call(1, within(after, waits)).await;
    assert_eq!(caller.reply().await.1.outcome.code(), Some(CallCode::Deadline));
    assert_eq!(pid(&at, COUNTER).await, process);
    assert_eq!(increment(&at, COUNTER, 2).await, 1);
    assert_eq!(increment(&at, OTHER, 3).await, 2);
    scene.close().await;
}
