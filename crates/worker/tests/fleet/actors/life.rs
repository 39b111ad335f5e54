//! Actors that promise nothing beyond their process: calls, order, crashes and ends.

use bireme_core::actor::MailboxSpec;
use bireme_core::actor::call::{Call, CallCode, Outcome, ReplyKind};
use bireme_core::actor::copies::CopyPlaces;
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind};
use bireme_core::actor::wire::{ToCaller, ToHost};
use bireme_core::actor::{ActorSpec, OnFull};
use bireme_core::id::{HolderId, Incarnation};
use bireme_core::protocol::Order;
use bireme_core::{ErrorClass, ObjectId, Span};
use bireme_proto::pb;
use rustix::process::{Pid, Signal, kill_process};
use smallvec::SmallVec;

use super::caller::{Caller, authorized, call, client, number, stored, within};
use super::shared::pid;
use super::{COUNTER, address, end, host, opened, spec};
use crate::scene::Scene;

async fn scene_with(spec: ActorSpec) -> Scene {
    let mut scene = Scene::new(|config| config).await;
    scene.stream.tell(host(spec, 1)).await;
    scene.stream.alive(1).await;
    scene
}

/// Ends the counter and the worker.
async fn over(mut scene: Scene, incarnation: u32) {
    scene.stream.tell(end(incarnation, Span::ZERO, true)).await;
    assert_eq!(scene.stream.ended(incarnation).await.0, EndKind::Killed);
    scene.close().await;
}

#[tokio::test]
async fn calls_run_in_order_and_are_answered() {
    let scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    for seq in 1..=1_000 {
        caller.call(seq, call("increment", None)).await;
    }
    for seq in 1..=1_000 {
        assert_eq!(caller.number().await, (seq, i64::try_from(seq).unwrap()));
    }
    caller.call(1_001, call("nonsense", None)).await;
    caller.call(1_002, call("fail", Some("\"on purpose\""))).await;
    caller.call(1_003, call("add", Some("\"no number\""))).await;
    let (_, missing) = caller.reply().await;
    assert_eq!(missing.outcome.code(), Some(CallCode::NoSuchMethod));
    let (_, failed) = caller.reply().await;
    let Outcome::UserError(error) = failed.outcome else { panic!("{failed:?}") };
    assert_eq!(error.message, "on purpose");
    let (_, unread) = caller.reply().await;
    assert_eq!(unread.outcome.code(), Some(CallCode::UnserializableArgs));
    over(scene, 1).await;
}

#[tokio::test]
async fn what_was_queued_when_its_process_died_runs_in_the_next_incarnation() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("increment", None)).await;
    assert_eq!(caller.number().await, (1, 1));
    caller.call(2, call("die", Some("9"))).await;
    // One that came only after the next incarnation had begun would have to be said again.
    caller.call_accepted(3, call("increment", None)).await;
    caller.call_accepted(4, call("increment", None)).await;
    let (end, class) = scene.stream.ended(1).await;
    assert_eq!((end, class), (EndKind::Crashed, Some(ErrorClass::ProcessDied)));
    // The order of before, heard once more, begins nothing: it would be given the calls that wait.
    scene.stream.tell(host(spec(), 1)).await;
    let (end, class) = scene.stream.ended(1).await;
    assert_eq!((end, class), (EndKind::Crashed, Some(ErrorClass::Reschedule)));
    let order = Order::Actor(ActorOrder::Host(Box::new(bireme_core::actor::place::HostOrder {
        actor: COUNTER,
        incarnation: Incarnation(2),
        spec: spec(),
        inputs: SmallVec::new(),
        checkpoint: None,
        restores: false,
        copies: CopyPlaces::default(),
    })));
    scene.stream.tell(order).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (2, Some(CallCode::Unknown)));
    assert_eq!(caller.number().await, (3, 1), "its state went with its process");
    assert_eq!(caller.number().await, (4, 2));
    over(scene, 2).await;
}

