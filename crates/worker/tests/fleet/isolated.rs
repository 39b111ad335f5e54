//! Native functions in processes of their own.

use std::collections::BTreeMap;

use bireme_core::id::Digest;
use bireme_proto::pb;
use bireme_proto::pb::fleet_order::Order;
use bireme_proto::pb::fleet_report::Report;
use bireme_worker::{Config, Native};
use prost::Message as _;

use crate::played::{attempt, start};
use crate::scene::{Scene, index};

fn cancel(index: u32, grace_us: u64) -> Order {
    let attempt = Some(attempt(index));
    Order::Cancel(pb::CancelAttempt { attempt, grace_us })
}

fn noops(range: std::ops::Range<u32>) -> impl Iterator<Item = Order> {
    range.map(|n| start(n, "builtin/noop", "0"))
}

#[tokio::test]
async fn attempts_run_and_fail_as_anywhere() {
    let mut scene = Scene::new(|config| config).await;
    scene
        .order([start(0, "builtin/echo", "[1]"), start(1, "builtin/fail", "\"on purpose\"")])
        .await;
    let ends: BTreeMap<_, _> = scene.ends(2).await.into_iter().collect();
    let finished = ends[&0].as_ref().unwrap();
    assert_eq!(finished.outputs[0].size, 3);
    let error = ends[&1].as_ref().unwrap_err();
    assert_eq!((error.reason.as_str(), error.message.as_str()), ("USER_ERROR", "on purpose"));
    scene.close().await;
}

/// An argument whose bytes are a blob's.
fn blob(digest: Digest, size: u64) -> pb::Arg {
    let buffers = vec![pb::Buffer { place: Some(pb::buffer::Place::Blob(digest.into())) }];
    let codec = pb::Codec::Utf8.into();
    let value = pb::Value { codec, size, buffers, ..pb::Value::default() };
    pb::Arg { kind: Some(pb::arg::Kind::Value(value)) }
}

fn work(n: u32, kind: pb::RuntimeKind, work: pb::payload::Work, args: Vec<pb::Arg>) -> Order {
    let payload = pb::Payload { work: Some(work), args, named_args: Vec::new() };
    Order::Start(pb::StartAttempt {
        attempt: Some(attempt(n)),
        payload: payload.encode_to_vec().into(),
        key: n.to_string(),
        runtime: Some(pb::Runtime { kind: kind.into(), ..pb::Runtime::default() }),
        ..pb::StartAttempt::default()
    })
}

