//! Actors whose state shows each call once, whatever is killed.

use std::path::Path;
use std::{fs, io};

use bireme_core::Span;
use bireme_core::actor::call::CallCode;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind};
use bireme_core::actor::{ActorSpec, CheckpointPolicy, Durability};
use bireme_core::id::Incarnation;
use bireme_core::protocol::Order;
use bireme_proto::pb;
use bireme_proto::pb::actor_host_client::ActorHostClient;
use bireme_worker::Config;
use rustix::fs::{CWD, FlockOperation, Mode, flock, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};

use super::caller::{Caller, authorized, call, number};
use super::shared::pid;
use super::{COUNTER, address, durable, end, host, opened};
use crate::scene::Scene;
use crate::supervised;

async fn scene_in(directory: &Path, spec: ActorSpec) -> Scene {
    let state_dir = Some(directory.to_owned());
    let mut scene = Scene::new(|config| Config { state_dir, ..config }).await;
    scene.stream.tell(host(spec, 1)).await;
    scene.stream.alive(1).await;
    scene
}

#[tokio::test]
async fn calls_are_played_again_and_replies_are_the_same() {
    for durability in [Durability::Process, Durability::Disk] {
        let directory = tempfile::tempdir().unwrap();
        let mut scene = scene_in(directory.path(), ActorSpec { durability, ..durable() }).await;
        let mut caller = opened(&scene.join, 1).await;
        for seq in 1..=100 {
            caller.call(seq, call("increment", None)).await;
        }
        for seq in 1..=100 {
            assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
        }
        caller.ack(50).await;
        caller.call(101, call("die", Some("9"))).await;
        assert_eq!(scene.stream.ended(1).await.0, EndKind::Crashed);
        scene.stream.tell(host(ActorSpec { durability, ..durable() }, 2)).await;
        // It is tried twice, and set aside then.
        assert_eq!(scene.stream.ended(2).await.0, EndKind::Crashed);
        scene.stream.tell(host(ActorSpec { durability, ..durable() }, 3)).await;
        let poisoned = loop {
            let (seq, ending) = caller.reply().await;
            if seq == 101 {
                break ending;
            }
        };
        assert_eq!(poisoned.outcome.code(), Some(CallCode::Poisoned));
        caller.call(102, call("increment", None)).await;
        let mut last = caller.number().await;
        while last.0 < 102 {
            last = caller.number().await;
        }
        assert_eq!(last, (102, 101));
        scene.stream.tell(end(3, Span::ZERO, true)).await;
        assert_eq!(scene.stream.ended(3).await.0, EndKind::Killed);
        scene.close().await;
    }
}

#[tokio::test]
async fn a_checkpoint_takes_the_place_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = scene_in(directory.path(), durable()).await;
    let mut caller = opened(&scene.join, 1).await;
    for seq in 1..=20 {
        caller.call(seq, call("add", Some("2"))).await;
    }
    for seq in 1..=20 {
        assert_eq!(caller.number().await, (seq, 2 * i64::try_from(seq).unwrap()));
    }
    let (actor, incarnation) = (COUNTER, Incarnation(1));
    let wish = ActorOrder::Checkpoint { actor, incarnation, request: 9 };
    scene.stream.tell(Order::Actor(wish)).await;
    let ActorReport::Checkpointed { request: 9, made: Ok(made), .. } =
        scene.stream.actor_report().await
    else {
        panic!("no checkpoint")
    };
    assert!(made.lsn >= 20 && made.bytes > 0, "{made:?}");
    scene.stream.tell(end(1, Span::ZERO, false)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    scene.stream.tell(host(durable(), 2)).await;
    scene.stream.alive(2).await;
    let mut again = Caller::new(&address(&scene.join)).await;
    assert_eq!(again.open(1, 2, 20).await.next_seq, 21);
    again.call(21, call("get", None)).await;
    assert_eq!(again.number().await, (21, 40));
    scene.stream.tell(end(2, Span::ZERO, true)).await;
    assert_eq!(scene.stream.ended(2).await.0, EndKind::Killed);
    scene.close().await;
    let left = walk(directory.path());
    assert_eq!(left, Vec::<String>::new(), "what is forgotten is removed");
}