#[tokio::test]
async fn a_caller_that_comes_back_gets_the_replies_it_missed() {
    let scene = scene_with(spec()).await;
    let mut first = opened(&scene.join, 1).await;
    first.call(1, call("increment", None)).await;
    assert_eq!(first.number().await, (1, 1));
    first.call(2, call("increment", None)).await;
    assert_eq!(first.number().await, (2, 2));
    first.ack(1).await;
    drop(first);
    let mut again = Caller::new(&address(&scene.join)).await;
    assert_eq!(again.open(1, 1, 1).await.next_seq, 3);
    assert_eq!(again.number().await, (2, 2));
    again.call(2, call("increment", None)).await;
    again.call(3, call("get", None)).await;
    let mut last = again.number().await;
    while last.0 == 2 {
        last = again.number().await;
    }
    assert_eq!(last, (3, 2), "a call that was sent again did not run again");
    over(scene, 1).await;
}

#[tokio::test]
async fn items_come_as_the_caller_has_room_for_them_and_go_on_after_a_break() {
    let scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    let stream = Call { reply: ReplyKind::Stream, ..call("stream", Some("5")) };
    caller.call(1, stream).await;
    let item = |word: ToCaller| match word {
        ToCaller::Item { n, value, .. } => (n, number(&Outcome::Value(value))),
        other => panic!("no item: {other:?}"),
    };
    assert_eq!(item(caller.next().await), (1, 0));
    assert_eq!(item(caller.next().await), (2, 1));
    caller.say([ToHost::AckItems { seq: 1, up_to: 1 }]).await;
    drop(caller);
    let mut again = Caller::new(&address(&scene.join)).await;
    again.open(1, 1, 0).await;
    again.say([ToHost::Credit { seq: 1, n: 10 }]).await;
    let mut seen = Vec::new();
    let ending = loop {
        match again.next().await {
            ToCaller::Item { n, .. } => seen.push(n),
            ToCaller::Reply { ending, .. } => break ending,
            _ => {}
        }
    };
    seen.dedup();
    assert!(seen.ends_with(&[3, 4, 5]), "{seen:?}");
    assert_eq!(ending.outcome, Outcome::Done { items: 5 });
    over(scene, 1).await;
}

#[tokio::test]
async fn large_results_are_stored_under_the_id_that_was_named() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    let object = ObjectId::Held { holder: HolderId(3), n: 1 };
    caller.call(1, stored("bytes", "1000000", object)).await;
    let (_, ending) = caller.reply().await;
    let Outcome::Stored { object: kept, size, .. } = ending.outcome else { panic!("{ending:?}") };
    assert_eq!((kept, size), (object, 1_000_000));
    let report = scene.stream.report().await;
    assert!(matches!(report, pb::fleet_report::Report::ReplicaAdded(_)), "{report:?}");
    caller.call(2, call("bytes", Some("1000000"))).await;
    let (_, ending) = caller.reply().await;
    assert_eq!(ending.outcome.code(), Some(CallCode::UnserializableResult));
    over(scene, 1).await;
}

#[tokio::test]
async fn calls_that_wait_too_long_and_calls_too_many_do_not_run() {
    let mailbox = MailboxSpec { calls: 3, on_full: OnFull::Refuse, ..MailboxSpec::default() };
    let scene = scene_with(ActorSpec { mailbox, ..spec() }).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("sleep", Some("60000000"))).await;
    // What it wants is nowhere, so that it waits here.
    let inputs = std::iter::once(ObjectId::Held { holder: HolderId(3), n: 99 }).collect();
    let waits = Call { inputs, ..call("increment", None) };
    caller.call(2, within(Span::millis(20), waits)).await;
    caller.call(3, call("get", None)).await;
    caller.call(4, call("get", None)).await;
    let mut codes = Vec::new();
    for _ in 0..2 {
        let (seq, ending) = caller.reply().await;
        codes.push((seq, ending.outcome.code()));
    }
    codes.sort_unstable();
    let expected = [(2, Some(CallCode::Deadline)), (4, Some(CallCode::MailboxFull))];
    assert_eq!(codes, expected);
    caller.say([ToHost::Cancel { seq: 1, grace: Some(Span::secs(60)) }]).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (1, Some(CallCode::Cancelled)));
    assert_eq!(caller.number().await, (3, 0));
    over(scene, 1).await;
}

#[tokio::test]
async fn a_call_that_does_not_return_when_it_is_cancelled_is_killed_with_its_process() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    let at = address(&scene.join);
    // The host tells of calls that its process was given. One that had not begun there is taken back.
    for seq in 1.. {
        caller.call(seq, call("spin", Some("600000000"))).await;
        tokio::time::timeout(crate::played::GUARD, runs(&at)).await.expect("it runs");
        caller.say([ToHost::Cancel { seq, grace: Some(Span::millis(100)) }]).await;
        let (_, ending) = caller.reply().await;
        match ending.outcome.code() {
            Some(CallCode::Unknown) => break,
            code => assert_eq!(code, Some(CallCode::Cancelled)),
        }
    }
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Crashed);
    scene.close().await;
}

