//! The first call of a caller, said before the host has answered.

use expect_test::expect;

use super::{check, check_of};
use crate::actor::caller::Config;

#[test]
fn the_first_answer_of_the_host_leaves_it_on_its_way() {
    check(
        "call a | lives w1 i1 | up 1 | opened i1 1 | reply 1 | call b",
        &expect![[r"
        call a      -> resolve >i0 30000ms
        lives w1 i1 -> reach w1 i1
        up 1        -> open i1 done 0, call 1 a i1
        opened i1 1 ->
        reply 1     -> END 1 ok
        call b      -> call 2 b i1
    "]],
    );
}

#[test]
fn it_is_one_whatever_there_is_room_for_and_nothing_is_refused_for_it() {
    check(
        "ahead b c | call d | opened i1 1 narrow refuses",
        &expect![[r"
            ahead b c                  -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            call d                     ->
            opened i1 1 narrow refuses -> call 2 b i1, END 3 MAILBOX_FULL: 2 calls wait for replies already, cancel 3, END 4 MAILBOX_FULL: 2 calls wait for replies already, cancel 4
        "]],
    );
}

#[test]
fn no_call_overtakes_one_whose_arguments_come_late() {
    check(
        "unready | call b | lives w1 i1 | up 1 | ready 1 | opened i1 1",
        &expect![[r"
        unready     -> resolve >i0 30000ms
        call b      ->
        lives w1 i1 -> reach w1 i1
        up 1        -> open i1 done 0
        ready 1     -> call 1 big i1
        opened i1 1 -> call 2 b i1
    "]],
    );
}

#[test]
fn a_host_that_does_not_begin_has_not_taken_it() {
    check(
        "ahead | refused NOT_RUN | begin | reply 1",
        &expect![[r"
            ahead           -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            refused NOT_RUN -> bye, resolve >i1 25ms
            begin           -> reach w1 i1, open i1 done 0, call 1 a i1
            reply 1         -> END 1 ok
        "]],
    );
    check(
        "ahead | redirect w2 i2 | up 2 | opened i2 1 | reply 1",
        &expect![[r"
            ahead          -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            redirect w2 i2 -> bye, reach w2 i2
            up 2           -> open i2 done 0
            opened i2 1    -> call 1 a i2
            reply 1        -> END 1 ok
        "]],
    );
    check(
        "ahead | refused MAILBOX_FULL",
        &expect![[r"
            ahead                -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            refused MAILBOX_FULL -> bye, END 1 MAILBOX_FULL: no
        "]],
    );
}

#[test]
fn a_stream_that_is_lost_before_the_answer_leaves_it_unknown_to_a_fresh_host_and_nothing_else() {
    check(
        "ahead b | down 1 | elsewhere | reply 2",
        &expect![[r"
            ahead b   -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            down 1    -> resolve >i1 25ms
            elsewhere -> reach w2 i2, open i2 done 0, END 1 UNKNOWN: the incarnation that had the call is lost, cancel 1, call 2 b i2
            reply 2   -> END 2 ok
        "]],
    );
    check(
        "ahead | down 1 | elsewhere 1 twice | reply 1",
        &expect![[r"
            ahead             -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            down 1            -> resolve >i1 25ms
            elsewhere 1 twice -> reach w2 i2, open i2 done 0, call 1 a i2
            reply 1           -> END 1 ok
        "]],
    );
}

#[test]
fn the_same_host_says_after_a_lost_stream_whether_it_arrived() {
    check(
        "ahead | down 1 | begin | reply 1",
        &expect![[r"
            ahead   -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            down 1  -> resolve >i1 25ms
            begin   -> reach w1 i1, open i1 done 0, call 1 a i1
            reply 1 -> END 1 ok
        "]],
    );
    check(
        "ahead | down 1 | lives w1 i1 | up 1 | opened i1 2 | reply 1",
        &expect![[r"
            ahead       -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            down 1      -> resolve >i1 25ms
            lives w1 i1 -> reach w1 i1
            up 1        -> open i1 done 0
            opened i1 2 ->
            reply 1     -> END 1 ok
        "]],
    );
}

#[test]
fn a_further_answer_decides_about_it_as_about_all_others() {
    check(
        "ahead | opened i2 1 from=i2 | opened i3 1 from=i2 | reply 1",
        &expect![[r"
            ahead               -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            opened i2 1 from=i2 ->
            opened i3 1 from=i2 -> call 1 a i3
            reply 1             -> END 1 ok
        "]],
    );
    check(
        "ahead | opened i2 1 from=i2 | opened i3 1 from=i3",
        &expect![[r"
            ahead               -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            opened i2 1 from=i2 ->
            opened i3 1 from=i3 -> END 1 UNKNOWN: the incarnation that had the call is lost
        "]],
    );
}

#[test]
fn it_can_be_unwanted_before_the_answer() {
    check(
        "ahead | cancel 1 | opened i1 1 | reply 1 CANCELLED",
        &expect![[r"
            ahead             -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            cancel 1          -> cancel 1
            opened i1 1       ->
            reply 1 CANCELLED -> END 1 CANCELLED: the host says so
        "]],
    );
    check(
        "call a deadline=30 | call b | lives w1 i1 | up 1 | after 30 | opened i1 1",
        &expect![[r"
            call a deadline=30 -> resolve >i0 30000ms
            call b             ->
            lives w1 i1        -> reach w1 i1
            up 1               -> open i1 done 0, call 1 a i1 30ms
            after 30           -> cancel 1, END 1 DEADLINE: the call's time is up; it may have run
            opened i1 1        -> call 2 b i1
        "]],
    );
    check(
        "ahead b | close",
        &expect![[r"
            ahead b -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            close   -> forget-me, END 1 UNKNOWN: the caller was closed, END 2 NOT_RUN: the caller was closed
        "]],
    );
}

#[test]
fn a_caller_that_has_made_calls_before_waits_for_the_host() {
    let config = Config::new(super::me(), super::ACTOR);
    check_of(
        Config { first: 5, ..config.clone() },
        "call a | lives w1 i1 | up 1 | opened i1 5",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            lives w1 i1 -> reach w1 i1
            up 1        -> open i1 done 4
            opened i1 5 -> call 5 a i1
        "]],
    );
    check_of(
        Config { keeps: true, ..config },
        "call a | lives w1 i1 | up 1 | opened i1 1",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            lives w1 i1 -> reach w1 i1
            up 1        -> open i1 done 0
            opened i1 1 -> call 1 a i1
        "]],
    );
}
