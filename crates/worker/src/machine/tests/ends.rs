//! How attempts end, and how a worker leaves.

use bireme_core::Time;
use bireme_core::protocol::Order;
use expect_test::expect;

use super::script::{attempt, check, machine, start};
use crate::machine::Event;

#[test]
fn a_repeated_order_is_nothing_new() {
    check(
        "up | start 1 | start 1 | end 1 failed | start 1 | told",
        expect![[r"
        up                       ->
        start 1                  -> wake, run 1
        start 1                  ->
        end 1 failed             ->
        start 1                  ->
        told                     -> failed 1 User USER_ERROR
    "]],
    );
}

#[test]
fn only_what_has_not_started_is_retracted() {
    check(
        "up | start 1 cpus=2 | start 2 in=5@2 | start 3 command | told | retract 1 | retract 2 | retract 3 | retract 9 | told \
         | announce | settle 2 | settle 3 | settle 9 | announce | fetched 5",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 in=5@2           -> fetch 5@2
            start 3 command          ->
            told                     -> started 1
            retract 1                ->
            retract 2                -> wake
            retract 3                ->
            retract 9                ->
            told                     -> retracted 2, retracted 3, retracted 9
            announce                 -> 1 started, retracted 2, retracted 3
            settle 2                 ->
            settle 3                 ->
            settle 9                 ->
            announce                 -> 1 started
            fetched 5                -> drop 5
        "]],
    );
}

#[test]
fn cancelled_attempts_fail_as_cancelled() {
    check(
        "up | start 1 | start 2 in=5@2 | cancel 2 | cancel 1 | cancel 9 | told | end 1 failed | told",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 2 in=5@2           -> fetch 5@2
            cancel 2                 ->
            cancel 1                 -> kill 1 in 7.000 ms
            cancel 9                 ->
            told                     -> started 1, failed 2 Cancelled CANCELLED, retracted 9
            end 1 failed             -> wake
            told                     -> failed 1 Cancelled CANCELLED
        "]],
    );
}

#[test]
fn what_finishes_before_it_is_killed_has_finished() {
    check(
        "up | start 1 | cancel 1 | end 1 | cancel 1 | told",
        expect![[r"
        up                       ->
        start 1                  -> wake, run 1
        cancel 1                 -> kill 1 in 7.000 ms
        end 1                    ->
        cancel 1                 ->
        told                     -> finished 1 after 0 us, retracted 1
    "]],
    );
}

#[test]
fn nobody_hears_of_a_superseded_attempt() {
    check(
        "up | start 1 | start 1#2 | start 1 | told | announce | end 1 | told | end 1#2 | told",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 1#2                -> kill 1 in 0 us
            start 1                  ->
            told                     ->
            announce                 -> 1#2
            end 1                    -> wake, run 1#2
            told                     -> started 1#2
            end 1#2                  -> wake
            told                     -> finished 1#2 after 0 us
        "]],
    );
}

#[test]
fn what_has_not_started_is_superseded_at_once() {
    check(
        "up | start 1 cpus=2 | start 2 in=5@2 | start 2#2 in=6@2 | fetched 5 | start 3 cpus=2 | start 3#2 | recalled 3 back | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 in=5@2           -> fetch 5@2
            start 2#2 in=6@2         -> fetch 6@2
            fetched 5                -> drop 5
            start 3 cpus=2           -> follow 3
            start 3#2                -> recall 3
            recalled 3 back          ->
            told                     -> started 1
        "]],
    );
}

#[test]
fn a_superseded_failure_is_forgotten() {
    check(
        "up | start 1 | end 1 failed | start 1#2 | told | announce",
        expect![[r"
        up                       ->
        start 1                  -> wake, run 1
        end 1 failed             ->
        start 1#2                -> run 1#2
        told                     -> started 1#2
        announce                 -> 1#2 started
    "]],
    );
}

#[test]
fn a_draining_worker_gives_back_what_has_not_started() {
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | start 3 | start 4 in=5@2 | drain | start 6 | recalled 2 back | told | down \
         | up | told | end 1 | told | drain",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            start 3                  ->
            start 4 in=5@2           -> fetch 5@2
            drain                    -> recall 2
            start 6                  ->
            recalled 2 back          ->
            told                     -> started 1, draining, retracted 3, retracted 4, retracted 6, retracted 2
            down                     ->
            up                       -> wake
            told                     -> draining
            end 1                    -> wake, leave
            told                     -> finished 1 after 0 us
            drain                    ->
        "]],
    );
}

#[test]
fn an_idle_worker_leaves_at_once() {
    check(
        "up | leave | told",
        expect![[r"
        up                       ->
        leave                    -> wake, leave
        told                     -> draining
    "]],
    );
}

#[test]
fn one_that_leaves_by_itself_stays_until_its_values_are_copied() {
    check(
        "up | start 1 | leave 5 | end 1 | told | drain",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            leave 5                  ->
            end 1                    ->
            told                     -> wants to leave, finished 1 after 0 us
            drain                    -> leave
        "]],
    );
    check(
        "up | stored 1 | leave | told | release 1",
        expect![[r"
            up                       ->
            stored 1                 -> wake
            leave                    ->
            told                     -> replica 1 of 8, wants to leave
            release 1                -> drop 1, leave
        "]],
    );
}

#[test]
fn it_does_not_stay_for_a_scheduler_that_is_gone_or_silent() {
    check(
        "up | stored 1 | leave | down",
        expect![[r"
        up                       ->
        stored 1                 -> wake
        leave                    ->
        down                     -> leave
    "]],
    );
    check(
        "stored 1 | leave",
        expect![[r"
        stored 1                 ->
        leave                    -> leave
    "]],
    );
    check(
        "up | stored 1 | leave 5 | at 5",
        expect![[r"
        up                       ->
        stored 1                 -> wake
        leave 5                  ->
        at 5                     -> leave
    "]],
    );
    check(
        "up | stored 1 | leave | at 59999 | at 60000",
        expect![[r"
        up                       ->
        stored 1                 -> wake
        leave                    ->
        at 59999                 ->
        at 60000                 -> leave
    "]],
    );
}

#[test]
fn a_deadline_ends_what_drains() {
    check(
        "up | start 1 | drain 5 | at 4 | at 5 | end 1 failed | told",
        expect![[r"
        up                       ->
        start 1                  -> wake, run 1
        drain 5                  ->
        at 4                     ->
        at 5                     -> kill 1 in 0 us, leave
        end 1 failed             ->
        told                     -> draining, failed 1 Reschedule SHUTTING_DOWN
    "]],
    );
}

#[test]
fn stop_ends_everything() {
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | start 3 command | stop | recalled 2 back | end 1 failed | told | stop",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            start 3 command          ->
            stop                     -> recall 2, kill 1 in 0 us, leave
            recalled 2 back          ->
            end 1 failed             ->
            told                     -> retracted 3, retracted 2, failed 1 Reschedule SHUTTING_DOWN
            stop                     ->
        "]],
    );
}

#[test]
fn what_runs_too_long_is_killed_and_told_as_such() {
    check(
        "up | start 1 timeout=5 cpus=2 | start 2 timeout=5 cpus=2 | at 4 | at 5 | end 1 failed next=2 | at 9 | at 10 | end 2 | told",
        expect![[r"
            up                       ->
            start 1 timeout=5 cpus=2 -> wake, run 1
            start 2 timeout=5 cpus=2 -> follow 2
            at 4                     ->
            at 5                     -> kill 1 in 1.000 s timed out
            end 1 failed next=2      ->
            at 9                     ->
            at 10                    -> kill 2 in 1.000 s timed out
            end 2                    ->
            told                     -> failed 1 Timeout TIMED_OUT, finished 2 after 5.000 ms
        "]],
    );
}

#[test]
fn timers_are_told() {
    let mut worker = machine(0);
    let mut effects = Vec::new();
    assert_eq!(worker.next_timer(), None);
    let timeout = Some(bireme_core::Span(30));
    let order = Order::Start(bireme_core::protocol::Start { timeout, ..start(attempt("1")) });
    worker.handle(Time(10), Event::Ordered(order), &mut effects);
    assert_eq!(worker.next_timer(), Some(Time(40)));
    let deadline = Some(bireme_core::Span(20));
    worker.handle(Time(10), Event::Ordered(Order::Drain { deadline }), &mut effects);
    assert_eq!(worker.next_timer(), Some(Time(30)));
}

#[test]
fn an_attempt_that_comes_after_all_is_not_told_to_be_unknown() {
    check(
        "up | retract 1 | start 1 | told",
        expect![[r"
        up                       ->
        retract 1                -> wake
        start 1                  -> run 1
        told                     -> started 1
    "]],
    );
}

#[test]
fn what_was_cancelled_is_not_killed_for_its_time_as_well() {
    check(
        "up | start 1 timeout=5 | cancel 1 | at 5 | end 1 failed | told",
        expect![[r"
        up                       ->
        start 1 timeout=5        -> wake, run 1
        cancel 1                 -> kill 1 in 7.000 ms
        at 5                     ->
        end 1 failed             ->
        told                     -> failed 1 Cancelled CANCELLED
    "]],
    );
}