#[tokio::test]
async fn a_process_that_is_late_to_take_a_cancelled_call_back_lives() {
    let scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    let process = pid(&address(&scene.join), COUNTER).await;
    let process = Pid::from_raw(process.cast_signed()).unwrap();
    kill_process(process, Signal::STOP).unwrap();
    caller.call(1, call("increment", None)).await;
    caller.say([ToHost::Cancel { seq: 1, grace: Some(Span::millis(1)) }]).await;
    // What it wants is nowhere: its time is up long after that of the first.
    let inputs = std::iter::once(ObjectId::Held { holder: HolderId(3), n: 99 }).collect();
    let waits = Call { inputs, ..call("increment", None) };
    caller.call(2, within(Span::millis(300), waits)).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (2, Some(CallCode::Deadline)));
    kill_process(process, Signal::CONT).unwrap();
    let (seq, first) = caller.reply().await;
    assert_eq!(seq, 1);
    let begun = i64::from(first.outcome.code() != Some(CallCode::Cancelled));
    caller.call(3, call("get", None)).await;
    assert_eq!(caller.number().await, (3, begun), "{first:?}");
    over(scene, 1).await;
}

#[tokio::test]
async fn what_waits_for_the_next_incarnation_keeps_its_arguments() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    let object = ObjectId::Held { holder: HolderId(3), n: 1 };
    caller.call(1, stored("bytes", "1000", object)).await;
    assert!(matches!(caller.reply().await.1.outcome, Outcome::Stored { .. }));
    caller.call(2, call("die", Some("9"))).await;
    let (inputs, arguments) = (std::iter::once(object).collect(), super::caller::input(0));
    caller.call_accepted(3, Call { inputs, arguments, ..call("take", None) }).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Crashed);
    scene.stream.tell(host(spec(), 2)).await;
    assert_eq!(caller.reply().await.1.outcome.code(), Some(CallCode::Unknown));
    assert_eq!(caller.number().await, (3, 1_000));
    over(scene, 2).await;
}

/// Waits until the host says that a call runs.
async fn runs(address: &str) {
    loop {
        let request = pb::DescribeActorRequest { actor: Some(selector()), stacks: false };
        let status = client(address).await.describe(authorized(request)).await;
        if !status.unwrap().into_inner().running.is_empty() {
            return;
        }
    }
}

#[tokio::test]
async fn an_actor_may_end_itself_and_later_calls_are_told() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("exit", None)).await;
    assert_eq!(caller.number().await, (1, 0));
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Exited);
    caller.call(2, call("get", None)).await;
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (2, Some(CallCode::Gone)));
    scene.close().await;
}

#[tokio::test]
async fn a_constructor_that_fails_and_a_class_that_is_not_there_are_told() {
    let mut scene = Scene::new(|config| config).await;
    let payload = super::counter_from("\"no number\"").into();
    scene.stream.tell(host(ActorSpec { payload, ..spec() }, 1)).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Failed);
    let unknown = bireme_core::graph::Runtime::external("klingon");
    let order = ActorSpec { runtime: unknown, ..spec() };
    let order = Order::Actor(ActorOrder::Host(Box::new(bireme_core::actor::place::HostOrder {
        actor: COUNTER,
        incarnation: Incarnation(2),
        spec: order,
        inputs: SmallVec::new(),
        checkpoint: None,
        restores: false,
        copies: CopyPlaces::default(),
    })));
    scene.stream.tell(order).await;
    let (end, class) = scene.stream.ended(2).await;
    assert_eq!((end, class), (EndKind::Failed, Some(ErrorClass::NotFound)));
    scene.close().await;
}

fn selector() -> pb::ActorSelector {
    pb::ActorSelector { by: Some(pb::actor_selector::By::Actor(COUNTER.into())) }
}

