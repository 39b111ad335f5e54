//! Effectively once: what is logged, what waits for the log, and what runs again.

use super::*;
use smallvec::SmallVec;

use crate::actor::call::CallFailure;
use crate::actor::{Journal, LaneSpec, MethodSpec};
use crate::id::HolderId;
use crate::object::ObjectId;

fn with_method(journal: Journal, delivery: Option<Delivery>) -> ActorSpec {
    let mut spec = spec(Delivery::EffectivelyOnce);
    spec.methods = vec![MethodSpec { method: "odd".to_owned(), lane: 0, delivery, journal }];
    spec
}

#[test]
fn a_reply_waits_until_its_call_is_durable() {
    let mut rig = Rig::effectively_once(1);
    rig.durable = false;
    assert_eq!(rig.call(1, 1, "a"), ["log 2 s1#1", "run 1 s1#1"]);
    assert_eq!(rig.returns(1, "x"), ["log 3 end of 2"]);
    rig.call(1, 2, "a");
    assert!(rig.on(Event::Durable { lsn: 2 }).is_empty(), "how it ended is not");
    assert_eq!(rig.on(Event::Durable { lsn: 3 }), ["1: 1 = x"]);
    assert_eq!(rig.returns(2, "y"), ["log 5 end of 4"]);
    assert_eq!(rig.on(Event::Durable { lsn: 99 }), ["1: 2 = y"]);
    assert!(rig.open(2, 1, 0).contains(&"2: 1 = x".to_owned()));
}

#[test]
fn a_lost_daemon_plays_its_log_again_and_answers() {
    let mut rig = Rig::effectively_once(1);
    for seq in 1..=3 {
        rig.call(1, seq, "a");
    }
    rig.returns(1, "x");
    let told = rig.restarts(false);
    assert_eq!(told, ["log 6 life 2", "run 1 s1#1 again"]);
    assert_eq!(rig.open(2, 1, 0), ["2: opened 2 next 4 since 2"]);
    assert!(rig.call(2, 4, "a").is_empty(), "first what was before");
    assert_eq!(rig.returns(1, "x"), ["2: 1 = x", "run 2 s1#2 again"]);
    assert_eq!(rig.returns(2, "y"), ["log 7 end of 3", "run 3 s1#3 again", "2: 2 = y"]);
    let told = ["log 8 end of 4", "log 9 s1#4", "run 4 s1#4", "2: 3 = z"];
    assert_eq!(rig.returns(3, "z"), told);
}

#[test]
fn a_reply_that_was_said_is_kept_over_the_replay() {
    let mut rig = Rig::effectively_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    rig.returns(1, "x");
    assert_eq!(
        rig.dies(Some((2, true))),
        ["over Crashed", "log 5 crash [3]"]
            .map(String::from)
            .iter()
            .rev()
            .cloned()
            .collect::<Vec<_>>()
    );
    let told = rig.succeeds();
    assert_eq!(told, ["1: opened 2 next 3 since 1", "log 6 life 2", "run 1 s1#1 again"]);
    assert_eq!(rig.returns(1, "x"), ["run 2 s1#2 again"], "the caller has that reply");
    assert_eq!(rig.returns(2, "y"), ["log 7 end of 3", "1: 2 = y"]);
}

#[test]
fn a_replay_that_differs_stops_the_actor() {
    let mut rig = Rig::effectively_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    rig.returns(1, "x");
    rig.restarts(false);
    rig.open(2, 1, 0);
    assert_eq!(rig.returns(1, "other"), ["2: 1 = REPLAY_DIVERGED", "over Diverged"]);
    let end = Event::EndAsked { grace: Span::ZERO, forget: true, reason: String::new() };
    assert_eq!(rig.on(end), ["2: 2 = UNKNOWN"]);
}

