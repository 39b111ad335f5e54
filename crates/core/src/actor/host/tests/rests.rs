//! Checkpoints by policy and on demand, moves, and ends that are asked for.

use super::*;
use crate::actor::CheckpointPolicy;

fn end(grace: Span, forget: bool) -> Event {
    Event::EndAsked { grace, forget, reason: "enough".to_owned() }
}

fn moved(request: u64, quiesce: Option<Span>, lose_state: bool) -> Event {
    Event::MoveAsked { request, quiesce, lose_state }
}

#[test]
fn checkpoints_are_made_by_calls_by_bytes_and_by_time() {
    let policy =
        |every_calls, every_bytes, every| CheckpointPolicy { every_calls, every_bytes, every };
    for (policy, calls) in [(policy(2, 0, Span::ZERO), 2), (policy(0, 400, Span::ZERO), 3)] {
        let mut spec = spec(Delivery::EffectivelyOnce);
        spec.checkpoint = policy;
        let mut rig = Rig::new(spec, 1);
        for n in 1..=calls {
            rig.call(1, n, "a");
            let told = rig.returns(n, "x");
            let made = told.iter().any(|told| told.starts_with("checkpoint"));
            assert_eq!(made, n == calls, "{policy:?} after {n}: {told:?}");
        }
        rig.kept();
        assert_eq!(rig.host().statistics(Time(0)).checkpoints, 1);
    }
    let mut spec = spec(Delivery::AtMostOnce);
    spec.checkpoint = policy(0, 0, Span::secs(5));
    let mut rig = Rig::new(spec, 1);
    assert!(rig.wait(Span::secs(60)).is_empty(), "nothing has changed");
    rig.call(1, 1, "a");
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x", "checkpoint 0"], "the time is over");
    rig.kept();
    rig.call(1, 2, "a");
    rig.returns(2, "x");
    assert_eq!(rig.wait(Span::secs(6)), ["checkpoint 0"]);
}

#[test]
fn nothing_begins_while_a_checkpoint_is_made_and_a_failure_is_tried_again() {
    let mut spec = spec(Delivery::AtMostOnce);
    spec.checkpoint.every_calls = 1;
    let mut rig = Rig::new(spec, 1);
    rig.call(1, 1, "a");
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x", "checkpoint 0"]);
    assert!(rig.call(1, 2, "a").is_empty());
    assert_eq!(rig.on(Event::StateKept(Err(died("disk full")))), ["run 2 s1#2"]);
    assert_eq!(rig.returns(2, "y"), ["1: 2 = y"], "not at once");
    assert_eq!(rig.wait(Span::secs(2)), ["checkpoint 0"]);
    assert_eq!(rig.on(Event::CheckpointAsked { request: 4 }), Vec::<String>::new());
    assert_eq!(rig.kept(), ["made 4 at 0"]);
}

#[test]
fn an_actor_that_cannot_be_checkpointed_says_so() {
    let mut rig = Rig::at_most_once(1);
    rig.host = Some(Host::new(Time(0), config(1, spec(Delivery::AtMostOnce), None)));
    assert!(rig.on(Event::CheckpointAsked { request: 1 }).is_empty());
    let no = "not made 1: the actor cannot give its state";
    assert_eq!(rig.on(Event::Alive { checkpoints: false }), [no]);
    assert_eq!(rig.on(Event::CheckpointAsked { request: 1 }), [no]);
    assert_eq!(rig.on(moved(1, None, false)), [no]);
    assert_eq!(rig.on(moved(1, None, true)), ["over Moved"]);
}

#[test]
fn an_actor_that_moves_leaves_everything_to_the_next_host() {
    for delivery in [Delivery::AtMostOnce, Delivery::EffectivelyOnce] {
        let mut rig = Rig::new(spec(delivery), 1);
        rig.call(1, 1, "a");
        rig.returns(1, "x");
        rig.call(1, 2, "a");
        assert!(rig.on(moved(1, None, false)).is_empty());
        assert!(rig.call(1, 3, "a").is_empty(), "it comes to rest");
        let told = rig.returns(2, "y");
        assert!(told.iter().any(|told| told.starts_with("checkpoint")), "{told:?}");
        assert!(rig.kept().ends_with(&["over Moved", "1: redirect 2"].map(String::from)));
        rig.restarts(true);
        let told = ["2: opened 2 next 3 since 1", "2: 1 = x", "2: 2 = y"];
        assert_eq!(rig.open(2, 1, 0), told, "{delivery:?}");
        assert!(rig.call(2, 3, "a").contains(&"run 1 s1#3".to_owned()));
    }
}

#[test]
fn who_comes_when_the_table_is_written_that_goes_along_is_sent_after_the_actor() {
    let mut rig = Rig::at_most_once(1);
    assert_eq!(rig.on(moved(1, None, false)), ["checkpoint 0"]);
    assert_eq!(rig.open(2, 2, 0), ["2: refused NOT_RUN"]);
    assert_eq!(rig.open(3, 1, 0), ["3: opened 1 next 1 since 1"], "one that it knows");
    assert_eq!(rig.on(Event::StateKept(Err(died("disk full")))), ["not made 1: disk full"]);
    assert_eq!(rig.open(2, 2, 0), ["2: opened 1 next 1 since 1"], "it stays");
    assert_eq!(rig.kept.1.callers.len(), 1);
}

