//! Calls that end without a reply: cancelled, out of time, closed, refused, out of room.

use std::sync::Arc;

use expect_test::expect;

use super::{Caller, Config, Script, Unready, a_call, check, me, told};
use crate::actor::call::CallCode;
use crate::limits;
use crate::time::Time;

#[test]
fn a_call_that_waits_is_cancelled_here_and_one_that_the_host_has_there() {
    check(
        "call a | call b | cancel 2 | lives w1 i1 | up 1 | opened i1 1 | cancel 1 | reply 1 CANCELLED | cancel 1",
        &expect![[r"
            call a            -> resolve >i0 30000ms
            call b            ->
            cancel 2          -> END 2 CANCELLED: the call was cancelled; it did not run
            lives w1 i1       -> reach w1 i1
            up 1              -> open i1 done 0, call 1 a i1
            opened i1 1       -> cancel 2
            cancel 1          -> cancel 1
            reply 1 CANCELLED -> END 1 CANCELLED: the host says so
            cancel 1          ->
        "]],
    );
}

#[test]
fn a_cancelled_call_does_not_wait_for_a_lost_host() {
    check(
        "call a | call b | lives w1 i1 | up 1 | opened i1 1 | cancel 1 | down 1 | up 1 | opened i1 3 | reply 1",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            call b      ->
            lives w1 i1 -> reach w1 i1
            up 1        -> open i1 done 0, call 1 a i1
            opened i1 1 -> call 2 b i1
            cancel 1    -> cancel 1
            down 1      -> END 1 CANCELLED: the call was cancelled; it may have run, reach w1 i1
            up 1        -> open i1 done 1
            opened i1 3 ->
            reply 1     ->
        "]],
    );
}

#[test]
fn time_runs_out_wherever_the_call_is() {
    check(
        "call a deadline=10 | call b deadline=30 | after 20 | lives w1 i1 | up 1 | opened i1 1 | after 10 | reply 2",
        &expect![[r"
            call a deadline=10 -> resolve >i0 30000ms
            call b deadline=30 ->
            after 20           -> END 1 DEADLINE: the call's time is up; it did not run
            lives w1 i1        -> reach w1 i1
            up 1               -> open i1 done 1, call 2 b i1 10ms
            opened i1 1        ->
            after 10           -> cancel 2, END 2 DEADLINE: the call's time is up; it may have run
            reply 2            ->
        "]],
    );
}

#[test]
fn a_closed_caller_says_which_calls_may_have_run() {
    check(
        "ahead | opened i1 1 narrow | call b | call c | close | call d",
        &expect![[r"
            ahead              -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            opened i1 1 narrow ->
            call b             -> call 2 b i1
            call c             ->
            close              -> forget-me, END 1 UNKNOWN: the caller was closed, END 2 UNKNOWN: the caller was closed, END 3 NOT_RUN: the caller was closed
            call d             -> END 4 NOT_RUN: the caller was closed
        "]],
    );
}

#[test]
fn a_host_that_does_not_begin_ends_the_calls_with_its_reason() {
    check(
        "ahead | refused MAILBOX_FULL | call b",
        &expect![[r"
            ahead                -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            refused MAILBOX_FULL -> bye, END 1 MAILBOX_FULL: no
            call b               -> reach w1 i1
        "]],
    );
}

/// A caller that has as many calls as it may.
fn full() -> Script {
    let mut run = Script { caller: Caller::new(Config::new(me(), super::ACTOR)), now: Time(0) };
    let call = Arc::new(a_call("a", &[]));
    for _ in 0..limits::CALLS_PENDING {
        assert!(run.caller.call(run.now, Ok(Arc::clone(&call)), &mut Vec::new()).is_some());
    }
    assert!(!run.caller.has_room());
    run
}

#[test]
fn those_who_find_no_room_are_told_when_there_is_some() {
    for looks_first in [true, false] {
        let mut run = full();
        if !looks_first {
            let call = Arc::new(a_call("a", &[]));
            assert_eq!(run.caller.call(run.now, Ok(call), &mut Vec::new()), None);
        }
        let effects = run.step("nobody");
        assert_eq!(effects.len(), limits::CALLS_PENDING + 1);
        assert_eq!(effects.last().map(told), Some("ROOM".to_owned()));
        assert!(run.caller.has_room());
    }
}

#[test]
fn arguments_that_are_not_stored_yet_take_room() {
    let mut run = Script { caller: Caller::new(Config::new(me(), super::ACTOR)), now: Time(0) };
    let unready = Unready { deadline: None, bytes: limits::CALLS_PENDING_BYTES / 2 };
    for seq in [1, 2] {
        assert_eq!(run.caller.call(run.now, Err(unready), &mut Vec::new()), Some(seq));
    }
    assert_eq!(run.caller.call(run.now, Err(unready), &mut Vec::new()), None);
    run.step("ready 1");
    assert_eq!(run.caller.call(run.now, Err(unready), &mut Vec::new()), Some(3), "one is stored");
    assert!(!run.caller.has_room());
    let effects = run.step("cancel 3");
    assert_eq!(effects.last().map(told), Some("ROOM".to_owned()), "one is wanted no more");
}

#[test]
fn after_the_end_calls_end_at_once() {
    let mut run = Script { caller: Caller::new(Config::new(me(), super::ACTOR)), now: Time(0) };
    for step in ["call a", "lives dead"] {
        run.step(step);
    }
    let effects = run.step("call b");
    assert!(
        told(&effects[0]).starts_with(&format!("END 2 {}", CallCode::Gone.name())),
        "{effects:?}"
    );
    assert_eq!(run.caller.pending(), 0);
}