#[test]
fn a_call_that_kills_is_set_aside_in_the_log() {
    let mut rig = Rig::effectively_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "b");
    assert_eq!(rig.dies(Some((1, true))), ["log 4 crash [2]", "over Crashed"]);
    rig.succeeds();
    assert_eq!(rig.dies(Some((1, true))), ["log 6 crash [2]", "over Crashed"]);
    let told = [
        "1: opened 3 next 3 since 1",
        "log 7 life 3",
        "log 8 poison 2",
        "run 1 s1#2 again behind 1",
        "1: 1 = POISONED",
    ];
    assert_eq!(rig.succeeds(), told);
    rig.returns(1, "y");
    assert_eq!(rig.restarts(false), ["log 10 life 4", "run 1 s1#2 again behind 1"]);
    assert!(rig.open(9, 1, 0).contains(&"9: 1 = POISONED".to_owned()));
}

#[test]
fn where_a_call_is_set_aside_that_others_saw_the_actor_stops_rather_than_lies() {
    let mut spec = spec(Delivery::EffectivelyOnce);
    spec.lanes[0].concurrency = 2;
    let mut rig = Rig::new(spec, 2);
    rig.call(1, 1, "slow");
    rig.call(2, 1, "add");
    assert_eq!(rig.returns(2, "behind it"), ["log 4 end of 3", "2: 1 = behind it"]);
    assert_eq!(rig.dies(None), ["log 5 crash [2]", "over Crashed"]);
    rig.succeeds();
    assert_eq!(rig.dies(None), ["log 7 crash [2]", "over Crashed"], "it ran alone");
    let again = "run 1 s2#1 again behind 1".to_owned();
    assert!(rig.succeeds().contains(&again), "without the first");
    assert_eq!(rig.dies(None), ["log 10 crash [3]", "over Crashed"]);
    assert!(rig.succeeds().contains(&again), "the log holds two truths until this has ended");
    assert!(rig.call(1, 2, "add").is_empty(), "nobody is served before");
    assert!(rig.on(Event::CheckpointAsked { request: 1 }).is_empty(), "nor is it kept");
    let told = rig.returns(1, "the first");
    assert!(told.iter().any(|told| told == "over Diverged"), "{told:?}");
    assert!(!told.iter().any(|told| told.starts_with("checkpoint")), "{told:?}");
}

#[test]
fn a_call_that_ended_unrun_does_not_run_after_its_successors_where_that_is_lost() {
    let mut rig = Rig::effectively_once(1);
    let inputs: SmallVec<[ObjectId; 1]> =
        [ObjectId::Held { holder: HolderId(1), n: 1 }].into_iter().collect();
    let wants = Call { inputs, ..call("a") };
    assert_eq!(rig.send(1, 1, wants.clone()), ["gather 1"]);
    assert!(rig.call(1, 2, "a").is_empty(), "it waits for its turn");
    let lost = CallFailure::new(CallCode::ArgumentFailed, "it was lost");
    let told = rig.on(Event::Gathered { ticket: 1, inputs: Err(Box::new(lost)) });
    assert!(told.contains(&"1: 1 = ARGUMENT_FAILED".to_owned()), "{told:?}");
    rig.restarts(false);
    assert_eq!(rig.open(2, 1, 0), ["2: opened 2 next 1 since 2"]);
    assert_eq!(rig.send(2, 1, wants.clone()), ["2: 1 = NOT_RUN"]);
    let free = Call { unordered: true, ..wants };
    rig.restarts(false);
    rig.open(3, 1, 0);
    assert_eq!(rig.send(3, 1, free), ["gather 2"], "it has no order");
}

