//! Actors that take too much memory, and that stop with their lease.

use std::collections::BTreeSet;
use std::path::Path;

use bireme_core::actor::call::CallCode;
use bireme_core::actor::place::EndKind;
use bireme_core::actor::wire::ToCaller;
use bireme_core::actor::{ActorSpec, OnSchedulerLoss};
use bireme_core::{ErrorClass, Resources, Span, limits};
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

/// Processes for actors of the worker whose pool is in `pool`. Those for tasks are not told the worker's name.
fn processes(pool: &Path) -> BTreeSet<u32> {
    let pool = pool.to_str().unwrap();
    let number = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        // Whatever has just ended has nothing to show.
        let maps = std::fs::read_to_string(path.join("maps")).ok()?;
        let begun_with = std::fs::read(path.join("environ")).ok()?;
        let is_for_actors =
            begun_with.split(|byte| *byte == 0).any(|it| it.starts_with(b"BIREME_WORKER="));
        (is_for_actors && maps.contains(pool)).then_some(number)
    };
    std::fs::read_dir("/proc").unwrap().filter_map(number).collect()
}

/// Waits until there are two: the actor's, and one for the next.
async fn pair(pool: &Path, before: &BTreeSet<u32>) -> BTreeSet<u32> {
    let look = async {
        loop {
            let found = processes(pool);
            if found.len() == 2 && found != *before {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::played::GUARD, look).await.expect("one is ready for the next")
}

#[tokio::test]
async fn a_process_is_ready_for_the_next_actor_however_they_come() {
    let pool = tempfile::tempdir().unwrap();
    let pool_dir = Some(pool.path().to_owned());
    let mut scene = Scene::new(|config| Config { pool_dir, ..config }).await;
    let mut before = BTreeSet::new();
    for incarnation in 1..=4 {
        scene.stream.tell(host(spec(), incarnation)).await;
        scene.stream.alive(incarnation).await;
        before = pair(pool.path(), &before).await;
        if incarnation == 2 {
            // Time that the process has to wait, so that the next is begun later.
            tokio::time::sleep(5 * limits::SPARE_CALM.to_std()).await;
        }
        scene.stream.tell(end(incarnation, Span::ZERO, true)).await;
        assert_eq!(scene.stream.ended(incarnation).await.0, EndKind::Killed);
    }
    scene.close().await;
}