#[tokio::test]
async fn scripts_make_a_call_once_however_often_they_ask() {
    let scene = scene_with(spec()).await;
    let mut client = client(&address(&scene.join)).await;
    let request = |submission: u8| pb::CallRequest {
        submission_id: vec![submission; 16].into(),
        actor: Some(selector()),
        method: "increment".to_owned(),
        max_wait_us: 30_000_000,
        ..pb::CallRequest::default()
    };
    for (submission, expected) in [(1, 1), (1, 1), (2, 2), (1, 1)] {
        let response = client.call(authorized(request(submission))).await.unwrap().into_inner();
        let ending = bireme_proto::convert::actor::ending(response).unwrap().unwrap();
        assert_eq!(number(&ending.outcome), expected);
    }
    let wrong = pb::CallRequest { actor: None, ..request(3) };
    assert!(client.call(authorized(wrong)).await.is_err());
    over(scene, 1).await;
}

#[tokio::test]
async fn what_an_actor_prints_is_kept_and_its_last_lines_are_told_when_it_crashes() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("panic", Some("\"on purpose\""))).await;
    caller.reply().await;
    let request = pb::ReadLogsRequest {
        actor: Some(COUNTER.into()),
        incarnation: 1,
        follow: true,
        ..pb::ReadLogsRequest::default()
    };
    let channel = tonic::transport::Channel::from_shared(address(&scene.join)).unwrap();
    let mut logs = pb::logs_client::LogsClient::new(channel.connect().await.unwrap());
    let mut pieces = logs.read_logs(authorized(request)).await.unwrap().into_inner();
    let mut printed = Vec::new();
    let heard = async {
        while !String::from_utf8_lossy(&printed).contains("on purpose, at 0") {
            let piece = pieces.message().await.unwrap().expect("it lives, and may print more");
            assert_eq!((piece.attempt, piece.incarnation), (None, 1));
            printed.extend_from_slice(&piece.text);
        }
    };
    tokio::time::timeout(crate::played::GUARD, heard).await.expect("it is kept");
    caller.call(2, call("die", Some("9"))).await;
    let ActorReport::Ended { cause, .. } = scene.stream.actor_report().await else {
        panic!("it lives")
    };
    let last_lines = cause.expect("it says why").last_lines;
    assert!(last_lines.iter().any(|line| line.contains("on purpose")), "{last_lines:?}");
    // The rest of what it printed may come in pieces of its own.
    let rest = async { while pieces.message().await.unwrap().is_some() {} };
    tokio::time::timeout(crate::played::GUARD, rest).await.expect("it ends with the incarnation");
    scene.close().await;
}

#[tokio::test]
async fn a_killed_actor_leaves_only_the_call_that_ran_in_doubt() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    // It waits for its caller to take more, so that it has begun and does not end.
    let runs = Call { reply: ReplyKind::Stream, ..call("stream", Some("1000")) };
    caller.call(1, runs).await;
    while !matches!(caller.next().await, ToCaller::Item { .. }) {}
    for seq in 2..=10 {
        caller.call_accepted(seq, call("increment", None)).await;
    }
    scene.stream.tell(end(1, Span::ZERO, true)).await;
    for seq in 1..=10 {
        let (ended, ending) = caller.reply().await;
        let expected = if seq == 1 { CallCode::Unknown } else { CallCode::Gone };
        assert_eq!((ended, ending.outcome.code()), (seq, Some(expected)));
    }
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Killed);
    scene.close().await;
}

#[tokio::test]
async fn a_call_whose_argument_is_gone_ends_with_its_name() {
    let scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    let object = ObjectId::Held { holder: HolderId(3), n: 99 };
    let inputs = std::iter::once(object).collect();
    caller.call_accepted(1, Call { inputs, ..call("increment", None) }).await;
    let lost = bireme_core::TaskError::new(ErrorClass::InputLost, "INPUT_LOST", "its worker died");
    scene.stream.tell(Order::Gone { object, error: Box::new(lost) }).await;
    let (_, ending) = caller.reply().await;
    let Outcome::Failure(failure) = ending.outcome else { panic!("{ending:?}") };
    assert_eq!(failure.code, CallCode::ArgumentFailed);
    assert!(failure.message.contains(&object.to_string()), "{failure:?}");
    assert!(failure.message.ends_with("its worker died"), "{failure:?}");
    over(scene, 1).await;
}