#[test]
fn a_checkpoint_that_was_begun_before_a_move_goes_along_if_its_table_is_whole() {
    for is_whole in [true, false] {
        let mut rig = Rig::at_most_once(1);
        assert_eq!(rig.on(Event::CheckpointAsked { request: 1 }), ["checkpoint 0"]);
        if !is_whole {
            rig.open(2, 2, 0);
        }
        assert!(rig.on(moved(2, None, false)).is_empty());
        assert_eq!(rig.open(3, 3, 0), ["3: refused NOT_RUN"]);
        let mut told = rig.kept();
        if !is_whole {
            assert_eq!(told, ["made 1 at 0", "checkpoint 0"]);
            assert_eq!(rig.kept.1.callers.len(), 2);
            told = rig.kept();
        }
        assert!(told.contains(&"over Moved".to_owned()), "{told:?}");
    }
}

#[test]
fn a_move_is_given_up_when_calls_run_for_too_long() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.on(moved(7, Some(Span::secs(3)), false));
    assert!(rig.call(1, 2, "a").is_empty());
    let told = ["not made 7: 1 calls still run: give them longer, or cancel them", "run 2 s1#2"];
    let mut waited = rig.wait(Span::secs(4));
    waited.retain(|told| !told.starts_with("probe"));
    assert_eq!(waited, told);
    let again = moved(8, None, false);
    rig.on(again.clone());
    assert!(rig.on(again).is_empty(), "the same wish");
    assert_eq!(rig.on(moved(9, None, false)), ["not made 9: the actor is on its way already"]);
    rig.returns(1, "x");
    rig.returns(2, "x");
    let told = ["not made 8: disk full"];
    assert_eq!(rig.on(Event::StateKept(Err(died("disk full")))), told);
    assert_eq!(rig.call(1, 3, "a"), ["run 3 s1#3"]);
}

#[test]
fn an_end_waits_for_what_runs_as_long_as_it_may() {
    let mut rig = Rig::at_most_once(1);
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    assert!(rig.on(end(Span::secs(5), true)).is_empty());
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x"]);
    assert!(rig.call(1, 3, "a").is_empty());
    assert_eq!(rig.wait(Span::secs(6)), ["over Killed for good", "1: 3 = GONE"]);
    assert_eq!(rig.dies(Some((2, true))), ["1: 2 = UNKNOWN"]);
    let mut idle = Rig::at_most_once(1);
    assert_eq!(idle.on(end(Span::secs(5), true)), ["over Killed for good"]);
}

#[test]
fn of_the_calls_that_a_killed_process_has_only_the_one_that_ran_is_in_doubt() {
    let gone = ["1: 1 = UNKNOWN", "1: 2 = GONE", "1: 3 = GONE"];
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::EffectivelyOnce] {
        let mut rig = Rig::new(spec(delivery), 1);
        (1..=3).for_each(|seq| drop(rig.call(1, seq, "a")));
        assert_eq!(rig.on(end(Span::ZERO, true)), ["over Killed for good"], "{delivery:?}");
        let mut told = rig.dies(Some((1, true)));
        told.sort();
        assert_eq!(told, gone, "{delivery:?}");
        assert!(rig.dies(None).is_empty());
    }
    let mut rig = Rig::at_most_once(1);
    (1..=3).for_each(|seq| drop(rig.call(1, seq, "a")));
    rig.on(end(Span::ZERO, true));
    (2..=3).for_each(|run| drop(rig.on(Event::NotBegun(RunNo(run)))));
    assert_eq!(rig.dies(None), gone, "as the process says, where there is no mark");
    let mut rig = Rig::at_most_once(1);
    (1..=3).for_each(|seq| drop(rig.call(1, seq, "a")));
    assert_eq!(rig.on(end(Span::ZERO, false)), ["over Killed"]);
    assert_eq!(rig.dies(Some((1, true))), ["1: 1 = UNKNOWN"]);
    let told = ["1: opened 2 next 4 since 1", "run 1 s1#2", "run 2 s1#3"];
    assert_eq!(rig.succeeds(), told, "another incarnation follows");
}

#[test]
fn a_process_says_which_calls_it_has_not_begun_in_any_lane() {
    let mut spec = spec(Delivery::AtMostOnce);
    spec.lanes[0].concurrency = 2;
    let mut rig = Rig::new(spec, 1);
    (1..=2).for_each(|seq| drop(rig.call(1, seq, "a")));
    rig.on(Event::NotBegun(RunNo(2)));
    assert_eq!(rig.on(Event::Exited)[..2], ["1: 1 = UNKNOWN", "1: 2 = GONE"]);
}

#[test]
fn an_actor_that_ends_itself_has_its_replies_durable_first() {
    let mut rig = Rig::effectively_once(1);
    rig.durable = false;
    rig.call(1, 1, "a");
    rig.call(1, 2, "a");
    rig.returns(1, "x");
    assert_eq!(rig.on(Event::Exited), ["1: 2 = GONE"], "given, and never begun");
    assert_eq!(rig.on(Event::Durable { lsn: 9 }), ["1: 1 = x", "over Exited for good"]);
}

#[test]
fn a_constructor_that_fails_ends_the_incarnation() {
    let mut rig = Rig::at_most_once(0);
    rig.host = Some(Host::new(Time(0), config(1, spec(Delivery::AtMostOnce), None)));
    rig.open(1, 1, 0);
    assert!(rig.call(1, 1, "a").is_empty());
    assert_eq!(rig.on(Event::Refused(died("no such file"))), ["over Failed"]);
    assert_eq!(rig.on(end(Span::ZERO, true)), ["1: 1 = GONE"]);
}