#[tokio::test]
async fn blobs_may_be_arguments_and_standard_input() {
    for native in [Native::Isolated, Native::InProcess] {
        let mut scene = Scene::new(|config| Config { native, ..config }).await;
        let small = scene.scheduler.blobs.put("a blob");
        let large = scene.scheduler.blobs.put("x".repeat(200_000));
        let unknown = Digest([9; 32]);
        let joined = |n, second| {
            let concat = pb::Native { name: "builtin/concat".to_owned() };
            let args = vec![blob(small, 6), second];
            work(n, pb::RuntimeKind::Native, pb::payload::Work::Native(concat), args)
        };
        let (argv, stdin) = (vec!["cat".to_owned()], Some(blob(small, 6)));
        let cat = pb::Command { argv, stdin, ..pb::Command::default() };
        let cat = work(3, pb::RuntimeKind::Command, pb::payload::Work::Command(cat), Vec::new());
        let orders = [joined(0, blob(large, 200_000)), joined(1, blob(small, 6))];
        scene.order(orders.into_iter().chain([joined(2, blob(unknown, 1)), cat])).await;
        let ends: BTreeMap<_, _> = scene.ends(4).await.into_iter().collect();
        for (n, size) in [(0, 200_006), (1, 12), (3, 6)] {
            assert_eq!(ends[&n].as_ref().unwrap().outputs[0].size, size);
        }
        assert_eq!(ends[&2].as_ref().unwrap_err().reason, "BLOB_UNKNOWN");
        assert_eq!(scene.scheduler.blobs.fetched(small), 1);
        scene.close().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_takes_only_its_own_attempt_with_it() {
    let mut scene = Scene::new(|config| config).await;
    let exits = 40..43;
    let orders = (0..200).map(|n| match n {
        n if exits.contains(&n) => start(n, "builtin/exit", "7"),
        n => start(n, "builtin/noop", "0"),
    });
    scene.order(orders).await;
    let ends: BTreeMap<_, _> = scene.ends(200).await.into_iter().collect();
    for (n, end) in &ends {
        if exits.contains(n) {
            let error = end.as_ref().unwrap_err();
            assert_eq!((error.reason.as_str(), error.exit.unwrap().code), ("PROCESS_DIED", 7));
        } else {
            assert!(end.is_ok(), "{n}: {end:?}");
        }
    }
    assert_eq!(ends.len(), 200);
    scene.close().await;
}

#[tokio::test]
async fn ten_thousand_end_once_each() {
    let mut scene = Scene::new(|config| config).await;
    scene.order(noops(0..10_000)).await;
    let mut ends: Vec<_> = scene
        .ends(10_000)
        .await
        .into_iter()
        .map(|(n, end)| {
            assert!(end.is_ok(), "{n}: {end:?}");
            n
        })
        .collect();
    ends.sort_unstable();
    assert!(ends.into_iter().eq(0..10_000));
    scene.close().await;
}

#[tokio::test]
async fn code_that_returns_when_asked_keeps_its_process() {
    let mut scene = Scene::new(|config| config).await;
    scene.order([start(0, "builtin/sleep", "3600000000"), cancel(0, 3_600_000_000)]).await;
    let (_, end) = scene.ends(1).await.remove(0);
    let error = end.unwrap_err();
    assert_eq!((error.reason.as_str(), error.exit), ("CANCELLED", None));
    scene.close().await;
}

#[tokio::test]
async fn code_that_does_not_return_is_killed() {
    let mut scene = Scene::new(|config| config).await;
    for (n, grace) in [(0, 0), (1, 20_000)] {
        scene.order([start(n, "builtin/spin", "3600000000")]).await;
        // What ends tells that it runs: both cpus are there, and orders are taken in turn.
        scene.order([start(10 + n, "builtin/noop", "0")]).await;
        scene.ends(1).await;
        scene.order([cancel(n, grace)]).await;
        let (ended, end) = scene.ends(1).await.remove(0);
        assert_eq!((ended, end.unwrap_err().reason.as_str()), (n, "CANCELLED"));
    }
    scene.order(noops(20..22)).await;
    assert!(scene.ends(2).await.into_iter().all(|(_, end)| end.is_ok()));
    scene.close().await;
}

#[tokio::test]
async fn nobody_waits_behind_a_long_one() {
    let mut scene = Scene::new(|config| config).await;
    scene.order(noops(0..500)).await;
    scene.ends(500).await;
    let long = start(500, "builtin/spin", "3600000000");
    scene.order(noops(501..540).chain([long]).chain(noops(540..600))).await;
    let ends = scene.ends(99).await;
    assert!(ends.iter().all(|(n, end)| *n != 500 && end.is_ok()), "{ends:?}");
    scene.order([cancel(500, 0)]).await;
    assert_eq!(scene.ends(1).await[0].0, 500);
    scene.close().await;
}

#[tokio::test]
async fn what_is_retracted_runs_or_is_given_back() {
    let mut scene = Scene::new(|config| config).await;
    scene.order(noops(0..200)).await;
    scene.ends(200).await;
    scene.order(noops(200..400)).await;
    let retract = |n| Order::Retract(pb::RetractAttempt { attempt: Some(attempt(n)) });
    scene.order((200..400).map(retract)).await;
    let mut seen = Vec::new();
    while seen.len() < 200 {
        let said = scene.stream.next().await.expect("the worker has left");
        for report in said.reports.into_iter().filter_map(|report| report.report) {
            match report {
                Report::Finished(finished) => seen.push(index(finished.attempt.as_ref())),
                Report::Retracted(retracted) => seen.push(index(retracted.attempt.as_ref())),
                Report::Failed(failed) => panic!("{failed:?}"),
                _ => {}
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.into_iter().eq(200..400));
    scene.close().await;
}

#[tokio::test]
async fn large_values_are_handed_over_in_files() {
    let mut scene = Scene::new(|config| config).await;
    scene.order([start(0, "builtin/bytes", "1000000")]).await;
    let (_, made) = scene.ends(1).await.remove(0);
    assert_eq!(made.unwrap().outputs[0].size, 1_000_000);
    let task = attempt(0).task;
    let made = pb::object_id::TaskOutput { task, output: 0 };
    let producer = Some(pb::object_id::Producer::TaskOutput(made));
    let native = pb::Native { name: "builtin/echo".to_owned() };
    let payload = pb::Payload {
        work: Some(pb::payload::Work::Native(native)),
        args: vec![pb::Arg { kind: Some(pb::arg::Kind::Input(0)) }],
        named_args: Vec::new(),
    };
    let input = pb::Input { object: Some(pb::ObjectId { producer }), ..Default::default() };
    scene
        .order([Order::Start(pb::StartAttempt {
            attempt: Some(attempt(1)),
            payload: payload.encode_to_vec().into(),
            key: "1".to_owned(),
            inputs: vec![input],
            ..Default::default()
        })])
        .await;
    let (_, echoed) = scene.ends(1).await.remove(0);
    assert_eq!(echoed.unwrap().outputs[0].size, 1_000_000);
    scene.close().await;
}
