//! Where inputs come from, and when objects go.

use bireme_core::Time;
use bireme_core::id::AttemptNo;
use bireme_core::limits;
use bireme_core::protocol::{Order, Report};
use expect_test::expect;
use smallvec::SmallVec;

use super::script::{self, attempt, check, machine, start};
use crate::machine::{Effect, Event};

#[test]
fn an_attempt_waits_for_its_inputs() {
    check(
        "up | start 1 in=5@2@3,6@2,7! | fetched 6 | fetched 5 | end 1 | told | start 2 in=5 | announce",
        expect![[r"
            up                       ->
            start 1 in=5@2@3,6@2,7!  -> fetch 5@2@3, fetch 6@2, keep 7
            fetched 6                -> wake
            fetched 5                -> run 1
            end 1                    ->
            told                     -> replica 6 of 8, replica 5 of 8, finished 1 after 0 us
            start 2 in=5             -> wake, run 2
            announce                 -> 1 of 8, 5 of 8, 6 of 8, 7 of 5, 2 started
        "]],
    );
}

#[test]
fn attempts_share_a_fetch() {
    check(
        "start 1 in=5@2 | start 2 in=5@3 | fetched 5 | end 1 | end 2",
        expect![[r"
        start 1 in=5@2           -> fetch 5@2
        start 2 in=5@3           ->
        fetched 5                -> run 1, run 2
        end 1                    ->
        end 2                    ->
    "]],
    );
}

#[test]
fn a_value_that_comes_with_an_order_serves_those_who_wait_for_a_fetch() {
    check(
        "up | start 1 in=5@2 | start 2 in=5! | fetched 5 | told | announce",
        expect![[r"
        up                       ->
        start 1 in=5@2           -> fetch 5@2
        start 2 in=5!            -> keep 5, wake, run 1, run 2
        fetched 5                ->
        told                     -> started 1, started 2
        announce                 -> 5 of 5, 1 started, 2 started
    "]],
    );
}

#[test]
fn an_input_named_twice_is_fetched_once() {
    check(
        "start 1 in=5@2,5@2 | release 5 | fetched 5 | end 1",
        expect![[r"
        start 1 in=5@2,5@2       -> fetch 5@2
        release 5                ->
        fetched 5                -> run 1
        end 1                    -> drop 5
    "]],
    );
}

#[test]
fn what_a_client_put_stays_until_it_is_released() {
    check(
        "up | stored 5 | told | fetched 6 | start 1 in=5 | end 1 | announce | release 5 | announce",
        expect![[r"
            up                       ->
            stored 5                 -> wake
            told                     -> replica 5 of 8
            fetched 6                -> drop 6
            start 1 in=5             -> wake, run 1
            end 1                    ->
            announce                 -> 1 of 8, 5 of 8
            release 5                -> drop 5
            announce                 -> 1 of 8
        "]],
    );
}

#[test]
fn what_a_client_puts_is_what_somebody_waited_for() {
    check(
        "up | start 1 in=5@2 | release 5 | stored 5 | end 1 | fetched 5 | told | release 5",
        expect![[r"
            up                       ->
            start 1 in=5@2           -> fetch 5@2
            release 5                ->
            stored 5                 -> wake, run 1
            end 1                    ->
            fetched 5                ->
            told                     -> replica 5 of 8, finished 1 after 0 us
            release 5                -> drop 5
        "]],
    );
}

#[test]
fn an_attempt_sent_ahead_waits_for_the_one_that_makes_its_input() {
    check(
        "up | start 1 | start 2 in=1 ahead | start 3 in=2 ahead | end 1 | end 2 | told",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 2 in=1 ahead       ->
            start 3 in=2 ahead       ->
            end 1                    -> run 2
            end 2                    -> run 3
            told                     -> finished 1 after 0 us, finished 2 after 0 us, started 3
        "]],
    );
}

#[test]
fn an_attempt_sent_ahead_outlives_a_failure_and_is_retracted() {
    check(
        "up | start 1 | start 2 in=1 ahead | end 1 failed | retract 2 | told | announce",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 2 in=1 ahead       ->
            end 1 failed             ->
            retract 2                ->
            told                     -> failed 1 User USER_ERROR, retracted 2
            announce                 -> failed 1 User USER_ERROR, retracted 2
        "]],
    );
}

#[test]
fn a_pinned_object_is_released_when_its_last_user_ends() {
    check(
        "up | start 1 | end 1 | told | start 2 in=1 | start 3 in=1 | release 1 | end 2 | end 3 | told | announce | release 1",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            end 1                    ->
            told                     -> finished 1 after 0 us
            start 2 in=1             -> wake, run 2
            start 3 in=1             -> run 3
            release 1                ->
            end 2                    ->
            end 3                    -> drop 1
            told                     -> finished 2 after 0 us, finished 3 after 0 us
            announce                 -> 2 of 8, 3 of 8
            release 1                ->
        "]],
    );
}

#[test]
fn a_release_is_taken_back_by_whoever_needs_the_object_again() {
    check(
        "up | start 1 | end 1 | told | start 2 in=1 | release 1 | start 3 in=1@4 | told | end 2 | end 3 | release 1",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            end 1                    ->
            told                     -> finished 1 after 0 us
            start 2 in=1             -> wake, run 2
            release 1                ->
            start 3 in=1@4           -> run 3
            told                     -> started 2, replica 1 of 8, started 3
            end 2                    -> wake
            end 3                    ->
            release 1                -> drop 1
        "]],
    );
}

#[test]
fn a_release_during_a_fetch_holds() {
    check(
        "up | replicate 5@2 | release 5 | fetched 5 | told | announce",
        expect![[r"
        up                       ->
        replicate 5@2            -> fetch 5@2
        release 5                ->
        fetched 5                -> drop 5
        told                     ->
        announce                 ->
    "]],
    );
}

#[test]
fn replicas_are_made_and_told() {
    check(
        "up | replicate 5@2 6! 7 | told | fetched 5 | told | replicate 5@2 | told | announce",
        expect![[r"
            up                       ->
            replicate 5@2 6! 7       -> fetch 5@2, keep 6, wake
            told                     -> replica 6 of 5, missing 7
            fetched 5                -> wake
            told                     -> replica 5 of 8
            replicate 5@2            -> wake
            told                     -> replica 5 of 8
            announce                 -> 5 of 8, 6 of 5
        "]],
    );
}

#[test]
fn a_missing_input_is_told_and_found_elsewhere() {
    check(
        "up | start 1 in=5@2 | lacking 5@2 | told | places 5 | places 5@2@3 | lacking 5@2 | places 5@3 | fetched 5 | told",
        expect![[r"
            up                       ->
            start 1 in=5@2           -> fetch 5@2
            lacking 5@2              -> wake
            told                     -> missing 5@2
            places 5                 -> wake
            places 5@2@3             -> fetch 5@2@3
            lacking 5@2              ->
            places 5@3               -> fetch 5@3
            fetched 5                -> run 1
            told                     -> replica 5 of 8, started 1
        "]],
    );
}

#[test]
fn a_failed_fetch_tries_the_holders_named_since() {
    check(
        "up | start 1 in=5@2 | start 2 in=5@2@3 | lacking 5@2 | told | lacking 5@3 | told",
        expect![[r"
            up                       ->
            start 1 in=5@2           -> fetch 5@2
            start 2 in=5@2@3         ->
            lacking 5@2              -> fetch 5@3
            told                     ->
            lacking 5@3              -> wake
            told                     -> missing 5@3
        "]],
    );
}

#[test]
fn an_input_that_nobody_has_is_told_at_once() {
    check(
        "up | start 1 in=5 | start 2 in=5 | start 3 in=6 ahead | told | places 5! | told",
        expect![[r"
            up                       ->
            start 1 in=5             -> wake
            start 2 in=5             ->
            start 3 in=6 ahead       ->
            told                     -> missing 5
            places 5!                -> keep 5, wake, run 1, run 2
            told                     -> replica 5 of 5, started 1, started 2
        "]],
    );
}

#[test]
fn fetches_are_bounded() {
    let mut worker = machine(0);
    let mut effects = Vec::new();
    let input = |n: usize| bireme_core::protocol::Input {
        object: script::object(&n.to_string()),
        holders: SmallVec::from_iter([bireme_core::WorkerId(2)]),
        size: 1,
        value: None,
        made_by: None,
    };
    let count = limits::FETCHING + 2;
    let order = bireme_core::protocol::Start {
        inputs: (1..=count).map(input).collect(),
        ..start(attempt("99"))
    };
    worker.handle(Time(0), Event::Ordered(Order::Start(order)), &mut effects);
    let fetches = |effects: &[Effect]| {
        effects.iter().filter(|effect| matches!(effect, Effect::Fetch { .. })).count()
    };
    assert_eq!(fetches(&effects), limits::FETCHING);
    effects.clear();
    worker.handle(Time(0), Event::Fetched { object: input(1).object, size: 1 }, &mut effects);
    assert_eq!(fetches(&effects), 1);
    worker.handle(Time(0), Event::Ordered(Order::Retract(attempt("99"))), &mut effects);
    assert_eq!(worker.check(), Ok(()), "what still waited for its turn is forgotten");
}

#[test]
fn what_is_missing_is_told_with_the_attempt_whose_result_was_asked_for() {
    let mut worker = machine(0);
    let mut effects = Vec::new();
    let input = |n: u32| bireme_core::protocol::Input {
        object: script::object("5"),
        holders: SmallVec::from_iter([bireme_core::WorkerId(n)]),
        size: 1,
        value: None,
        made_by: Some(AttemptNo { n, ..attempt("5").no }),
    };
    worker.handle(Time(0), Event::Connected, &mut effects);
    let inputs = SmallVec::from_iter([input(1)]);
    let order = bireme_core::protocol::Start { inputs, ..start(attempt("9")) };
    worker.handle(Time(0), Event::Ordered(Order::Start(order)), &mut effects);
    let mut fail = |worker: &mut crate::machine::Machine, holder| {
        let asked = SmallVec::from_iter([bireme_core::WorkerId(holder)]);
        let event = Event::FetchFailed { object: script::object("5"), asked };
        worker.handle(Time(0), event, &mut effects);
        let mut reports = Vec::new();
        worker.take_reports(usize::MAX, &mut reports);
        reports
    };
    // Named while the first was asked: it is asked next, for what another attempt has made.
    let mut later = Vec::new();
    worker.handle(Time(0), Event::Ordered(Order::Places(vec![input(2)])), &mut later);
    assert_eq!(fail(&mut worker, 1), []);
    let told = fail(&mut worker, 2);
    let made_by = input(2).made_by;
    assert!(
        matches!(told.as_slice(), [Report::InputMissing { made_by: by, .. }] if *by == made_by),
        "{told:?}"
    );
}

#[test]
fn what_is_being_made_again_is_dropped_when_that_has_ended() {
    check(
        "start 1 | end 1 | start 1#2 | release 1 | end 1#2 failed",
        expect![[r"
        start 1                  -> run 1
        end 1                    ->
        start 1#2                -> run 1#2
        release 1                ->
        end 1#2 failed           -> drop 1
    "]],
    );
    check(
        "start 1 | end 1 | start 1#2 | release 1 | end 1#2 | release 1",
        expect![[r"
        start 1                  -> run 1
        end 1                    ->
        start 1#2                -> run 1#2
        release 1                ->
        end 1#2                  ->
        release 1                -> drop 1
    "]],
    );
    check(
        "start 1 | start 1#2 | end 1 | end 1#2 failed",
        expect![[r"
        start 1                  -> run 1
        start 1#2                -> kill 1 in 0 us
        end 1                    -> run 1#2
        end 1#2 failed           -> drop 1
    "]],
    );
}

#[test]
fn a_fetch_that_comes_too_late_is_dropped_once() {
    check(
        "start 1 in=5@2 | start 2 in=5! | end 1 | end 2 | release 5 | fetched 5",
        expect![[r"
        start 1 in=5@2           -> fetch 5@2
        start 2 in=5!            -> keep 5, run 1, run 2
        end 1                    ->
        end 2                    ->
        release 5                ->
        fetched 5                -> drop 5
    "]],
    );
    check(
        "start 1 in=5@2 | start 2 in=5! | end 1 | end 2 | release 5 | lacking 5@2",
        expect![[r"
            start 1 in=5@2           -> fetch 5@2
            start 2 in=5!            -> keep 5, run 1, run 2
            end 1                    ->
            end 2                    ->
            release 5                ->
            lacking 5@2              -> drop 5
        "]],
    );
}

#[test]
fn attempts_that_were_not_handed_over_wait_again_for_what_the_store_has_lost() {
    check(
        "up | start 9 cpus=2 | start 1 in=5! | told | lose 5 | told | places 5@2 | fetched 5 | end 9",
        expect![[r"
            up                       ->
            start 9 cpus=2           -> wake, run 9
            start 1 in=5!            -> keep 5
            told                     -> started 9
            lose 5                   -> wake
            told                     -> lost 5, missing 5
            places 5@2               -> fetch 5@2
            fetched 5                -> wake
            end 9                    -> run 1
        "]],
    );
}

#[test]
fn the_scheduler_hears_that_a_value_it_sent_is_not_kept() {
    check(
        "up | places 5! | told",
        expect![[r"
        up                       ->
        places 5!                -> wake
        told                     -> lost 5
    "]],
    );
}
