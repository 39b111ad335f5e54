//! The rows of the failure table that the caller decides.

use expect_test::expect;

use super::{check, check_with};
use crate::actor::wire::OnUnknown;

#[test]
fn a_lost_stream_is_taken_up_again_with_what_did_not_arrive() {
    check(
        "call a | call b | begin | down 1 | up 1 | opened i1 2 | reply 1 | reply 2",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            call b      ->
            begin       -> reach w1 i1, open i1 done 0, call 1 a i1, call 2 b i1
            down 1      -> reach w1 i1
            up 1        -> open i1 done 0
            opened i1 2 -> call 2 b i1
            reply 1     -> END 1 ok
            reply 2     -> END 2 ok
        "]],
    );
}

#[test]
fn a_lost_daemon_leaves_unknown_what_was_said_and_nothing_else() {
    check(
        "call a | begin narrow | call b | call c | down 1 | down 1 | lives restarting i1 \
         | elsewhere | reply 3",
        &expect![[r"
            call a              -> resolve >i0 30000ms
            begin narrow        -> reach w1 i1, open i1 done 0, call 1 a i1
            call b              -> call 2 b i1
            call c              ->
            down 1              -> reach w1 i1
            down 1              -> resolve >i1 50ms
            lives restarting i1 -> resolve >i1 30000ms
            elsewhere           -> reach w2 i2, open i2 done 0, END 1 UNKNOWN: the incarnation that had the call is lost, END 2 UNKNOWN: the incarnation that had the call is lost, cancel 1, cancel 2, call 3 c i2
            reply 3             -> END 3 ok
        "]],
    );
}

#[test]
fn a_lost_answer_does_not_make_a_fresh_host_vouch_for_its_predecessor() {
    check(
        "call a | begin | down 1 | down 1 | lives w2 i2 | up 2 | down 2 | elsewhere",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            begin       -> reach w1 i1, open i1 done 0, call 1 a i1
            down 1      -> reach w1 i1
            down 1      -> resolve >i1 50ms
            lives w2 i2 -> reach w2 i2
            up 2        -> open i2 done 0
            down 2      -> resolve >i2 100ms
            elsewhere   -> reach w2 i2, open i2 done 0, END 1 UNKNOWN: the incarnation that had the call is lost, cancel 1
        "]],
    );
}

#[test]
fn what_may_run_twice_is_said_again_to_a_fresh_host() {
    check(
        "call a | call b weak | begin twice | down 1 | down 1 | elsewhere 1 twice | reply 1",
        &expect![[r"
            call a            -> resolve >i0 30000ms
            call b weak       ->
            begin twice       -> reach w1 i1, open i1 done 0, call 1 a i1, call 2 b i1
            down 1            -> reach w1 i1
            down 1            -> resolve >i1 50ms
            elsewhere 1 twice -> reach w2 i2, open i2 done 0, END 2 UNKNOWN: the incarnation that had the call is lost, call 1 a i2, cancel 2
            reply 1           -> END 1 ok
        "]],
    );
}

#[test]
fn effectively_once_everything_is_said_again() {
    check(
        "call a | call b | begin once | down 1 | down 1 | elsewhere 2 once | reply 1 | reply 2",
        &expect![[r"
            call a           -> resolve >i0 30000ms
            call b           ->
            begin once       -> reach w1 i1, open i1 done 0, call 1 a i1, call 2 b i1
            down 1           -> reach w1 i1
            down 1           -> resolve >i1 50ms
            elsewhere 2 once -> reach w2 i2, open i2 done 0, call 2 b i2
            reply 1          -> END 1 ok
            reply 2          -> END 2 ok
        "]],
    );
}

#[test]
fn a_forgotten_caller_does_not_know_what_became_of_its_calls() {
    check(
        "call a | call b | begin once | down 1 | call c | up 1 | opened i1 1 once forgotten",
        &expect![[r"
            call a                     -> resolve >i0 30000ms
            call b                     ->
            begin once                 -> reach w1 i1, open i1 done 0, call 1 a i1, call 2 b i1
            down 1                     -> reach w1 i1
            call c                     ->
            up 1                       -> open i1 done 0
            opened i1 1 once forgotten -> END 1 UNKNOWN: the incarnation that had the call is lost, END 2 UNKNOWN: the incarnation that had the call is lost, cancel 1, cancel 2, call 3 c i1
        "]],
    );
}

#[test]
fn a_crashed_process_keeps_the_queue_for_the_next_incarnation_of_the_same_daemon() {
    check(
        "call a | call b | begin | reply 1 UNKNOWN | opened i2 3 from=i1 | call c | reply 2 \
         | reply 3",
        &expect![[r"
            call a              -> resolve >i0 30000ms
            call b              ->
            begin               -> reach w1 i1, open i1 done 0, call 1 a i1, call 2 b i1
            reply 1 UNKNOWN     -> END 1 UNKNOWN: the host says so
            opened i2 3 from=i1 ->
            call c              -> call 3 c i2
            reply 2             -> END 2 ok
            reply 3             -> END 3 ok
        "]],
    );
}

#[test]
fn calls_on_the_way_to_a_crashed_process_never_arrived_if_the_daemon_says_so() {
    check(
        "call a | begin | opened i2 1 from=i1 | reply 1",
        &expect![[r"
            call a              -> resolve >i0 30000ms
            begin               -> reach w1 i1, open i1 done 0, call 1 a i1
            opened i2 1 from=i1 -> call 1 a i2
            reply 1             -> END 1 ok
        "]],
    );
}

#[test]
fn after_an_unknown_call_the_rest_stops_where_that_is_asked_for() {
    check_with(
        OnUnknown::Stop,
        "call a | begin narrow | call b | call c | unready | down 1 | down 1 | elsewhere | call e | ready 4",
        &expect![[r"
            call a       -> resolve >i0 30000ms
            begin narrow -> reach w1 i1, open i1 done 0, call 1 a i1
            call b       -> call 2 b i1
            call c       ->
            unready      ->
            down 1       -> reach w1 i1
            down 1       -> resolve >i1 50ms
            elsewhere    -> reach w2 i2, open i2 done 0, END 1 UNKNOWN: the incarnation that had the call is lost, END 2 UNKNOWN: the incarnation that had the call is lost, END 3 NOT_RUN: call 1 before it ended as UNKNOWN, END 4 NOT_RUN: call 1 before it ended as UNKNOWN, cancel 1, cancel 2, cancel 3, cancel 4
            call e       -> call 5 e i2
            ready 4      ->
        "]],
    );
}

#[test]
fn a_scheduler_that_is_away_leaves_the_known_place() {
    check(
        "call a | begin | reply 1 | down 1 | call b | down 1 | silence | after 50 | up 1 \
         | opened i1 2 | reply 2",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            begin       -> reach w1 i1, open i1 done 0, call 1 a i1
            reply 1     -> END 1 ok
            down 1      ->
            call b      -> reach w1 i1
            down 1      -> resolve >i1 25ms
            silence     ->
            after 50    -> reach w1 i1
            up 1        -> open i1 done 1
            opened i1 2 -> call 2 b i1
            reply 2     -> END 2 ok
        "]],
    );
}

#[test]
fn a_stale_incarnation_is_refused() {
    check(
        "call a | lives w1 i2 | up 1 | opened i1 1 | elsewhere | reply 1",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            lives w1 i2 -> reach w1 i2
            up 1        -> open i2 done 0, call 1 a i2
            opened i1 1 -> bye, resolve >i2 25ms
            elsewhere   -> reach w2 i2, open i2 done 0, call 1 a i2
            reply 1     -> END 1 ok
        "]],
    );
}

#[test]
fn a_fenced_host_keeps_no_call() {
    check(
        "call a | lives w1 i1 | up 1 | refused FENCED | begin | reply 1 FENCED \
         | elsewhere | reply 1",
        &expect![[r"
            call a         -> resolve >i0 30000ms
            lives w1 i1    -> reach w1 i1
            up 1           -> open i1 done 0, call 1 a i1
            refused FENCED -> bye, resolve >i1 25ms
            begin          -> reach w1 i1, open i1 done 0, call 1 a i1
            reply 1 FENCED -> bye, resolve >i1 50ms
            elsewhere      -> reach w2 i2, open i2 done 0, call 1 a i2
            reply 1        -> END 1 ok
        "]],
    );
}

#[test]
fn a_move_takes_the_calls_along() {
    check(
        "call a | call b | begin | reply 1 | redirect w2 i2 | up 2 | opened i2 2 from=i1 \
         | reply 2",
        &expect![[r"
            call a              -> resolve >i0 30000ms
            call b              ->
            begin               -> reach w1 i1, open i1 done 0, call 1 a i1, call 2 b i1
            reply 1             -> END 1 ok
            redirect w2 i2      -> bye, reach w2 i2
            up 2                -> open i2 done 1
            opened i2 2 from=i1 -> call 2 b i2
            reply 2             -> END 2 ok
        "]],
    );
}

#[test]
fn a_redirect_that_names_nothing_new_is_not_followed_at_once() {
    check(
        "call a | lives w1 i1 | up 1 | redirect i2 | lives w1 i2 | up 1 | redirect w2 i2 | after 25 | lives w2 i2",
        &expect![[r"
            call a         -> resolve >i0 30000ms
            lives w1 i1    -> reach w1 i1
            up 1           -> open i1 done 0, call 1 a i1
            redirect i2    -> bye, resolve >i1 30000ms
            lives w1 i2    -> reach w1 i2
            up 1           -> open i2 done 0
            redirect w2 i2 -> bye
            after 25       -> resolve >i1 30000ms
            lives w2 i2    -> reach w2 i2
        "]],
    );
}

#[test]
fn death_ends_every_call_with_its_cause() {
    check(
        "call a | begin narrow | call b | call c | down 1 | down 1 | lives dead | call d",
        &expect![[r"
            call a       -> resolve >i0 30000ms
            begin narrow -> reach w1 i1, open i1 done 0, call 1 a i1
            call b       -> call 2 b i1
            call c       ->
            down 1       -> reach w1 i1
            down 1       -> resolve >i1 50ms
            lives dead   -> END 1 GONE: the actor has ended: killed by signal 9; it may have run, END 2 GONE: the actor has ended: killed by signal 9; it may have run, END 3 GONE: the actor has ended: killed by signal 9; it did not run
            call d       -> END 4 GONE: the actor has ended: killed by signal 9
        "]],
    );
}

#[test]
fn a_host_that_knows_of_the_end_need_not_be_asked_twice() {
    check(
        "call a | lives w1 i1 | up 1 | refused GONE | call b",
        &expect![[r"
            call a       -> resolve >i0 30000ms
            lives w1 i1  -> reach w1 i1
            up 1         -> open i1 done 0, call 1 a i1
            refused GONE -> forget-me, END 1 GONE: no; it did not run
            call b       -> END 2 GONE: no
        "]],
    );
}

#[test]
fn nobody_waits_for_an_actor_that_does_not_exist() {
    check(
        "call a | nobody",
        &expect![[r"
        call a -> resolve >i0 30000ms
        nobody -> END 1 GONE: no such actor; it did not run
    "]],
    );
}

#[test]
fn pauses_between_attempts_grow_and_end_with_a_reply() {
    check(
        "call a | lives w1 i1 | down 1 | lives w1 i1 | down 1 | lives w1 i1 | down 1 | begin \
         | reply 1 | call b | down 1 | down 1",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            lives w1 i1 -> reach w1 i1
            down 1      -> resolve >i1 25ms
            lives w1 i1 -> reach w1 i1
            down 1      -> resolve >i1 50ms
            lives w1 i1 -> reach w1 i1
            down 1      -> resolve >i1 100ms
            begin       -> reach w1 i1, open i1 done 0, call 1 a i1
            reply 1     -> END 1 ok
            call b      -> call 2 b i1
            down 1      -> reach w1 i1
            down 1      -> resolve >i1 50ms
        "]],
    );
}