#[tokio::test]
async fn scripts_fetch_what_is_too_large_for_an_answer() {
    let scene = scene_with(spec()).await;
    let length = 300_000;
    let request = pb::CallRequest {
        submission_id: vec![9; 16].into(),
        actor: Some(selector()),
        method: "bytes".to_owned(),
        arguments: call("bytes", Some("300000")).arguments,
        max_wait_us: 30_000_000,
        ..pb::CallRequest::default()
    };
    let mut client = client(&address(&scene.join)).await;
    let outcome = client.call(authorized(request.clone())).await.unwrap().into_inner().outcome;
    let again = client.call(authorized(request)).await.unwrap().into_inner().outcome;
    assert_eq!(again, outcome, "the same submission");
    let Some(pb::call_outcome::Outcome::Stored(kept)) = outcome.and_then(|it| it.outcome) else {
        panic!("it is not stored")
    };
    assert_eq!(kept.size, length);
    let source = kept.object.map(pb::fetch_request::Source::Object);
    let request = pb::FetchRequest { source, ..pb::FetchRequest::default() };
    let channel = tonic::transport::Channel::from_shared(address(&scene.join)).unwrap();
    let mut store = pb::store_client::StoreClient::new(channel.connect().await.unwrap());
    let mut parts = store.fetch(authorized(request)).await.unwrap().into_inner();
    let mut fetched = 0;
    while let Some(part) = parts.message().await.unwrap() {
        if let Some(pb::fetch_response::Part::Chunk(chunk)) = part.part {
            fetched += chunk.data.len() as u64;
        }
    }
    assert_eq!(fetched, length);
    over(scene, 1).await;
}

#[tokio::test]
async fn an_actor_that_moves_leaves_its_state_behind_as_a_value() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("add", Some("41"))).await;
    assert_eq!(caller.number().await, (1, 41));
    let (actor, incarnation) = (COUNTER, Incarnation(1));
    let wish =
        ActorOrder::Move { actor, incarnation, request: 5, quiesce: None, lose_state: false };
    scene.stream.tell(Order::Actor(wish)).await;
    let ActorReport::Ended { end, checkpoint, .. } = scene.stream.actor_report().await else {
        panic!("it should have moved")
    };
    assert_eq!(end, EndKind::Moved);
    let (object, size) = checkpoint.expect("it left its state");
    assert!(size > 0);
    let checkpoint = Some(bireme_core::protocol::Input {
        object,
        holders: SmallVec::new(),
        size,
        value: None,
        made_by: None,
    });
    let order = bireme_core::actor::place::HostOrder {
        actor,
        incarnation: Incarnation(2),
        spec: spec(),
        inputs: SmallVec::new(),
        checkpoint,
        restores: true,
        copies: CopyPlaces::default(),
    };
    scene.stream.tell(Order::Actor(ActorOrder::Host(Box::new(order)))).await;
    scene.stream.alive(2).await;
    let mut again = Caller::new(&address(&scene.join)).await;
    let opened = again.open(1, 2, 1).await;
    assert_eq!((opened.incarnation, opened.next_seq), (Incarnation(2), 2));
    again.call(2, call("increment", None)).await;
    assert_eq!(again.number().await, (2, 42));
    over(scene, 2).await;
}

#[tokio::test]
async fn a_host_that_knows_nothing_of_lives_elsewhere_is_not_followed_and_its_callers_are_told() {
    let mut scene = scene_with(spec()).await;
    let mut caller = opened(&scene.join, 1).await;
    caller.call(1, call("die", Some("9"))).await;
    assert_eq!(scene.stream.ended(1).await.0, EndKind::Crashed);
    let (seq, ending) = caller.reply().await;
    assert_eq!((seq, ending.outcome.code()), (1, Some(CallCode::Unknown)));
    let order = bireme_core::actor::place::HostOrder {
        actor: COUNTER,
        incarnation: Incarnation(3),
        spec: spec(),
        inputs: SmallVec::new(),
        checkpoint: None,
        restores: false,
        copies: CopyPlaces::default(),
    };
    scene.stream.tell(Order::Actor(ActorOrder::Host(Box::new(order)))).await;
    let ToCaller::OpenRefused(failure) = caller.next().await else { panic!("it is not refused") };
    assert_eq!(failure.code, CallCode::Fenced);
    let opened = caller.open(1, 3, 1).await;
    assert_eq!((opened.incarnation, opened.remembers_from), (Incarnation(3), Incarnation(3)));
    caller.call(2, call("increment", None)).await;
    assert_eq!(caller.number().await, (2, 1));
    over(scene, 3).await;
}