#[test]
fn calls_behind_one_that_was_set_aside_are_told_so_for_good() {
    let mut spec = spec(Delivery::EffectivelyOnce);
    spec.lanes.push(LaneSpec { name: "other".to_owned(), ..spec.lanes[0].clone() });
    let mut rig = Rig::new(spec, 1);
    rig.call(1, 1, "a");
    for _ in 0..2 {
        rig.dies(None);
        rig.succeeds();
    }
    let other = Call { lane: Some(1), ..call("a") };
    assert!(rig.call(1, 2, "a").contains(&"run 1 s1#2 behind 1".to_owned()));
    assert!(rig.send(1, 3, other.clone()).contains(&"run 2 s1#3".to_owned()), "another lane");
    (1..=2).for_each(|run| drop(rig.returns(run, "x")));
    rig.on(Event::CheckpointAsked { request: 1 });
    assert_eq!(rig.kept.1.left_out, [1]);
    rig.kept();
    assert!(rig.call(1, 4, "a").contains(&"run 3 s1#4 behind 1".to_owned()));
    rig.dies(None);
    assert!(rig.succeeds().contains(&"run 1 s1#4 again behind 1".to_owned()));
    rig.dies(None);
    assert!(rig.restarts(false).iter().any(|told| told.contains("poison")));
    rig.open(1, 1, 0);
    assert!(rig.call(1, 5, "a").contains(&"run 1 s1#5 behind 2".to_owned()));
    rig.returns(1, "x");
    rig.on(moved(2));
    assert_eq!(rig.kept.1.left_out, [2]);
    rig.kept();
    rig.restarts(true);
    rig.open(1, 1, 0);
    assert!(rig.call(1, 6, "a").contains(&"run 1 s1#6 behind 2".to_owned()), "it has moved");
    assert!(rig.send(1, 7, other).contains(&"run 2 s1#7".to_owned()));
}

fn moved(request: u64) -> Event {
    Event::MoveAsked { request, quiesce: None, lose_state: false }
}

#[test]
fn a_call_that_ended_once_is_never_left_out() {
    let mut rig = Rig::effectively_once(1);
    rig.call(1, 1, "a");
    rig.returns(1, "x");
    for _ in 0..5 {
        assert!(rig.dies(Some((1, true))).contains(&"over Crashed".to_owned()));
        assert!(rig.succeeds().contains(&"run 1 s1#1 again".to_owned()));
    }
}

#[test]
fn what_must_not_run_again_is_followed_by_a_checkpoint() {
    let mut rig = Rig::new(with_method(Journal::Result, None), 1);
    assert_eq!(rig.call(1, 1, "odd"), ["log 2 s1#1", "run 1 s1#1"]);
    assert!(rig.call(1, 2, "a").contains(&"run 2 s1#2".to_owned()), "given ahead");
    assert!(rig.returns(1, "x").is_empty(), "it rests on a checkpoint");
    assert_eq!(rig.returns(2, "y"), ["checkpoint 3"], "and so does what came after it");
    assert!(rig.call(1, 3, "a").is_empty());
    assert_eq!(rig.kept(), ["1: 1 = x", "1: 2 = y", "log 4 s1#3", "run 3 s1#3"]);
    rig.records.truncate(0);
    assert_eq!(rig.restarts(false), ["log 4 life 2"]);
    assert_eq!(rig.open(2, 1, 0), ["2: opened 2 next 3 since 2", "2: 1 = x", "2: 2 = y"]);
}

#[test]
fn a_result_without_its_checkpoint_has_not_happened() {
    let mut rig = Rig::new(with_method(Journal::Result, None), 1);
    rig.call(1, 1, "odd");
    rig.durable = false;
    assert_eq!(rig.returns(1, "x"), ["checkpoint 2"]);
    // The checkpoint was not made: what was in the log before is still there.
    rig.records = vec![
        Record::Life { incarnation: Incarnation(1) },
        Record::Call { id: id(1, 1), call: Arc::new(call("odd")), lane: 0, ticket: 1 },
    ];
    rig.kept = Default::default();
    assert_eq!(rig.dies(None), ["over Crashed"]);
    let told = rig.succeeds();
    assert_eq!(told, ["1: opened 2 next 2 since 1", "log 3 life 2", "run 1 s1#1 again"]);
    assert_eq!(rig.returns(1, "y"), ["checkpoint 3"]);
    assert_eq!(rig.kept(), ["1: 1 = y"]);
}

