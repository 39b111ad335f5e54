//! A caller whose calls are made again after its process: an actor with a call log.

use expect_test::{Expect, expect};

use super::{ACTOR, Script, check_of, me};
use crate::actor::caller::Config;

/// A caller whose last checkpoint came before this call.
fn check(first: u64, script: &str, expect: &Expect) {
    check_of(Config { first, keeps: true, ..Config::new(me(), ACTOR) }, script, expect);
}

#[test]
fn replies_stay_with_the_host_until_a_checkpoint_holds_what_was_made_of_them() {
    check(
        1,
        "call a | call b | begin once | reply 1 | reply 2 | after 50 | kept 2 | after 50 | kept 3 | after 50 | close",
        &expect![[r"
            call a     -> resolve >i0 30000ms
            call b     ->
            begin once -> reach w1 i1, open i1 done 0, call 1 a i1, call 2 b i1
            reply 1    -> END 1 ok
            reply 2    -> END 2 ok
            after 50   ->
            kept 2     ->
            after 50   -> ack 1
            kept 3     ->
            after 50   -> ack 2
            close      -> bye
        "]],
    );
}

#[test]
fn a_new_stream_gives_up_nothing_that_may_be_needed_again() {
    check(
        1,
        "call a | begin once | reply 1 | down 1 | call b | up 1 | opened i1 2 once | reply 2",
        &expect![[r"
        call a           -> resolve >i0 30000ms
        begin once       -> reach w1 i1, open i1 done 0, call 1 a i1
        reply 1          -> END 1 ok
        down 1           ->
        call b           -> reach w1 i1
        up 1             -> open i1 done 0
        opened i1 2 once -> call 2 b i1
        reply 2          -> END 2 ok
    "]],
    );
}

#[test]
fn the_numbers_go_on_from_the_last_checkpoint_and_what_was_run_is_answered() {
    check(
        5,
        "call e | call f | lives w1 i1 | up 1 | opened i1 6 once | reply 5 | reply 6",
        &expect![[r"
            call e           -> resolve >i0 30000ms
            call f           ->
            lives w1 i1      -> reach w1 i1
            up 1             -> open i1 done 4
            opened i1 6 once -> call 5 e i1, call 6 f i1
            reply 5          -> END 5 ok
            reply 6          -> END 6 ok
        "]],
    );
}

#[test]
fn a_host_that_has_forgotten_the_caller_is_not_told_anything_twice() {
    check(
        5,
        "call e | lives w1 i1 | up 1 | opened i1 5 once forgotten | call f | kept 7 | call g | reply 7",
        &expect![[r"
            call e                     -> resolve >i0 30000ms
            lives w1 i1                -> reach w1 i1
            up 1                       -> open i1 done 4
            opened i1 5 once forgotten -> END 5 UNKNOWN: the actor has forgotten this caller, which was away for too long, cancel 5
            call f                     -> END 6 UNKNOWN: the actor has forgotten this caller, which was away for too long, cancel 6
            kept 7                     ->
            call g                     -> call 7 g i1
            reply 7                    -> END 7 ok
        "]],
    );
}

#[test]
fn replies_that_stay_are_weighed_until_they_can_go() {
    let config = Config { keeps: true, ..Config::new(me(), ACTOR) };
    let mut script = Script::of(config);
    for step in ["call a", "call b", "begin once", "reply 2", "reply 1"] {
        script.play(step);
    }
    let both = script.caller.unacknowledged_bytes();
    assert!(both > 0);
    for step in ["kept 2", "after 50"] {
        script.play(step);
    }
    assert_eq!(script.caller.unacknowledged_bytes(), both / 2);
    for step in ["down 1", "kept 3", "call c", "up 1"] {
        script.play(step);
    }
    assert_eq!(script.caller.unacknowledged_bytes(), 0, "said with the next conversation");
}

#[test]
fn calls_that_may_be_made_again_wait_for_room_whatever_the_actor_says() {
    check(
        3,
        "call c | call d | call e | lives w1 i1 | up 1 | opened i1 6 once narrow refuses | reply 3 | reply 4 | reply 5",
        &expect![[r"
            call c                          -> resolve >i0 30000ms
            call d                          ->
            call e                          ->
            lives w1 i1                     -> reach w1 i1
            up 1                            -> open i1 done 2
            opened i1 6 once narrow refuses -> call 3 c i1, call 4 d i1
            reply 3                         -> END 3 ok, call 5 e i1
            reply 4                         -> END 4 ok
            reply 5                         -> END 5 ok
        "]],
    );
}

#[test]
fn nobody_knows_of_a_call_that_may_have_been_made_before_whether_it_ran() {
    check(
        3,
        "call c | close",
        &expect![[r"
            call c -> resolve >i0 30000ms
            close  -> END 3 UNKNOWN: the caller was closed
        "]],
    );
}