#[tokio::test]
async fn an_incarnation_lasts_until_what_is_written_for_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut scene = scene_in(directory.path(), durable()).await;
    let mut caller = opened(&scene.join, 1).await;
    // Replies that nobody has acknowledged are part of the checkpoint: more than a pipe takes at once.
    for seq in 1..=4 {
        caller.call(seq, call("bytes", Some("60000"))).await;
        caller.reply().await;
    }
    let home = Path::new(walk(directory.path()).first().unwrap()).parent().unwrap().to_owned();
    let pipe = home.join("checkpoint.new");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let (actor, incarnation) = (COUNTER, Incarnation(1));
    let wish = ActorOrder::Checkpoint { actor, incarnation, request: 9 };
    scene.stream.tell(Order::Actor(wish)).await;
    let opening = tokio::task::spawn_blocking(move || fs::File::open(pipe).unwrap());
    let mut written = opening.await.unwrap();
    let at = address(&scene.join);
    let process = pid(&at, COUNTER).await;
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), Signal::KILL).unwrap();
    while pid(&at, COUNTER).await != 0 {}
    let lock = fs::File::open(home.join("lock")).unwrap();
    assert!(flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(), "it is over");
    let reading = move || io::copy(&mut written, &mut io::sink()).unwrap();
    let bytes = tokio::task::spawn_blocking(reading).await.unwrap();
    assert!(bytes > 4 * 60_000);
    let ended = loop {
        if let ActorReport::Ended { end, .. } = scene.stream.actor_report().await {
            break end;
        }
    };
    assert_eq!(ended, EndKind::Crashed);
    scene.close().await;
}

/// The logs below a directory.
fn walk(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else if path.file_name().unwrap().to_str().unwrap().starts_with("log-") {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn an_actor_comes_back_after_its_daemon_was_killed() {
    let state = tempfile::tempdir().unwrap();
    let flags = ["--state-dir", state.path().to_str().unwrap()];
    let mut scene = supervised::Scene::new(&flags).await;
    let policy = CheckpointPolicy { every_calls: 7, ..CheckpointPolicy::default() };
    let spec = || ActorSpec { checkpoint: policy, ..durable() };
    let (mut seq, mut incarnation) = (0_u64, 0);
    for _ in 0..3 {
        let mut stream = scene.scheduler.stream().await;
        let (join, _) = stream.admit().await;
        let announce_reply = Some(pb::AnnounceReply { equal: true });
        stream.answer(pb::FleetDown { announce_reply, ..Default::default() }).await;
        incarnation += 1;
        stream.tell(host(spec(), incarnation)).await;
        stream.alive(incarnation).await;
        let mut caller = Caller::new(&address(&join)).await;
        let opened = caller.open(1, incarnation, seq.saturating_sub(1)).await;
        assert_eq!(opened.next_seq, seq + 1, "in incarnation {incarnation}");
        if seq > 0 {
            assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
        }
        for _ in 0..10 {
            seq += 1;
            caller.call(seq, call("increment", None)).await;
            assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
        }
        let daemon = Pid::from_raw(join.pid.cast_signed()).unwrap();
        kill_process(daemon, Signal::KILL).unwrap();
    }
}

/// Has a new life of the daemon host the next incarnation. Returns where it listens, and its scheduler's side.
async fn begin(scene: &mut supervised::Scene, incarnation: u32) -> (String, crate::played::Stream) {
    let mut stream = scene.scheduler.stream().await;
    let (join, _) = stream.admit().await;
    let announce_reply = Some(pb::AnnounceReply { equal: true });
    stream.answer(pb::FleetDown { announce_reply, ..Default::default() }).await;
    let checkpoint = CheckpointPolicy { every_calls: 1, ..CheckpointPolicy::default() };
    stream.tell(host(ActorSpec { checkpoint, ..durable() }, incarnation)).await;
    stream.alive(incarnation).await;
    (address(&join), stream)
}

/// Increments once, however often it is asked with this number; nothing if the daemon dies meanwhile.
async fn increment(address: &str, n: u8) -> Option<i64> {
    let channel = tonic::transport::Channel::from_shared(address.to_owned()).unwrap();
    let mut client = ActorHostClient::new(channel.connect().await.ok()?);
    let by = Some(pb::actor_selector::By::Actor(COUNTER.into()));
    let request = pb::CallRequest {
        submission_id: vec![n; 16].into(),
        actor: Some(pb::ActorSelector { by }),
        method: "increment".to_owned(),
        max_wait_us: 30_000_000,
        ..pb::CallRequest::default()
    };
    let response = client.call(authorized(request)).await.ok()?.into_inner();
    let ending = bireme_proto::convert::actor::ending(response).unwrap().unwrap();
    Some(number(&ending.outcome))
}

#[tokio::test]
async fn every_call_counts_once_wherever_the_daemon_dies() {
    for place in ["after-log-before-run:5", "after-run-before-reply:4", "inside-checkpoint:3"] {
        let state = tempfile::tempdir().unwrap();
        let flags = ["--state-dir", state.path().to_str().unwrap()];
        let mut scene =
            supervised::Scene::with(&flags, |command| command.env("BIREME_FAULT", place)).await;
        let mut lives = 1;
        let (mut address, mut stream) = begin(&mut scene, lives).await;
        for n in 1..=8 {
            let counted = loop {
                if let Some(counted) = increment(&address, n).await {
                    break counted;
                }
                lives += 1;
                (address, stream) = begin(&mut scene, lives).await;
            };
            assert_eq!(counted, i64::from(n), "in life {lives}, {place}");
        }
        assert!(lives > 1, "it never died {place}");
        drop(stream);
    }
}