#[test]
fn a_checkpoint_that_is_needed_and_fails_ends_the_incarnation_at_last() {
    let mut rig = Rig::new(with_method(Journal::Result, None), 1);
    rig.call(1, 1, "odd");
    let mut told = rig.returns(1, "x");
    for _ in 1..crate::limits::CHECKPOINT_TRIES {
        assert_eq!(told, ["checkpoint 2"]);
        assert!(rig.on(Event::StateKept(Err(died("disk full")))).is_empty());
        told = rig.wait(Span::secs(20));
    }
    assert_eq!(rig.on(Event::StateKept(Err(died("disk full")))), ["over Crashed"]);
}

#[test]
fn a_method_that_promises_less_is_not_logged() {
    let mut rig = Rig::new(with_method(Journal::Call, Some(Delivery::AtMostOnce)), 1);
    assert_eq!(rig.call(1, 1, "odd"), ["run 1 s1#1"]);
    assert_eq!(rig.dies(None), ["1: 1 = UNKNOWN", "over Crashed"]);
    rig.succeeds();
    let weaker = Call { delivery: Some(Delivery::AtLeastOnce), ..call("a") };
    assert_eq!(rig.send(1, 2, weaker), ["run 1 s1#2"]);
}

#[test]
fn a_cancelled_call_leaves_a_state_that_must_be_kept() {
    let mut rig = Rig::effectively_once(1);
    rig.call(1, 1, "a");
    assert_eq!(rig.say(1, ToHost::Cancel { seq: 1, grace: None }), ["stop 1"]);
    assert_eq!(rig.ends(1, RunEnd::Cancelled), ["checkpoint 2"]);
    assert_eq!(rig.kept(), ["1: 1 = CANCELLED"]);
}

#[test]
fn a_log_that_cannot_be_written_ends_the_incarnation_and_nothing_more_is_said() {
    let mut rig = Rig::effectively_once(1);
    rig.durable = false;
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    rig.returns(1, "x");
    assert_eq!(rig.on(Event::LogFailed(died("no space"))), ["over Crashed"]);
    assert!(rig.on(Event::Durable { lsn: 9 }).is_empty());
    rig.records.truncate(1);
    assert_eq!(rig.succeeds(), ["1: opened 2 next 1 since 2", "log 2 life 2"]);
    assert_eq!(rig.call(1, 1, "a"), ["log 3 s1#1", "run 1 s1#1"]);
}

#[test]
fn a_wish_to_cancel_that_overtakes_its_call_after_a_lost_log_ends_it() {
    let mut rig = Rig::effectively_once(1);
    rig.durable = false;
    rig.call(1, 1, "a");
    rig.on(Event::LogFailed(died("no space")));
    rig.records.clear();
    rig.succeeds();
    assert!(
        rig.say(1, ToHost::Cancel { seq: 1, grace: None }).is_empty(),
        "nothing is known of it"
    );
    assert_eq!(rig.call(1, 1, "a"), ["1: 1 = CANCELLED"]);
    assert_eq!(rig.call(1, 1, "a"), ["1: 1 = CANCELLED"], "said again, it has that end");
    assert_eq!(rig.call(1, 2, "a"), ["log 2 s1#2", "run 1 s1#2"]);
}

#[test]
fn an_actor_that_cannot_give_its_state_cannot_be_effectively_once() {
    let mut effects = Vec::new();
    let mut host = Host::new(Time(0), config(1, spec(Delivery::EffectivelyOnce), None));
    host.handle(Time(0), Event::Alive { checkpoints: false }, &mut effects);
    assert!(matches!(effects[..], [Effect::Over { end: EndKind::Failed, .. }]));
}
